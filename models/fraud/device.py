"""What is remembered of a device, and what one event on it says: who else uses it, and when.

A device remembers how many of its people it saw last on which day, and who used it in the last minutes. Beside it
stands the last day of each of its people. Days are those of UTC, because a device has no site.
"""

import math
import struct
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from models.fraud.local_time import DAY_MS

NAN = math.nan

WINDOW = 30
"""Days before an event in which its device's people are counted."""
MINUTES_MS = 300_000
"""What happens on a device within so much time of an event belongs together."""
RECENT = 32
"""People of these minutes that are remembered at most."""

_COUNT = struct.Struct("<B")
_DAY = struct.Struct("<iI")
_USE = struct.Struct("<Iq")


class Device(NamedTuple):
    """A device.

    Attributes:
        people: (day since 1970, how many people were here last on it), ascending.
        uses: (mark of a person, time of the newest event in epoch milliseconds) of the last minutes, oldest first.
    """

    people: tuple[tuple[int, int], ...] = ()
    uses: tuple[tuple[int, int], ...] = ()


class DeviceFacts(NamedTuple):
    """What the device of an event has been used for; NaN without one. See `models.fraud.features`."""

    accounts_30d: float = NAN
    accounts_5min: float = NAN
    seconds_since_other: float = NAN


UNUSED = Device()
NO_DEVICE = DeviceFacts()


def mark_of(person_id: str) -> int:
    """32 bits that stand for a person among those of one device."""
    return crc32(person_id.encode())


def pack_device(device: Device) -> bytes:
    days = [_DAY.pack(*day) for day in device.people]
    return _COUNT.pack(len(days)) + b"".join(days) + b"".join([_USE.pack(*use) for use in device.uses])


def unpack_device(raw: bytes) -> Device:
    (days,) = _COUNT.unpack_from(raw)
    end = _COUNT.size + days * _DAY.size
    return Device(tuple(_DAY.iter_unpack(raw[_COUNT.size : end])), tuple(_USE.iter_unpack(raw[end:])))


def observe(device: Device, last: int | None, mark: int, time: int) -> tuple[DeviceFacts, Device, int]:
    """Measure an event against its device, and learn it.

    It does not matter by which way events of different people come: one that is told a little late is measured against
    those around it as well as against those before it.

    Args:
        device: before the event.
        last: day on which its person was here last; None for a new one.
        mark: of its person.
        time: when it occurred, epoch milliseconds.
    Returns:
        What the event tells, the device after it, and the day on which the person was here last.
    """
    day = time // DAY_MS
    people, uses = device
    newest = max(day, people[-1][0]) if people else day
    oldest = newest - WINDOW
    if last is None or last < day or last < oldest:
        counts = dict(people)
        if last in counts:
            counts[last] -= 1
        counts[day] = counts.get(day, 0) + 1
        people = tuple(sorted((each, count) for each, count in counts.items() if count and each >= oldest))
        last = day
    if not uses or (len(uses) == 1 and uses[0][0] == mark and uses[0][1] <= time):
        # Nobody else: most phones, at most times.
        return DeviceFacts(_total(people), 1.0, NAN), Device(people, ((mark, time),)), last
    others = [abs(time - when) for who, when in uses if who != mark and abs(time - when) <= MINUTES_MS]
    before = next((when for who, when in uses if who == mark), time)
    horizon = max([time, *[when for _, when in uses]]) - MINUTES_MS
    kept = [use for use in uses if use[0] != mark and use[1] >= horizon]
    if (now := max(before, time)) >= horizon:
        kept.append((mark, now))
        kept.sort(key=_when)
    facts = DeviceFacts(
        _total(people),
        float(1 + len(others)),
        min(others) / 1000 if others else NAN,
    )
    return facts, Device(people, tuple(kept[-RECENT:])), last


def _total(people: Iterable[tuple[int, int]]) -> float:
    return float(sum([count for _, count in people]))


def _when(use: tuple[int, int]) -> tuple[int, int]:
    return use[1], use[0]
