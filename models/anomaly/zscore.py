"""More than three standard deviations from the mean of the trailing hour."""

from typing import ClassVar

from models.anomaly.plain import Limits, Plain
from models.anomaly.trailing import MeanWindow


class ZScore(Plain):
    """|x - mean| / standard deviation > 3 over the trailing hour.

    >>> zscore = ZScore()
    >>> calm = [zscore.update_ms(60_000 * minute, 20.0 + minute % 5) for minute in range(60)]
    >>> max(calm) < 0.5 < zscore.update_ms(3_600_000, 30.0)
    True
    """

    name: ClassVar[str] = "zscore"
    SIGMAS: ClassVar[float] = 3.0
    rule: ClassVar[str] = "3 standard deviations around the mean of the last hour"

    def __init__(self, window: MeanWindow | None = None) -> None:
        super().__init__()
        self.window: MeanWindow = window if window is not None else MeanWindow()

    def limits(self) -> Limits:
        mean, deviation = self.window.moments()
        reach = self.SIGMAS * deviation
        return mean - reach, mean, mean, mean + reach
