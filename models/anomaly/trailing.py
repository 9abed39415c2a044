"""The trailing hour of a series, in minutes: what the plain rules (z-score, quartiles, spike) look at."""

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left, insort
from math import sqrt
from struct import Struct

from models.anomaly.parts import Parts, Read, packed_trimmed, trimmed, unpacked_trimmed

MINUTE_MS = 60_000

MINUTES = 60
"""Length of the window; its far end moves by whole minutes, so that it holds between 59 and 60 of them."""

LEAST = 30
"""Samples that are kept however old they are, and before which nothing is said."""

PAGE = 12
"""Minutes that are stored together."""

PAGES = 6
"""Room for MINUTES and a page: there are never more, as a minute beyond is kept only for the sake of LEAST samples."""

CELL_MS = 4000
"""Of each of these cells of time the first sample is kept for the quartiles: 15 a minute, 900 in the window."""

NEVER = -(2**62)

OLDEST = 255
"""Minutes by which one is older than the newest of its page, as it is stored: beyond MINUTES all are as old."""

_HEAD = Struct(">4q")
_PAGE = Struct(">2q")
_MOMENTS = Struct(">BI2d")
_KEPT = Struct(">2B")


class Window(ABC):
    """The minutes of the trailing hour; more of them while they hold fewer than LEAST samples.

    Time never runs backwards: a sample that is not newer than the newest counts as if it came with the newest.

    Attributes:
        newest: newest time, epoch milliseconds.
        count: samples in the window.
        minutes: those that have samples, since the epoch; the running one last.
        counts: samples in each of them; in the running one as of the last `settle`.
        running: samples in the running one.
        turned: number of the newest minute when sums were last made anew (see MeanWindow).
    """

    def __init__(self) -> None:
        self.newest = NEVER
        self.count = 0
        self.minutes = array("q")
        self.counts = array("I")
        self.running = 0
        self.turned = 0
        self._minute = NEVER
        self._number = 0
        self._dirty: set[int] = set()

    def advance(self, epoch_ms: int) -> None:
        """Move the window to this time."""
        if epoch_ms > self.newest:
            self.newest = epoch_ms
        minute = self.newest // MINUTE_MS
        if minute == self._minute:
            return
        minutes, counts = self.minutes, self.counts
        if minutes:
            self.settle()
            self.ended()
        while minutes and minutes[0] <= minute - MINUTES and self.count - counts[0] >= LEAST:
            self.leaves()
            self.count -= counts[0]
            del minutes[0], counts[0]
        minutes.append(minute)
        counts.append(0)
        self.running = 0
        self._minute = minute
        self._number += 1
        self.begins()

    def learn(self, value: float) -> None:
        """Take a sample into the running minute; `advance` was called with its time."""
        self._dirty.add(self._number // PAGE)
        if self.came(value):
            self.count += 1
            self.running += 1

    def settle(self) -> None:
        """Put what is known of the running minute into its place among the minutes."""
        self.counts[-1] = self.running

    @abstractmethod
    def came(self, value: float) -> bool:
        """A sample comes into the running minute; whether it counts."""

    @abstractmethod
    def begins(self) -> None:
        """Another minute runs, without a sample yet."""

    @abstractmethod
    def ended(self) -> None:
        """The running minute, the last one, has ended."""

    @abstractmethod
    def leaves(self) -> None:
        """The first minute is about to leave the window."""

    @abstractmethod
    def pack(self, first: int, last: int) -> bytes:
        """These minutes of the window as they are stored, the last one included."""

    def age(self, at: int, last: int) -> int:
        """Minutes by which this one is older than the last one of its page, OLDEST at most."""
        return min(self.minutes[last] - self.minutes[at], OLDEST)

    @abstractmethod
    def unpack(self, raw: bytes, skip: int, newest: int) -> None:
        """Append the minutes that `pack` stored, without so many of the first; the last of them is `newest`."""

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
            number, newest = _PAGE.unpack_from(stored)
            self.unpack(stored[_PAGE.size :], max(0, first - number), newest)
        self.count, self.running = sum(self.counts), self.counts[-1]
        self._minute = self.newest // MINUTE_MS

    def changes(self) -> Parts:
        if not self._dirty:
            return []
        self.settle()
        first = self._number - len(self.minutes) + 1
        out: Parts = []
        for page in sorted(self._dirty):
            begin, end = max(first, page * PAGE), min(self._number, page * PAGE + PAGE - 1)
            if begin <= end:
                stored = self.pack(begin - first, end - first)
                out.append((b"m" + bytes([page % PAGES]), _PAGE.pack(begin, self.minutes[end - first]) + stored))
        out.append((b"h", _HEAD.pack(self.newest, self._number, len(self.minutes), self.turned)))
        self._dirty.clear()
        return out


Sum = tuple[float, float, float]
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


class MeanWindow(Window):
    """Mean and standard deviation of the window, exact for the minutes that it holds.

    Of each minute count, mean and sum of squared deviations are kept. Nothing is ever subtracted, so no error adds up:
    sums of the older minutes, one for each minute that may be the first, are made anew when they have run out, and one
    sum is kept of the minutes since (a queue made of two stacks). An update costs a handful of merges.
    """

    def __init__(self) -> None:
        super().__init__()
        self._means, self._squares = array("d"), array("d")
        self._mean = self._square = 0.0
        """Of the running minute."""
        self._from = array("d")
        """The sums of the older minutes, three numbers each, the shortest first."""
        self._since = self._past = EMPTY
        self._moments: tuple[float, float] | None = None

    def _sum(self, at: int) -> Sum:
        """Of a minute."""
        return self.counts[at], self._means[at], self._squares[at]

    def begins(self) -> None:
        self._mean = self._square = 0.0
        self._means.append(0.0)
        self._squares.append(0.0)

    def came(self, value: float) -> bool:
        apart = value - self._mean
        mean = self._mean = self._mean + apart / (self.running + 1)
        self._square += apart * (value - mean)
        self._moments = None
        return True

    def settle(self) -> None:
        super().settle()
        self._means[-1], self._squares[-1] = self._mean, self._square

    def ended(self) -> None:
        self._since = merged(self._since, self._sum(-1))
        self._total()

    def leaves(self) -> None:
        if not self._from:
            self.turned = self._number
            self._turn(len(self.minutes))
        del self._from[-3:], self._means[0], self._squares[0]
        self._total()

    def _turn(self, minutes: int) -> None:
        """Sum the first minutes: from each of them to the last of them."""
        sofar = EMPTY
        for at in range(minutes - 1, -1, -1):
            sofar = merged(self._sum(at), sofar)
            self._from.extend(sofar)
        self._since = EMPTY

    def _total(self) -> None:
        if self._from:
            count, mean, squares = self._from[-3:]
            self._past = merged((count, mean, squares), self._since)
        else:
            self._past = self._since
        self._moments = None

    def moments(self) -> tuple[float, float]:
        """(mean, standard deviation) of the samples in the window, of which there is at least one."""
        found = self._moments
        if found is None:
            count, mean, squares = merged(self._past, (self.running, self._mean, self._square))
            found = self._moments = (mean, sqrt(squares / count))
        return found

    def pack(self, first: int, last: int) -> bytes:
        return b"".join([_MOMENTS.pack(self.age(at, last), *self._sum(at)) for at in range(first, last + 1)])

    def unpack(self, raw: bytes, skip: int, newest: int) -> None:
        for age, count, mean, squares in _MOMENTS.iter_unpack(raw[skip * _MOMENTS.size :]):
            self.minutes.append(newest - age)
            self.counts.append(count)
            self._means.append(mean)
            self._squares.append(squares)

    def load(self, read: Read) -> None:
        super().load(read)
        if not self.minutes:
            return
        self._mean, self._square = self._means[-1], self._squares[-1]
        turned = max(0, self.turned - (self._number - len(self.minutes)))
        self._turn(turned)
        for at in range(turned, len(self.minutes) - 1):
            self._since = merged(self._since, self._sum(at))
        self._total()


class QuartileWindow(Window):
    """Quartiles of the window: those of all samples for sampling every 4 s or slower, else of one of each 4 s.

    Of 3,600 samples 900 are kept then; the rank of a quartile is off by 1.4 % of them (standard error) at most. Values
    are kept in three bytes, right to 0.0015 %.
    """

    def __init__(self) -> None:
        super().__init__()
        self._values = array("f")
        """Minute after minute."""
        self._ordered = array("f")
        self._cell = NEVER

    def begins(self) -> None:
        """Nothing is to be done."""

    def came(self, value: float) -> bool:
        cell = self.newest // CELL_MS
        if cell == self._cell:
            return False
        self._cell = cell
        kept = trimmed(value)
        self._values.append(kept)
        insort(self._ordered, kept)
        return True

    def ended(self) -> None:
        """Nothing is to be done."""

    def leaves(self) -> None:
        count = self.counts[0]
        for value in self._values[:count]:
            del self._ordered[bisect_left(self._ordered, value)]
        del self._values[:count]

    def quartiles(self) -> tuple[float, float]:
        """(first, third) quartile of the samples in the window, of which there is at least one."""
        ordered = self._ordered
        return ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]

    def pack(self, first: int, last: int) -> bytes:
        rows, begin = [], sum(self.counts[:first])
        for at in range(first, last + 1):
            end = begin + self.counts[at]
            rows.append(_KEPT.pack(self.age(at, last), end - begin) + packed_trimmed(self._values[begin:end]))
            begin = end
        return b"".join(rows)

    def unpack(self, raw: bytes, skip: int, newest: int) -> None:
        at = 0
        while at < len(raw):
            age, count = _KEPT.unpack_from(raw, at)
            at += _KEPT.size
            if skip:
                skip -= 1
            else:
                self.minutes.append(newest - age)
                self.counts.append(count)
                self._values += unpacked_trimmed(raw[at : at + 3 * count])
            at += 3 * count

    def load(self, read: Read) -> None:
        super().load(read)
        self._ordered = array("f", sorted(self._values))
        # A sample is kept where its cell has none yet, so the newest sample's cell has one.
        self._cell = self.newest // CELL_MS
