"""Outside of one and a half interquartile ranges around the quartiles of the trailing hour."""

from typing import ClassVar

from models.anomaly.plain import Limits, Plain
from models.anomaly.trailing import QuartileWindow


class Quartiles(Plain):
    """x < Q1 - 1.5 IQR or x > Q3 + 1.5 IQR over the trailing hour (Tukey's fences).

    >>> iqr = Quartiles()
    >>> calm = [iqr.update_ms(60_000 * minute, 20.0 + minute % 5) for minute in range(60)]
    >>> max(calm) < 0.5 < iqr.update_ms(3_600_000, 30.0)
    True
    """

    name: ClassVar[str] = "iqr"
    REACH: ClassVar[float] = 1.5
    rounding: ClassVar[float] = 1e-4
    """The window is kept in three bytes a value."""
    rule: ClassVar[str] = "1.5 interquartile ranges around the quartiles of the last hour"

    def __init__(self) -> None:
        super().__init__()
        self.window: QuartileWindow = QuartileWindow()

    def limits(self) -> Limits:
        first, third = self.window.quartiles()
        reach = self.REACH * (third - first)
        return first - reach, first, third, third + reach
