# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""From Avro values straight to columns in ClickHouse's Native format, without a Python object per value.

`Layout.scan` checks values in full and remembers where their fields lie; `Scan.column` writes one field of many
values as a column. What is unusual (another schema, blocks with sizes, repeated map keys) raises GiveUp or is listed
as odd, and the plain way (schemas.codec, sinks.native) does it or says what is wrong.
"""

import sys
from array import array

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from sinks import native

if sys.byteorder != "little":
    raise ImportError("numbers are copied as they lie in memory, which must be little-endian")

cdef enum:
    CHUNK = 256

cdef enum:
    NOTHING, BOOLEAN, INT, LONG, DOUBLE, BYTES, STRING, ARRAY, MAP, RECORD, UNION

cdef dict KINDS = {
    "null": NOTHING, "boolean": BOOLEAN, "int": INT, "long": LONG, "double": DOUBLE, "bytes": BYTES,
    "string": STRING, "array": ARRAY, "map": MAP, "record": RECORD, "union": UNION,
}

ctypedef const unsigned char* Place


class GiveUp(Exception):
    """These bytes need the plain way."""


cdef struct Source:
    Place at
    Place end


cdef struct Buffer:
    char* data
    Py_ssize_t used
    Py_ssize_t size


cdef int grow(Buffer* out, Py_ssize_t more) except -1:
    cdef Py_ssize_t size = 2 * (out.used + more) + 256
    cdef char* data = <char*>PyMem_Realloc(out.data, size)
    if data == NULL:
        raise MemoryError
    out.data = data
    out.size = size
    return 0


cdef inline int put_bytes(Buffer* out, const void* data, Py_ssize_t size) except -1:
    if out.size - out.used < size:
        grow(out, size)
    memcpy(out.data + out.used, data, size)
    out.used += size
    return 0


cdef inline int put_text(Buffer* out, Place text, Py_ssize_t size) except -1:
    """Length and bytes, as Native has them."""
    cdef Py_ssize_t number = size
    if out.size - out.used < size + 10:
        grow(out, size + 10)
    while number > 127:
        out.data[out.used] = <char>((number & 127) | 128)
        out.used += 1
        number >>= 7
    out.data[out.used] = <char>number
    out.used += 1
    memcpy(out.data + out.used, text, size)
    out.used += size
    return 0


cdef inline uint64_t unsigned(Place* at) noexcept nogil:
    """A varint that scan() has checked."""
    cdef uint64_t number = at[0][0]
    cdef int shift = 7
    at[0] += 1
    if number < 128:
        return number
    number &= 127
    while at[0][0] > 127:
        number |= (<uint64_t>(at[0][0] & 127)) << shift
        at[0] += 1
        shift += 7
    number |= <uint64_t>at[0][0] << shift
    at[0] += 1
    return number


cdef inline Py_ssize_t counted(Place* at) noexcept nogil:
    return <Py_ssize_t>(unsigned(at) >> 1)


cdef inline long long signed_(Place* at) noexcept nogil:
    cdef uint64_t number = unsigned(at)
    return <long long>(number >> 1) ^ -<long long>(number & 1)


cdef class Type:
    """A schema node. Raises GiveUp for kinds that no topic of ours uses."""

    cdef int kind
    cdef Py_ssize_t width
    cdef tuple parts
    cdef Py_ssize_t count

    def __init__(self, node):
        if node.kind not in KINDS:
            raise GiveUp(f"Avro {node.kind}")
        self.kind = KINDS[node.kind]
        self.width = node.width
        parts = node.branches or tuple([field.node for field in node.fields])
        self.parts = tuple([Type(part) for part in ((node.items,) if node.items is not None else parts)])
        self.count = len(self.parts)


cdef uint64_t checked_varint(Source* s) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t number = 0
    cdef uint8_t byte
    cdef int shift = 0
    while s.at < s.end:
        byte = s.at[0]
        s.at += 1
        if shift == 63 and byte > 1:
            break
        number |= (<uint64_t>(byte & 127)) << shift
        if byte < 128:
            return number
        shift += 7
    raise GiveUp


cdef inline Py_ssize_t checked_count(Source* s, Py_ssize_t width) except -1:
    cdef uint64_t number = checked_varint(s)
    if number & 1 or number >> 1 > <uint64_t>((s.end - s.at) // width):
        raise GiveUp
    return <Py_ssize_t>(number >> 1)


cdef int skip_text(Source* s) except -1:
    cdef Py_ssize_t i, size = checked_count(s, 1)
    cdef uint8_t seen = 0
    for i in range(size):
        seen |= s.at[i]
    if seen > 127:
        PyUnicode_DecodeUTF8(<const char*>s.at, size, NULL)
    s.at += size
    return 0


cdef int skip(Type t, Source* s) except -1:
    """Pass one value, checking all of it."""
    cdef int kind = t.kind
    cdef Py_ssize_t i, count
    cdef uint64_t number
    if kind == STRING:
        return skip_text(s)
    if kind == DOUBLE:
        if s.end - s.at < 8:
            raise GiveUp
        s.at += 8
        return 0
    if kind == UNION:
        number = checked_varint(s)
        if number & 1 or number >> 1 >= <uint64_t>t.count:
            raise GiveUp
        return skip(<Type>t.parts[<Py_ssize_t>(number >> 1)], s)
    if kind == NOTHING:
        return 0
    if kind == LONG or kind == INT:
        number = checked_varint(s)
        if kind == INT and number >> 32:
            raise GiveUp
        return 0
    if kind == BOOLEAN:
        if s.at >= s.end or s.at[0] > 1:
            raise GiveUp
        s.at += 1
        return 0
    if kind == RECORD:
        for i in range(t.count):
            skip(<Type>t.parts[i], s)
        return 0
    if kind == BYTES:
        s.at += checked_count(s, 1)
        return 0
    return skip_items(t, s)


cdef int skip_items(Type t, Source* s) except -1:
    cdef Type items = <Type>t.parts[0]
    cdef Py_ssize_t i, width = items.width + (t.kind == MAP)
    cdef Py_ssize_t count = checked_count(s, width)
    while count:
        for i in range(count):
            if t.kind == MAP:
                skip_text(s)
            skip(items, s)
        count = checked_count(s, width)
    return 0


cdef class Layout:
    """The values of one record schema. `header` stands before every one."""

    cdef Type type
    cdef bytes header
    cdef readonly dict numbers

    def __init__(self, node, bytes header):
        self.type = Type(node)
        self.header = header
        self.numbers = {field.name: number for number, field in enumerate(node.fields)}

    def scan(self, list values):
        return Scan(self, values)


cdef class Scan:
    """Values, and where each field of each lies. `odd`: numbers of the values that are not as usual, or wrong."""

    cdef Layout layout
    cdef list values
    cdef Py_ssize_t rows
    cdef Py_ssize_t fields
    cdef Place* starts        # of every value
    cdef uint32_t* places     # field by field: where it begins in every value
    cdef readonly list odd

    def __cinit__(self, Layout layout, list values):
        self.layout = layout
        self.values = list(values)
        self.rows = len(values)
        self.fields = layout.type.count
        self.starts = <Place*>PyMem_Malloc(max(1, self.rows) * sizeof(Place))
        self.places = <uint32_t*>PyMem_Malloc(max(1, self.rows * self.fields) * sizeof(uint32_t))
        if self.starts == NULL or self.places == NULL:
            raise MemoryError
        self.odd = [row for row in range(self.rows) if not self._read(row)]

    def __dealloc__(self):
        PyMem_Free(self.starts)
        PyMem_Free(self.places)

    def replace(self, Py_ssize_t row, bytes value):
        """Put a value of the same meaning in the place of an odd one; whether it is as usual."""
        self.values[row] = value
        return self._read(row)

    cdef bint _read(self, Py_ssize_t row) except -1:
        cdef bytes raw = <bytes>self.values[row]
        cdef Py_ssize_t i, header = PyBytes_GET_SIZE(self.layout.header)
        cdef Place start = <Place>PyBytes_AS_STRING(raw)
        cdef Source source
        cdef tuple parts = self.layout.type.parts
        source.at = start
        source.end = start + PyBytes_GET_SIZE(raw)
        self.starts[row] = start
        if source.end - start < header or memcmp(start, PyBytes_AS_STRING(self.layout.header), header) != 0:
            return False
        source.at += header
        try:
            for i in range(self.fields):
                self.places[i * self.rows + row] = <uint32_t>(source.at - start)
                skip(<Type>parts[i], &source)
        except (GiveUp, UnicodeDecodeError):
            return False
        return source.at == source.end

    cdef inline Place _at(self, Py_ssize_t row, Py_ssize_t field) noexcept:
        return self.starts[row] + self.places[field * self.rows + row]

    def numbers(self, Py_ssize_t field, wrong):
        """A long field of every value; 0 for the `wrong` ones."""
        cdef Py_ssize_t row
        cdef Place at
        found = array("q", bytes(8 * self.rows))
        cdef long long[::1] view = found
        for row in range(self.rows):
            if wrong and row in wrong:
                continue
            at = self._at(row, field)
            view[row] = signed_(&at)
        return found

    def joined(self, Py_ssize_t row, tuple fields):
        """Strings, joined by | as a key."""
        cdef Place at
        cdef Py_ssize_t size
        parts = []
        for field in fields:
            at = self._at(row, field)
            size = counted(&at)
            parts.append(PyBytes_FromStringAndSize(<const char*>at, size))
        return b"|".join(parts)

    def columns(self, list fields, list writers, rows):
        """Fields of these rows (array of int64) as columns. Raises GiveUp.

        Some rows at a time for all columns, so that their bytes are still in the cache for the next one.
        """
        cdef long long[::1] view = rows
        cdef Py_ssize_t i, field, end, start = 0
        cdef Writer writer
        for writer in writers:
            writer.reset()
        while start < view.shape[0]:
            end = min(start + CHUNK, view.shape[0])
            for field, writer in zip(fields, writers):
                for i in range(start, end):
                    writer.put(self._at(view[i], field))
            start = end
        return [b"".join([(<Writer>each).prefix(), *(<Writer>each).parts()]) for each in writers]


cdef class Writer:
    """A column that grows."""

    cdef Buffer out

    def __dealloc__(self):
        PyMem_Free(self.out.data)

    cdef int reset(self) except -1:
        self.out.used = 0
        return 0

    cdef Place put(self, Place at) except NULL:
        """Take the value there; where it ends."""
        raise TypeError("a kind of writer is needed")

    cdef int put_default(self) except -1:
        raise TypeError("a kind of writer is needed")

    cdef bytes prefix(self):
        return b""

    cdef list parts(self):
        return [PyBytes_FromStringAndSize(self.out.data, self.out.used)]


cdef class Doubles(Writer):
    cdef Place put(self, Place at) except NULL:
        put_bytes(&self.out, at, 8)
        return at + 8

    cdef int put_default(self) except -1:
        cdef double nothing = 0
        return put_bytes(&self.out, &nothing, 8)


cdef class Longs(Writer):
    cdef Place put(self, Place at) except NULL:
        cdef long long number = signed_(&at)
        put_bytes(&self.out, &number, 8)
        return at

    cdef int put_default(self) except -1:
        cdef long long nothing = 0
        return put_bytes(&self.out, &nothing, 8)


cdef class Ints(Writer):
    cdef Place put(self, Place at) except NULL:
        cdef int32_t number = <int32_t>signed_(&at)
        put_bytes(&self.out, &number, 4)
        return at

    cdef int put_default(self) except -1:
        cdef int32_t nothing = 0
        return put_bytes(&self.out, &nothing, 4)


cdef class Booleans(Writer):
    cdef Place put(self, Place at) except NULL:
        put_bytes(&self.out, at, 1)
        return at + 1

    cdef int put_default(self) except -1:
        return put_bytes(&self.out, b"\0", 1)


cdef class Texts(Writer):
    """Strings and bytes: both are a length and bytes."""

    cdef Place put(self, Place at) except NULL:
        cdef Py_ssize_t size = counted(&at)
        put_text(&self.out, at, size)
        return at + size

    cdef int put_default(self) except -1:
        return put_bytes(&self.out, b"\0", 1)


cdef signed char HEX[256]
memset(HEX, -1, 256)
for _number, _digit in enumerate([*range(48, 58), *range(97, 103)]):
    HEX[_digit] = _number
for _number, _digit in enumerate(range(65, 71)):
    HEX[_digit] = 10 + _number


cdef class Uuids(Writer):
    cdef Place put(self, Place at) except NULL:
        cdef Py_ssize_t i, digits = 0, size = counted(&at)
        cdef uint64_t half = 0
        cdef signed char digit
        if size != 36:
            raise GiveUp
        for i in range(36):
            if i == 8 or i == 13 or i == 18 or i == 23:
                if at[i] != 45:
                    raise GiveUp
                continue
            digit = HEX[at[i]]
            if digit < 0:
                raise GiveUp
            half = half << 4 | <uint64_t>digit
            digits += 1
            if digits & 15 == 0:
                put_bytes(&self.out, &half, 8)
        return at + 36

    cdef int put_default(self) except -1:
        cdef uint64_t[2] nothing
        nothing[0] = nothing[1] = 0
        return put_bytes(&self.out, nothing, 16)


cdef class Words(Writer):
    """LowCardinality(String): the different values, and an index per row.

    The value that last followed the one before is tried first, so that constants and repeated sequences (the keys of
    maps) cost one comparison.
    """

    cdef dict index
    cdef list held               # keeps the bytes of `words` alive
    cdef Buffer words            # Word per index
    cdef uint32_t last
    cdef uint32_t count

    cdef int reset(self) except -1:
        Writer.reset(self)
        self.index = {}
        self.held = []
        self.words.used = 0
        self.count = 0
        self.last = 0
        self.add(b"")
        return 0

    def __dealloc__(self):
        PyMem_Free(self.words.data)

    cdef int add(self, bytes text) except -1:
        cdef Word word
        word.text = <Place>PyBytes_AS_STRING(text)
        word.size = PyBytes_GET_SIZE(text)
        word.next = 0
        word.stamp = -1
        put_bytes(&self.words, &word, sizeof(Word))
        self.index[text] = self.count
        self.held.append(text)
        self.count += 1
        return 0

    cdef Place put(self, Place at) except NULL:
        cdef Py_ssize_t size = counted(&at)
        cdef Word* words = <Word*>self.words.data
        cdef uint32_t number = words[self.last].next
        if words[number].size != size or memcmp(words[number].text, at, size) != 0:
            number = self.find(PyBytes_FromStringAndSize(<const char*>at, size))
        self.last = number
        put_bytes(&self.out, &number, 4)
        return at + size

    cdef uint32_t find(self, bytes text) except 0xFFFFFFFF:
        cdef uint32_t number
        found = self.index.get(text)
        if found is None:
            self.add(text)
            number = self.count - 1
        else:
            number = found
        (<Word*>self.words.data)[self.last].next = number
        return number

    cdef int put_default(self) except -1:
        cdef uint32_t number = 0
        self.last = 0
        return put_bytes(&self.out, &number, 4)

    cdef bint again(self, Py_ssize_t row) noexcept:
        """Whether the value put last was already put with this row number."""
        cdef Word* word = <Word*>self.words.data + self.last
        if word.stamp == row:
            return True
        word.stamp = row
        return False

    cdef bytes prefix(self):
        cdef uint64_t version = 1
        return PyBytes_FromStringAndSize(<char*>&version, 8)

    cdef list parts(self):
        cdef Py_ssize_t i, rows = self.out.used // 4
        cdef uint32_t* numbers = <uint32_t*>self.out.data
        cdef uint64_t[3] head
        cdef Buffer dictionary
        cdef bytes narrow
        if rows == 0:
            return []
        head[0] = (0 if self.count < 1 << 8 else 1 if self.count < 1 << 16 else 2) | 1 << 9 | 1 << 10
        head[1] = self.count
        head[2] = rows
        memset(&dictionary, 0, sizeof(Buffer))
        for i in range(self.count):
            put_text(&dictionary, (<Word*>self.words.data)[i].text, (<Word*>self.words.data)[i].size)
        listed = PyBytes_FromStringAndSize(dictionary.data, dictionary.used)
        PyMem_Free(dictionary.data)
        if self.count < 1 << 8:
            narrow = PyBytes_FromStringAndSize(NULL, rows)
            for i in range(rows):
                (<uint8_t*>PyBytes_AS_STRING(narrow))[i] = <uint8_t>numbers[i]
        elif self.count < 1 << 16:
            narrow = PyBytes_FromStringAndSize(NULL, 2 * rows)
            for i in range(rows):
                (<uint16_t*>PyBytes_AS_STRING(narrow))[i] = <uint16_t>numbers[i]
        else:
            narrow = PyBytes_FromStringAndSize(self.out.data, self.out.used)
        return [
            PyBytes_FromStringAndSize(<char*>head, 16), listed, PyBytes_FromStringAndSize(<char*>&head[2], 8), narrow
        ]


cdef struct Word:
    Place text
    Py_ssize_t size
    Py_ssize_t stamp
    uint32_t next


cdef class Optional(Writer):
    """A union with null. As Nullable it has a byte per value; else null is the inner type's default."""

    cdef Writer inner
    cdef uint64_t null
    cdef bint nullable

    def __init__(self, Writer inner, uint64_t null, bint nullable):
        self.inner = inner
        self.null = null
        self.nullable = nullable

    cdef int reset(self) except -1:
        Writer.reset(self)
        return self.inner.reset()

    cdef Place put(self, Place at) except NULL:
        if unsigned(&at) >> 1 == self.null:
            self.put_default()
            return at
        if self.nullable:
            put_bytes(&self.out, b"\0", 1)
        return self.inner.put(at)

    cdef int put_default(self) except -1:
        if self.nullable:
            put_bytes(&self.out, b"\1", 1)
        return self.inner.put_default()

    cdef bytes prefix(self):
        return self.inner.prefix()

    cdef list parts(self):
        return Writer.parts(self) + self.inner.parts()


cdef class Lists(Writer):
    """Arrays: where each row's values end, then all values."""

    cdef Writer inner
    cdef uint64_t total

    def __init__(self, Writer inner):
        self.inner = inner

    cdef int reset(self) except -1:
        Writer.reset(self)
        self.total = 0
        return self.inner.reset()

    cdef Place put(self, Place at) except NULL:
        cdef Py_ssize_t i, count = counted(&at)
        while count:
            for i in range(count):
                at = self.inner.put(at)
            self.total += count
            count = counted(&at)
        self.put_default()
        return at

    cdef int put_default(self) except -1:
        return put_bytes(&self.out, &self.total, 8)

    cdef bytes prefix(self):
        return self.inner.prefix()

    cdef list parts(self):
        return Writer.parts(self) + self.inner.parts()


cdef class Maps(Writer):
    """Where each row's entries end, then all keys, then all values."""

    cdef Words keys
    cdef Writer inner
    cdef uint64_t total

    def __init__(self, Words keys, Writer inner):
        self.keys = keys
        self.inner = inner

    cdef int reset(self) except -1:
        Writer.reset(self)
        self.total = 0
        self.keys.reset()
        return self.inner.reset()

    cdef Place put(self, Place at) except NULL:
        cdef Py_ssize_t i, row = self.out.used, count = counted(&at)
        while count:
            for i in range(count):
                at = self.keys.put(at)
                if self.keys.again(row):
                    raise GiveUp
                at = self.inner.put(at)
            self.total += count
            count = counted(&at)
        self.put_default()
        return at

    cdef int put_default(self) except -1:
        return put_bytes(&self.out, &self.total, 8)

    cdef bytes prefix(self):
        return self.keys.prefix() + self.inner.prefix()

    cdef list parts(self):
        return Writer.parts(self) + self.keys.parts() + self.inner.parts()


def writer(node, kind):
    """What writes the values of a schema node as a column of a type of sinks.native. Raises GiveUp without one."""
    if node.kind == "union":
        branches = [branch for branch in node.branches if branch.kind != "null"]
        if len(branches) != 1 or len(node.branches) != 2:
            raise GiveUp(f"a union of {len(node.branches)}")
        null = 1 if node.branches[0] is branches[0] else 0
        nullable = isinstance(kind, native.Nullable)
        return Optional(writer(branches[0], kind.inner if nullable else kind), null, nullable)
    name = node.kind
    if isinstance(kind, native.Number):
        found = {("double", "d"): Doubles, ("long", "q"): Longs, ("int", "i"): Ints, ("boolean", "B"): Booleans}
        if (name, kind.code) in found:
            return found[name, kind.code]()
    elif isinstance(kind, native.Text) and name in ("string", "bytes"):
        return Texts()
    elif isinstance(kind, native.Uuid) and name == "string":
        return Uuids()
    elif isinstance(kind, native.LowCardinality) and name == "string":
        return Words()
    elif isinstance(kind, native.Array) and name == "array":
        return Lists(writer(node.items, kind.inner))
    elif isinstance(kind, native.Map) and name == "map" and isinstance(kind.key, native.LowCardinality):
        return Maps(Words(), writer(node.items, kind.value))
    raise GiveUp(f"Avro {name} into {type(kind).__name__}")
