"""What is remembered of a meter, and how a reading is measured against it.

Whether a reading is plausible is judged by confirmed readings alone: those of which a person said what the meter
showed. The last readings, confirmed or not, are a hint for the trained model, by their median: one wrong reading moves
it little. It is immutable and packs into under 450 bytes.
"""

import math
import re
import struct
from itertools import pairwise
from typing import NamedTuple

from models.ocr.device import median, rates
from models.ocr.redaction import UNIT

DAY_MS = 86_400_000
CONFIRMED, RECENT = 16, 9
"""Readings remembered."""
MOST_RATE = 5.0
"""A reading is implausible when it has run faster than so many times the meter's own median."""
LEAST_RATES = 2
"""Rates between confirmed readings that a median needs."""
LEAST_RATE = 0.1
"""Per day: a meter that stands still may begin to run."""
LEAST_DAYS = 0.25
"""Rates are taken over this at least."""
REJECTIONS = 3
"""After so many implausible readings in a row that agree with each other, a person is asked."""

_HEAD = struct.Struct("<BBBqd")
_CONFIRMED = struct.Struct("<qdB")
_RECENT = struct.Struct("<qd")
_NUMBER = re.compile(r"[0-9]{1,9}([.,][0-9]{1,4})?")


class Shown(NamedTuple):
    """What a meter showed: time (epoch milliseconds), value, number of digits."""

    time: int
    value: float
    digits: int


class Meter(NamedTuple):
    """A meter.

    Attributes:
        confirmed: by time.
        recent: (time, value) of the last readings, whatever they are worth; by arrival.
        rejected: implausible readings in a row that agree with each other.
        last: time and value of the last of them.
    """

    confirmed: tuple[Shown, ...] = ()
    recent: tuple[tuple[int, float], ...] = ()
    rejected: int = 0
    last: tuple[int, float] = (0, 0.0)

    def pack(self) -> bytes:
        head = _HEAD.pack(len(self.confirmed), len(self.recent), self.rejected, *self.last)
        return head + b"".join(
            [*(_CONFIRMED.pack(*each) for each in self.confirmed), *(_RECENT.pack(*each) for each in self.recent)]
        )


NEW = Meter()


def unpack_meter(raw: bytes) -> Meter:
    confirmed, recent, rejected, time, value = _HEAD.unpack_from(raw)
    place = _HEAD.size + confirmed * _CONFIRMED.size
    return Meter(
        tuple(Shown(*each) for each in _CONFIRMED.iter_unpack(raw[_HEAD.size : place])),
        tuple((each[0], each[1]) for each in _RECENT.iter_unpack(raw[place : place + recent * _RECENT.size])),
        rejected,
        (time, value),
    )


def number(raw: str) -> float | None:
    """The number that a text shows, a unit after it left out; None where it is none."""
    text = UNIT.sub("", raw).replace(" ", "")
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


class Judged(NamedTuple):
    """A reading against the confirmed ones; NaN where these are too few.

    Attributes:
        backwards: whether the meter would have run backwards: 0 or 1.
        ratio: its rate since the confirmed reading before, over its own median rate.
        digits: how many digits more than confirmed readings have.
        days: since the newest confirmed reading before it.
        why: in words, what is implausible; None for a plausible reading.
    """

    backwards: float = math.nan
    ratio: float = math.nan
    digits: float = math.nan
    days: float = math.nan
    why: str | None = None


def judge(meter: Meter, time: int, value: float | None, digits: int) -> Judged:
    """Whether a reading is plausible by the confirmed ones; one that is no number is not."""
    known = meter.confirmed
    if not known:
        return Judged() if value is not None else Judged(why="it is no number")
    before = max((each for each in known if each.time <= time), default=None)
    after = min((each for each in known if each.time > time), default=None)
    usual = median([float(each.digits) for each in known])
    more, days = digits - usual, math.nan if before is None else (time - before.time) / DAY_MS
    if value is None:
        return Judged(digits=more, days=days, why="it is no number")
    own = own_rate(meter)
    backwards = ratio = 0.0 if before is not None or after is not None else math.nan
    why = None
    if before is not None:
        step = value - before.value
        if step < 0 and before.digits == digits:
            # From 99998 to 00003: the counter began anew.
            anew = step + 10.0**digits
            if own is not None and anew / max(days, LEAST_DAYS) <= MOST_RATE * own:
                step = anew
        ratio = math.nan if own is None else max(0.0, step) / max(days, LEAST_DAYS) / own
        if step < 0:
            backwards, why = 1.0, f"it is less than {before.value:.10g}, which was confirmed before"
        elif ratio > MOST_RATE:
            why = f"it would have run {ratio:.3g} times as fast as usual"
    if after is not None and value > after.value and backwards == 0.0:
        backwards, why = 1.0, f"it is more than {after.value:.10g}, which was confirmed after it"
    if more and why is None:
        why = f"it has {digits} digits, confirmed readings have {usual:g}"
    return Judged(backwards, ratio, more, days, why)


def own_rate(meter: Meter) -> float | None:
    """Median rate per day between confirmed readings, at least LEAST_RATE; None before there are LEAST_RATES."""
    steps = [
        (after.value - before.value) / max(LEAST_DAYS, (after.time - before.time) / DAY_MS)
        for before, after in pairwise(meter.confirmed)
    ]
    return max(LEAST_RATE, median(steps)) if len(steps) >= LEAST_RATES else None


class Lead(NamedTuple):
    """Where the last readings lead: the value that they let expect, and what the meter counts a day."""

    value: float
    rate: float

    def deviation(self, value: float) -> float:
        """How far a value is from there, in days of running."""
        return (value - self.value) / self.rate


def lead(meter: Meter, time: int) -> Lead | None:
    """Where the last readings lead at a time; None where these are too few.

    Each of them is led on by the meter's rate (its own, else the median between the last readings), and the median of
    where they lead counts.
    """
    known = sorted(meter.recent)
    if len(known) < 2:
        return None
    own = own_rate(meter)
    if own is None:
        steps = rates([(when / DAY_MS, shown) for when, shown in known])
        own = max(LEAST_RATE, median(steps)) if steps else LEAST_RATE
    return Lead(median([shown + own * (time - when) / DAY_MS for when, shown in known]), own)


def seen(meter: Meter, time: int, value: float | None, judged: Judged) -> tuple[Meter, bool]:
    """The meter after a reading, and whether a person is to be asked now: REJECTIONS in a row that agree.

    They agree where none of them runs backwards against the one before, nor over MOST_RATE times as fast as usual.
    """
    if value is None:
        return meter, False
    meter = meter._replace(recent=(*meter.recent, (time, value))[-RECENT:])
    if judged.why is None:
        return meter._replace(rejected=0, last=(0, 0.0)), False
    own, (when, shown) = own_rate(meter) or math.inf, meter.last
    days = max(LEAST_DAYS, (time - when) / DAY_MS)
    agrees = meter.rejected > 0 and time >= when and 0.0 <= value - shown <= MOST_RATE * own * days
    count = meter.rejected + 1 if agrees else 1
    # Past the number it stays there: a person is asked once.
    return meter._replace(rejected=min(count, REJECTIONS + 1), last=(time, value)), count == REJECTIONS


def confirm(meter: Meter, shown: Shown) -> Meter:
    """The meter after a person said what it showed; what was known of the same moment is replaced."""
    others = [each for each in meter.confirmed if each.time != shown.time]
    kept = tuple(sorted([*others, shown]))[-CONFIRMED:]
    return meter._replace(confirmed=kept, rejected=0, last=(0, 0.0))
