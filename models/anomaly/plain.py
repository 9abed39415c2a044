"""What the plain rules have in common. Operators know them, so they are kept as evidence; alone they cry wolf."""

from abc import abstractmethod
from math import inf
from typing import Any, ClassVar

from models.anomaly.explain import short
from models.anomaly.parts import Parts, Read
from models.anomaly.samples import SeriesDetector
from models.anomaly.trailing import LEAST, MeanWindow, QuartileWindow

ROUNDING = 1e-9
"""Share of the level below which a difference is rounding."""

FAR = 9.0
"""Times the limit that count for a change of what never changed: the score is 0.9."""

Limits = tuple[float, float, float, float]
"""(lower limit, where "below" begins, where "above" begins, upper limit)"""


def times_beyond(value: float, limits: Limits, rounding: float = ROUNDING) -> float:
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
    least = rounding * (level if level >= 0.0 else -level)
    if width < least:
        width = least
    return apart / width if width > 0.0 else FAR


class Plain(SeriesDetector):
    """A rule over the trailing hour (at least LEAST samples): outside of its limits it fires.

    The sample itself is not part of the hour that it is compared with. The score is t / (1 + t), where t is how far out
    the value is, 1 at the limit.
    """

    rule: ClassVar[str]
    """The rule in words."""
    rounding: ClassVar[float] = ROUNDING
    window: MeanWindow | QuartileWindow
    """May be that of several rules: whoever shares it moves and teaches it, and calls `compare` only."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: tuple[float, float, Limits | None] = (0.0, 0.0, None)

    @abstractmethod
    def limits(self) -> Limits | None:
        """Of the window as it is, None where the rule says nothing; called only when it has LEAST samples."""

    def judge(self, epoch_ms: int, value: float) -> float:
        self.window.advance(epoch_ms)
        score = self.compare(value)
        self.window.learn(value)
        return score

    def compare(self, value: float) -> float:
        """Score of a value against the window as it is."""
        window = self.window
        limits, times = None, 0.0
        if window.count >= LEAST:
            limits = self.limits()
            if limits is not None:
                times = times_beyond(value, limits, self.rounding)
        score = times / (1.0 + times)
        self._seen = (value, score, limits)
        return score

    def why(self) -> dict[str, Any]:
        """value, score, usual_low and usual_high (the limits), direction, and a summary."""
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
