"""How long a sample stands for, and when the sampling rate has changed."""

from struct import Struct

ROW_S = 300.0
"""Longest row: the windows of the detectors are counted in rows."""

ROW_SAMPLES = 60
"""A row is at most this many samples, so that at one sample a second windows are minutes, not hours."""

ROW_SHARE = 1 / 150
"""A row is at most this share of what has been seen: windows are short while there is little history."""

FAST_S = 30.0
"""Sampling faster than this is smoothed (see smooth.py), and a change to it is listened to first."""

LISTEN = 10
"""Samples that are only listened to after the sampling rate rose: they are noisier than the means before them."""

JUMP = 3.0
"""A step so many times shorter or longer than usual is odd ..."""

ODD = 3
"""... and so many odd ones in a row are a new sampling rate."""

FOLLOW = 0.1
"""Share by which the usual step follows a new one."""

UNKNOWN_S = 1.0
"""What the first sample of a series stands for, before any step is known."""

NEVER = -(2**62)

_STATE = Struct(">qIB2d")


class Pace:
    """Event time of a series.

    Time never runs backwards: a sample that is not newer than the newest stands for one usual step and moves no clock.
    A sample after a gap stands for three usual steps at most: a gap is no evidence.

    Attributes:
        last_ms: newest time, epoch milliseconds; NEVER before the first sample.
        step: usual time between two samples, seconds; 0 before the second sample.
        row: length of a row now, seconds.
        age: seconds of samples seen.
        since: samples since the start or since the sampling rate last rose.
        odd: odd steps in a row.
        hasty: whether the last sample came so soon that the rate may just be rising.
    """

    __slots__ = ("age", "hasty", "last_ms", "odd", "row", "since", "step")

    def __init__(self) -> None:
        self.last_ms = NEVER
        self.step = 0.0
        self.row = UNKNOWN_S
        self.age = 0.0
        self.since = 0
        self.odd = 0
        self.hasty = False

    def tell(self, epoch_ms: int) -> float:
        """Seconds that a sample of this time stands for, more than 0."""
        passed = (epoch_ms - self.last_ms) * 0.001
        step = self.step
        self.since += 1
        self.hasty = False
        if passed > 0.0:
            if self.last_ms == NEVER:
                passed = UNKNOWN_S
            elif step == 0.0:
                step = self._settle(passed)
            elif passed * JUMP < step or passed > step * JUMP:
                self.odd += 1
                self.hasty = passed < step and passed < FAST_S
                if self.odd >= ODD:
                    step = self._settle(passed)
                    if self.hasty:
                        self.since = 0
                elif passed > step:
                    passed = step * JUMP
            else:
                self.odd = 0
                self.step = step = step + FOLLOW * (passed - step)
            self.last_ms = epoch_ms
        else:
            passed = step or UNKNOWN_S
        age = self.age = self.age + passed
        row = age * ROW_SHARE
        most = step * ROW_SAMPLES
        if most > ROW_S:
            most = ROW_S
        if row > most:
            row = most
        self.row = row if row > step else step or UNKNOWN_S
        return passed

    def _settle(self, step: float) -> float:
        self.step, self.odd = step, 0
        return step

    @property
    def listening(self) -> bool:
        """Whether the sampling rate has just risen to a fast one, or may be about to."""
        return self.hasty or (self.since < LISTEN and 0.0 < self.step < FAST_S)

    def store(self) -> bytes:
        return _STATE.pack(self.last_ms, self.since, self.odd, self.step, self.age)

    def restore(self, raw: bytes, at: int) -> int:
        """Take up what `store` wrote at this place; the place behind it."""
        self.last_ms, self.since, self.odd, self.step, self.age = _STATE.unpack_from(raw, at)
        return at + _STATE.size
