"""What the plain rules have in common. Operators know them, so they are kept as evidence; alone they cry wolf."""

from abc import ABC, abstractmethod
from datetime import datetime
from math import inf
from typing import Any, ClassVar

from models.anomaly.explain import short
from models.anomaly.parts import Parts, Read
from models.anomaly.samples import LARGEST, milliseconds
from models.anomaly.trailing import LEAST, MeanWindow, QuartileWindow

ROUNDING = 1e-9
"""Share of the level below which a difference is rounding."""

FAR = 9.0
"""Times the limit that count for a change of what never changed: the score is 0.9."""

Limits = tuple[float, float, float, float]
"""(lower limit, where "below" begins, where "above" begins, upper limit)"""


def times_beyond(value: float, limits: Limits) -> float:
    """How far out a value is: 1 at a limit, 0 where "below" or "above" begins.

    >>> times_beyond(9.0, (0.0, 2.0, 4.0, 6.0)), times_beyond(1.0, (0.0, 2.0, 4.0, 6.0))
    (2.5, 0.5)
    """
    low, below, above, high = limits
    if value > above:
        apart, width, level = value - above, high - above, above
    elif value < below:
        apart, width, level = below - value, below - low, below
    else:
        return 0.0
    least = ROUNDING * (level if level >= 0.0 else -level)
    if width < least:
        width = least
    return apart / width if width > 0.0 else FAR


class Plain(ABC):
    """A rule over the trailing hour (at least LEAST samples): outside of its limits it fires.

    The sample itself is not part of the hour that it is compared with. The score is t / (1 + t), where t is how far out
    the value is, 1 at the limit.
    """

    name: ClassVar[str]
    rule: ClassVar[str]
    """The rule in words."""
    window: MeanWindow | QuartileWindow

    def __init__(self) -> None:
        self._seen: tuple[float, float, Limits | None] | None = None

    @abstractmethod
    def limits(self) -> Limits | None:
        """Of the window as it is, None where the rule says nothing; called only when it has LEAST samples."""

    def update(self, timestamp: datetime, value: float | None) -> float:
        """Score of a sample. A timestamp without a zone is UTC."""
        return self.update_ms(milliseconds(timestamp), value)

    def update_ms(self, epoch_ms: int, value: float | None) -> float:
        """Score of a sample at this time in epoch milliseconds. None, NaN and infinities score 0 and teach nothing."""
        if value is None or not -LARGEST < value < LARGEST:
            self._seen = None
            return 0.0
        value = float(value)
        window = self.window
        window.advance(epoch_ms)
        limits, times = None, 0.0
        if window.count >= LEAST:
            limits = self.limits()
            if limits is not None:
                times = times_beyond(value, limits)
        window.learn(value)
        score = times / (1.0 + times)
        self._seen = (value, score, limits)
        return score

    def explain(self) -> dict[str, Any]:
        """value, score, usual_low and usual_high (the limits), direction, and a summary; value None without one."""
        if self._seen is None:
            return {"value": None, "summary": "no value"}
        value, score, limits = self._seen
        if limits is None:
            text = f"{short(value)}: nothing to compare with yet"
            return {"value": value, "score": score, "direction": "up", "summary": text}
        low, below, above, high = limits
        if low == -inf:
            low = min(0.0, value)
        side = "is outside" if score >= 0.5 else "is within"
        return {
            "value": value,
            "score": score,
            "usual_low": low,
            "usual_high": high,
            "direction": "up" if value >= (below + above) / 2 else "down",
            "summary": f"{short(value)} {side} {short(low)} to {short(high)}: {self.rule}",
        }

    def load(self, read: Read) -> None:
        self.window.load(read)

    def changes(self) -> Parts:
        return self.window.changes()
