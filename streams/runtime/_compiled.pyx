# cython: language_level=3, boundscheck=False, wraparound=False
"""`streams.runtime.state.Values` and the judgement of a frame's records in C: they are done for every record."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_SetItem
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy

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
    """See the plain form."""

    cdef object part, committed, pack, unpack
    cdef bytes suffix, head
    cdef dict read

    def __init__(self, part, committed):
        self.part, self.committed = part, committed
        self.pack, self.unpack, self.suffix, self.head = part.pack, part.unpack, part.suffix, part.head
        self.read = {}

    def __missing__(self, place):
        raw = self.stored(self.full(place))
        PyDict_SetItem(self.read, place, raw)
        if raw is None:
            value = None
        elif PyBytes_CheckExact(raw) and PyBytes_GET_SIZE(raw) and (
            PyBytes_AS_STRING(raw)[0] == PyBytes_AS_STRING(self.head)[0]
        ):
            value = PyBytes_FromStringAndSize(PyBytes_AS_STRING(raw) + 1, PyBytes_GET_SIZE(raw) - 1)
            if self.unpack is not bytes:
                value = self.unpack(value)
        else:
            value = self.part.decode(raw)
        PyDict_SetItem(self, place, value)
        return value

    def changes(self):
        """See the plain form."""
        cdef dict out = {}
        cdef PyObject* before
        for place, value in self.items():
            if value is None:
                raw = None
            elif self.pack is bytes and PyBytes_CheckExact(value):
                raw = joined(self.head, value)
            else:
                raw = self.head + self.pack(value)
            before = PyDict_GetItemWithError(self.read, place)
            if before != NULL:
                if raw != <object>before:
                    PyDict_SetItem(out, self.full(place), raw)
                continue
            key = self.full(place)
            if raw != self.stored(key):
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
    cdef long long now = clock, at, published
    cdef dict event
    cdef tuple fields = ("tenant_id", *topic.key)
    cdef object time = topic.time
    for number in range(begin, end):
        record, event = records[number], events[number]
        if not keyed(record.key, event, fields):
            return number, now
        at, published = event[time], record.timestamp
        if at - published > ahead or published - at > age:
            return number, now
        if published < at:
            at = published
        if at > now:
            now = at
        clocks.append(now)
    return end, now


cdef bint keyed(object key, dict event, tuple fields) except -1:
    """Whether a key is that of the record's own fields, joined by "|"."""
    cdef Py_ssize_t size, place = 0, length
    cdef const char* text
    cdef const char* part
    cdef bint first = True
    if not PyBytes_CheckExact(key):
        return False
    text, size = PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
    for field in fields:
        if not first:
            if place >= size or text[place] != c"|":
                return False
            place += 1
        first = False
        value = event[field]
        part = PyUnicode_AsUTF8AndSize(value if isinstance(value, str) else str(value), &length)
        if length > size - place or memcmp(text + place, part, length):
            return False
        place += length
    return place == size
