"""A blip of a second is no news: samples that come fast are smoothed before anything is made of them."""

from struct import pack, unpack_from

from models.anomaly.pace import FAST_S

FASTEST_S = 3.0
MANY, FEW = 5, 3
"""Samples of the running median where they usually come faster than that, and else below FAST_S: half of them, rounded
up, must agree before the median moves."""

KEPT = MANY

JITTER_SAMPLES = 60
"""Samples over which the jitter is averaged."""

CLIPPED = 4.0
"""A deviation counts for at most so many times the jitter so far: a burst is no jitter."""

SETTLED = 5
"""Samples that are taken as they are, before there is anything to clip by."""


class Smooth:
    """Running median over the last samples where sampling is faster than every 30 s; the value itself otherwise.

    The window is kept at every sampling rate and over gaps, so that no sample ever stands alone: neither the first ones
    at a faster rate nor the first one after a gap.

    Attributes:
        window: the last values.
        jitter: mean absolute deviation of the values from the median, since the sampling rate last rose.
    """

    __slots__ = ("jitter", "window")

    def __init__(self) -> None:
        self.window: list[float] = []
        self.jitter = 0.0

    def smooth(self, value: float, step: float, since: int) -> float:
        """The value to judge.

        Args:
            value: of the sample.
            step: seconds between samples now, 0 while unknown.
            since: samples since the sampling rate last rose.
        """
        window = self.window
        window.append(value)
        if len(window) > KEPT:
            del window[0]
        if step >= FAST_S:
            return value
        size = MANY if step < FASTEST_S else FEW
        recent = sorted(window[-size:])
        median = recent[len(recent) // 2]
        apart = abs(value - median)
        jitter = self.jitter
        if since > SETTLED and apart > CLIPPED * jitter:
            apart = CLIPPED * jitter
        self.jitter = jitter + (apart - jitter) / min(since + 1, JITTER_SAMPLES)
        return median

    def store(self) -> bytes:
        return pack(f">dB{len(self.window)}d", self.jitter, len(self.window), *self.window)

    def restore(self, raw: bytes, at: int) -> int:
        """Take up what `store` wrote at this place; the place behind it."""
        self.jitter, count = unpack_from(">dB", raw, at)
        at += 9
        self.window = list(unpack_from(f">{count}d", raw, at))
        return at + 8 * len(self.window)
