"""Universal Binary JSON (https://ubjson.org), as far as XGBoost writes it.

The library itself ends the process on a file that was cut off, so what a file holds is looked at here first.
"""

from struct import Struct, error
from typing import Any

import numpy as np

DEEPEST = 32

_NUMBERS: dict[bytes, tuple[Struct, np.dtype[Any]]] = {
    b"i": (Struct(">b"), np.dtype(">i1")),
    b"U": (Struct(">B"), np.dtype(">u1")),
    b"I": (Struct(">h"), np.dtype(">i2")),
    b"l": (Struct(">i"), np.dtype(">i4")),
    b"L": (Struct(">q"), np.dtype(">i8")),
    b"d": (Struct(">f"), np.dtype(">f4")),
    b"D": (Struct(">d"), np.dtype(">f8")),
}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}


class UbjsonError(ValueError):
    """Bytes that are no such value."""


def decode(raw: bytes) -> Any:
    """The value of all bytes: arrays of one type of numbers as numpy arrays, other arrays as lists.

    Raises:
        UbjsonError: they are cut off, have more after the end, or are something else.
    """
    reader = _Reader(raw)
    try:
        value = reader.value(reader.take(1), 0)
    except (error, UnicodeDecodeError) as wrong:
        raise UbjsonError(f"byte {reader.at:,}: {wrong}") from wrong
    if reader.at != len(raw):
        raise UbjsonError(f"{len(raw) - reader.at:,} bytes come after the end")
    return value


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if count < 0 or end > len(self.raw):
            raise UbjsonError(f"byte {self.at:,}: {count:,} more bytes were expected, {len(self.raw) - self.at:,} came")
        found = self.raw[self.at : end]
        self.at = end
        return found

    def value(self, kind: bytes, depth: int) -> Any:
        if depth > DEEPEST:
            raise UbjsonError(f"byte {self.at:,}: more than {DEEPEST} levels")
        if kind == b"{":
            return self.mapping(depth)
        if kind == b"[":
            return self.array(depth)
        if kind == b"S":
            return self.text()
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in _NUMBERS:
            form = _NUMBERS[kind][0]
            return form.unpack(self.take(form.size))[0]
        raise UbjsonError(f"byte {self.at:,}: {kind!r} is no type")

    def length(self) -> int:
        kind = self.take(1)
        found = self.value(kind, 0) if kind in _NUMBERS else None
        if not isinstance(found, int) or found < 0:
            raise UbjsonError(f"byte {self.at:,}: expected a length")
        return found

    def text(self) -> str:
        return self.take(self.length()).decode()

    def mapping(self, depth: int) -> dict[str, Any]:
        found = {}
        while self.raw[self.at : self.at + 1] != b"}":
            name = self.text()
            found[name] = self.value(self.take(1), depth + 1)
        self.at += 1
        return found

    def array(self, depth: int) -> Any:
        mark = self.take(1)
        if mark == b"$":
            kind = self.take(1)
            if kind not in _NUMBERS or self.take(1) != b"#":
                raise UbjsonError(f"byte {self.at:,}: expected a type of numbers and their count")
            dtype = _NUMBERS[kind][1]
            return np.frombuffer(self.take(self.length() * dtype.itemsize), dtype=dtype)
        if mark == b"#":
            return [self.value(self.take(1), depth + 1) for _ in range(self.length())]
        found = []
        while mark != b"]":
            found.append(self.value(mark, depth + 1))
            mark = self.take(1)
        return found
