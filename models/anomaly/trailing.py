"""The trailing hour of a series, in minutes: what the plain rules (z-score, quartiles, spike) look at."""

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left, insort
from collections import deque
from math import sqrt
from struct import Struct
from typing import Generic, Self, TypeVar

from models.anomaly.parts import Parts, Read
from models.anomaly.week import bounded

MINUTE_MS = 60_000

MINUTES = 60
"""Length of the window; its far end moves by whole minutes, so that it holds between 59 and 60 of them."""

LEAST = 30
"""Samples that are kept however old they are, and before which nothing is said."""

PAGE = 8
"""Minutes that are stored together."""

PAGES = 9
"""Room for MINUTES and a page: there are never more, as a minute beyond is kept only for the sake of LEAST samples."""

CELL_MS = 4000
"""Of each of these cells of time the first sample is kept for the quartiles: 15 a minute, 900 in the window."""

NEVER = -(2**62)

_HEAD = Struct(">4q")
_NUMBER = Struct(">q")
_MOMENTS = Struct(">qI2d")
_KEPT = Struct(">2qB")


class Bucket(ABC):
    """One minute with samples.

    Attributes:
        minute: since the epoch.
        count: samples in it.
    """

    __slots__ = ("count", "minute")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.count = 0

    @classmethod
    @abstractmethod
    def unpack(cls, raw: bytes, at: int) -> tuple[Self, int]:
        """What `pack` wrote at this place, and the place behind it."""

    @abstractmethod
    def pack(self) -> bytes:
        """As it is stored."""


B = TypeVar("B", bound=Bucket)


class Window(ABC, Generic[B]):
    """The minutes of the trailing hour; more of them while they hold fewer than LEAST samples.

    Time never runs backwards: a sample that is not newer than the newest counts as if it came with the newest.

    Attributes:
        newest: newest time, epoch milliseconds.
        count: samples in the window.
        buckets: its minutes that have samples, the running one last.
        turned: number of the newest minute when sums were last made anew (see MeanWindow).
    """

    kind: type[B]

    def __init__(self) -> None:
        self.newest = NEVER
        self.count = 0
        self.buckets: deque[B] = deque()
        self.turned = 0
        self._number = 0
        self._dirty: set[int] = set()

    def advance(self, epoch_ms: int) -> None:
        """Move the window to this time."""
        if epoch_ms > self.newest:
            self.newest = epoch_ms
        buckets = self.buckets
        minute = self.newest // MINUTE_MS
        if buckets and buckets[-1].minute == minute:
            return
        if buckets:
            self.ended(buckets[-1])
        while buckets and buckets[0].minute <= minute - MINUTES and self.count - buckets[0].count >= LEAST:
            self.leaves(buckets[0])
            self.count -= buckets.popleft().count
        buckets.append(self.kind(minute))
        self._number += 1

    def learn(self, value: float) -> None:
        """Take a sample into the running minute; `advance` was called with its time."""
        self._dirty.add(self._number // PAGE)
        self.came(self.buckets[-1], value)

    @abstractmethod
    def came(self, bucket: B, value: float) -> None:
        """A sample comes into the running minute."""

    @abstractmethod
    def ended(self, bucket: B) -> None:
        """The running minute, the last one, has ended."""

    @abstractmethod
    def leaves(self, bucket: B) -> None:
        """The first minute is about to leave the window."""

    def load(self, read: Read) -> None:
        """Take up what was stored. Raises ValueError where a minute is missing."""
        raw = read(b"h")
        if raw is None:
            return
        self.newest, self._number, length, self.turned = _HEAD.unpack(raw)
        first = self._number - length + 1
        for page in range(first // PAGE, self._number // PAGE + 1):
            stored = read(b"m" + bytes([page % PAGES]))
            if stored is None:
                raise ValueError(f"the stored window lacks its minutes from {page * PAGE} on")
            (number,) = _NUMBER.unpack_from(stored)
            at = _NUMBER.size
            while at < len(stored):
                bucket, at = self.kind.unpack(stored, at)
                if number >= first:
                    self.buckets.append(bucket)
                    self.count += bucket.count
                number += 1

    def changes(self) -> Parts:
        first = self._number - len(self.buckets) + 1
        out: Parts = []
        for page in sorted(self._dirty):
            numbers = range(max(first, page * PAGE), min(self._number + 1, page * PAGE + PAGE))
            if numbers:
                minutes = b"".join([self.buckets[number - first].pack() for number in numbers])
                out.append((b"m" + bytes([page % PAGES]), _NUMBER.pack(numbers[0]) + minutes))
        if out:
            out.append((b"h", _HEAD.pack(self.newest, self._number, len(self.buckets), self.turned)))
        self._dirty.clear()
        return out


class Moments(Bucket):
    """Count, mean and sum of squared deviations of a minute."""

    __slots__ = ("mean", "squares")

    def __init__(self, minute: int, count: int = 0, mean: float = 0.0, squares: float = 0.0) -> None:
        self.minute, self.count, self.mean, self.squares = minute, count, mean, squares

    @classmethod
    def unpack(cls, raw: bytes, at: int) -> tuple[Self, int]:
        return cls(*_MOMENTS.unpack_from(raw, at)), at + _MOMENTS.size

    @property
    def sum(self) -> "Sum":
        return self.count, self.mean, self.squares

    def pack(self) -> bytes:
        return _MOMENTS.pack(self.minute, self.count, self.mean, self.squares)


Sum = tuple[int, float, float]
"""(samples, mean, sum of squared deviations)"""

EMPTY: Sum = (0, 0.0, 0.0)


def merged(one: Sum, other: Sum) -> Sum:
    """Moments of two sets of samples together (Chan, Golub and LeVeque 1979)."""
    count, mean, squares = one
    more, its_mean, its_squares = other
    if not more:
        return one
    if not count:
        return other
    total = count + more
    apart = its_mean - mean
    share = more / total
    return total, mean + apart * share, squares + its_squares + apart * apart * count * share


class MeanWindow(Window[Moments]):
    """Mean and standard deviation of the window, exact for the minutes that it holds.

    Nothing is ever subtracted, so no error adds up: sums of the older minutes, one for each minute that may be the
    first, are made anew when they have run out, and one sum is kept of the minutes since (a queue made of two stacks).
    An update costs a handful of merges.
    """

    kind = Moments

    def __init__(self) -> None:
        super().__init__()
        self._from: list[Sum] = []
        self._since = self._past = EMPTY
        self._moments: tuple[float, float] | None = None

    def came(self, bucket: Moments, value: float) -> None:
        self.count += 1
        count = bucket.count = bucket.count + 1
        apart = value - bucket.mean
        mean = bucket.mean = bucket.mean + apart / count
        bucket.squares += apart * (value - mean)
        self._moments = None

    def ended(self, bucket: Moments) -> None:
        self._since = merged(self._since, bucket.sum)
        self._total()

    def leaves(self, bucket: Moments) -> None:
        if not self._from:
            self.turned = self._number
            self._turn(len(self.buckets))
        self._from.pop()
        self._total()

    def _turn(self, minutes: int) -> None:
        """Sum the first minutes: from each of them to the last of them."""
        sums, sofar = self._from, EMPTY
        for at in range(minutes - 1, -1, -1):
            sofar = merged(self.buckets[at].sum, sofar)
            sums.append(sofar)
        self._since = EMPTY

    def _total(self) -> None:
        self._past = merged(self._from[-1], self._since) if self._from else self._since
        self._moments = None

    def moments(self) -> tuple[float, float]:
        """(mean, standard deviation) of the samples in the window, of which there is at least one."""
        found = self._moments
        if found is None:
            count, mean, squares = merged(self._past, self.buckets[-1].sum)
            found = self._moments = (mean, sqrt(squares / count))
        return found

    def load(self, read: Read) -> None:
        super().load(read)
        turned = max(0, self.turned - (self._number - len(self.buckets)))
        self._turn(turned)
        for bucket in list(self.buckets)[turned:-1]:
            self._since = merged(self._since, bucket.sum)
        self._total()


class Kept(Bucket):
    """Values of a minute in single precision, at most one of each cell of time."""

    __slots__ = ("cell", "values")

    def __init__(self, minute: int) -> None:
        super().__init__(minute)
        self.cell = NEVER
        self.values = array("f")

    @classmethod
    def unpack(cls, raw: bytes, at: int) -> tuple[Self, int]:
        minute, cell, count = _KEPT.unpack_from(raw, at)
        bucket = cls(minute)
        bucket.cell, bucket.count = cell, count
        at += _KEPT.size
        end = at + 4 * count
        bucket.values.frombytes(raw[at:end])
        bucket.values.byteswap()
        return bucket, end

    def pack(self) -> bytes:
        stored = self.values[:]
        stored.byteswap()
        return _KEPT.pack(self.minute, self.cell, self.count) + stored.tobytes()


class QuartileWindow(Window[Kept]):
    """Quartiles of the window: those of all samples for sampling every 4 s or slower, else of one of each 4 s.

    Of 3,600 samples 900 are kept then; the rank of a quartile is off by 1.4 % of them (standard error) at most.
    """

    kind = Kept

    def __init__(self) -> None:
        super().__init__()
        self._ordered = array("f")

    def came(self, bucket: Kept, value: float) -> None:
        cell = self.newest // CELL_MS
        if cell == bucket.cell:
            return
        bucket.cell = cell
        kept = bounded(value)
        bucket.values.append(kept)
        bucket.count += 1
        self.count += 1
        insort(self._ordered, bucket.values[-1])

    def ended(self, bucket: Kept) -> None:
        """Nothing is to be done."""

    def leaves(self, bucket: Kept) -> None:
        for value in bucket.values:
            del self._ordered[bisect_left(self._ordered, value)]

    def quartiles(self) -> tuple[float, float]:
        """(first, third) quartile of the samples in the window, of which there is at least one."""
        ordered = self._ordered
        return ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]

    def load(self, read: Read) -> None:
        super().load(read)
        self._ordered = array("f", sorted(value for bucket in self.buckets for value in bucket.values))
