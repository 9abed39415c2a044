# cython: language_level=3, boundscheck=False, wraparound=False
"""What the runtime does for every record, in C: values of the state, the judgement of records, batches of outputs."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_Next, PyDict_SetItem
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy, memset

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(object, object) except? NULL
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL


cdef bytes joined(bytes one, bytes other):
    cdef Py_ssize_t first = PyBytes_GET_SIZE(one), second = PyBytes_GET_SIZE(other)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, first + second)
    memcpy(PyBytes_AS_STRING(out), PyBytes_AS_STRING(one), first)
    memcpy(PyBytes_AS_STRING(out) + first, PyBytes_AS_STRING(other), second)
    return out


cdef class Values(dict):
    """See the plain form.

    Attributes:
        places, keys, raws, found: what was read, in this order: what it is asked for by, its key in the state, its bytes,
            and the value where they are it, behind the head.
    """

    cdef object part, committed, pack, unpack
    cdef bytes suffix, head
    cdef list places, keys, raws, found

    def __init__(self, part, committed):
        self.part, self.committed = part, committed
        self.pack, self.unpack, self.suffix, self.head = part.pack, part.unpack, part.suffix, part.head
        self.places, self.keys, self.raws, self.found = [], [], [], []

    def __missing__(self, place):
        key = self.full(place)
        raw = self.stored(key)
        self.places.append(place)
        self.keys.append(key)
        self.raws.append(raw)
        same = None
        if raw is None:
            value = None
        elif PyBytes_CheckExact(raw) and PyBytes_GET_SIZE(raw) and (
            PyBytes_AS_STRING(raw)[0] == PyBytes_AS_STRING(self.head)[0]
        ):
            value = PyBytes_FromStringAndSize(PyBytes_AS_STRING(raw) + 1, PyBytes_GET_SIZE(raw) - 1)
            if self.unpack is bytes and self.pack is bytes:
                same = value
            else:
                value = self.unpack(value)
        else:
            value = self.part.decode(raw)
        self.found.append(same)
        PyDict_SetItem(self, place, value)
        return value

    def changes(self):
        """See the plain form."""
        cdef dict out = {}
        cdef Py_ssize_t number = 0, read = len(self.places), at = 0
        cdef PyObject* name
        cdef PyObject* there
        cdef bint was_read, unchanged
        while PyDict_Next(self, &at, &name, &there):
            place, value = <object>name, <object>there
            # A dict keeps the order of its first entries, so that of the readings.
            was_read = number < read and self.places[number] is place
            if was_read:
                key, before = self.keys[number], self.raws[number]
                unchanged = value is not None and self.found[number] is value
                number += 1
                if unchanged:
                    continue
            else:
                key = self.full(place)
                before = self.stored(key)
            if value is None:
                raw = None
            elif self.pack is bytes and PyBytes_CheckExact(value):
                raw = joined(self.head, value)
            else:
                raw = self.head + self.pack(value)
            if raw != before:
                PyDict_SetItem(out, key, raw)
        return out

    cdef object full(self, place):
        return joined(<bytes>place, self.suffix) if PyBytes_CheckExact(place) else self.part.full(place)

    cdef object stored(self, key):
        cdef PyObject* found
        if not PyDict_CheckExact(self.committed):
            return self.committed.get(key)
        found = PyDict_GetItemWithError(self.committed, key)
        return None if found == NULL else <object>found


def believed(
    list records, list events, Py_ssize_t begin, Py_ssize_t end, topic, double ahead, double age, clock, list clocks
):
    """See `streams.runtime.frame.believed`."""
    cdef Py_ssize_t number
    cdef long long now = clock
    cdef dict event
    cdef tuple fields = ("tenant_id", *topic.key)
    cdef object time = topic.time
    cdef list parts = [None] * len(fields)
    for number in range(begin, end):
        record, event = records[number], events[number]
        for place, field in enumerate(fields):
            parts[place] = event[field]
        if not keyed(record.key, parts) or not timely(event[time], record.timestamp, ahead, age, &now):
            return number, now
        clocks.append(now)
    return end, now


def believed_columns(
    list records, list fields, list times, double ahead, double age, clock, list clocks
):
    """As `believed`, of events by their columns: of the fields of the key, and of the time. The clock alone."""
    cdef Py_ssize_t number, place
    cdef long long now = clock
    cdef list parts = [None] * len(fields)
    for number in range(len(records)):
        record = records[number]
        for place in range(len(fields)):
            parts[place] = (<list>fields[place])[number]
        if not keyed(record.key, parts) or not timely(times[number], record.timestamp, ahead, age, &now):
            break
        clocks.append(now)
    return now


cdef inline bint timely(long long at, long long published, double ahead, double age, long long* clock) noexcept:
    """Whether an event's time is believable; moves the clock along with it."""
    if at - published > ahead or published - at > age:
        return False
    if published < at:
        at = published
    if at > clock[0]:
        clock[0] = at
    return True


cdef bint keyed(object key, list fields) except -1:
    """Whether a key is these fields, joined by "|"."""
    cdef Py_ssize_t size, place = 0, length, number
    cdef const char* text
    cdef const char* part
    if not PyBytes_CheckExact(key):
        return False
    text, size = PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
    for number in range(len(fields)):
        if number:
            if place >= size or text[place] != c"|":
                return False
            place += 1
        value = fields[number]
        part = PyUnicode_AsUTF8AndSize(value if isinstance(value, str) else str(value), &length)
        if length > size - place or memcmp(text + place, part, length):
            return False
        place += length
    return place == size


def packed(list rows, Py_ssize_t begin, Py_ssize_t head, Py_ssize_t limit):
    """Rows from one on as records of a Kafka batch, format 2: as many as fit, one at least.

    All have the batch's first timestamp and no headers, and their offsets count from 0.

    Args:
        head: bytes to leave free before them.
        limit: of bytes, head included.
    Returns:
        The bytes, and the number of the row behind the last of them.
    """
    cdef Py_ssize_t end = begin, total = head, more, size = len(rows), place
    cdef char* at
    cdef bytearray out
    cdef tuple row
    while end < size:
        row = <tuple?>rows[end]
        more = body_of(row[0], row[1], end - begin)
        more += width(more)
        if end > begin and total + more > limit:
            break
        total += more
        end += 1
    out = PyByteArray_FromStringAndSize(NULL, total)
    at = PyByteArray_AS_STRING(out)
    memset(at, 0, head)
    at += head
    for place in range(begin, end):
        row = <tuple>rows[place]
        at = number_at(at, body_of(row[0], row[1], place - begin))
        at[0] = at[1] = 0  # attributes, and milliseconds since the batch's first
        at = number_at(at + 2, place - begin)
        at = text_at(text_at(at, row[0]), row[1])
        at[0] = 0  # headers
        at += 1
    return out, end


cdef Py_ssize_t body_of(object key, object value, Py_ssize_t offset) except -1:
    return 3 + width(offset) + room(key) + room(value)


cdef Py_ssize_t room(object text) except -1:
    if text is None:
        return 1
    if not PyBytes_CheckExact(text):
        raise TypeError(f"keys and values are bytes, not {type(text).__name__}")
    return width(PyBytes_GET_SIZE(text)) + PyBytes_GET_SIZE(text)


cdef inline Py_ssize_t width(Py_ssize_t number) noexcept:
    """Bytes of a number that is not negative."""
    cdef Py_ssize_t count = 1
    number = (number << 1) >> 7
    while number:
        number >>= 7
        count += 1
    return count


cdef inline char* number_at(char* at, Py_ssize_t number) noexcept:
    number <<= 1
    while number > 127:
        at[0] = <char>((number & 127) | 128)
        at += 1
        number >>= 7
    at[0] = <char>number
    return at + 1


cdef inline char* text_at(char* at, object text) noexcept:
    cdef Py_ssize_t size
    if text is None:
        at[0] = 1  # -1
        return at + 1
    size = PyBytes_GET_SIZE(text)
    at = number_at(at, size)
    memcpy(at, PyBytes_AS_STRING(text), size)
    return at + size
