# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""`models.fraud.person.observe` and the comparison of places in C: the same numbers to the last bit.

Like the compiled codecs it knows what comes all the time. An event of a day before its person's newest one, a time or a
place beyond everything, state that does not look as it should: these are left to the plain functions, one by one.
"""

import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.math cimport NAN, asin, cos, fabs, rint, sin, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memmove

from zlib import crc32

import numpy as np

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(object, object) except? NULL

from models.attendance import CHECK_IN
from models.fraud import person
from models.fraud.features import FEATURES_V2
from models.geography import EARTH_M

if sys.byteorder != "little":
    raise ImportError("the compiled features copy numbers as they lie in memory, which must be little-endian")

cdef enum:
    MOST_DAYS = 64
    MOST_PLACES = 64

cdef int64_t DAY_MS = person.DAY_MS, LATE_MS = person.LATE_MS, NEVER = person._NEVER, FAR = 1 << 50
cdef double HOUR_MS = person.HOUR_MS, LEAST_HOURS = person.LEAST_HOURS, EARTH = 2 * EARTH_M
cdef int WINDOW = person.WINDOW, KEPT = person.KEPT, LEAST_DAYS = person.LEAST_DAYS, MOST = person._MOST
cdef double LEAST_SD = person.LEAST_SD
cdef int UNKNOWN = person.UNKNOWN
cdef double PRIOR_WEIGHT = person.PRIOR_WEIGHT
cdef double LATE_CASES = person.PRIOR_LATE * person.PRIOR_WEIGHT
cdef double WEEKEND_CASES = person.PRIOR_WEEKEND * person.PRIOR_WEIGHT
cdef Py_ssize_t PLACES = person.PLACES, DEVICES = person.DEVICES
cdef double SCALE = person.PLACE_SCALE, METRES = person.STEP_M, AROUND = person.AROUND, NEAR_M = person.NEAR_M
cdef double RADIANS = np.pi / 180.0
cdef int32_t LARGEST = 0x7FFFFFFF
cdef Py_ssize_t WIDTH = len(FEATURES_V2)


cdef packed struct Counts:
    uint8_t check_ins
    uint8_t scheduled
    uint8_t late
    uint8_t mismatches
    uint8_t weekend


cdef packed struct Day:
    int32_t day
    Counts counts


cdef packed struct Place:
    int32_t latitude
    int32_t longitude


cdef packed struct Stored:  # a head, before the devices
    int64_t newest
    double site_latitude
    double site_longitude
    int64_t fix_time
    double fix_latitude
    double fix_longitude
    double fix_accuracy
    int32_t first
    int32_t today
    Counts counts
    uint8_t known
    uint16_t check_ins
    uint32_t squares
    uint16_t scheduled
    uint16_t late
    uint8_t worked
    uint8_t weekends
    uint16_t mismatches


if sizeof(Stored) != person._HEAD.size or sizeof(Day) != person._DAY.size or sizeof(Place) != person._PLACE.size:
    raise ImportError("the compiled features do not know how people are stored")


cdef struct Sums:
    int64_t known, check_ins, squares, scheduled, late, worked, weekends, mismatches


cdef class Person:
    """A person at hand: what is stored, spread out."""

    cdef Stored head
    cdef Sums sums
    cdef Day[MOST_DAYS] days
    cdef Place[MOST_PLACES] places
    cdef uint32_t[MOST_PLACES] devices
    cdef Py_ssize_t days_count, places_count, devices_count

    cdef bint load(self, object head, object days, object places):
        """Whether all of it looks as it should."""
        cdef Py_ssize_t size
        if head is None:
            self.head.newest = self.head.fix_time = NEVER
            self.head.site_latitude = self.head.site_longitude = NAN
            self.head.fix_latitude = self.head.fix_longitude = self.head.fix_accuracy = NAN
            self.devices_count = 0
        else:
            size = PyBytes_GET_SIZE(head) - <Py_ssize_t>sizeof(Stored)
            if not PyBytes_CheckExact(head) or size < 0 or size % 4 or size > 4 * DEVICES:
                return False
            memcpy(&self.head, PyBytes_AS_STRING(head), sizeof(Stored))
            memcpy(self.devices, PyBytes_AS_STRING(head) + sizeof(Stored), size)
            self.devices_count = size // 4
        self.days_count = self.places_count = 0
        if days is not None:
            size = PyBytes_GET_SIZE(days)
            # One more may come, when the day changes.
            if not PyBytes_CheckExact(days) or size % sizeof(Day) or size >= MOST_DAYS * <Py_ssize_t>sizeof(Day):
                return False
            memcpy(self.days, PyBytes_AS_STRING(days), size)
            self.days_count = size // <Py_ssize_t>sizeof(Day)
        if places is not None:
            size = PyBytes_GET_SIZE(places)
            if not PyBytes_CheckExact(places) or size % sizeof(Place) or size > PLACES * <Py_ssize_t>sizeof(Place):
                return False
            memcpy(self.places, PyBytes_AS_STRING(places), size)
            self.places_count = size // <Py_ssize_t>sizeof(Place)
        self.sums = Sums(
            self.head.known, self.head.check_ins, self.head.squares, self.head.scheduled,
            self.head.late, self.head.worked, self.head.weekends, self.head.mismatches,
        ) if head is not None else Sums(0, 0, 0, 0, 0, 0, 0, 0)
        return True

    cdef bint next_day(self, int64_t day):
        """What `models.fraud.person._next_day` does; False where the plain one must."""
        cdef Py_ssize_t place = 0, forgotten = 0
        cdef int64_t each
        self.days[self.days_count] = Day(self.head.today, self.head.counts)
        self.days_count += 1
        self.add(&self.head.counts, 1)
        while place < self.days_count:
            each = self.days[place].day
            if each >= day - WINDOW:
                break
            if each >= self.head.today - WINDOW:
                self.add(&self.days[place].counts, -1)
            place += 1
            if each < day - KEPT:
                forgotten = place
        self.days_count -= forgotten
        memmove(self.days, &self.days[forgotten], self.days_count * sizeof(Day))
        self.sums.known = day - max(day - WINDOW, <int64_t>self.head.first)
        self.head.today = <int32_t>day
        self.head.counts = Counts(0, 0, 0, 0, UNKNOWN)
        return True

    cdef void add(self, const Counts* counts, int sign):
        cdef int64_t came = counts.check_ins
        self.sums.check_ins += sign * came
        self.sums.squares += sign * came * came
        self.sums.scheduled += sign * counts.scheduled
        self.sums.late += sign * counts.late
        self.sums.mismatches += sign * counts.mismatches
        if came and counts.weekend != UNKNOWN:
            self.sums.worked += sign
            self.sums.weekends += sign * counts.weekend

    cdef bint keep_sums(self):
        """Put the sums into what is stored; False where they do not fit."""
        cdef Sums* sums = &self.sums
        self.head.known, self.head.check_ins, self.head.squares = sums.known, sums.check_ins, sums.squares
        self.head.scheduled, self.head.late, self.head.worked = sums.scheduled, sums.late, sums.worked
        self.head.weekends, self.head.mismatches = sums.weekends, sums.mismatches
        return (
            self.head.known == sums.known and self.head.check_ins == sums.check_ins
            and self.head.squares == sums.squares and self.head.scheduled == sums.scheduled
            and self.head.late == sums.late and self.head.worked == sums.worked
            and self.head.weekends == sums.weekends and self.head.mismatches == sums.mismatches
        )


cdef class Learner:
    """Measures events one after the other.

    Attributes:
        heads, days, places: what is remembered of people, by key; changed in place.
    """

    cdef object heads, days, places
    cdef Person one

    def __init__(self, heads, days, places):
        self.heads, self.days, self.places, self.one = heads, days, places, Person()

    cdef bint learn(
        self, object key, dict event, object site, double allowed, const double* device, double* row
    ) except -1:
        """Put the features of an event into a row; False where the plain function must."""
        cdef Person one = self.one
        cdef object head = self.heads[key], days = self.days[key], places = self.places[key]
        cdef int changed
        if not one.load(head, days, places):
            return False
        changed = observe(one, head is None, event, site, allowed, device, row)
        if changed & LEFT:
            return False
        self.heads[key] = head_bytes(one)
        if changed & DAYS and (one.days_count or days):
            self.days[key] = PyBytes_FromStringAndSize(<const char*>one.days, one.days_count * sizeof(Day))
        if changed & PLACED:
            self.places[key] = PyBytes_FromStringAndSize(<const char*>one.places, one.places_count * sizeof(Place))
        return True


def vectors(cases not None, heads, days, places, plain):
    """What `models.fraud.vectors.vectors` says.

    Args:
        plain: the plain function, of a case, for those that are left to it.
    """
    cdef Py_ssize_t row = 0
    cdef double[:, ::1] out
    cdef double[3] device
    cdef Learner learner = Learner(heads, days, places)
    table = np.empty((len(cases), WIDTH))
    out = table
    for case in cases:
        key, event, site, allowed, (device[0], device[1], device[2]) = case
        if not learner.learn(key, event, site, NAN if allowed is None else <double>allowed, device, &out[row, 0]):
            table[row] = plain(case)[0]
        row += 1
    return table


def measure(list keys not None, list events not None, references, heads, days, places, plain):
    """What `models.fraud.vectors.measure` says.

    Args:
        plain: the plain function, of a key and an event, for those that are left to it.
    """
    cdef Py_ssize_t row, last, rows = len(keys)
    cdef dict event, sites = references.sites
    cdef PyObject* found
    cdef double[:, ::1] out
    cdef double[3] device
    cdef double allowed
    cdef list nowhere = []
    cdef Learner learner = Learner(heads, days, places)
    if len(events) != rows:
        raise ValueError("expected a key for each event")
    table = np.empty((rows, WIDTH))
    out = table
    for row in range(rows):
        event = events[row]
        tenant, site_id, time, listed = event["tenant_id"], event["site_id"], event["published_at"], event["allowed_sites"]
        found = PyDict_GetItemWithError(sites, (tenant, site_id))
        last = len((<object>found)[0]) - 1 if found != NULL else -1
        if last >= 0 and time >= (<object>found)[0][last]:
            site = (<object>found)[1][last]  # the newest, as a rule
        else:
            site = references.site(tenant, site_id, time)
        if site is None:
            nowhere.append(row)
        if listed is None:
            listed = references.allowed(tenant, event["person_id"], site_id, time)
            allowed = NAN if listed is None else <double>listed
        else:
            allowed = site_id in listed
        device[0] = device[1] = device[2] = NAN
        if event["device_id"] is not None:
            device[0], device[1] = event["accounts_per_device_30d"], event["accounts_on_device_5min"]
            seconds = event["seconds_since_other_account"]
            if seconds is not None:
                device[2] = seconds
        if not learner.learn(keys[row], event, site, allowed, device, &out[row, 0]):
            table[row] = plain(keys[row], event)[0]
    return table, nowhere


cdef enum:
    LEFT = 1
    DAYS = 2
    PLACED = 4


cdef object remembered(dict days, int64_t day):
    cdef PyObject* found = PyDict_GetItemWithError(days, day)
    return None if found == NULL else <object>found


cdef bytes head_bytes(Person one):
    cdef bytes raw = PyBytes_FromStringAndSize(NULL, sizeof(Stored) + 4 * one.devices_count)
    memcpy(PyBytes_AS_STRING(raw), &one.head, sizeof(Stored))
    memcpy(PyBytes_AS_STRING(raw) + sizeof(Stored), one.devices, 4 * one.devices_count)
    return raw


cdef int observe(Person one, bint new, dict event, object site, double allowed, const double* device, double* row) except -1:
    """Put the features of an event into a row; what of the person has changed, or LEFT."""
    cdef Stored* head = &one.head
    cdef int64_t time = event["occurred_at"], local, day, begin = 0
    cdef int weekend, changed = 0
    cdef double hour, weekday, is_weekend, is_holiday, site_latitude, site_longitude, radius
    cdef bint known_site = site is not None, checks_in, scheduled, tardy, mismatch, late
    cdef double latitude = NAN, longitude = NAN, accuracy = NAN, whole_latitude, whole_longitude
    cdef double drift = NAN, speed = NAN, claimed = NAN, repeats = NAN, familiarity = NAN, since = NAN
    cdef double consistency = NAN, nearest = NAN, hours, unsure, metres, minutes = NAN, score = NAN
    cdef bint located, told
    cdef Py_ssize_t place, hits
    cdef uint32_t mark

    if not -FAR < time < FAR:
        return LEFT
    if not known_site:
        day, hour, weekday, is_weekend, is_holiday, weekend = floor_of(time), NAN, NAN, NAN, NAN, UNKNOWN
        site_latitude = site_longitude = radius = NAN
    else:
        # What was asked for before is found without a call.
        offset = remembered(site.zone.days, floor_of(time))
        local = time + <int64_t>(site.offset_ms(time) if offset is None else offset)
        day = floor_of(local)
        hour = <double>(local - day * DAY_MS) / HOUR_MS
        facts = remembered(site.days, day)
        if facts is None:
            facts = site.facts(day)
        weekday, is_weekend, is_holiday = facts
        weekend = <int>is_weekend
        site_latitude, site_longitude, radius = site.latitude, site.longitude, site.radius_m
    if not -LARGEST < day < LARGEST:
        return LEFT
    checks_in = event["kind"] == CHECK_IN
    start, matched = event["scheduled_start"], event["face_matched"]
    if start is not None:
        begin = start
        if not -FAR < begin < FAR:
            return LEFT
        minutes = <double>(time - begin) / 60000.0
    scheduled = checks_in and start is not None
    tardy = scheduled and time - begin > LATE_MS
    mismatch = matched is False
    if event["latitude"] is not None:
        latitude, longitude = event["latitude"], event["longitude"]
        whole_latitude, whole_longitude = rint(latitude * SCALE), rint(longitude * SCALE)
        # Neither NaN nor what no stored place can hold passes this.
        if not (fabs(whole_latitude) < LARGEST and fabs(whole_longitude) < LARGEST):
            return LEFT
    located = event["latitude"] is not None
    told = event["gps_accuracy_m"] is not None
    if told:
        accuracy = event["gps_accuracy_m"]

    # The day: what was before it, and what happens on it.
    if new:
        head.first = head.today = <int32_t>day
        head.counts = Counts(0, 0, 0, 0, UNKNOWN)
    late = time < head.newest
    if day < head.today:
        return LEFT
    if day > head.today:
        one.next_day(day)
        changed |= DAYS
    if not one.keep_sums():
        return LEFT
    if checks_in or mismatch or head.counts.weekend != weekend:
        head.counts = Counts(
            min(MOST, head.counts.check_ins + checks_in),
            min(MOST, head.counts.scheduled + scheduled),
            min(MOST, head.counts.late + tardy),
            min(MOST, head.counts.mismatches + mismatch),
            weekend,
        )

    # The place.
    if not late:
        if site_latitude == head.site_latitude and site_longitude == head.site_longitude:
            claimed = 0.0
        elif known_site and head.site_latitude == head.site_latitude:
            hours = <double>(time - head.newest) / HOUR_MS
            hours = hours if hours > LEAST_HOURS else LEAST_HOURS
            claimed = distance(head.site_latitude, head.site_longitude, site_latitude, site_longitude) / 1000 / hours
    if located:
        if one.places_count and not late:
            compare(one, latitude, longitude, &consistency, &nearest)
        if known_site:
            drift = distance(site_latitude, site_longitude, latitude, longitude)
        if not late:
            if head.fix_latitude == head.fix_latitude:
                unsure = (accuracy if told else 0.0) + (
                    head.fix_accuracy if head.fix_accuracy == head.fix_accuracy else 0.0
                )
                metres = distance(head.fix_latitude, head.fix_longitude, latitude, longitude) - unsure
                metres = metres if metres > 0.0 else 0.0
                hours = <double>(time - head.fix_time) / HOUR_MS
                hours = hours if hours > LEAST_HOURS else LEAST_HOURS
                speed = metres / 1000 / hours
            if told and head.fix_accuracy == head.fix_accuracy:
                repeats = 1.0 if accuracy == head.fix_accuracy else 0.0
            head.fix_time, head.fix_latitude, head.fix_longitude = time, latitude, longitude
            head.fix_accuracy = accuracy
            if checks_in:
                if one.places_count == PLACES:
                    memmove(one.places, &one.places[1], (PLACES - 1) * sizeof(Place))
                    one.places_count -= 1
                one.places[one.places_count] = Place(<int32_t>whole_latitude, <int32_t>whole_longitude)
                one.places_count += 1
                changed |= PLACED

    # The device.
    name = event["device_id"]
    if name is not None and not late:
        mark = crc32((<str>name).encode())
        if one.devices_count:
            hits = 0
            for place in range(one.devices_count):
                hits += one.devices[place] == mark
            familiarity = <double>hits / <double>one.devices_count
        if one.devices_count == DEVICES:
            memmove(one.devices, &one.devices[1], 4 * (DEVICES - 1))
            one.devices_count -= 1
        one.devices[one.devices_count] = mark
        one.devices_count += 1

    if not late:
        if not new:
            since = <double>(time - head.newest) / 1000.0
        head.newest, head.site_latitude, head.site_longitude = time, site_latitude, site_longitude
        score = zscore(head.counts.check_ins, &one.sums)

    # In the order of models.fraud.person.observe.
    confidence, age, mock = event["face_confidence"], event["fix_age_s"], event["mock_location"]
    row[0], row[1], row[2], row[3] = hour, weekday, is_weekend, is_holiday
    row[4], row[5], row[6] = drift, consistency, score
    row[7] = rate(one.sums.late, one.sums.scheduled, LATE_CASES)
    row[8] = rate(one.sums.weekends, one.sums.worked, WEEKEND_CASES)
    row[9] = NAN if confidence is None else <double>confidence
    row[10] = <double>one.sums.mismatches if one.sums.known else NAN
    row[11] = since
    row[12], row[13], row[14] = device[0], device[1], device[2]
    row[15], row[16], row[17] = familiarity, speed, claimed
    row[18] = NAN if age is None else <double>age
    row[19] = accuracy
    row[20] = NAN if mock is None else <double>mock
    row[21], row[22] = drift - radius, nearest
    row[23] = allowed
    row[24] = 0.0 if located else 1.0
    row[25] = NAN if matched is None else <double>matched
    row[26] = 0.0 if checks_in else 1.0
    row[27], row[28] = minutes, repeats
    return changed


cdef inline int64_t floor_of(int64_t time) noexcept:
    """The day of a time."""
    return time // DAY_MS if time >= 0 else -((DAY_MS - 1 - time) // DAY_MS)


cdef double distance(double latitude, double longitude, double other_latitude, double other_longitude) noexcept:
    """As models.geography.distance_m."""
    cdef double north = sin((other_latitude - latitude) * RADIANS / 2)
    cdef double east = sin((other_longitude - longitude) * RADIANS / 2)
    cdef double share = north * north + cos(latitude * RADIANS) * cos(other_latitude * RADIANS) * (east * east)
    cdef double root = sqrt(share)
    return EARTH * asin(root if root < 1.0 else 1.0)


cdef void compare(Person one, double latitude, double longitude, double* share, double* nearest) noexcept:
    """As models.fraud.vectors._compare."""
    cdef double here = latitude * SCALE, beside = longitude * SCALE, shrink = cos(latitude * RADIANS)
    cdef double north, east, metres, least = 0.0
    cdef Py_ssize_t place, near = 0
    for place in range(one.places_count):
        north = one.places[place].latitude - here
        east = fabs(one.places[place].longitude - beside)
        east = (AROUND - east if AROUND - east < east else east) * shrink
        metres = sqrt(north * north + east * east) * METRES
        near += metres <= NEAR_M
        if not place or metres < least:
            least = metres
    share[0] = <double>near / <double>one.places_count
    nearest[0] = least


cdef double zscore(int check_ins, const Sums* sums) noexcept:
    cdef double known = <double>sums.known, mean, variance, deviation
    if sums.known < LEAST_DAYS:
        return NAN
    mean = <double>sums.check_ins / known
    variance = <double>sums.squares / known - mean * mean
    deviation = sqrt(variance if variance > 0.0 else 0.0)
    return (check_ins - mean) / (deviation if deviation > LEAST_SD else LEAST_SD)


cdef double rate(int64_t cases, int64_t of, double prior) noexcept:
    return (cases + prior) / (of + PRIOR_WEIGHT) if of else NAN
