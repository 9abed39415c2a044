"""A blip of a second is no news: samples that come fast are smoothed before anything is made of them."""

from struct import pack, unpack_from

from models.anomaly.pace import FAST_S

WINDOWS = ((3.0, 5), (FAST_S, 3))
"""(usual step below, samples of the running median): half of them, rounded up, must agree before the median moves."""

STALE = 5
"""After a gap of more than so many usual steps the window begins anew."""


JITTER_SAMPLES = 60
"""Samples over which the jitter is averaged."""

CLIPPED = 4.0
"""A deviation counts for at most so many times the jitter so far: a burst is no jitter."""

SETTLED = 5
"""Samples that are taken as they are, before there is anything to clip by."""


class Smooth:
    """Running median over the last seconds where sampling is faster than every 30 s; the value itself otherwise.

    Attributes:
        window: the values that the median is of.
        jitter: mean absolute deviation of the values from the median, since the sampling rate last rose.
    """

    __slots__ = ("jitter", "window")

    def __init__(self) -> None:
        self.window: list[float] = []
        self.jitter = 0.0

    def smooth(self, value: float, step: float, passed: float, since: int) -> float:
        """The value to judge.

        Args:
            value: of the sample.
            step: usual seconds between samples, 0 while unknown.
            passed: seconds since the sample before.
            since: samples since the sampling rate last rose.
        """
        window = self.window
        if step >= FAST_S or step == 0.0:
            if window:
                window.clear()
            return value
        if passed > step * STALE:
            window.clear()
        window.append(value)
        count = len(window)
        for below, size in WINDOWS:
            if step < below:
                if count > size:
                    del window[: count - size]
                    count = size
                break
        median = sorted(window)[count // 2]
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
