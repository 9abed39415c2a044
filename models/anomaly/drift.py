"""Whether the last day is distributed as the week before it was, apart from the season."""

from array import array
from bisect import bisect_right
from math import exp, log, nan, sqrt
from struct import Struct, pack, unpack_from
from typing import Any, ClassVar

from models.anomaly.explain import short
from models.anomaly.parts import Parts, Read, packed, unpacked
from models.anomaly.samples import SeriesDetector
from models.anomaly.week import BIN_MS, NEVER, Quarter, Week, median

HOUR_MS = 3_600_000
RECENT, BEFORE = 24, 168
"""Hours that are compared: the last day, and the seven before it."""

LEAST_RECENT, LEAST_BEFORE = 18, 120
"""Hours that must be known of them."""

HOURS = RECENT + BEFORE
PAGE = 48
"""Hours that are stored together: 192 bytes."""

HEADER = b"h"
_OWN = Struct(">2q5dB")


def distance(some: list[float], others: list[float]) -> float:
    """Kolmogorov-Smirnov statistic: the largest difference of the two empirical distribution functions."""
    some, others = sorted(some), sorted(others)
    count, more = len(some), len(others)
    return max(abs(bisect_right(some, at) / count - bisect_right(others, at) / more) for at in {*some, *others})


def probability(statistic: float, count: int, more: int) -> float:
    """Two-sided p of the statistic for samples of these sizes.

    The asymptotic distribution with Stephens' correction for small samples (1970): within a third of the exact one
    where it matters, near 0.01, and rather too large far below. Ties make it too large as well.
    """
    size = sqrt(count * more / (count + more))
    reach = (size + 0.12 + 0.11 / size) * statistic
    if reach < 0.2:
        return 1.0
    terms = [(-1.0) ** (at - 1) * exp(-2.0 * (at * reach) ** 2) for at in range(1, 21)]
    return min(1.0, max(2.0 * sum(terms), 1e-300))


class Drift(SeriesDetector):
    """Two-sample Kolmogorov-Smirnov test of the last 24 hours against the 168 before, once an hour.

    Tested are residuals from what is usual at the quarter of an hour of the week (see week.py), thinned to the median
    of an hour: raw samples depend on each other so much that the test would nearly always fire. Residuals of less than
    FLOOR of the level count as 0. It fires where p < P and the statistic, which is the size of the effect, is at
    least EFFECT: p alone says only that there is a difference, not that it matters. Between two tests the score stays.

    What is usual may be shared with a detector that keeps it, and is what that one learned: `Seasonal` leaves out what
    fires, and after a day of it begins anew.

    A signal of the health of a series and of what is learned from it, not an alert. It speaks after seven days: one to
    know what is usual, five to compare with, and the one that is compared.

    >>> from random import Random
    >>> drift, chance = Drift(), Random(1)
    >>> calm = [drift.update_ms(300_000 * at, chance.gauss(20, 2)) for at in range(12 * 24 * 9)]
    >>> moved = [drift.update_ms(300_000 * at, chance.gauss(23, 2)) for at in range(12 * 24 * 9, 12 * 24 * 10)]
    >>> max(calm) < 0.5 < moved[-1]
    True
    """

    name: ClassVar[str] = "drift"

    P: ClassVar[float] = 0.01
    EFFECT: ClassVar[float] = 0.5
    FLOOR: ClassVar[float] = 0.01

    def __init__(self, shared: Week | None = None) -> None:
        """`shared`: of a detector that sees each sample before this one does; None for a week of its own."""
        super().__init__()
        self._shared = shared is not None
        self.week = shared if shared is not None else Week()
        self._quarter = Quarter()
        self._expected: float | None = None
        self._newest = self._hour = NEVER
        self._residuals: list[float] = []
        self._hours = array("f", [nan]) * HOURS
        self._dirty: set[int] = set()
        self._score = self._statistic = self._moved = 0.0
        self._p = 1.0
        self._changed = False
        self._value = 0.0

    def judge(self, epoch_ms: int, value: float) -> float:
        """A sample that is not newer than the newest counts as if it came with the newest."""
        self._value = value
        self._changed = True
        if epoch_ms > self._newest:
            self._newest = epoch_ms
        now = self._newest
        if not self._shared:
            self.week.advance(now)
            self.week.learn(now, value)
        if now // BIN_MS > self._quarter.number:
            self._end(self._quarter.begin(now // BIN_MS), now // HOUR_MS)
        self._quarter.learn(now, value)
        return self._score

    def _end(self, values: list[float], hour: int) -> None:
        """Another quarter has begun, in this hour; the values of the one before."""
        expected, self._expected = self._expected, self.week.expected
        if values and expected is not None:
            apart = median(values) - expected
            self._residuals.append(apart if abs(apart) > self.FLOOR * abs(expected) else 0.0)
        if hour != self._hour:
            if self._hour != NEVER:
                self._keep(hour)
            self._hour = hour
            self._test()

    def _keep(self, hour: int) -> None:
        """Keep the residual of the hour that has ended; nothing is known of those from it to this one."""
        found = median(self._residuals) if self._residuals else nan
        self._residuals = []
        for each in range(self._hour, min(hour, self._hour + HOURS)):
            slot = each % HOURS
            if found == found or self._hours[slot] == self._hours[slot]:
                self._hours[slot] = found
                self._dirty.add(slot // PAGE)
            found = nan

    def _test(self) -> None:
        """Compare the hours before the running one."""
        slot = self._hour % HOURS
        hours = self._hours[slot:] + self._hours[:slot]  # the oldest first: the running hour has no residual yet
        before = [each for each in hours[:BEFORE] if each == each]
        recent = [each for each in hours[BEFORE:] if each == each]
        if len(recent) < LEAST_RECENT or len(before) < LEAST_BEFORE:
            self._score = self._statistic = self._moved = 0.0
            self._p = 1.0
            return
        statistic = self._statistic = distance(recent, before)
        self._p = probability(statistic, len(recent), len(before))
        self._moved = median(recent) - median(before)
        times = min(statistic / self.EFFECT, log(self._p) / log(self.P))
        self._score = times / (1.0 + times)

    def why(self) -> dict[str, Any]:
        """Why the series got its score.

        Returns:
            value, score, direction, summary; statistic and p of the last test; moved: by how much the median of the
            last day differs from that of the week before, in the unit of the series.
        """
        moved = self._moved
        text = "the last day is as the week before it"
        if self._score >= 0.5:
            text = f"the last day is {'above' if moved >= 0.0 else 'below'} the week before it by {short(abs(moved))}"
        return {
            "value": self._value,
            "score": self._score,
            "statistic": self._statistic,
            "p": self._p,
            "moved": moved,
            "direction": "up" if moved >= 0.0 else "down",
            "summary": f"{text}: D {self._statistic:.2f}, p {self._p:.1g}",
        }

    def load(self, read: Read) -> None:
        """Take up the stored state of a series; without any, stay new. Later scores are bit-identical."""
        raw = read(HEADER)
        if raw is None:
            return
        self._newest, self._hour, *tested, expected, count = _OWN.unpack_from(raw)
        self._score, self._statistic, self._p, self._moved = tested
        self._expected = None if expected != expected else expected
        self._residuals = list(unpack_from(f">{count}d", raw, _OWN.size))
        at = self._quarter.restore(raw, _OWN.size + 8 * count)
        if not self._shared:
            self.week.restore(raw, at, read)
        for page in range(HOURS // PAGE):
            stored = read(b"d" + bytes([page]))
            if stored is not None:
                self._hours[page * PAGE : (page + 1) * PAGE] = unpacked(self._hours, stored)

    def changes(self) -> Parts:
        """Parts that changed since the last call: after one update some 120 bytes, 320 when an hour has ended.

        With a week of its own they are some 170, and 900.
        """
        if not self._changed:
            return []
        self._changed = False
        kept = self._residuals
        expected = nan if self._expected is None else self._expected
        tested = (self._score, self._statistic, self._p, self._moved)
        own = _OWN.pack(self._newest, self._hour, *tested, expected, len(kept))
        head = own + pack(f">{len(kept)}d", *kept) + self._quarter.store()
        out: Parts = []
        if not self._shared:
            head += self.week.store()
            out += self.week.changes()
        out.append((HEADER, head))
        for page in sorted(self._dirty):
            out.append((b"d" + bytes([page]), packed(self._hours[page * PAGE : (page + 1) * PAGE])))
        self._dirty.clear()
        return out
