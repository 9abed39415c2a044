"""A blip of a second is no news: samples that come fast are smoothed before anything is made of them."""

from struct import pack, unpack_from

from models.anomaly.pace import FAST_S

WINDOWS = ((3.0, 5), (FAST_S, 3))
"""(usual step below, samples of the running median): half of them, rounded up, must agree before the median moves."""

STALE = 5
"""After a gap of more than so many usual steps the window begins anew."""


class Smooth:
    """Running median over the last seconds where sampling is faster than every 30 s; the value itself otherwise."""

    __slots__ = ("window",)

    def __init__(self) -> None:
        self.window: list[float] = []

    def smooth(self, value: float, step: float, passed: float) -> float:
        """The value to judge.

        Args:
            value: of the sample.
            step: usual seconds between samples, 0 while unknown.
            passed: seconds since the sample before.
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
        return sorted(window)[count // 2]

    def store(self) -> bytes:
        return pack(f">B{len(self.window)}d", len(self.window), *self.window)

    def restore(self, raw: bytes, at: int) -> int:
        """Take up what `store` wrote at this place; the place behind it."""
        count = raw[at]
        self.window = list(unpack_from(f">{count}d", raw, at + 1))
        return at + 1 + 8 * count
