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

import numpy as np

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(object, object) except? NULL
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL

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


cdef packed struct Stored:  # a head, before the devices and the places
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
    uint8_t devices


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
    cdef Py_ssize_t days_count, places_count

    cdef bint load(self, object head):
        """Put all but the days here; whether it looks as it should."""
        cdef Py_ssize_t size
        cdef const char* rest
        if head is None:
            self.head.newest = self.head.fix_time = NEVER
            self.head.site_latitude = self.head.site_longitude = NAN
            self.head.fix_latitude = self.head.fix_longitude = self.head.fix_accuracy = NAN
            self.head.devices = self.places_count = 0
        else:
            if not PyBytes_CheckExact(head) or PyBytes_GET_SIZE(head) < <Py_ssize_t>sizeof(Stored):
                return False
            memcpy(&self.head, PyBytes_AS_STRING(head), sizeof(Stored))
            rest = PyBytes_AS_STRING(head) + sizeof(Stored)
            size = PyBytes_GET_SIZE(head) - <Py_ssize_t>sizeof(Stored) - 4 * self.head.devices
            self.places_count = size // <Py_ssize_t>sizeof(Place)
            if size < 0 or size % sizeof(Place) or self.head.devices > DEVICES or self.places_count > PLACES:
                return False
            memcpy(self.devices, rest, 4 * self.head.devices)
            memcpy(self.places, rest + 4 * self.head.devices, size)
        self.sums = Sums(
            self.head.known, self.head.check_ins, self.head.squares, self.head.scheduled,
            self.head.late, self.head.worked, self.head.weekends, self.head.mismatches,
        ) if head is not None else Sums(0, 0, 0, 0, 0, 0, 0, 0)
        return True

    cdef bint next_day(self, int64_t day, object days):
        """What `models.fraud.person._next_day` does; False where the plain one must.

        Args:
            days: that are stored; None without any.
        """
        cdef Py_ssize_t place = 0, forgotten = 0, size
        cdef int64_t each
        self.days_count = 0
        if days is not None:
            size = PyBytes_GET_SIZE(days)
            # One more comes.
            if not PyBytes_CheckExact(days) or size % sizeof(Day) or size >= MOST_DAYS * <Py_ssize_t>sizeof(Day):
                return False
            memcpy(self.days, PyBytes_AS_STRING(days), size)
            self.days_count = size // <Py_ssize_t>sizeof(Day)
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


cdef struct Facts:  # what an event says, NaN where it says nothing
    int64_t time
    int64_t start
    bint checks_in, planned, located, told, named
    int matched          # 0 or 1; -1 where nobody has looked
    double latitude, longitude, accuracy, confidence, age, mock
    double allowed
    double accounts_30d, accounts_5min, since_other
    uint32_t device


cdef int take(
    Facts* facts, time, kind, start, matched, latitude, longitude, accuracy, confidence, age, mock, device
) except -1:
    """Put the fields of an event into facts."""
    facts.time = time
    facts.checks_in = kind == CHECK_IN
    facts.planned, facts.start = start is not None, 0
    if start is not None:
        facts.start = start
    facts.matched = -1 if matched is None else <bint>matched
    facts.located = latitude is not None
    facts.latitude = facts.longitude = NAN
    if latitude is not None:
        facts.latitude, facts.longitude = latitude, longitude
    facts.told = accuracy is not None
    facts.accuracy = NAN if accuracy is None else <double>accuracy
    facts.confidence = NAN if confidence is None else <double>confidence
    facts.age = NAN if age is None else <double>age
    facts.mock = NAN if mock is None else <double>mock
    facts.named = device is not None
    if device is not None:
        facts.device = mark_of(device)
    return 0


cdef class Spot:
    """A site, what events are measured by of it at hand; None: one that is not known."""

    cdef object site
    cdef dict offsets, days
    cdef double latitude, longitude, radius
    cdef int64_t since    # from when on it holds, for whoever keeps it

    def __init__(self, site, since=0):
        self.site, self.since = site, since
        self.latitude = self.longitude = self.radius = NAN
        if site is not None:
            self.latitude, self.longitude, self.radius = site.latitude, site.longitude, site.radius_m
            self.offsets, self.days = site.zone.days, site.days


cdef Spot newest(timeline):
    """The last version of a site; where there is none, one that never begins."""
    if timeline is None:
        return Spot(None, FAR)
    *_, since = timeline.starts
    *_, site = timeline.values
    return Spot(site, since)


cdef class Learner:
    """Measures events one after the other.

    Attributes:
        heads, days: what is remembered of people, by key; changed in place.
        spots: by the id of a site, which they keep.
    """

    cdef object heads, days
    cdef dict spots
    cdef Person one

    def __init__(self, heads, days):
        self.heads, self.days, self.one, self.spots = heads, days, Person(), {}

    cdef Spot spot(self, site):
        found = self.spots.get(id(site))
        if found is None:
            found = self.spots[id(site)] = Spot(site)
        return found

    cdef bint learn(self, object key, const Facts* facts, Spot spot, double* row) except -1:
        """Put the features of an event into a row; False where the plain function must."""
        cdef Person one = self.one
        cdef object head = self.heads[key]
        cdef int changed
        if not one.load(head):
            return False
        changed = observe(one, head is None, facts, spot, self.days, key, row)
        if changed & LEFT:
            return False
        self.heads[key] = head_bytes(one)
        # Most events are of a day that has begun: what was before it is not even read.
        if changed & DAYS and (one.days_count or self.days[key]):
            self.days[key] = PyBytes_FromStringAndSize(<const char*>one.days, one.days_count * sizeof(Day))
        return True


def vectors(cases not None, heads, days, plain):
    """What `models.fraud.vectors.vectors` says.

    Args:
        plain: the plain function, of a case, for those that are left to it.
    """
    cdef Py_ssize_t row = 0
    cdef dict event
    cdef double[:, ::1] out
    cdef Facts facts
    cdef Learner learner = Learner(heads, days)
    table = np.empty((len(cases), WIDTH))
    out = table
    for case in cases:
        key, event, site, allowed, (facts.accounts_30d, facts.accounts_5min, facts.since_other) = case
        facts.allowed = NAN if allowed is None else <double>allowed
        take(
            &facts, event["occurred_at"], event["kind"], event["scheduled_start"], event["face_matched"],
            event["latitude"], event["longitude"], event["gps_accuracy_m"], event["face_confidence"],
            event["fix_age_s"], event["mock_location"], event["device_id"],
        )
        if not learner.learn(key, &facts, learner.spot(site), &out[row, 0]):
            table[row] = plain(case)[0]
        row += 1
    return table


def measure(list keys not None, dict columns not None, references, heads, days, plain):
    """What `models.fraud.vectors.measure` says.

    Args:
        plain: the plain function, of a row, for those that are left to it.
    """
    cdef Py_ssize_t row, rows = len(keys)
    cdef list tenants = columns["tenant_id"], sites = columns["site_id"], published = columns["published_at"]
    cdef list listed = columns["allowed_sites"], people = columns["person_id"], devices = columns["device_id"]
    cdef list many = columns["accounts_per_device_30d"], few = columns["accounts_on_device_5min"]
    cdef list since = columns["seconds_since_other_account"]
    cdef list times = columns["occurred_at"], kinds = columns["kind"], starts = columns["scheduled_start"]
    cdef list matched = columns["face_matched"], latitudes = columns["latitude"], longitudes = columns["longitude"]
    cdef list accuracies = columns["gps_accuracy_m"], confidences = columns["face_confidence"]
    cdef list ages = columns["fix_age_s"], mocks = columns["mock_location"]
    cdef double[:, ::1] out
    cdef Facts facts
    cdef PyObject* found
    cdef Spot spot
    cdef dict spots = {}
    cdef list nowhere = []
    cdef Learner learner = Learner(heads, days)
    if {len(each) for each in columns.values()} - {rows}:
        raise ValueError("expected a key for each event")
    table = np.empty((rows, WIDTH))
    out = table
    for row in range(rows):
        place = (tenants[row], sites[row])
        found = PyDict_GetItemWithError(spots, place)
        if found == NULL:
            # The newest version of the site, which is the right one as a rule.
            references.site(tenants[row], sites[row], published[row])
            spot = spots[place] = newest(references.sites.get(place))
        else:
            spot = <Spot>found
        if <int64_t>published[row] < spot.since:
            spot = learner.spot(references.site(tenants[row], sites[row], published[row]))
        if spot.site is None:
            nowhere.append(row)
        if listed[row] is None:
            allowed = references.allowed(tenants[row], people[row], sites[row], published[row])
            facts.allowed = NAN if allowed is None else <double>allowed
        else:
            facts.allowed = sites[row] in listed[row]
        facts.accounts_30d = facts.accounts_5min = facts.since_other = NAN
        if devices[row] is not None:
            facts.accounts_30d, facts.accounts_5min = many[row], few[row]
            if since[row] is not None:
                facts.since_other = since[row]
        take(
            &facts, times[row], kinds[row], starts[row], matched[row], latitudes[row], longitudes[row],
            accuracies[row], confidences[row], ages[row], mocks[row], devices[row],
        )
        if not learner.learn(keys[row], &facts, spot, &out[row, 0]):
            table[row] = plain(row)[0]
    return table, nowhere


cdef enum:
    LEFT = 1
    DAYS = 2


cdef uint32_t[256] CRC
cdef uint32_t remainder
cdef int _byte, _bit
for _byte in range(256):
    remainder = _byte
    for _bit in range(8):
        remainder = remainder >> 1 ^ (0xEDB88320u if remainder & 1 else 0)
    CRC[_byte] = remainder


cdef uint32_t mark_of(str name) except? 0:
    """As models.fraud.person.mark_of: zlib's CRC-32."""
    cdef Py_ssize_t place, size
    cdef const unsigned char* text = <const unsigned char*>PyUnicode_AsUTF8AndSize(name, &size)
    cdef uint32_t found = 0xFFFFFFFFu
    for place in range(size):
        found = CRC[(found ^ text[place]) & 0xFF] ^ found >> 8
    return ~found


cdef object remembered(dict days, int64_t day):
    cdef PyObject* found = PyDict_GetItemWithError(days, day)
    return None if found == NULL else <object>found


cdef bytes head_bytes(Person one):
    cdef Py_ssize_t devices = 4 * one.head.devices, places = one.places_count * <Py_ssize_t>sizeof(Place)
    cdef bytes raw = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>sizeof(Stored) + devices + places)
    cdef char* at = PyBytes_AS_STRING(raw)
    memcpy(at, &one.head, sizeof(Stored))
    memcpy(at + sizeof(Stored), one.devices, devices)
    memcpy(at + sizeof(Stored) + devices, one.places, places)
    return raw


cdef int observe(
    Person one, bint new, const Facts* facts, Spot spot, object days, object key, double* row
) except -1:
    """Put the features of an event into a row; what of the person has changed, or LEFT.

    Args:
        days: of everybody, by key.
    """
    cdef Stored* head = &one.head
    cdef int64_t time = facts.time, local, day
    cdef int weekend, changed = 0
    cdef double hour, weekday, is_weekend, is_holiday
    cdef double site_latitude = spot.latitude, site_longitude = spot.longitude
    cdef bint known_site = spot.site is not None, checks_in = facts.checks_in, scheduled, tardy, mismatch, late
    cdef double latitude = facts.latitude, longitude = facts.longitude, accuracy = facts.accuracy
    cdef double whole_latitude = 0.0, whole_longitude = 0.0
    cdef double drift = NAN, speed = NAN, claimed = NAN, repeats = NAN, familiarity = NAN, since = NAN
    cdef double consistency = NAN, nearest = NAN, hours, unsure, metres, minutes = NAN, score = NAN
    cdef bint located = facts.located, told = facts.told
    cdef Py_ssize_t place, hits

    if not -FAR < time < FAR:
        return LEFT
    if not known_site:
        day, hour, weekday, is_weekend, is_holiday, weekend = floor_of(time), NAN, NAN, NAN, NAN, UNKNOWN
    else:
        # What was asked for before is found without a call.
        offset = remembered(spot.offsets, floor_of(time))
        local = time + <int64_t>(spot.site.offset_ms(time) if offset is None else offset)
        day = floor_of(local)
        hour = <double>(local - day * DAY_MS) / HOUR_MS
        about = remembered(spot.days, day)
        if about is None:
            about = spot.site.facts(day)
        weekday, is_weekend, is_holiday = about
        weekend = <int>is_weekend
    if not -LARGEST < day < LARGEST:
        return LEFT
    if facts.planned:
        if not -FAR < facts.start < FAR:
            return LEFT
        minutes = <double>(time - facts.start) / 60000.0
    scheduled = checks_in and facts.planned
    tardy = scheduled and time - facts.start > LATE_MS
    mismatch = facts.matched == 0
    if located:
        whole_latitude, whole_longitude = rint(latitude * SCALE), rint(longitude * SCALE)
        # Neither NaN nor what no stored place can hold passes this.
        if not (fabs(whole_latitude) < LARGEST and fabs(whole_longitude) < LARGEST):
            return LEFT

    # The day: what was before it, and what happens on it.
    if new:
        head.first = head.today = <int32_t>day
        head.counts = Counts(0, 0, 0, 0, UNKNOWN)
    late = time < head.newest
    if day < head.today:
        return LEFT
    if day > head.today:
        if not one.next_day(day, days[key]):
            return LEFT
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

    # The device.
    if facts.named and not late:
        if one.head.devices:
            hits = 0
            for place in range(one.head.devices):
                hits += one.devices[place] == facts.device
            familiarity = <double>hits / <double>one.head.devices
        if one.head.devices == DEVICES:
            memmove(one.devices, &one.devices[1], 4 * (DEVICES - 1))
            one.head.devices -= 1
        one.devices[one.head.devices] = facts.device
        one.head.devices += 1

    if not late:
        if not new:
            since = <double>(time - head.newest) / 1000.0
        head.newest, head.site_latitude, head.site_longitude = time, site_latitude, site_longitude
        score = zscore(head.counts.check_ins, &one.sums)

    # In the order of models.fraud.person.observe.
    row[0], row[1], row[2], row[3] = hour, weekday, is_weekend, is_holiday
    row[4], row[5], row[6] = drift, consistency, score
    row[7] = rate(one.sums.late, one.sums.scheduled, LATE_CASES)
    row[8] = rate(one.sums.weekends, one.sums.worked, WEEKEND_CASES)
    row[9] = facts.confidence
    row[10] = <double>one.sums.mismatches if one.sums.known else NAN
    row[11] = since
    row[12], row[13], row[14] = facts.accounts_30d, facts.accounts_5min, facts.since_other
    row[15], row[16], row[17] = familiarity, speed, claimed
    row[18] = facts.age
    row[19] = accuracy
    row[20] = facts.mock
    row[21], row[22] = drift - spot.radius, nearest
    row[23] = facts.allowed
    row[24] = 0.0 if located else 1.0
    row[25] = NAN if facts.matched < 0 else <double>facts.matched
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
