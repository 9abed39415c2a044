"""How a surprise compares with the largest surprises of the series' own past."""

from math import log

LOW, HIGH = -1.5, 2.0
"""Bounds of a log-record: a fifth of the record is as ordinary as nothing at all; beyond seven times all is far."""

FADE = 0.0003
"""Share of the record that is forgotten per five minutes: half of it in eight days."""

GROWTH = 0.2
"""Share by which one row of surprise may raise the record: the first incident must not hide the next."""

_FLAT = 0.2231301601484298
"""exp(LOW)"""


class Record:
    """The largest surprise so far, slowly fading and slow to grow.

    Multiples of sigma mean something else on every series; being larger than everything before does not. The score of
    a surprise is its logarithm relative to the record: 0 equals the record, LOW is ordinary.
    """

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0.0

    def learn(self, surprise: float) -> None:
        """Take a surprise whole: before the warm-up ends, and while the detector listens to a new sampling rate."""
        if surprise > self.size:
            self.size = surprise

    def judge(self, surprise: float, floor: float, doubt: float, fade: float, growth: float) -> float:
        """Log of surprise / record, between LOW and HIGH; then the record learns the surprise.

        Args:
            surprise: 0 or more, in the unit of the series.
            floor: what is too small to speak of, however flat the series has been.
            doubt: factor of 1 or more on the record while few samples speak for it.
            fade: share of the record that is forgotten by this sample.
            growth: share by which this sample may raise the record.
        """
        size = self.size
        known = size if size > floor else floor
        ratio = surprise / (known * doubt) if known > 0.0 else (9.0 if surprise > 0.0 else 0.0)
        size -= size * fade
        if surprise > size:
            # A record at its floor says nothing of the series: it takes the first real surprise whole.
            most = size + size * growth if size > floor else surprise
            size = surprise if surprise < most else most
        self.size = size
        if ratio <= _FLAT:
            return LOW
        found = log(ratio)
        return found if found < HIGH else HIGH
