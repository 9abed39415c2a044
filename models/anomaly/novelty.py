"""The detector that pages: surprise measured against the series' own fading record."""

from math import exp, inf, log
from struct import Struct
from typing import Any, ClassVar

from models.anomaly.codebook import Codebook, Line
from models.anomaly.explain import PARTS, Part, explanation
from models.anomaly.pace import ROW_S, Pace
from models.anomaly.parts import Parts, Read, single
from models.anomaly.record import FADE, LOW, Record
from models.anomaly.rows import CONTEXT_LAG, VALUE_LAG, Rows
from models.anomaly.samples import SeriesDetector
from models.anomaly.season import HOUR_MS, Season
from models.anomaly.smooth import Smooth

HEADER = b"h"
_OWN = Struct(">I2H8d")


class Novelty(SeriesDetector):
    """Score of one series: how new its value is, to the series itself.

    Three surprises, all in the unit of the series, are compared with their own records (see record.py) and their
    logarithms are added, the largest twice: one far out, or several together, make an alert.

    - value: distance to the nearest value seen
    - context: distance to the nearest (value, mean around it) seen: a familiar value in unfamiliar surroundings
    - season: the mean residual of the last minutes from what is usual at this hour of the day (UTC)

    Nothing of the future, and no length or range of the series, is known. Cost and memory do not grow with history.

    Up to WARM_SAMPLES samples and before WARM_S seconds the score is 0. None, NaN, infinities and values beyond LARGEST
    score 0 and teach nothing. A sample that is not newer than the newest is judged like any other but moves no clock.

    >>> from datetime import UTC, datetime, timedelta
    >>> novelty = Novelty()
    >>> start = datetime(2025, 1, 1, tzinfo=UTC)
    >>> calm = [novelty.update(start + timedelta(minutes=i), 20.0 + i % 5) for i in range(1000)]
    >>> max(calm) < 0.5 < novelty.update(start + timedelta(minutes=1000), 95.0)
    True
    """

    name: ClassVar[str] = "novelty"

    WARM_SAMPLES: ClassVar[int] = 150
    WARM_S: ClassVar[float] = 900.0
    BIAS: ClassVar[float] = 2.1
    """Added to the sum of the three log-records: where it makes 0, the score is 0.5."""
    GRAIN: ClassVar[float] = 0.1
    """What is nearer than this share of the record to something familiar is not stored."""
    FLOOR: ClassVar[float] = 1e-3
    """Share of the mean level that is too small to speak of."""
    NOISE: ClassVar[float] = 3.0
    """Times the jitter that is ordinary in the first WARM_S seconds at a faster sampling rate."""
    CAPACITY: ClassVar[int] = 512
    """Points that each of the two books holds at most."""
    MEAN_ROWS: ClassVar[float] = 12.5
    """Rows of the mean around a value."""
    DOUBT: ClassVar[float] = 10.0
    """Samples of doubt: log(1 + DOUBT / samples at this sampling rate + ...) is taken from the sum."""
    YOUTH_S: ClassVar[float] = 43_200.0
    """Seconds of doubt, likewise (... + YOUTH_S / seconds seen): records fall often while a series is young."""
    YOUTH_MOST: ClassVar[float] = 15.0
    """Most of that doubt: a large burst in the first hour is told nevertheless."""
    LOOKS: ClassVar[float] = 0.25
    """Times the logarithm of samples per row is taken from the sum: more looks in the same time are more chances."""

    def __init__(self) -> None:
        super().__init__()
        self.pace = Pace()
        self.smooth = Smooth()
        self.rows = Rows()
        self.season = Season()
        self.values = Line(b"v", self.CAPACITY)
        self.contexts = Codebook(b"c", self.CAPACITY)
        self.records = (Record(), Record(), Record())
        self.samples = 0
        self.mean = 0.0
        self.mean_rows = 0.0
        self._changed = False
        self._seen = (0.0, 0.0, 0, 0.0)
        self._surprises = self._logs = self._before = (0.0, 0.0, 0.0)

    def judge(self, epoch_ms: int, value: float) -> float:
        pace = self.pace
        passed = pace.tell(epoch_ms)
        # As the books keep it, so that a value which is known is at distance 0.
        x = single(self.smooth.smooth(value, passed if pace.hasty else pace.step, pace.since))
        row = pace.row
        rows = passed / row if passed < row else 1.0
        slow_rows = passed / ROW_S if passed < ROW_S else 1.0

        weight = self.mean_rows + rows
        if weight > self.MEAN_ROWS:
            weight = self.MEAN_ROWS
        self.mean_rows = weight
        mean = self.mean = self.mean + (x - self.mean) * (rows / weight)

        new_value = self.values.distance(x)
        new_context = self.contexts.distance(x + mean, x - mean)
        new_season = self.season.surprise(epoch_ms, x, rows, slow_rows)

        self.samples += 1
        of_value, of_context, of_season = self.records
        self._before = (of_value.size, of_context.size, of_season.size)
        listening = pace.listening
        if listening or self.samples <= self.WARM_SAMPLES or pace.age < self.WARM_S:
            of_value.learn(new_value if new_value < inf else 0.0)
            of_context.learn(new_context if new_context < inf else 0.0)
            of_season.learn(new_season)
            self._logs = (LOW, LOW, LOW)
            score = 0.0
        else:
            floor = self.FLOOR * (mean if mean >= 0.0 else -mean)
            youth = min(self.YOUTH_S / pace.age, self.YOUTH_MOST)
            looks = self.LOOKS * log(row / (pace.step or row))
            doubt = log(1.0 + self.DOUBT / pace.since + youth) + looks
            noise = self.NOISE * self.smooth.jitter if pace.since * pace.step < self.WARM_S else 0.0
            fade = FADE * slow_rows
            a = of_value.judge(new_value, floor, noise, fade)
            b = of_context.judge(new_context, floor, noise, fade)
            c = of_season.judge(new_season, floor, noise, fade)
            self._logs = (a, b, c)
            score = 1.0 / (1.0 + exp(doubt - a - b - c - max(a, b, c) - self.BIAS))
        self._surprises = (new_value, new_context, new_season)
        self._seen = (value, x, epoch_ms, score)
        self._changed = True

        if self.rows.see(x, new_value, mean, new_context, rows):
            of_value.next_row()
            of_context.next_row()
            of_season.next_row()
            # Books hardly ever forget: what was familiar when it came is familiar now, and need not be looked up.
            old = self.rows.ago(VALUE_LAG)
            if old is not None and old[1] > self.GRAIN * of_value.size:
                self._learn_value(old[0])
            old = self.rows.ago(CONTEXT_LAG)
            if old is not None and old[4] > self.GRAIN * of_context.size:
                self._learn_context(old[2], old[3])
        if listening:
            self._learn_value(x)
            self._learn_context(x, mean)
        return score

    def _learn_value(self, value: float) -> None:
        self.values.learn(value, 0.0, self.GRAIN * self.records[0].size)

    def _learn_context(self, value: float, mean: float) -> None:
        # In these coordinates the distance of the book is |value - value'| + |mean - mean'|.
        self.contexts.learn(value + mean, value - mean, self.GRAIN * self.records[1].size)

    def why(self) -> dict[str, Any]:
        """Why the last sample got its score.

        Returns:
            score: of the last sample.
            value: as it came.
            judged: the value that was judged: a running median where samples come fast, else the value.
            expected: what is usual at this hour, or of late while the hour is not known.
            usual_low, usual_high: about 95 % of the values lie between them.
            nearest: the nearest value seen before; None before anything was learned.
            direction: "up" or "down" from the expected value.
            strongest: the part that says most.
            parts: value, context, season; each with its surprise and its record, in the unit of the series, and the
                log of their ratio.
            summary: a sentence.
        """
        value, judged, epoch_ms, score = self._seen
        parts = {
            name: Part(surprise if surprise < inf else 0.0, record, part)
            for name, surprise, record, part in zip(PARTS, self._surprises, self._before, self._logs, strict=True)
        }
        # What lies within a grain of a known value is not stored.
        grain = self.GRAIN * self._before[0]
        usual = self.season.usual(self.values.least - grain, self.values.most + grain)
        nearest = self.values.nearest(judged)
        return explanation(value, judged, usual, nearest, epoch_ms // HOUR_MS % 24, parts, score)

    def load(self, read: Read) -> None:
        """Take up the stored state of a series; without any, stay new. Later scores are bit-identical."""
        raw = read(HEADER)
        if raw is None:
            return
        self.samples, value_turn, context_turn, self.mean, self.mean_rows, *records = _OWN.unpack_from(raw)
        for record, size, base in zip(self.records, records[::2], records[1::2], strict=True):
            record.size, record.base = size, base
        at = self.pace.restore(raw, _OWN.size)
        at = self.rows.restore(raw, at)
        at = self.season.restore(raw, at)
        self.smooth.restore(raw, at)
        self.rows.load(read)
        self.season.load(read)
        self.values.load(read, value_turn)
        self.contexts.load(read, context_turn)

    def changes(self) -> Parts:
        """Parts that changed since the last call: after one update less than 1 kB, some 370 bytes as a rule."""
        if not self._changed:
            return []
        self._changed = False
        records = [size for record in self.records for size in (record.size, record.base)]
        own = _OWN.pack(self.samples, self.values.turn, self.contexts.turn, self.mean, self.mean_rows, *records)
        header = own + self.pace.store() + self.rows.store() + self.season.store() + self.smooth.store()
        return [
            (HEADER, header),
            *self.rows.changes(),
            *self.season.changes(),
            *self.values.changes(),
            *self.contexts.changes(),
        ]
