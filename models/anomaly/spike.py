"""More than twice the mean of the trailing hour."""

from math import inf
from typing import ClassVar

from models.anomaly.plain import Limits, Plain
from models.anomaly.trailing import MeanWindow


class Spike(Plain):
    """x > 2 x mean of the trailing hour; silent where that mean is not positive.

    >>> spike = Spike()
    >>> calm = [spike.update_ms(60_000 * minute, 20.0 + minute % 5) for minute in range(60)]
    >>> max(calm) < 0.5 < spike.update_ms(3_600_000, 50.0)
    True
    """

    name: ClassVar[str] = "spike"
    TIMES: ClassVar[float] = 2.0
    rule: ClassVar[str] = "twice the mean of the last hour"

    def __init__(self, window: MeanWindow | None = None) -> None:
        super().__init__()
        self.window: MeanWindow = window if window is not None else MeanWindow()

    def limits(self) -> Limits | None:
        mean, _ = self.window.moments()
        return (-inf, 0.0, 0.0, self.TIMES * mean) if mean > 0.0 else None
