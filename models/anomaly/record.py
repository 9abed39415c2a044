"""How a surprise compares with the largest surprises of the series' own past."""

from math import log

LOW, HIGH = -1.5, 2.0
"""Bounds of a log-record: a fifth of the record is as ordinary as nothing at all; beyond seven times all is far."""

FADE = 0.0003
"""Share of the record that is forgotten per five minutes: half of it in eight days."""

GROWTH = 1.2
"""Factor by which one row may raise the record: the first incident must not hide the next."""

_FLAT = 0.2231301601484298
"""exp(LOW)"""


class Record:
    """The largest surprise so far, slowly fading and slow to grow.

    Multiples of sigma mean something else on every series; being larger than everything before does not. The score of
    a surprise is its logarithm relative to the record: 0 equals the record, LOW is ordinary.

    Attributes:
        size: the record, in the unit of the series.
        base: what it was when the running row began.
    """

    __slots__ = ("base", "size")

    def __init__(self) -> None:
        self.size = self.base = 0.0

    def learn(self, surprise: float) -> None:
        """Take a surprise whole: before the warm-up ends, and while the detector listens to a new sampling rate."""
        if surprise > self.size:
            self.size = self.base = surprise

    def judge(self, surprise: float, floor: float, noise: float, fade: float) -> float:
        """Log of surprise / record, between LOW and HIGH; then the record learns the surprise.

        Args:
            surprise: 0 or more, in the unit of the series.
            floor: what is too small to speak of, however flat the series has been.
            noise: what is ordinary at a sampling rate that the record does not know yet.
            fade: share of the record that is forgotten by this sample.
        """
        size = self.size
        known = max(size, floor, noise)
        ratio = surprise / known if known > 0.0 else (9.0 if surprise > 0.0 else 0.0)
        size -= size * fade
        if surprise > size:
            # A record at its floor says nothing of the series: it takes the first real surprise whole.
            most = max(self.base, noise) * GROWTH if size > floor else surprise
            if surprise < most:
                size = surprise
            elif most > size:
                size = most
        self.size = size
        if ratio <= _FLAT:
            return LOW
        found = log(ratio)
        return found if found < HIGH else HIGH

    def next_row(self) -> None:
        self.base = self.size
