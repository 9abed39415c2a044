"""What is usual at a quarter of an hour of the week (UTC), by medians: outliers do not move it."""

from array import array
from math import hypot, nan
from struct import Struct, pack, unpack

from models.anomaly.parts import N, Parts, Read, packed, packed_trimmed, trimmed, unpacked, unpacked_trimmed

BIN_MS = 900_000
BINS = 672
"""Quarters of an hour in a week."""

DAY_BINS = 96
PAGE = 32
"""Bins that are stored together: eight hours of the week, 544 bytes."""

WEEKS = 3
"""Weeks that a bin remembers."""

CELL_MS = 60_000
KEPT = 15
"""Of the running bin the first value of each minute is kept, so many at most."""

NORMAL = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""

FEW = (0.0, 0.0, 1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
"""What makes the median absolute deviation of so few values unbiased; n / (n - 0.8) beyond (Croux, Rousseeuw 1992)."""

FLOOR = 0.01
"""Share of the level that a spread is at least."""

SPARSE = 5.0
"""Counts with a larger usual value are no sparse ones."""

UNKNOWN = 0x7FC0
"""Code of what is not known (NaN), see `coarse`."""

NEVER = -(2**62)

_HEAD = Struct(">2qB")


def median(values: list[float]) -> float:
    """Of one value or more."""
    ordered = sorted(values)
    upper = len(ordered) // 2
    return ordered[upper] if len(ordered) % 2 else (ordered[upper - 1] + ordered[upper]) / 2


def coarse(value: float) -> int:
    """The upper half of a single precision number, rounded: right to 0.4 %, which is enough for a spread.

    >>> fine(array("H", [coarse(1234.5), UNKNOWN, coarse(0.0)]))
    [1232.0, 0.0]
    """
    bits: int = unpack(">I", pack(">f", value))[0]
    return (bits + 0x8000) >> 16


def fine(codes: "array[int]") -> list[float]:
    """The numbers behind `coarse` codes, without the unknown ones."""
    known = [code << 16 for code in codes if code != UNKNOWN]
    return list(unpack(f">{len(known)}f", pack(f">{len(known)}I", *known)))


class Quarter:
    """The running quarter of an hour: the first value of each of its minutes.

    Attributes:
        number: of the quarter, since the epoch; NEVER before the first.
        values: in the order of time and in single precision, KEPT at most.
    """

    __slots__ = ("_cell", "number", "values")

    def __init__(self) -> None:
        self.number = self._cell = NEVER
        self.values = array("f")

    def begin(self, number: int) -> list[float]:
        """Begin this quarter; what was kept of the one before."""
        ended = self.values.tolist()
        self.forget()
        self.number = number
        return ended

    def forget(self) -> None:
        """Forget its values."""
        self.values = array("f")

    def learn(self, epoch_ms: int, value: float) -> None:
        cell = epoch_ms // CELL_MS
        if cell > self._cell and len(self.values) < KEPT:
            self._cell = cell
            self.values.append(value)

    def store(self) -> bytes:
        return _HEAD.pack(self.number, self._cell, len(self.values)) + packed(self.values)

    def restore(self, raw: bytes, at: int) -> int:
        """Take up what `store` wrote at this place; the place behind it."""
        self.number, self._cell, count = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        end: int = at + 4 * count
        self.values = unpacked(self.values, raw[at:end])
        return end


class Week:
    """Median, spread and mean deviation of each quarter of an hour of the week.

    A quarter that ended is remembered as its median, its median absolute deviation and its mean absolute deviation.
    What is expected in one is the median of those medians: of its own, counted twice, and of its two neighbours' in
    the last WEEKS weeks. While it was never seen, those of the same time on all days stand for it. The spread joins
    that within quarters and that between them. Both stay the same while a quarter lasts, so an update costs little.
    Medians are kept in three bytes, right to 0.0015 %, deviations in two; that makes 11.4 kB.

    Attributes:
        expected: of the running quarter; None while nothing is known of it.
        own: whether it was seen in an earlier week.
        spread: standard deviation, robust; 0 where more than half of the values are the same.
        rate: mean deviation upwards from `expected`: of a sparse count its mean, above `expected`.
        width: the spread, or where there is none the rate; at least FLOOR of the level.
        sparse: whether most values are the same small whole number.
    """

    __slots__ = ("_dirty", "_medians", "_quarter", "_spreads", "_wide", "expected", "own", "rate", "sparse",
                 "spread", "width")  # fmt: skip

    def __init__(self) -> None:
        self._dirty: set[int] = set()
        self._quarter = Quarter()
        self._clear()

    def _clear(self) -> None:
        self._medians = array("f", [nan]) * (BINS * WEEKS)
        self._spreads = array("H", [UNKNOWN]) * (BINS * WEEKS)
        self._wide = array("H", [UNKNOWN]) * BINS
        self.expected: float | None = None
        self.own = False
        self.spread = self.rate = self.width = 0.0
        self.sparse = False

    def forget(self) -> None:
        """Begin anew."""
        self._dirty |= {at // PAGE for at, wide in enumerate(self._wide) if wide != UNKNOWN}
        self._quarter.forget()
        self._clear()

    def advance(self, epoch_ms: int) -> None:
        """Move to this time, which may not be before the newest."""
        number = epoch_ms // BIN_MS
        last = self._quarter.number
        if number <= last:
            return
        values = self._quarter.begin(number)
        if values:
            self._keep(last, values)
        self._expect(number)

    def learn(self, epoch_ms: int, value: float) -> None:
        """Take a sample of the running quarter."""
        self._quarter.learn(epoch_ms, value)

    def _keep(self, number: int, values: list[float]) -> None:
        """Remember the quarter of this number, which has ended."""
        count = len(values)
        middle = median(values)
        apart = [abs(value - middle) for value in values]
        spread = median(apart) * (FEW[count] if count < len(FEW) else count / (count - 0.8))
        at = number % BINS
        slot = at * WEEKS + number // BINS % WEEKS
        wide = sum(apart) / count
        for before in fine(self._wide[at : at + 1]):
            wide = before + (wide - before) / WEEKS
        self._wide[at] = coarse(wide)
        self._medians[slot] = trimmed(middle)
        self._spreads[slot] = coarse(spread)
        self._dirty.add(at // PAGE)

    def _expect(self, number: int) -> None:
        at = number % BINS
        where = [at]
        self.own = self._wide[at] != UNKNOWN
        if not self.own:
            where = [(at + day * DAY_BINS) % BINS for day in range(7)]
        medians = [each for each in _pool(self._medians, where, WEEKS) if each == each]
        if not medians:
            self.expected = None
            return
        spreads = fine(_pool(self._spreads, where, WEEKS))
        wide = fine(_pool(self._wide, where, 1))
        expected = self.expected = median(medians)
        between = median([abs(each - expected) for each in medians])
        self.spread = NORMAL * hypot(between, median(spreads))
        self.rate = max(0.0, sum(medians) / len(medians) - expected) + sum(wide) / len(wide)
        self.width = max(self.spread or self.rate, FLOOR * abs(expected))
        self.sparse = self.spread == 0.0 and 0.0 <= expected <= SPARSE and expected == int(expected)

    def store(self) -> bytes:
        """The running quarter."""
        return self._quarter.store()

    def restore(self, raw: bytes, at: int, read: Read) -> int:
        """Take up what `store` wrote at this place, and the pages; the place behind it."""
        at = self._quarter.restore(raw, at)
        for page in range(BINS // PAGE):
            stored = read(b"w" + bytes([page]))
            if stored is None:
                continue
            begin = page * PAGE
            each = PAGE * WEEKS
            coded = unpacked(self._wide, stored[3 * each :])
            self._medians[begin * WEEKS : begin * WEEKS + each] = unpacked_trimmed(stored[: 3 * each])
            self._spreads[begin * WEEKS : begin * WEEKS + each] = coded[:each]
            self._wide[begin : begin + PAGE] = coded[each:]
        self._expect(self._quarter.number)
        return at

    def changes(self) -> Parts:
        out: Parts = []
        for page in sorted(self._dirty):
            begin = page * PAGE
            end = begin + PAGE
            wide = self._wide[begin:end]
            if all(code == UNKNOWN for code in wide):
                out.append((b"w" + bytes([page]), None))
                continue
            medians = packed_trimmed(self._medians[begin * WEEKS : end * WEEKS])
            out.append((b"w" + bytes([page]), medians + packed(self._spreads[begin * WEEKS : end * WEEKS] + wide)))
        self._dirty.clear()
        return out


def _pool(table: "array[N]", bins: list[int], each: int) -> "array[N]":
    """What is kept of these bins, twice, and of the two neighbours of each, once; the week is a circle."""
    found = table[:0]
    for at in bins:
        low, high = (at - 1) * each, (at + 2) * each
        if low < 0:
            found += table[low:] + table[:high]
        elif high > len(table):
            found += table[low:] + table[: high - len(table)]
        else:
            found += table[low:high]
        found += table[at * each : (at + 1) * each]
    return found
