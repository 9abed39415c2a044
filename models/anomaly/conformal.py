"""Scores of any detector on one scale: conformal p-values."""

from array import array
from bisect import bisect_left, insort
from collections.abc import Sequence
from struct import Struct

from models.anomaly.parts import Parts, Read, packed, unpacked

CAPACITY = 1024
"""Calibration scores that are remembered; the least p-value is 1 / (CAPACITY + 1)."""

THIN_MS = 60_000
"""At most one score in this time is learned, the first: a long incident must not fill the memory."""

PAGE = 32
"""Slots that are stored together: 64 bytes for each detector."""

SCALE = 10_000
"""Scores are remembered to four digits."""

NEVER = -(2**62)

_HEAD = Struct(">qQ")


def mixed(number: int) -> int:
    """64 bits that look random, always the same for a number (SplitMix64: Steele, Lea and Flood 2014)."""
    number = (number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return number ^ (number >> 31)


class Calibration:
    """How rare a score is among the scores of the same kind: of a (host, metric, detector), or of many pooled.

    p(s) = (1 + number of remembered scores >= s) / (n + 1), where n scores are remembered (Vovk, Gammerman and Shafer
    2005). If the scores are exchangeable, P(p <= a) <= a for every a, whatever their distribution; ties make p larger.
    Of a detector that learns and a series that depends on itself that is an approximation.

    Several detectors that judge the same samples share one memory of samples, in which each has its own scores.

    Which scores are remembered may not depend on what they are: the first of each THIN_MS is learned, firing or not.
    While there is room it is added, then it replaces one at random (by a fixed sequence, so that the same scores give
    the same p-values): the chance to be remembered halves with each 0.69 x CAPACITY newer ones.

    >>> calibration = Calibration()
    >>> for minute in range(99):
    ...     calibration.learn(60_000 * minute, [minute / 100])
    >>> calibration.p_value(0.98), calibration.p_value(0.5), calibration.p_value(0.0)
    (0.02, 0.5, 1.0)

    Attributes:
        learned: samples learned so far.
    """

    __slots__ = ("_codes", "_dirty", "_newest", "_ordered", "capacity", "learned")

    def __init__(self, detectors: int = 1, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.learned = 0
        self._newest = NEVER
        self._codes = [array("H") for _ in range(detectors)]
        self._ordered = [array("H") for _ in range(detectors)]
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return len(self._codes[0])

    def p_value(self, score: float, detector: int = 0) -> float:
        """Of a score of this detector, by its number: between 1 / (n + 1) and 1; 1 while nothing was learned."""
        ordered = self._ordered[detector]
        count = len(ordered)
        return (1 + count - bisect_left(ordered, round(score * SCALE))) / (count + 1)

    def awaits(self, epoch_ms: int) -> bool:
        """Whether a sample of this time would be learned."""
        return epoch_ms // THIN_MS > self._newest

    def learn(self, epoch_ms: int, scores: Sequence[float]) -> None:
        """Remember a sample's score of each detector, 0 to 1, unless one of this THIN_MS was learned.

        `p_value` of them is asked before.
        """
        if not self.awaits(epoch_ms):
            return
        self._newest = epoch_ms // THIN_MS
        slot = len(self)
        full = slot >= self.capacity
        if full:
            slot = mixed(self.learned) % self.capacity
        for codes, ordered, score in zip(self._codes, self._ordered, scores, strict=True):
            code = round(score * SCALE)
            if full:
                del ordered[bisect_left(ordered, codes[slot])]
                codes[slot] = code
            else:
                codes.append(code)
            insort(ordered, code)
        self.learned += 1
        self._dirty.add(slot // PAGE)

    def load(self, read: Read) -> None:
        """Take up what was stored; later p-values are the same."""
        raw = read(b"h")
        if raw is None:
            return
        self._newest, self.learned = _HEAD.unpack(raw)
        for page in range((self.capacity + PAGE - 1) // PAGE):
            stored = read(b"s" + bytes([page]))
            if stored is None:
                break
            found = unpacked(self._codes[0], stored)
            each = len(found) // len(self._codes)
            for number, codes in enumerate(self._codes):
                codes += found[number * each : (number + 1) * each]
        self._ordered = [array("H", sorted(codes)) for codes in self._codes]

    def changes(self) -> Parts:
        """Parts that changed since the last call: after one sample that was learned 19 + 64 x detectors bytes."""
        if not self._dirty:
            return []
        out: Parts = [(b"h", _HEAD.pack(self._newest, self.learned))]
        for page in sorted(self._dirty):
            stored = array("H")
            for codes in self._codes:
                stored += codes[page * PAGE : (page + 1) * PAGE]
            out.append((b"s" + bytes([page]), packed(stored)))
        self._dirty.clear()
        return out
