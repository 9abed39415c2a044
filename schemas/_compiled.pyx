# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Codecs and the partitioner in C. A codec is a small interpreter of its schema, equal to schemas.generate.

Like the generated codecs it knows exact Python types and well-formed bytes. Anything else raises GiveUp inside,
and schemas.walk finishes the work or says what is wrong. Every read is checked against the end of the input, and
nothing is allocated by a count that the input cannot hold.
"""

import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_Copy, PyDict_Next, PyDict_SetItem, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check, PyFloat_FromDouble
from cpython.list cimport PyList_CheckExact
from cpython.long cimport PyLong_AsDouble, PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact
from cpython.unicode cimport PyUnicode_Check, PyUnicode_DecodeUTF8
from libc.math cimport isinf
from libc.string cimport memcmp, memcpy

import numpy

from schemas import columns as columns_of
from schemas import walk
from schemas.avro import DecodeError

cdef extern from "Python.h":
    ctypedef struct PyTupleObject:
        PyObject* ob_item[1]
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL
    PyObject* PyDict_GetItemWithError(object, object) except? NULL

if sys.byteorder != "little":
    raise ImportError("the compiled codecs copy numbers as they lie in memory, which must be little-endian")

cdef enum:
    NOTHING, BOOLEAN, INT, LONG, FLOAT, DOUBLE, BYTES, STRING, FIXED, ENUM, ARRAY, MAP, RECORD, UNION

cdef enum:
    SLOTS = 128  # texts of a field that are remembered while its column is read

cdef enum:
    IS_NONE, IS_BOOL, IS_INT, IS_FLOAT, IS_STR, IS_BYTES, IS_LIST, IS_DICT, PYTHON_TYPES

cdef dict KINDS = {
    "null": NOTHING, "boolean": BOOLEAN, "int": INT, "long": LONG, "float": FLOAT, "double": DOUBLE,
    "bytes": BYTES, "string": STRING, "fixed": FIXED, "enum": ENUM, "array": ARRAY, "map": MAP,
    "record": RECORD, "union": UNION,
}
cdef tuple PYTHON_NAMES = ("None", "bool", "int", "float", "str", "bytes", "list", "dict")


class GiveUp(Exception):
    """These bytes or this value need the walk."""


cdef class Type:
    """A schema node. `parts`: the types of a record's fields, of a union's branches, or of the items."""

    cdef int kind
    cdef Py_ssize_t count     # fields, branches or symbols; the size of a fixed
    cdef Py_ssize_t width     # the least number of bytes that a value takes
    cdef tuple parts
    cdef tuple names          # of fields, or the symbols
    cdef PyObject** part      # what is in `parts`, without counting references
    cdef PyObject** name
    cdef tuple defaults       # of fields, in Avro or None
    cdef dict numbers         # symbol -> its number
    cdef dict template        # a record with None everywhere: copying it beats growing a new dict
    cdef int branch_of[PYTHON_TYPES]

    def __init__(self, node):
        parts = node.branches or (field.node for field in node.fields)
        self.kind = KINDS[node.kind]
        self.width = node.width
        self.parts = tuple([Type(part) for part in ((node.items,) if node.items is not None else parts)])
        self.names = tuple([sys.intern(field.name) for field in node.fields]) or node.symbols
        self.part = (<PyTupleObject*>self.parts).ob_item
        self.name = (<PyTupleObject*>self.names).ob_item
        self.defaults = tuple([field.default for field in node.fields])
        self.numbers = {symbol: i for i, symbol in enumerate(node.symbols)}
        self.template = dict.fromkeys(self.names)
        self.count = node.size if self.kind == FIXED else max(len(self.parts), len(self.names))
        sole = node.sole_branches()
        for i, name in enumerate(PYTHON_NAMES):
            self.branch_of[i] = sole.get(name, -1)


cdef class Codec:
    """Encodes and decodes values of one schema.

    `header` stands before every value; values that begin otherwise are given to `other`.
    """

    cdef object node
    cdef Type type
    cdef bytes header
    cdef object other

    def __init__(self, node, bytes header=b"", other=None):
        self.node = node
        self.type = Type(node)
        self.header = header
        self.other = other

    def decode(self, raw):
        cdef Source source
        cdef Py_ssize_t skip = PyBytes_GET_SIZE(self.header)
        if not PyBytes_CheckExact(raw):
            return walk.decode(self.node, raw, skip)
        source.at = <const unsigned char*>PyBytes_AS_STRING(raw)
        source.end = source.at + PyBytes_GET_SIZE(raw)
        if skip:
            if source.end - source.at < skip or memcmp(source.at, PyBytes_AS_STRING(self.header), skip) != 0:
                return self.other(raw)
            source.at += skip
        try:
            value = read(self.type, &source)
            if source.at == source.end:
                return value
        except (GiveUp, UnicodeDecodeError):
            pass
        return walk.decode(self.node, raw, skip)

    def encode(self, value):
        cdef char small[2048]
        cdef Buffer out
        out.data = small
        out.size = sizeof(small)
        out.used = 0
        out.small = small
        try:
            put(&out, PyBytes_AS_STRING(self.header), PyBytes_GET_SIZE(self.header))
            write(self.type, value, &out)
            return PyBytes_FromStringAndSize(out.data, out.used)
        except (GiveUp, UnicodeEncodeError, OverflowError):
            pass
        finally:
            if out.data != small:
                PyMem_Free(out.data)
        return self.header + walk.encode(self.node, value)

    def decode_many(self, raws):
        """The value of each, or the DecodeError that says why there is none."""
        cdef list values = []
        for raw in raws:
            try:
                values.append(self.decode(raw))
            except DecodeError as error:
                values.append(error)
        return values

    def decode_columns(self, list raws not None):
        """The fields of records, by name; None unless each can be read here."""
        cdef Type t = self.type
        cdef Source source
        cdef Py_ssize_t skip = PyBytes_GET_SIZE(self.header), row, i, rows = len(raws)
        cdef list columns = [[None] * rows for _ in t.names]
        cdef PyObject** seen
        if t.kind != RECORD or not t.count:
            return None
        seen = <PyObject**>PyMem_Calloc(t.count * SLOTS, sizeof(PyObject*))
        if seen == NULL:
            raise MemoryError
        try:
            for row in range(rows):
                raw = raws[row]
                if not PyBytes_CheckExact(raw):
                    return None
                source.at = <const unsigned char*>PyBytes_AS_STRING(raw)
                source.end = source.at + PyBytes_GET_SIZE(raw)
                if source.end - source.at < skip or memcmp(source.at, PyBytes_AS_STRING(self.header), skip) != 0:
                    return None
                source.at += skip
                for i in range(t.count):
                    if (<Type>t.part[i]).kind == STRING:
                        (<list>columns[i])[row] = get_known_text(&source, seen + i * SLOTS)
                    else:
                        (<list>columns[i])[row] = read(<Type>t.part[i], &source)
                if source.at != source.end:
                    return None
        except (GiveUp, UnicodeDecodeError):
            return None
        finally:
            PyMem_Free(seen)
        return dict(zip(t.names, columns))

    def encode_columns(self, common, columns):
        """What `encode` gives of each record of a table; see schemas.columns."""
        cdef char small[4096]
        cdef Buffer out
        cdef Py_ssize_t row, rows = columns_of.count(columns)
        cdef list steps, found = []
        cdef Step step
        out.data = small
        out.size = sizeof(small)
        out.used = 0
        out.small = small
        try:
            steps = self.steps(common, columns, &out)
            for row in range(rows):
                out.used = 0
                for step in steps:
                    step.write(row, &out)
                found.append(PyBytes_FromStringAndSize(out.data, out.used))
            return found
        except (GiveUp, UnicodeEncodeError, OverflowError, IndexError):
            pass
        finally:
            if out.data != small:
                PyMem_Free(out.data)
        return [self.encode(record) for record in columns_of.records(common, columns)]

    cdef list coded(self, Type part, values):
        """Each of them encoded."""
        cdef char small[512]
        cdef Buffer out
        cdef list raws = []
        out.data = small
        out.size = sizeof(small)
        out.small = small
        try:
            for value in values:
                out.used = 0
                write(part, value, &out)
                raws.append(PyBytes_FromStringAndSize(out.data, out.used))
        finally:
            if out.data != small:
                PyMem_Free(out.data)
        return raws

    cdef list steps(self, common, columns, Buffer* out):
        """How a record is put together: what is the same for all of them is encoded now."""
        cdef Type t = self.type, part
        cdef Py_ssize_t i
        cdef list steps = []
        if t.kind != RECORD or not common.keys().isdisjoint(columns):
            raise GiveUp
        put(out, PyBytes_AS_STRING(self.header), PyBytes_GET_SIZE(self.header))
        for i in range(t.count):
            name, part = t.names[i], <Type>t.part[i]
            if name in columns:
                steps.append(Same(PyBytes_FromStringAndSize(out.data, out.used)))
                out.used = 0
                column = columns[name]
                if isinstance(column, columns_of.Coded):
                    steps.append(Coded(column.codes, self.coded(part, column.values)))
                elif not isinstance(column, numpy.ndarray):
                    steps.append(Listed(part, column))
                elif column.ndim == 1:
                    steps.append(Line(part, column))
                else:
                    steps.append(Table(part, column))
            elif name in common:
                write(part, common[name], out)
            elif t.defaults[i] is not None:
                put(out, PyBytes_AS_STRING(t.defaults[i]), PyBytes_GET_SIZE(t.defaults[i]))
            else:
                raise GiveUp
        steps.append(Same(PyBytes_FromStringAndSize(out.data, out.used)))
        missing = [name for name in t.names if name not in common and name not in columns]
        if len(common) + len(columns) + len(missing) != t.count:
            raise GiveUp
        return steps


cdef class Step:
    """A part of the records of a table."""

    cdef int write(self, Py_ssize_t row, Buffer* out) except -1:
        raise NotImplementedError


cdef class Same(Step):
    """Bytes that all records have."""

    cdef bytes raw

    def __init__(self, bytes raw not None):
        self.raw = raw

    cdef int write(self, Py_ssize_t row, Buffer* out) except -1:
        return put(out, PyBytes_AS_STRING(self.raw), PyBytes_GET_SIZE(self.raw))


cdef class Listed(Step):
    """Values of a type, one for each record."""

    cdef Type type
    cdef list values

    def __init__(self, Type type not None, values):
        self.type, self.values = type, list(values)

    cdef int write(self, Py_ssize_t row, Buffer* out) except -1:
        return write(self.type, self.values[row], out)


cdef class Coded(Step):
    """Few values, each encoded once, and which of them a record has."""

    cdef list raws
    cdef const Py_ssize_t[:] codes

    def __init__(self, codes, list raws not None):
        cdef Py_ssize_t row
        self.codes, self.raws = codes, raws
        for row in range(self.codes.shape[0]):
            if not 0 <= self.codes[row] < len(raws):
                raise GiveUp

    cdef int write(self, Py_ssize_t row, Buffer* out) except -1:
        cdef bytes raw = <bytes>self.raws[self.codes[row]]
        return put(out, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


cdef class Line(Step):
    """A number for each record, NaN for null."""

    cdef Type type
    cdef const double[:] line

    def __init__(self, Type type not None, line):
        self.type, self.line = type, line

    cdef int write(self, Py_ssize_t row, Buffer* out) except -1:
        return write_number(self.type, self.line[row], out)


cdef class Table(Step):
    """An array of numbers for each record, NaN for null."""

    cdef Type type
    cdef int null, number     # branches of the two, -1 unless the numbers are doubles or null
    cdef const double[:, :] table

    def __init__(self, Type type not None, table):
        cdef Type numbers
        if type.kind != ARRAY:
            raise GiveUp
        self.type, self.table, self.null, self.number = <Type>type.part[0], table, -1, -1
        if self.type.kind == UNION and self.type.count < 64 and self.type.branch_of[IS_FLOAT] >= 0:
            numbers = <Type>self.type.part[self.type.branch_of[IS_FLOAT]]
            if numbers.kind == DOUBLE:
                self.null, self.number = self.type.branch_of[IS_NONE], self.type.branch_of[IS_FLOAT]

    cdef int write(self, Py_ssize_t row, Buffer* out) except -1:
        cdef Py_ssize_t place, count = self.table.shape[1]
        cdef char* at
        cdef double value
        if not count:
            return put_unsigned(out, 0)
        put_unsigned(out, 2 * <unsigned long long>count)
        if self.null < 0 or self.number < 0:
            for place in range(count):
                write_number(self.type, self.table[row, place], out)
            return put_unsigned(out, 0)
        if out.size - out.used < 9 * count:
            grow(out, 9 * count)
        at = out.data + out.used
        for place in range(count):
            value = self.table[row, place]
            if value != value:
                at[0] = <char>(2 * self.null)
                at += 1
            else:
                at[0] = <char>(2 * self.number)
                memcpy(at + 1, &value, 8)
                at += 9
        out.used = at - out.data
        return put_unsigned(out, 0)


cdef struct Source:
    const unsigned char* at
    const unsigned char* end


cdef unsigned long long get_long_varint(Source* s) except? 0xFFFFFFFFFFFFFFFF:
    cdef unsigned long long number = 0
    cdef unsigned char byte
    cdef int shift = 0
    while s.at < s.end:
        byte = s.at[0]
        s.at += 1
        if shift == 63 and byte > 1:
            break
        number |= (<unsigned long long>(byte & 127)) << shift
        if byte < 128:
            return number
        shift += 7
    raise GiveUp


cdef inline unsigned long long get_unsigned(Source* s) except? 0xFFFFFFFFFFFFFFFF:
    cdef unsigned long long number
    if s.at < s.end and s.at[0] < 128:
        number = s.at[0]
        s.at += 1
        return number
    return get_long_varint(s)


cdef inline Py_ssize_t get_count(Source* s, Py_ssize_t width) except -1:
    """A number of things that take `width` bytes or more each: never more than can be there."""
    cdef unsigned long long number = get_unsigned(s)
    cdef unsigned long long left = <unsigned long long>(s.end - s.at)
    if number & 1 or number >> 1 > (left if width == 1 else left // <unsigned long long>width):
        raise GiveUp
    return <Py_ssize_t>(number >> 1)


cdef inline Py_ssize_t get_index(Source* s, Py_ssize_t count) except -1:
    cdef unsigned long long number = get_unsigned(s)
    if number & 1 or number >> 1 >= <unsigned long long>count:
        raise GiveUp
    return <Py_ssize_t>(number >> 1)


cdef inline object get_text(Source* s):
    cdef Py_ssize_t size = get_count(s, 1)
    s.at += size
    return PyUnicode_DecodeUTF8(<const char*>s.at - size, size, NULL)


cdef object get_known_text(Source* s, PyObject** seen):
    """Texts of a field are often the same: one object for all of them, if it is the newest in its slot.

    Args:
        seen: SLOTS texts, whom somebody else keeps; NULL for none.
    """
    cdef Py_ssize_t size = get_count(s, 1), length, slot
    cdef const char* text = <const char*>s.at
    s.at += size
    if size < 2:
        return PyUnicode_DecodeUTF8(text, size, NULL)
    slot = (<unsigned char>text[size - 1] + 10 * <unsigned char>text[size - 2]) % SLOTS
    if seen[slot] != NULL:
        known = PyUnicode_AsUTF8AndSize(<object>seen[slot], &length)
        if length == size and memcmp(known, text, size) == 0:
            return <object>seen[slot]
    value = PyUnicode_DecodeUTF8(text, size, NULL)
    seen[slot] = <PyObject*>value
    return value


cdef object read(Type t, Source* s):
    cdef int kind = t.kind
    cdef unsigned long long number
    cdef Py_ssize_t size
    cdef float single
    cdef double value
    if kind == STRING:
        return get_text(s)
    if kind == DOUBLE:
        if s.end - s.at < 8:
            raise GiveUp
        memcpy(&value, s.at, 8)
        s.at += 8
        return PyFloat_FromDouble(value)
    if kind == LONG or kind == INT:
        number = get_unsigned(s)
        if kind == INT and number >> 32:
            raise GiveUp
        return <long long>(number >> 1) ^ -<long long>(number & 1)
    if kind == UNION:
        return read(<Type>t.part[get_index(s, t.count)], s)
    if kind == NOTHING:
        return None
    if kind == BOOLEAN:
        if s.at >= s.end or s.at[0] > 1:
            raise GiveUp
        number = s.at[0]
        s.at += 1
        return number == 1
    if kind == RECORD:
        return read_record(t, s)
    if kind == ARRAY:
        return read_array(<Type>t.part[0], s)
    if kind == MAP:
        return read_map(<Type>t.part[0], s)
    if kind == ENUM:
        return t.names[get_index(s, t.count)]
    if kind == FLOAT:
        if s.end - s.at < 4:
            raise GiveUp
        memcpy(&single, s.at, 4)
        s.at += 4
        return PyFloat_FromDouble(single)
    size = t.count if kind == FIXED else get_count(s, 1)
    if s.end - s.at < size:
        raise GiveUp
    s.at += size
    return PyBytes_FromStringAndSize(<const char*>s.at - size, size)


cdef dict read_record(Type t, Source* s):
    cdef dict record = PyDict_Copy(t.template)
    cdef Py_ssize_t i
    for i in range(t.count):
        PyDict_SetItem(record, <object>t.name[i], read(<Type>t.part[i], s))
    return record


cdef list read_array(Type items, Source* s):
    """Blocks that tell their size in bytes (negative counts) are rare: left to the walk."""
    cdef list array = []
    cdef Py_ssize_t i, count = get_count(s, items.width)
    while count:
        for i in range(count):
            array.append(read(items, s))
        count = get_count(s, items.width)
    return array


cdef dict read_map(Type items, Source* s):
    cdef dict entries = {}
    cdef Py_ssize_t i, count = get_count(s, 1 + items.width)
    while count:
        for i in range(count):
            name = get_text(s)
            PyDict_SetItem(entries, name, read(items, s))
        count = get_count(s, 1 + items.width)
    return entries


cdef struct Buffer:
    char* data
    Py_ssize_t used
    Py_ssize_t size
    char* small               # where `data` begins, on the stack


cdef int grow(Buffer* out, Py_ssize_t more) except -1:
    cdef Py_ssize_t size = 2 * (out.used + more)
    cdef char* data
    if out.data == out.small:
        data = <char*>PyMem_Malloc(size)
        if data != NULL:
            memcpy(data, out.small, out.used)
    else:
        data = <char*>PyMem_Realloc(out.data, size)
    if data == NULL:
        raise MemoryError
    out.data = data
    out.size = size
    return 0


cdef inline int put(Buffer* out, const void* data, Py_ssize_t size) except -1:
    if out.size - out.used < size:
        grow(out, size)
    memcpy(out.data + out.used, data, size)
    out.used += size
    return 0


cdef inline char* seven_bits(char* at, unsigned long long number) noexcept:
    """Write a number of at most 10 bytes; returns where the next byte goes."""
    while number > 127:
        at[0] = <char>((number & 127) | 128)
        at += 1
        number >>= 7
    at[0] = <char>number
    return at + 1


cdef inline int put_unsigned(Buffer* out, unsigned long long number) except -1:
    if out.size - out.used < 10:
        grow(out, 10)
    out.used = seven_bits(out.data + out.used, number) - out.data
    return 0


cdef inline int put_sized(Buffer* out, const char* data, Py_ssize_t size) except -1:
    """Bytes after their number."""
    cdef char* at
    if out.size - out.used - 10 < size:
        grow(out, size + 10)
    at = seven_bits(out.data + out.used, 2 * <unsigned long long>size)
    memcpy(at, data, size)
    out.used = at + size - out.data
    return 0


cdef inline int put_text(Buffer* out, object value) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* text = PyUnicode_AsUTF8AndSize(value, &size)
    return put_sized(out, text, size)


cdef int write(Type t, object value, Buffer* out) except -1:
    cdef int kind = t.kind
    cdef long long number
    cdef int overflow = 0
    cdef double real
    cdef float single
    if kind == STRING and PyUnicode_Check(value):
        return put_text(out, value)
    if (kind == DOUBLE or kind == FLOAT) and (PyFloat_Check(value) or PyLong_CheckExact(value)):
        real = PyFloat_AS_DOUBLE(value) if PyFloat_Check(value) else PyLong_AsDouble(value)
        if kind == DOUBLE:
            return put(out, &real, 8)
        single = <float>real
        if isinf(single) and not isinf(real):
            raise GiveUp
        return put(out, &single, 4)
    if (kind == LONG or kind == INT) and PyLong_CheckExact(value):
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow or (kind == INT and number != <int>number):
            raise GiveUp
        return put_unsigned(out, (<unsigned long long>number << 1) ^ <unsigned long long>(number >> 63))
    if kind == UNION:
        return write_union(t, value, out)
    if kind == NOTHING and value is None:
        return 0
    if kind == BOOLEAN and (value is True or value is False):
        return put(out, b"\x01" if value is True else b"\x00", 1)
    if kind == RECORD and PyDict_CheckExact(value):
        return write_record(t, value, out)
    if kind == ARRAY and (PyList_CheckExact(value) or PyTuple_CheckExact(value)):
        return write_array(<Type>t.part[0], value, out)
    if kind == MAP and PyDict_CheckExact(value):
        return write_map(<Type>t.part[0], value, out)
    if kind == ENUM and value.__class__ is str and value in t.numbers:
        return put_unsigned(out, 2 * <unsigned long long>t.numbers[value])
    if kind == BYTES and PyBytes_CheckExact(value):
        return put_sized(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if kind == FIXED and PyBytes_CheckExact(value) and PyBytes_GET_SIZE(value) == t.count:
        return put(out, PyBytes_AS_STRING(value), t.count)
    raise GiveUp


cdef int write_record(Type t, dict record, Buffer* out) except -1:
    """Most records have their fields in the order of the schema: following that saves looking each one up."""
    cdef Py_ssize_t i, present = 0, at = 0, next_at
    cdef PyObject* name
    cdef PyObject* value
    cdef bint in_order = True
    for i in range(t.count):
        next_at = at
        if in_order and PyDict_Next(record, &next_at, &name, &value) and name == t.name[i]:
            at = next_at
        else:
            value = PyDict_GetItemWithError(record, <object>t.name[i])
            in_order = in_order and value == NULL
        if value != NULL:
            present += 1
            write(<Type>t.part[i], <object>value, out)
        elif t.defaults[i] is not None:
            put(out, PyBytes_AS_STRING(t.defaults[i]), PyBytes_GET_SIZE(t.defaults[i]))
        else:
            raise GiveUp
    if present != PyDict_Size(record):
        raise GiveUp
    return 0


cdef int write_union(Type t, object value, Buffer* out) except -1:
    cdef int branch = -1
    if value is None:
        branch = t.branch_of[IS_NONE]
    elif PyFloat_Check(value):
        branch = t.branch_of[IS_FLOAT]
    elif PyUnicode_Check(value):
        branch = t.branch_of[IS_STR]
    elif PyLong_CheckExact(value):
        branch = t.branch_of[IS_INT]
    elif PyDict_CheckExact(value):
        branch = t.branch_of[IS_DICT]
    elif PyList_CheckExact(value):
        branch = t.branch_of[IS_LIST]
    elif PyBytes_CheckExact(value):
        branch = t.branch_of[IS_BYTES]
    elif value is True or value is False:
        branch = t.branch_of[IS_BOOL]
    if branch < 0:
        raise GiveUp
    put_unsigned(out, 2 * <unsigned long long>branch)
    return write(<Type>t.part[branch], value, out)


cdef int write_array(Type items, object values, Buffer* out) except -1:
    cdef Py_ssize_t count = len(values), written = 0
    if count:
        put_unsigned(out, 2 * <unsigned long long>count)
        for value in values:
            write(items, value, out)
            written += 1
        if written != count:
            raise GiveUp
    return put_unsigned(out, 0)


cdef int write_number(Type t, double value, Buffer* out) except -1:
    """A double, or what is null where the type has that."""
    cdef int branch
    if t.kind == UNION:
        branch = t.branch_of[IS_NONE] if value != value else t.branch_of[IS_FLOAT]
        if branch < 0:
            raise GiveUp
        put_unsigned(out, 2 * <unsigned long long>branch)
        t = <Type>t.part[branch]
        if t.kind == NOTHING:
            return 0
    if t.kind != DOUBLE or value != value:
        raise GiveUp
    return put(out, &value, 8)


cdef int write_map(Type items, dict entries, Buffer* out) except -1:
    cdef Py_ssize_t at = 0, written = 0, count = PyDict_Size(entries)
    cdef PyObject* name
    cdef PyObject* value
    if count:
        put_unsigned(out, 2 * <unsigned long long>count)
        while PyDict_Next(entries, &at, &name, &value):
            if not PyUnicode_Check(<object>name):
                raise GiveUp
            put_text(out, <object>name)
            write(items, <object>value, out)
            written += 1
        if written != count:
            raise GiveUp
    return put_unsigned(out, 0)


cdef unsigned int murmur2(const char* key, Py_ssize_t length) noexcept:
    cdef Py_ssize_t whole = length & ~<Py_ssize_t>3, i
    cdef unsigned int multiplier = 0x5BD1E995u, h = 0x9747B28Cu ^ <unsigned int>length, k
    for i in range(0, whole, 4):
        memcpy(&k, key + i, 4)
        k *= multiplier
        h = (h * multiplier) ^ ((k ^ (k >> 24)) * multiplier)
    if whole < length:
        k = 0
        memcpy(&k, key + whole, length - whole)
        h = (h ^ k) * multiplier
    h = (h ^ (h >> 13)) * multiplier
    return h ^ (h >> 15)


def partition_of(bytes key not None, int count):
    """Partition of a key among `count`, as schemas.murmur2 says; 0 to count - 1."""
    if count < 1:
        raise ValueError(f"a topic has at least one partition, not {count}")
    return (murmur2(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)) & 0x7FFFFFFF) % <unsigned int>count
