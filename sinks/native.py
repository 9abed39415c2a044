"""ClickHouse's Native format, written from columns of Python values.

Native is what the engine reads with the least work: whole columns, numbers as they lie in memory. Here are just the
types of our tables. A None in a column that cannot hold NULL becomes the type's default ('' or an empty list).
"""

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Protocol
from uuid import UUID


class Type(Protocol):
    """How a column of one type is written."""

    default: Any

    def prefix(self) -> bytes:
        """What stands before the column's data, and before those of its container."""

    def data(self, column: Sequence[Any]) -> bytes:
        """The column's data. Raises TypeError, ValueError or OverflowError for a value that does not fit."""


class Number:
    """Fixed width, as array() writes it: floats, integers, Bool (0 or 1), DateTime64(3) (epoch milliseconds)."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.default = 0

    def prefix(self) -> bytes:
        return b""

    def data(self, column: Sequence[Any]) -> bytes:
        return array(self.code, column).tobytes()


class Text:
    """Length and bytes. Takes str and bytes."""

    default = ""

    def prefix(self) -> bytes:
        return b""

    def data(self, column: Sequence[Any]) -> bytes:
        parts: list[bytes] = []
        for value in column:
            raw = value if isinstance(value, bytes) else (value or "").encode()
            parts.append(varint(len(raw)))
            parts.append(raw)
        return b"".join(parts)


class Uuid:
    """Two little-endian halves, the high one first. Takes the canonical text."""

    default = "00000000-0000-0000-0000-000000000000"

    def prefix(self) -> bytes:
        return b""

    def data(self, column: Sequence[Any]) -> bytes:
        halves = array("Q")
        for value in column:
            number = UUID(value).int
            halves.append(number >> 64)
            halves.append(number & 0xFFFF_FFFF_FFFF_FFFF)
        return halves.tobytes()


class Nullable:
    """A byte per value that says whether it is NULL, then the values."""

    default = None

    def __init__(self, inner: Type) -> None:
        self.inner = inner

    def prefix(self) -> bytes:
        return self.inner.prefix()

    def data(self, column: Sequence[Any]) -> bytes:
        nulls = bytes(value is None for value in column)
        filled = [self.inner.default if value is None else value for value in column]
        return nulls + self.inner.data(filled)


class LowCardinality:
    """The different values, then an index per row."""

    default = ""

    def prefix(self) -> bytes:
        return array("Q", [1]).tobytes()  # version of the encoding

    def data(self, column: Sequence[Any]) -> bytes:
        if not column:
            return b""
        # Index 0 belongs to the default.
        places: dict[Any, int] = {"": 0}
        indexes = [places.setdefault(value or "", len(places)) for value in column]
        width, code = (0, "B") if len(places) < 1 << 8 else (1, "H") if len(places) < 1 << 16 else (2, "I")
        head = array("Q", [width | 1 << 9 | 1 << 10, len(places)]).tobytes()
        tail = array("Q", [len(indexes)]).tobytes() + array(code, indexes).tobytes()
        return head + Text().data(list(places)) + tail


class Array:
    """Where each row's values end, then all values."""

    default: tuple[Any, ...] = ()

    def __init__(self, inner: Type) -> None:
        self.inner = inner

    def prefix(self) -> bytes:
        return self.inner.prefix()

    def data(self, column: Sequence[Any]) -> bytes:
        return ends(column) + self.inner.data(list(chain.from_iterable(filter(None, column))))


class Map:
    """Where each row's entries end, then all keys, then all values."""

    default: Mapping[str, Any] = {}

    def __init__(self, key: Type, value: Type) -> None:
        self.key = key
        self.value = value

    def prefix(self) -> bytes:
        return self.key.prefix() + self.value.prefix()

    def data(self, column: Sequence[Any]) -> bytes:
        keys = list(chain.from_iterable(filter(None, column)))
        values = list(chain.from_iterable(entry.values() for entry in column if entry))
        return ends(column) + self.key.data(keys) + self.value.data(values)


class Tuple:
    """A column per element. Takes dicts."""

    default: Mapping[str, Any] = {}

    def __init__(self, elements: Mapping[str, Type]) -> None:
        self.elements = elements

    def prefix(self) -> bytes:
        return b"".join(inner.prefix() for inner in self.elements.values())

    def data(self, column: Sequence[Any]) -> bytes:
        return b"".join(inner.data([row[name] for row in column]) for name, inner in self.elements.items())


def varint(number: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def ends(column: Iterable[Any]) -> bytes:
    total = 0
    out = array("Q")
    for value in column:
        total += len(value) if value else 0
        out.append(total)
    return out.tobytes()


NUMBERS = {
    "Float64": "d",
    "Int64": "q",
    "UInt64": "Q",
    "Int32": "i",
    "UInt16": "H",
    "Bool": "B",
    "DateTime64(3, 'UTC')": "q",
}


@cache
def parse(name: str) -> Type:
    """The type of a name as ClickHouse writes it. Raises ValueError for one that no table of ours uses."""
    if name in NUMBERS:
        return Number(NUMBERS[name])
    if name in ("String", "UUID"):
        return Text() if name == "String" else Uuid()
    if name == "LowCardinality(String)":
        return LowCardinality()
    found = re.fullmatch(r"(Nullable|Array|Map|Tuple)\((.*)\)", name)
    if found is None:
        raise ValueError(f"the type {name} is not used in Watchfloor's tables")
    parts = arguments(found[2])
    if found[1] == "Map":
        return Map(parse(parts[0]), parse(parts[1]))
    if found[1] == "Tuple":
        return Tuple({part.split(" ", 1)[0]: parse(part.split(" ", 1)[1]) for part in parts})
    return Nullable(parse(parts[0])) if found[1] == "Nullable" else Array(parse(parts[0]))


def arguments(text: str) -> list[str]:
    """Split at the commas that stand outside parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def column(kind: Type, values: Sequence[Any]) -> bytes:
    """A whole column. Raises TypeError, ValueError or OverflowError for a value that does not fit."""
    return kind.prefix() + kind.data(values)


def block(names: Sequence[str], types: Sequence[str], columns: Sequence[bytes], rows: int) -> bytes:
    """One Native block of columns as column() writes them."""
    parts = [varint(len(names)), varint(rows)]
    for name, type_name, data in zip(names, types, columns, strict=True):
        parts += [_word(name), _word(type_name), data]
    return b"".join(parts)


def _word(text: str) -> bytes:
    raw = text.encode()
    return varint(len(raw)) + raw
