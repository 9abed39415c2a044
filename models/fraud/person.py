"""What is remembered of a person, under 1 kB in two small values, and how one event is measured against it.

- head: the last event, the last fix, today's counts, sums over the days before today, the last devices, the places of
  the last located check-ins.
- days: counts of each of the days before today, by the site's local date.

All of it is immutable. The sums stand in the head, so that days are read once a day.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from models.attendance import CHECK_IN
from models.fraud.device import DeviceFacts
from models.fraud.local_time import DAY_MS, HOUR_MS, DayFacts, Site
from models.geography import EARTH_M, distance_m

NAN = math.nan

WINDOW = 30
"""Days before today that an event is compared with."""
KEPT = WINDOW + 1
"""Days before the newest one that are remembered: one more, for people at sites in two zones."""
LATE_MS = 600_000
"""A check-in later than this after the start of its shift is a late arrival."""
PLACES = DEVICES = 20
"""Located check-ins and devices remembered."""

PRIOR_LATE, PRIOR_WEEKEND, PRIOR_WEIGHT = 0.1, 0.1, 10
"""What a person's rate is taken for before much is known, and how many cases that weighs."""
LEAST_DAYS = 2
"""Days before today that a spread needs."""
LEAST_SD = 0.5
"""Of daily check-ins: who checks in once every day is no riddle when he does so twice."""
LEAST_HOURS = 1 / 60
"""A speed is taken over a minute at least: fixes are not good enough for less."""

UNKNOWN = 2
"""Whether a day is of the weekend: 0 no, 1 yes."""

Event = Mapping[str, Any]

_MOST = 255
_NEVER = -(1 << 62)
_DAY = struct.Struct("<i5B")
_PLACE = struct.Struct("<ii")
_DEVICE = struct.Struct("<I")
_DEVICES = [struct.Struct(f"<{count}I") for count in range(DEVICES + 1)]
_HEAD = struct.Struct("<qddqdddii5BBHIHHBBHB")
_DAYS_BYTES, _PLACES_BYTES, _DEVICES_BYTES = KEPT * _DAY.size, PLACES * _PLACE.size, DEVICES * _DEVICE.size

PLACE_SCALE = 1e7
"""Degrees are remembered as whole numbers of 1 / PLACE_SCALE: about a centimetre."""
STEP_M = math.radians(1 / PLACE_SCALE) * EARTH_M
"""One of them, of latitude, in metres."""
AROUND = 360 * PLACE_SCALE
"""So many lead around the Earth."""
NEAR_M = 150.0
"""Two check-ins are at the same place within so many metres."""


class Counts(NamedTuple):
    """What happened on a day: check-ins, those with a scheduled start, the late ones of these, mismatched faces."""

    check_ins: int = 0
    scheduled: int = 0
    late: int = 0
    mismatches: int = 0
    weekend: int = UNKNOWN


class Sums(NamedTuple):
    """Of the days before a day: how many are known, their counts, the days with a check-in, those of a weekend."""

    known: int = 0
    check_ins: int = 0
    squares: int = 0
    scheduled: int = 0
    late: int = 0
    worked: int = 0
    weekends: int = 0
    mismatches: int = 0


class Head(NamedTuple):
    """The part of a person that every event changes.

    Attributes:
        newest: occurred_at of the newest event, epoch milliseconds.
        site_latitude, site_longitude: centre of its site, NaN where that is not known.
        fix_time, fix_latitude, fix_longitude, fix_accuracy: of the newest fix; NaN before the first, or not told.
        first, today: first and newest local day, as days since 1970.
        counts: of today.
        sums: of the days before today.
        devices: of the last events with one, 4 bytes each, the newest last.
        places: of the last located check-ins, 8 bytes each, the newest last.
    """

    newest: int
    site_latitude: float
    site_longitude: float
    fix_time: int
    fix_latitude: float
    fix_longitude: float
    fix_accuracy: float
    first: int
    today: int
    counts: Counts
    sums: Sums
    devices: bytes
    places: bytes


class Person(NamedTuple):
    """A person as stored; `head` is None before the first event."""

    head: Head | None = None
    days: bytes = b""


NOBODY = Person()
_NOWHEN = DayFacts(NAN, NAN, NAN)
_TWO = len(Counts._fields)


def pack_head(head: Head) -> bytes:
    known = len(head.devices) // _DEVICE.size
    return _HEAD.pack(*head[:9], *head.counts, *head.sums, known) + head.devices + head.places


def unpack_head(raw: bytes) -> Head:
    """The inverse of `pack_head`. Raises ValueError and struct.error for anything else."""
    *found, known = _HEAD.unpack_from(raw)
    counts, sums = Counts._make(found[9 : 9 + _TWO]), Sums._make(found[9 + _TWO :])
    middle = _HEAD.size + known * _DEVICE.size
    if len(raw) < middle or (len(raw) - middle) % _PLACE.size:
        raise ValueError(f"{len(raw)} bytes are no head of a person with {known} devices")
    return Head._make((*found[:9], counts, sums, raw[_HEAD.size : middle], raw[middle:]))


def observe(
    person: Person, event: Event, site: Site | None, allowed: bool | None, device: DeviceFacts
) -> tuple[list[float], Person]:
    """Measure an event against a person, and learn it.

    An event that is older than the newest of its person is late: it counts in its own day as long as that is
    remembered, and is no one's last event.

    Args:
        person: before the event.
        event: of events.attendance, valid.
        site: its site; None where that is not known: then its day is that of UTC, and what needs the site is NaN.
        allowed: whether the roster lets the person work there; None where no roster is known.
        device: what the agent of devices has found.
    Returns:
        The features in the order of FEATURES_V2, and the person after the event. Those that compare places are NaN:
        `models.fraud.vectors` fills them in, for many events at once.
    """
    time: int = event["occurred_at"]
    if site is None:
        day, hour, facts, weekend = time // DAY_MS, NAN, _NOWHEN, UNKNOWN
        site_latitude = site_longitude = radius = NAN
    else:
        day, within = divmod(time + site.offset_ms(time), DAY_MS)
        hour, facts = within / HOUR_MS, site.facts(day)
        weekend = int(facts.is_weekend)
        site_latitude, site_longitude, radius = site.latitude, site.longitude, site.radius_m
    checks_in = event["kind"] == CHECK_IN
    start, matched = event["scheduled_start"], event["face_matched"]
    scheduled = checks_in and start is not None
    tardy = scheduled and time - start > LATE_MS

    head, days = person
    if head is None:
        newest, before_latitude, before_longitude = _NEVER, NAN, NAN
        fix_time, fix_latitude, fix_longitude, fix_accuracy = _NEVER, NAN, NAN, NAN
        first, today, today_counts, today_sums, devices, places = day, day, Counts(), Sums(), b"", b""
    else:
        (newest, before_latitude, before_longitude, fix_time, fix_latitude, fix_longitude, fix_accuracy,
         first, today, today_counts, today_sums, devices, places) = head  # fmt: skip
    late = time < newest

    # The day: what was before it, and what happens on it.
    if day > today:
        days, today_sums = _next_day(
            days + _DAY.pack(today, *today_counts), day, first, today, today_counts, today_sums
        )
        today, today_counts = day, Counts()
    if day == today:
        counts, sums = today_counts, today_sums
    else:
        counts, sums = _counts(days, day), sums_before(days, day, first, today)
    if checks_in or matched is False or counts.weekend != weekend:
        counts = Counts(
            min(_MOST, counts.check_ins + checks_in),
            min(_MOST, counts.scheduled + scheduled),
            min(_MOST, counts.late + tardy),
            min(_MOST, counts.mismatches + (matched is False)),
            weekend,
        )
    if day == today:
        today_counts = counts
    elif day >= today - KEPT:
        first = min(first, day)
        days = _replaced(days, day, counts)
        today_sums = sums_before(days, today, first, today)

    # The place.
    latitude, longitude, accuracy = event["latitude"], event["longitude"], event["gps_accuracy_m"]
    drift = speed = claimed = repeats = NAN
    if not late:
        hours = max(LEAST_HOURS, (time - newest) / HOUR_MS)
        if site_latitude == before_latitude and site_longitude == before_longitude:
            claimed = 0.0
        elif site is not None and before_latitude == before_latitude:
            claimed = distance_m(before_latitude, before_longitude, site_latitude, site_longitude) / 1000 / hours
    if latitude is not None:
        if site is not None:
            drift = distance_m(site_latitude, site_longitude, latitude, longitude)
        if not late:
            if fix_latitude == fix_latitude:
                unsure = (accuracy or 0.0) + (fix_accuracy if fix_accuracy == fix_accuracy else 0.0)
                metres = max(0.0, distance_m(fix_latitude, fix_longitude, latitude, longitude) - unsure)
                speed = metres / 1000 / max(LEAST_HOURS, (time - fix_time) / HOUR_MS)
            if accuracy is not None and fix_accuracy == fix_accuracy:
                repeats = 1.0 if accuracy == fix_accuracy else 0.0
            fix_time, fix_latitude, fix_longitude = time, latitude, longitude
            fix_accuracy = NAN if accuracy is None else accuracy
            if checks_in:
                place = _PLACE.pack(round(latitude * PLACE_SCALE), round(longitude * PLACE_SCALE))
                places = (places + place)[-_PLACES_BYTES:]

    # The device.
    name = event["device_id"]
    familiarity = NAN
    if name is not None and not late:
        mark = crc32(name.encode())
        if devices:
            known = len(devices) // _DEVICE.size
            familiarity = _DEVICES[known].unpack(devices).count(mark) / known
        devices = (devices + _DEVICE.pack(mark))[-_DEVICES_BYTES:]

    since = NAN
    if not late:
        since = NAN if newest == _NEVER else (time - newest) / 1000
        newest, before_latitude, before_longitude = time, site_latitude, site_longitude
    confidence, mock, age = event["face_confidence"], event["mock_location"], event["fix_age_s"]
    row = [
        hour,
        *facts,
        drift,
        NAN,
        NAN if late else _zscore(counts.check_ins, sums),
        _rate(sums.late, sums.scheduled, PRIOR_LATE),
        _rate(sums.weekends, sums.worked, PRIOR_WEEKEND),
        NAN if confidence is None else confidence,
        float(sums.mismatches) if sums.known else NAN,
        since,
        *device,
        familiarity,
        speed,
        claimed,
        NAN if age is None else age,
        NAN if accuracy is None else accuracy,
        NAN if mock is None else float(mock),
        drift - radius,
        NAN,
        NAN if allowed is None else float(allowed),
        1.0 if latitude is None else 0.0,
        NAN if matched is None else float(matched),
        0.0 if checks_in else 1.0,
        NAN if start is None else (time - start) / 60_000,
        repeats,
    ]
    head = Head(newest, before_latitude, before_longitude, fix_time, fix_latitude, fix_longitude, fix_accuracy,
                first, today, today_counts, today_sums, devices, places)  # fmt: skip
    return row, Person(head, days)


def _zscore(check_ins: int, sums: Sums) -> float:
    known = sums.known
    if known < LEAST_DAYS:
        return NAN
    mean = sums.check_ins / known
    variance = max(0.0, sums.squares / known - mean * mean)
    return (check_ins - mean) / max(LEAST_SD, math.sqrt(variance))


def _rate(cases: int, of: int, prior: float) -> float:
    return (cases + prior * PRIOR_WEIGHT) / (of + PRIOR_WEIGHT) if of else NAN


def _next_day(days: bytes, day: int, first: int, today: int, counts: Counts, sums: Sums) -> tuple[bytes, Sums]:
    """What `sums_before` would find for a later day, made of the sums of today, whose counts are the last of `days`.

    Returns:
        Days without those that are forgotten by then, and the sums.
    """
    sums = _with(sums, counts, 1)
    place = forgotten = 0
    while place < len(days):
        each, *gone = _DAY.unpack_from(days, place)
        if each >= day - WINDOW:
            break
        place += _DAY.size
        if each >= today - WINDOW:
            sums = _with(sums, gone, -1)
        if each < day - KEPT:
            forgotten = place
    return days[forgotten:], Sums(day - max(day - WINDOW, first), *sums[1:])


def _with(sums: Sums, counts: Sequence[int], sign: int) -> Sums:
    """Sums with (1) or without (-1) the counts of a day."""
    came, planned, tardy, wrong, weekend = counts
    known, check_ins, squares, scheduled, late, worked, weekends, mismatches = sums
    if came and weekend != UNKNOWN:
        worked += sign
        weekends += sign * weekend
    return Sums(
        known,
        check_ins + sign * came,
        squares + sign * came * came,
        scheduled + sign * planned,
        late + sign * tardy,
        worked,
        weekends,
        mismatches + sign * wrong,
    )


def _counts(days: bytes, day: int) -> Counts:
    for found in _DAY.iter_unpack(days):
        if found[0] == day:
            return Counts._make(found[1:])
    return Counts()


def _replaced(days: bytes, day: int, counts: Counts) -> bytes:
    """Days, in their order, with the counts of one of them."""
    start = 0
    while start < len(days) and _DAY.unpack_from(days, start)[0] < day:
        start += _DAY.size
    end = start
    if start < len(days) and _DAY.unpack_from(days, start)[0] == day:
        end += _DAY.size
    return days[:start] + _DAY.pack(day, *counts) + days[end:]


def sums_before(days: bytes, day: int, first: int, today: int) -> Sums:
    """Of up to WINDOW days before a day; as many as the person is known for, and as are remembered.

    Days without any event count as days without check-ins."""
    start = max(day - WINDOW, first, today - KEPT)
    if start >= day:
        return Sums()
    check_ins = squares = scheduled = late = worked = weekends = mismatches = 0
    for each, came, planned, tardy, wrong, weekend in _DAY.iter_unpack(days):
        if start <= each < day:
            check_ins += came
            squares += came * came
            scheduled += planned
            late += tardy
            mismatches += wrong
            if came and weekend != UNKNOWN:
                worked += 1
                weekends += weekend
    return Sums(day - start, check_ins, squares, scheduled, late, worked, weekends, mismatches)
