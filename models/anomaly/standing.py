"""Where a value stands that is not over at once: out of all that this time of day has shown, and further than ever."""

from array import array
from collections.abc import Iterator
from math import inf
from struct import Struct
from typing import Any, ClassVar, NamedTuple

from models.anomaly.explain import short
from models.anomaly.pace import Pace
from models.anomaly.parts import Parts, Read, packed, single, unpacked
from models.anomaly.samples import SeriesDetector

HEADER, DAYS, SLOT = b"h", b"d", b"t"

DAY_S = 86_400.0
SLOT_MS = 1_800_000
SLOTS = 48
"""Half hours of the day (UTC)."""

SPAN_DAYS = 14
"""Of each half hour the extremes of this span of days and of the span before it are known."""

KEPT = 28
"""Days whose largest excesses are known."""

RECENT = 5
"""The value stands where the median of so many samples is: three of them are as far out, or further."""

PAGE = 12
"""Half hours that are stored together: 336 bytes."""

_OWN = Struct(">BqI6d5d")


class Extremes(NamedTuple):
    """Lowest and highest standing value of a half hour of the day; (inf, -inf) while there is none.

    Attributes:
        span: number of the running span of SPAN_DAYS.
        low, high: in it, yesterday's left out.
        low_before, high_before: in the span before it.
        low_last, high_last: the last day that had this half hour; it is known a day later.
    """

    span: int
    low: float = inf
    high: float = -inf
    low_before: float = inf
    high_before: float = -inf
    low_last: float = inf
    high_last: float = -inf

    def known(self, span: int) -> tuple[float, float]:
        """(lowest, highest) as known in this span."""
        if span == self.span:
            return min(self.low, self.low_before), max(self.high, self.high_before)
        return (self.low, self.high) if span == self.span + 1 else (inf, -inf)

    def after(self, span: int, low: float, high: float) -> "Extremes":
        """With another day's extremes."""
        before = (self.low_before, self.high_before)
        running = (self.low, self.high)
        if span != self.span:
            before = running if span == self.span + 1 else (inf, -inf)
            running = (inf, -inf)
        running = (min(running[0], self.low_last), max(running[1], self.high_last))
        return Extremes(span, *running, *before, low, high)


class Slots:
    """The extremes of each half hour of the day, in single precision."""

    __slots__ = ("_bounds", "_dirty", "_spans")

    WIDTH: ClassVar[int] = 6
    """Bounds of a half hour, as `Extremes` has them."""

    def __init__(self) -> None:
        self._spans = array("i", [-1]) * SLOTS
        self._bounds = array("f", Extremes(-1)[1:]) * SLOTS
        self._dirty: set[int] = set()

    def __getitem__(self, at: int) -> Extremes:
        return Extremes(self._spans[at], *self._bounds[at * self.WIDTH : (at + 1) * self.WIDTH])

    def __setitem__(self, at: int, found: Extremes) -> None:
        self._spans[at] = found.span
        self._bounds[at * self.WIDTH : (at + 1) * self.WIDTH] = array("f", found[1:])
        self._dirty.add(at // PAGE)

    def load(self, read: Read) -> None:
        """Take up what was stored: the spans of a page, then its bounds."""
        for page in range(SLOTS // PAGE):
            raw = read(SLOT + bytes([page]))
            if raw is not None:
                begin, end = page * PAGE, (page + 1) * PAGE
                self._spans[begin:end] = unpacked(self._spans, raw[: 4 * PAGE])
                self._bounds[begin * self.WIDTH : end * self.WIDTH] = unpacked(self._bounds, raw[4 * PAGE :])

    def changes(self) -> Parts:
        pages = sorted(self._dirty)
        self._dirty.clear()
        return [(SLOT + bytes([page]), self._page(page * PAGE, (page + 1) * PAGE)) for page in pages]

    def _page(self, begin: int, end: int) -> bytes:
        return packed(self._spans[begin:end]) + packed(self._bounds[begin * self.WIDTH : end * self.WIDTH])


class Excess(NamedTuple):
    """The largest excesses of a day, up and down: of the standing value, and of single samples."""

    up: float = -inf
    down: float = -inf
    single_up: float = -inf
    single_down: float = -inf


class Standing(SeriesDetector):
    """How far the standing value is out of all that this time of day has shown, by what it was out on other days.

    The standing value is the median of the last five samples. Its excess is its distance beyond the extremes that it
    had in this half hour of the day (UTC) and the two around it, in the last two to four weeks, the last day left out.
    It fires where the excess is, by a margin, larger than

    - any of the last KEPT days; more than that while few days are known: 1 + YOUTH / days times,
    - SINGLE of the largest one of a single sample: a rare count is often out, but by one sample,

    and the value at least `least` from the middle of what is known. The margin is MARGIN of `least`, or RANGE of all
    that is known of the series if that is more. Two samples in a row fire, too, where both are further out than any
    single sample was (with the same doubt and margin).

    The score is t / (1 + t), t the ratio of the excess to its limit. Nothing is said in the first LEARN_DAYS days, nor
    in the first SETTLE_S seconds after the sampling rate rose. What fires teaches the largest excess of its day little,
    but becomes familiar at its time of day: what lasts is told for a day, or two, and then is usual.

    Args:
        least: the smallest distance that matters, in the unit of the series.

    >>> from random import Random
    >>> standing, chance = Standing(5.0), Random(1)
    >>> calm = [standing.update_ms(60_000 * at, chance.gauss(20 + at // 720 % 2 * 40, 2)) for at in range(1440 * 14)]
    >>> calm += [standing.update_ms(60_000 * at, chance.gauss(20, 2)) for at in range(1440 * 14, 1440 * 14 + 180)]
    >>> night = [standing.update_ms(60_000 * at, 60.0) for at in range(1440 * 14 + 180, 1440 * 14 + 184)]
    >>> max(calm) < 0.5, [score > 0.5 for score in night]
    (True, [False, True, True, True])
    """

    name: ClassVar[str] = "standing"

    YOUTH: ClassVar[float] = 2.0
    SINGLE: ClassVar[float] = 0.4
    MARGIN: ClassVar[float] = 0.4
    RANGE: ClassVar[float] = 0.1
    FLOOR: ClassVar[float] = 1e-3
    """Share of the level that is too small to speak of."""
    GROWTH: ClassVar[float] = 1.25
    """A day may raise the largest excess by this factor ..."""
    STEP: ClassVar[float] = 0.1
    """... and by this share of `least`: the first incident must not hide the next."""
    LEARN_DAYS: ClassVar[int] = 7
    FIRST_DAYS: ClassVar[int] = 2
    """Days whose excesses are not remembered: everything is one."""
    SETTLE_S: ClassVar[float] = 2 * DAY_S

    def __init__(self, least: float = 0.0) -> None:
        super().__init__()
        self.least = least
        self.pace = Pace()
        self._recent: list[float] = []
        self._slots = Slots()
        self._days = array("f")
        """The excesses of the last KEPT days, four numbers each, the newest last."""
        self._seen_days = 0
        self._slot = -1
        self._low, self._high = inf, -inf
        self._today = Excess()
        self._changed = self._day_ended = False
        self._prepare()
        self._said = (0.0, 0.0, 0.0)

    @property
    def known(self) -> bool:
        """Whether it knows this series, at this sampling rate, long enough to say something."""
        settled = self.pace.since * self.pace.step >= self.SETTLE_S
        return settled and self._seen_days >= self.LEARN_DAYS and self._usual is not None

    def judge(self, epoch_ms: int, value: float) -> float:
        """A sample that is not newer than the newest counts as if it came with the newest."""
        self._changed = True
        self.pace.tell(epoch_ms)
        slot = self.pace.last_ms // SLOT_MS
        if slot != self._slot:
            self._turn(slot)
        recent = self._recent
        before = recent[-1] if recent else value
        recent.append(value)
        if len(recent) > RECENT:
            del recent[0]
        stands = sorted(recent)[len(recent) // 2]
        if stands > self._high:
            self._high = stands
        if stands < self._low:
            self._low = stands
        if self._usual is None or len(recent) < RECENT:
            self._said = (value, stands, 0.0)
            return 0.0
        low, high = self._usual
        today, seen = self._today, (stands - high, low - stands, value - high, low - value)
        if seen[0] > today[0] or seen[1] > today[1] or seen[2] > today[2] or seen[3] > today[3]:  # as a rule none
            self._today = Excess(*map(max, today, seen))
        times = 0.0
        if self.known:
            pair_low, pair_high = (before, value) if before < value else (value, before)
            up = self._times(stands - high, pair_low - high, self._limits[0])
            down = self._times(low - stands, low - pair_high, self._limits[1])
            times = max(up, down)
        self._said = (value, stands, times if times <= 0.0 or up >= down else -times)
        return times / (1.0 + times)

    def _times(self, excess: float, pair: float, limits: tuple[float, float]) -> float:
        """How many times its limit the larger excess is; 0 where neither is one."""
        if excess <= 0.0 and pair <= 0.0:
            return 0.0
        low, high = self._usual or (0.0, 0.0)
        half = (high - low) / 2
        found = 0.0
        for each, limit in ((excess, limits[0]), (pair, limits[1])):
            if each > 0.0:
                size = each / limit if limit > 0.0 else inf
                if self.least > 0.0:
                    size = min(size, (each + half) / self.least)
                found = max(found, size)
        return min(found, 1e6)

    def _turn(self, slot: int) -> None:
        """Another half hour has begun."""
        span = self._slot // (SLOTS * SPAN_DAYS)
        if self._high > -inf:
            at = self._slot % SLOTS
            self._slots[at] = self._slots[at].after(span, single(self._low), single(self._high))
        if self._slot >= 0 and slot // SLOTS != self._slot // SLOTS:
            self._end_day()
        self._slot, self._low, self._high = slot, inf, -inf
        self._prepare()

    def _end_day(self) -> None:
        self._seen_days += 1
        if self._seen_days > self.FIRST_DAYS and self._today.up > -inf:
            today = self._today
            if self.known and self._count() > 0:
                most = (self.GROWTH * each + self.STEP * self.least for each in self._worst())
                today = Excess(*map(min, today, most))
            self._days = (self._days + array("f", today))[-KEPT * len(today) :]
            self._day_ended = True
        self._today = Excess()

    def _count(self) -> int:
        """Days that are compared with: all that are known but the last."""
        return len(self._days) // len(Excess._fields) - 1

    def _worst(self) -> Excess:
        """The largest excesses of all days but the last, at least 0."""
        kinds = len(Excess._fields)
        before = self._days[:-kinds]
        return Excess(*(max(0.0, *before[kind::kinds]) for kind in range(kinds)))

    def _prepare(self) -> None:
        """What stays the same while a half hour lasts: its extremes, and the limits."""
        self._usual: tuple[float, float] | None = None
        self._limits = ((inf, inf), (inf, inf))
        if self._slot < 0:
            return
        span, at = self._slot // (SLOTS * SPAN_DAYS), self._slot % SLOTS
        known = [self._slots[each].known(span) for each in range(SLOTS)]
        near = [known[(at + off) % SLOTS] for off in (-1, 0, 1)]
        low, high = min(each[0] for each in near), max(each[1] for each in near)
        if low > high:
            return
        self._usual = low, high
        count = self._count()
        if count < 1:
            return
        spread = max(each[1] for each in known) - min(each[0] for each in known)
        margin = max(self.MARGIN * self.least, self.RANGE * spread, self.FLOOR * max(abs(low), abs(high)))
        doubt = 1.0 + self.YOUTH / count
        up, down, single_up, single_down = self._worst()
        self._limits = (
            (max(doubt * up, self.SINGLE * single_up) + margin, doubt * single_up + margin),
            (max(doubt * down, self.SINGLE * single_down) + margin, doubt * single_down + margin),
        )

    def why(self) -> dict[str, Any]:
        """Also: score, stands (the median of the last five), usual_low and usual_high (extremes at this time of day),
        excess (beyond them), and excess_limit once days are known."""
        value, stands, times = self._said
        out: dict[str, Any] = {"value": value, "score": abs(times) / (1.0 + abs(times)), "stands": stands}
        if self._usual is None:
            return out | {"direction": "up", "summary": f"{short(value)}: this time of day is not known yet"}
        low, high = self._usual
        down = times < 0.0 or (times == 0.0 and stands < low)
        excess = low - stands if down else stands - high
        limit = self._limits[down][0]
        if limit < inf:
            out["excess_limit"] = limit
        return out | {
            "usual_low": low,
            "usual_high": high,
            "excess": max(0.0, excess),
            "direction": "down" if down else "up",
            "summary": f"{short(value)}, stood between {short(low)} and {short(high)} at this time of the day",
        }

    def load(self, read: Read) -> None:
        """Take up the stored state of a series; without any, stay new. Later scores are bit-identical."""
        raw = read(HEADER)
        if raw is None:
            return
        count, self._slot, self._seen_days, self._low, self._high, *rest = _OWN.unpack_from(raw)
        self._today, recent = Excess(*rest[:4]), rest[4:]
        self._recent = recent[:count]
        self.pace.restore(raw, _OWN.size)
        self._days = unpacked(self._days, read(DAYS) or b"")
        self._slots.load(read)
        self._prepare()

    def changes(self) -> Parts:
        """Parts that changed since the last call."""
        return list(self._changes()) if self._changed else []

    def _changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        self._changed = False
        recent = self._recent + [0.0] * (RECENT - len(self._recent))
        counts = (len(self._recent), self._slot, self._seen_days)
        yield HEADER, _OWN.pack(*counts, self._low, self._high, *self._today, *recent) + self.pace.store()
        if self._day_ended:
            self._day_ended = False
            yield DAYS, packed(self._days)
        yield from self._slots.changes()
