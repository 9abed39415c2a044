"""Off what is usual at this quarter of an hour of the week: at once, or slowly."""

from math import log, sqrt
from struct import Struct
from typing import Any, ClassVar

from models.anomaly.explain import short
from models.anomaly.pace import ROW_S, Pace
from models.anomaly.parts import Parts, Read
from models.anomaly.samples import SeriesDetector
from models.anomaly.week import Week

HEADER = b"h"
_OWN = Struct(">B11d")

RECENT, AGREE = 5, 3
"""So many of so many samples must be out on the same side."""

DAY_S = 86_400.0

MOST = 1e6
"""Largest residual."""

NORMAL_MEAN = 0.8
"""Mean size of a normal residual, in standard deviations."""


class Seasonal(SeriesDetector):
    """Residual of a sample from its quarter of an hour of the week (see week.py), in robust standard deviations.

    Three charts watch it, each 1 at its limit; the largest, t, makes the score t / (1 + t):

    - jump: the third largest of the last five residuals on one side, limit LIMIT
    - ewma: exponentially weighted mean over EWMA_S, limit EWMA_LIMIT (Roberts 1959)
    - cusum: sum of what exceeds SLACK, in five-minute rows, limit CUSUM_LIMIT (Page 1954): a slow drift

    The spread is at least 1 % of the level. A sparse count, where most values are the same small whole number, has no
    spread: its residual is the signed root of twice the log of the Chernoff bound of the Poisson tail, from LEAST_COUNT
    on; exp(-residual^2 / 2) bounds the probability of such a count.

    Residuals that are larger than they should be, on average of USUAL_S, are scaled down to that average.

    Nothing is said in the first HISTORY_S seconds of samples. What fires does not become usual, except in a quarter of
    the week that is new (the first Saturday); after RELEARN_S seconds of it, it is the new normal, and the past is
    forgotten.

    >>> from random import Random
    >>> seasonal, chance = Seasonal(), Random(1)
    >>> calm = [seasonal.update_ms(300_000 * at, chance.gauss(20 + at // 144 % 2 * 40, 2)) for at in range(2880)]
    >>> night = [seasonal.update_ms(300_000 * at, 60.0) for at in range(2880, 2884)]
    >>> max(calm) < 0.5, [score > 0.5 for score in night]
    (True, [False, False, True, True])
    """

    name: ClassVar[str] = "seasonal"

    HISTORY_S: ClassVar[float] = 3 * DAY_S
    RELEARN_S: ClassVar[float] = DAY_S
    LIMIT: ClassVar[float] = 4.0
    CLIP: ClassVar[float] = 4.0
    """The largest residual that the slow charts see: one spike is no drift."""
    EWMA_S: ClassVar[float] = 7200.0
    EWMA_LIMIT: ClassVar[float] = 3.0
    SLACK: ClassVar[float] = 1.5
    CUSUM_LIMIT: ClassVar[float] = 36.0
    """Three standard deviations for two hours, or two for six."""
    ROWS_MOST: ClassVar[float] = 12.0
    """One sample stands for an hour at most."""
    USUAL_S: ClassVar[float] = 3 * DAY_S
    """Seconds over which the mean size of residuals is averaged."""
    USUAL_FIRST: ClassVar[float] = 2.0
    """That mean before any is known: a young series is doubted."""
    USUAL_MOST: ClassVar[float] = 12.0
    """The largest residual that counts in it."""
    LEAST_COUNT: ClassVar[float] = 3.0
    LEAST_RATE: ClassVar[float] = 0.05
    """A count that was never seen may still come so often."""

    def __init__(self) -> None:
        super().__init__()
        self.pace = Pace()
        self.week = Week()
        self._recent: list[float] = []
        self._age = self._held = 0.0
        self._ewma = self._up = self._down = 0.0
        self._usual = self.USUAL_FIRST
        self._changed = False
        self._seen = (0.0, 0.0)
        self._charts: tuple[float, float, float, float] | None = None

    def judge(self, epoch_ms: int, value: float) -> float:
        """A sample that is not newer than the newest counts as if it came with the newest."""
        self._changed = True
        passed = self.pace.tell(epoch_ms)
        now, week = self.pace.last_ms, self.week
        self._age += passed
        week.advance(now)
        score, self._charts = 0.0, None
        if self._age > self.HISTORY_S and week.expected is not None:
            residual = self._settled(self._residual(value, week.expected), passed)
            times = max(self._jump(residual), *self._slow(residual, passed))
            score = times / (1.0 + times)
            self._charts = (week.expected, week.width, residual, times)
        self._seen = (value, score)
        if score < 0.5 or not week.own:
            week.learn(now, value)
            self._held = max(0.0, self._held - passed)
        else:
            self._held += passed
            if self._held > self.RELEARN_S:
                self._relearn()
        return score

    def _residual(self, value: float, expected: float) -> float:
        """In standard deviations, bounded."""
        week = self.week
        if week.sparse and value >= 0.0 and value == int(value):
            rate = max(expected + week.rate, self.LEAST_RATE)
            if value < self.LEAST_COUNT or value <= rate:
                return 0.0
            return min(sqrt(2.0 * (value * log(value / rate) - value + rate)), MOST)
        apart = value - expected
        width = week.width
        if width > 0.0:
            residual = apart / width
            return MOST if residual > MOST else -MOST if residual < -MOST else residual
        return MOST if apart > 0.0 else -MOST if apart < 0.0 else 0.0

    def _settled(self, residual: float, passed: float) -> float:
        """The residual in units of what residuals have been of late, where those were larger than they should be."""
        usual = self._usual
        size = residual if residual >= 0.0 else -residual
        if size > self.USUAL_MOST:
            size = self.USUAL_MOST
        share = passed / self.USUAL_S
        self._usual = usual + (size - usual) * (share if share < 0.1 else 0.1)
        return residual * NORMAL_MEAN / usual if usual > NORMAL_MEAN else residual

    def _jump(self, residual: float) -> float:
        recent = self._recent
        recent.append(residual)
        if len(recent) > RECENT:
            del recent[0]
        if len(recent) < AGREE:
            return 0.0
        ordered = sorted(recent)
        return max(ordered[-AGREE], -ordered[AGREE - 1], 0.0) / self.LIMIT

    def _slow(self, residual: float, passed: float) -> tuple[float, float]:
        clip, most = self.CLIP, 1.5 * self.CUSUM_LIMIT
        seen = clip if residual > clip else -clip if residual < -clip else residual
        share = passed / self.EWMA_S
        ewma = self._ewma = self._ewma + (seen - self._ewma) * (share if share < 0.5 else 0.5)
        rows = passed / ROW_S
        if rows > self.ROWS_MOST:
            rows = self.ROWS_MOST
        up = self._up + (seen - self.SLACK) * rows
        self._up = up = 0.0 if up < 0.0 else most if up > most else up
        down = self._down - (seen + self.SLACK) * rows
        self._down = down = 0.0 if down < 0.0 else most if down > most else down
        return abs(ewma) / self.EWMA_LIMIT, (up if up > down else down) / self.CUSUM_LIMIT

    def _relearn(self) -> None:
        self.week.forget()
        self._recent = []
        self._age = self._held = self._ewma = self._up = self._down = 0.0
        self._usual = self.USUAL_FIRST

    def why(self) -> dict[str, Any]:
        """Why the last sample got its score.

        Returns:
            value, score, direction, summary; once enough history was seen also expected, usual_low and usual_high
            (three standard deviations), residual (in standard deviations), ewma and cusum (in the units of their
            limits).
        """
        value, score = self._seen
        if self._charts is None:
            text = f"{short(value)}: {self._age / DAY_S:.1f} of 3 days of history"
            return {"value": value, "score": score, "direction": "up", "summary": text}
        expected, width, residual, _ = self._charts
        low, high = expected - 3 * width, expected + 3 * width
        text = f"{short(value)}, usual {short(low)} to {short(high)} at this time of the week"
        if score >= 0.5 and abs(residual) < self.LIMIT:
            text += ": off it for some time"
        return {
            "value": value,
            "score": score,
            "expected": expected,
            "usual_low": low,
            "usual_high": high,
            "residual": residual,
            "ewma": self._ewma,
            "cusum": max(self._up, self._down),
            "direction": "up" if value >= expected else "down",
            "summary": text,
        }

    def load(self, read: Read) -> None:
        """Take up the stored state of a series; without any, stay new. Later scores are bit-identical."""
        raw = read(HEADER)
        if raw is None:
            return
        count, self._age, self._held, self._ewma, self._up, self._down, self._usual, *recent = _OWN.unpack_from(raw)
        self._recent = recent[:count]
        at = self.pace.restore(raw, _OWN.size)
        self.week.restore(raw, at, read)

    def changes(self) -> Parts:
        """Parts that changed since the last call: after one update some 170 bytes, 700 when a quarter has ended."""
        if not self._changed:
            return []
        self._changed = False
        recent = self._recent + [0.0] * (RECENT - len(self._recent))
        slow = (self._ewma, self._up, self._down, self._usual)
        own = _OWN.pack(len(self._recent), self._age, self._held, *slow, *recent)
        return [(HEADER, own + self.pace.store() + self.week.store()), *self.week.changes()]
