"""Whether the last day is distributed as the week before it was, apart from the season."""

from bisect import bisect_right
from datetime import datetime
from math import exp, log, sqrt
from struct import Struct, pack, unpack_from
from typing import Any, ClassVar

from models.anomaly.explain import short
from models.anomaly.parts import Parts, Read
from models.anomaly.samples import LARGEST, milliseconds
from models.anomaly.week import NEVER, Week, bounded, median

HOUR_MS = 3_600_000
RECENT, BEFORE = 24, 168
"""Hours that are compared: the last day, and the seven before it."""

LEAST_RECENT, LEAST_BEFORE = 18, 120
"""Hours that must be known of them."""

HOURS = RECENT + BEFORE
PAGE = 8
"""Hours that are stored together: 64 bytes."""

UNKNOWN = 2**32 - 1
"""Hours are stored modulo 2^32; this one is half a million years away."""

HEADER = b"h"
_OWN = Struct(">2q4dB")
_HOUR = Struct(">If")


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


class Drift:
    """Two-sample Kolmogorov-Smirnov test of the last 24 hours against the 168 before, once an hour.

    Tested are residuals from what is usual at the quarter of an hour of the week (see week.py), thinned to the median
    of an hour: raw samples depend on each other so much that the test would nearly always fire. Residuals of less than
    FLOOR of the level count as 0. It fires where p < P and the statistic, which is the size of the effect, is at
    least EFFECT: p alone says only that there is a difference, not that it matters. Between two tests the score stays.

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

    def __init__(self) -> None:
        self.week = Week()
        self._newest = self._hour = NEVER
        self._residuals: list[float] = []
        self._hours: list[tuple[int, float]] = [(UNKNOWN, 0.0)] * HOURS
        self._dirty: set[int] = set()
        self._score = self._statistic = self._moved = 0.0
        self._p = 1.0
        self._changed = False
        self._value: float | None = None

    def update(self, timestamp: datetime, value: float | None) -> float:
        """Score of a sample, 0 to 1; 0.5 is the threshold. A timestamp without a zone is UTC."""
        return self.update_ms(milliseconds(timestamp), value)

    def update_ms(self, epoch_ms: int, value: float | None) -> float:
        """Score of the series at this time in epoch milliseconds.

        None, NaN and infinities score 0 and teach nothing. A sample that is not newer than the newest counts as if it
        came with the newest.
        """
        if value is None or not -LARGEST < value < LARGEST:
            self._value = None
            return 0.0
        self._value = value = float(value)
        self._changed = True
        if epoch_ms > self._newest:
            self._newest = epoch_ms
        now = self._newest
        if self.week.advance(now):
            self._next_quarter(now // HOUR_MS)
        self.week.learn(now, value)
        return self._score

    def _next_quarter(self, hour: int) -> None:
        ended = self.week.ended
        if ended is not None:
            expected, middle = ended
            apart = middle - expected
            self._residuals.append(apart if abs(apart) > self.FLOOR * abs(expected) else 0.0)
        if hour != self._hour:
            if self._residuals:
                slot = self._hour % HOURS
                # Single precision as it is stored, so that a restored detector knows the same.
                self._hours[slot] = _HOUR.unpack(_HOUR.pack(self._hour % 2**32, bounded(median(self._residuals))))
                self._dirty.add(slot // PAGE)
                self._residuals = []
            self._hour = hour
            self._test()

    def _test(self) -> None:
        """Compare the hours before the running one."""
        recent: list[float] = []
        before: list[float] = []
        last = self._hour % 2**32
        for hour, residual in self._hours:
            age = last - hour
            if 0 < age <= RECENT:
                recent.append(residual)
            elif RECENT < age <= HOURS:
                before.append(residual)
        if len(recent) < LEAST_RECENT or len(before) < LEAST_BEFORE:
            self._score = self._statistic = self._moved = 0.0
            self._p = 1.0
            return
        statistic = self._statistic = distance(recent, before)
        self._p = probability(statistic, len(recent), len(before))
        self._moved = median(recent) - median(before)
        times = min(statistic / self.EFFECT, log(self._p) / log(self.P))
        self._score = times / (1.0 + times)

    def explain(self) -> dict[str, Any]:
        """Why the series got its score.

        Returns:
            value: None where the last sample had none: then this and `summary` are all there is.
            score, direction, summary; statistic and p of the last test; moved: by how much the median of the last day
            differs from that of the week before, in the unit of the series.
        """
        if self._value is None:
            return {"value": None, "summary": "no value"}
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
        self._newest, self._hour, self._score, self._statistic, self._p, self._moved, count = _OWN.unpack_from(raw)
        self._residuals = list(unpack_from(f">{count}d", raw, _OWN.size))
        self.week.restore(raw, _OWN.size + 8 * count, read)
        for page in range(HOURS // PAGE):
            stored = read(b"d" + bytes([page]))
            if stored is not None:
                self._hours[page * PAGE : (page + 1) * PAGE] = _HOUR.iter_unpack(stored)

    def changes(self) -> Parts:
        """Parts that changed since the last call: after one update some 200 bytes, 400 at most."""
        if not self._changed:
            return []
        self._changed = False
        kept = self._residuals
        own = _OWN.pack(self._newest, self._hour, self._score, self._statistic, self._p, self._moved, len(kept))
        out: Parts = [(HEADER, own + pack(f">{len(kept)}d", *kept) + self.week.store()), *self.week.changes()]
        for page in sorted(self._dirty):
            hours = self._hours[page * PAGE : (page + 1) * PAGE]
            out.append((b"d" + bytes([page]), b"".join(_HOUR.pack(*each) for each in hours)))
        self._dirty.clear()
        return out
