"""Capture health of a tenant: do captures come as they usually do?

Times are the partition's clock in epoch milliseconds, days those of UTC. A tenant's own normal is the median of the
days that are over, of those of the same weekday where these are fewer: who does not read on Sundays is not ill on one.
"""

import math
import struct
from itertools import accumulate
from typing import NamedTuple

from models.ocr.device import median

DAY_MS = 86_400_000
KEPT = 28
"""Days before today that are remembered."""
LEAST_DAYS = 7
"""Nothing is normal before so many days are over."""
LEAST_SAME = 3
"""Days of one weekday that say what is normal on it."""
SILENT_MS = DAY_MS
"""Silence shorter than this says nothing ..."""
SILENT_EXPECTED = 5.0
"""... nor one in which fewer captures were to be expected: none is then more likely than 0.7 %."""
BUSY, LOW = 10.0, 5
"""A tenant with this normal is to have so many captures a day; of others, fewer than 1 day in 100 would have less."""
RARE = 0.01

_HEAD = struct.Struct("<iqqB")
_DAY = struct.Struct("<II")


class Health(NamedTuple):
    """Of a tenant.

    Attributes:
        today: day since 1970 of the newest reading.
        reading, capture: when the newest ones came; -1 before the first.
        low: whether the last day that is over had too few captures.
        days: (readings, captures) of today and the days before it, the oldest first; at most KEPT + 1.
    """

    today: int
    reading: int = -1
    capture: int = -1
    low: bool = False
    days: tuple[tuple[int, int], ...] = ((0, 0),)

    def pack(self) -> bytes:
        head = _HEAD.pack(self.today, self.reading, self.capture, self.low)
        return head + b"".join(_DAY.pack(*each) for each in self.days)


def unpack_health(raw: bytes) -> Health:
    today, reading, capture, low = _HEAD.unpack_from(raw)
    return Health(today, reading, capture, bool(low), tuple(_DAY.iter_unpack(raw[_HEAD.size :])))


def at(health: Health, clock: int) -> Health:
    """The tenant at a time: today is the day of it."""
    gone = clock // DAY_MS - health.today
    if gone <= 0:
        return health
    days = (*health.days, *((0, 0),) * min(gone, KEPT + 1))[-KEPT - 1 :]
    return health._replace(today=clock // DAY_MS, days=days)


def read(health: Health, clock: int, captured: bool) -> Health:
    """The tenant after a reading."""
    health = at(health, clock)
    readings, captures = health.days[-1]
    days = (*health.days[:-1], (readings + 1, captures + captured))
    return health._replace(reading=clock, capture=clock if captured else health.capture, days=days)


def normal(health: Health, day: int) -> float | None:
    """Captures that are normal on a day, by those before today; None before LEAST_DAYS are over."""
    # The first day of a tenant began somewhere in it.
    whole = health.days[:-1] if len(health.days) > KEPT else health.days[1:-1]
    if len(whole) < LEAST_DAYS:
        return None
    first = health.today - len(whole)
    usual = median([float(captures) for _, captures in whole])
    same = [float(captures) for number, (_, captures) in enumerate(whole, first) if (number - day) % 7 == 0]
    return min(usual, median(same)) if len(same) >= LEAST_SAME else usual


def silent_at(health: Health, clock: int) -> int | None:
    """When silence from a time on is to be told; None where nothing is normal yet, or nothing at all is."""
    left, moment = SILENT_EXPECTED, clock
    for day in range(clock // DAY_MS, clock // DAY_MS + KEPT):
        usual = normal(health, day)
        end = (day + 1) * DAY_MS
        expected = (usual or 0.0) * (end - moment) / DAY_MS
        if usual and expected >= left:
            return max(clock + SILENT_MS, moment + math.ceil(left / usual * DAY_MS))
        left, moment = left - expected, end
    return None


def least(usual: float) -> int:
    """Captures that a day must have where so many are normal; 0: any number will do."""
    if usual >= BUSY:
        return LOW
    chances = accumulate(math.exp(-usual) * usual**count / math.factorial(count) for count in range(LOW))
    return sum(chance < RARE for chance in chances)
