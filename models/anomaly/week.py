"""What is usual at a quarter of an hour of the week (UTC), by medians: outliers do not move it."""

from array import array
from math import hypot, nan
from struct import Struct, pack, unpack_from

from models.anomaly.parts import Parts, Read

BIN_MS = 900_000
BINS = 672
"""Quarters of an hour in a week."""

DAY_BINS = 96
PAGE = 4
"""Bins that are stored together: an hour of the week, 112 bytes."""

WEEKS = 3
"""Weeks that a bin remembers."""

CELL_MS = 60_000
KEPT = 15
"""Of the running bin the first value of each minute is kept, so many at most."""

NORMAL = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""

FEW = (0.0, 0.0, 1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
"""What makes the median absolute deviation of so few values unbiased; n / (n - 0.8) beyond (Croux, Rousseeuw 1992)."""

LARGEST = 3e38
"""Stored as single precision."""

NEVER = -(2**62)

_HEAD = Struct(">2q")


def median(values: list[float]) -> float:
    """Of one value or more."""
    ordered = sorted(values)
    upper = len(ordered) // 2
    return ordered[upper] if len(ordered) % 2 else (ordered[upper - 1] + ordered[upper]) / 2


def bounded(value: float) -> float:
    """The nearest value that single precision can hold."""
    return max(-LARGEST, min(value, LARGEST))


class Week:
    """Median, spread and mean deviation of each quarter of an hour of the week.

    A quarter that ended is remembered as its median, its median absolute deviation and its mean absolute deviation.
    What is expected in one is the median of those medians: of its own, counted twice, and of its two neighbours' in
    the last WEEKS weeks. While it was never seen, those of the same time on all days stand for it. The spread joins
    that within quarters and that between them. Both stay the same while a quarter lasts, so an update costs little.
    About 19 kB are stored at most.

    Attributes:
        expected: of the running quarter; None while nothing is known of it.
        own: whether it was seen in an earlier week.
        spread: standard deviation, robust; 0 where more than half of the values are the same.
        rate: mean deviation upwards from `expected`: of a sparse count its mean, above `expected`.
        ended: (expected, median) of the quarter that ended last; None where there is no such quarter.
    """

    __slots__ = ("_cell", "_dirty", "_medians", "_number", "_spreads", "_values", "_wide", "ended", "expected", "own",
                 "rate", "spread")  # fmt: skip

    def __init__(self) -> None:
        self._dirty: set[int] = set()
        self._number = self._cell = NEVER
        self._values: list[float] = []
        self.ended: tuple[float, float] | None = None
        self._clear()

    def _clear(self) -> None:
        self._medians = array("f", [nan]) * (BINS * WEEKS)
        self._spreads = array("f", [nan]) * (BINS * WEEKS)
        self._wide = array("f", [nan]) * BINS
        self.expected: float | None = None
        self.own = False
        self.spread = self.rate = 0.0

    def forget(self) -> None:
        """Begin anew."""
        self._dirty |= {at // PAGE for at, wide in enumerate(self._wide) if wide == wide}
        self._values = []
        self._clear()

    def advance(self, epoch_ms: int) -> bool:
        """Move to this time, which may not be before the newest; whether another quarter began."""
        number = epoch_ms // BIN_MS
        if number <= self._number:
            return False
        self.ended = None
        if self._values:
            self._end()
        self._number = number
        self._expect()
        return True

    def learn(self, epoch_ms: int, value: float) -> None:
        """Take a sample of the running quarter."""
        cell = epoch_ms // CELL_MS
        if cell > self._cell and len(self._values) < KEPT:
            self._cell = cell
            self._values.append(value)

    def _end(self) -> None:
        values = self._values
        count = len(values)
        middle = median(values)
        apart = [abs(value - middle) for value in values]
        spread = median(apart) * (FEW[count] if count < len(FEW) else count / (count - 0.8))
        at = self._number % BINS
        slot = at * WEEKS + self._number // BINS % WEEKS
        wide = bounded(sum(apart) / count)
        before = self._wide[at]
        self._wide[at] = wide if before != before else before + (wide - before) / WEEKS
        self._medians[slot] = bounded(middle)
        self._spreads[slot] = bounded(spread)
        if self.expected is not None:
            self.ended = (self.expected, middle)
        self._dirty.add(at // PAGE)
        self._values = []

    def _expect(self) -> None:
        at = self._number % BINS
        where = [at]
        self.own = bool(_known(self._wide[at : at + 1]))
        if not self.own:
            where = [(at + day * DAY_BINS) % BINS for day in range(7)]
        medians = _pool(self._medians, where, WEEKS)
        if not medians:
            self.expected = None
            return
        spreads = _pool(self._spreads, where, WEEKS)
        wide = _pool(self._wide, where, 1)
        expected = self.expected = median(medians)
        between = median([abs(each - expected) for each in medians])
        self.spread = NORMAL * hypot(between, median(spreads))
        self.rate = max(0.0, sum(medians) / len(medians) - expected) + sum(wide) / len(wide)

    def store(self) -> bytes:
        """The running quarter."""
        return _HEAD.pack(self._number, self._cell) + pack(f">B{len(self._values)}d", len(self._values), *self._values)

    def restore(self, raw: bytes, at: int, read: Read) -> int:
        """Take up what `store` wrote at this place, and the pages; the place behind it."""
        self._number, self._cell = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        count = raw[at]
        self._values = list(unpack_from(f">{count}d", raw, at + 1))
        for page in range(BINS // PAGE):
            stored = read(b"w" + bytes([page]))
            if stored is None:
                continue
            found = array("f", stored)
            found.byteswap()
            begin = page * PAGE
            each = PAGE * WEEKS
            self._medians[begin * WEEKS : begin * WEEKS + each] = found[:each]
            self._spreads[begin * WEEKS : begin * WEEKS + each] = found[each : 2 * each]
            self._wide[begin : begin + PAGE] = found[2 * each :]
        self._expect()
        return at + 1 + 8 * count

    def changes(self) -> Parts:
        out: Parts = []
        for page in sorted(self._dirty):
            begin = page * PAGE
            end = begin + PAGE
            wide = self._wide[begin:end]
            if not _known(wide):
                out.append((b"w" + bytes([page]), None))
                continue
            stored = self._medians[begin * WEEKS : end * WEEKS] + self._spreads[begin * WEEKS : end * WEEKS] + wide
            stored.byteswap()
            out.append((b"w" + bytes([page]), stored.tobytes()))
        self._dirty.clear()
        return out


def _pool(table: "array[float]", bins: list[int], each: int) -> list[float]:
    """What is known of these bins, twice, and of the two neighbours of each, once; the week is a circle."""
    found = array("f")
    for at in bins:
        low, high = (at - 1) * each, (at + 2) * each
        if low < 0:
            found += table[low:] + table[:high]
        elif high > len(table):
            found += table[low:] + table[: high - len(table)]
        else:
            found += table[low:high]
        found += table[at * each : (at + 1) * each]
    return _known(found)


def _known(values: "array[float]") -> list[float]:
    return [each for each in values if each == each]
