"""How the state of detectors is stored: small named parts, so that one update writes few bytes."""

from array import array
from collections.abc import Callable
from struct import Struct
from typing import TypeVar

Read = Callable[[bytes], bytes | None]
"""Stored bytes of a part by its name; None where there are none."""

Parts = list[tuple[bytes, bytes | None]]
"""Parts by name; None deletes."""

N = TypeVar("N", int, float)

_SINGLE = Struct(">f")
_BITS = Struct(">I")


def single(value: float) -> float:
    """The nearest single precision number: what was stored and read again is the same."""
    found: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    return found


def trimmed(value: float) -> float:
    """The nearest number that the upper three bytes of single precision hold: right to 0.0015 %.

    >>> trimmed(41.3), trimmed(65535.0)
    (41.2998046875, 65535.0)
    """
    found: float = _SINGLE.unpack(_BITS.pack(_BITS.unpack(_SINGLE.pack(value))[0] + 0x80 & 0xFFFFFF00))[0]
    return found


def packed(values: "array[N]") -> bytes:
    """An array as it is stored, big-endian."""
    swapped = values[:]
    swapped.byteswap()
    return swapped.tobytes()


def unpacked(kind: "array[N]", raw: bytes) -> "array[N]":
    """The array that `packed` stored, of the type of `kind`."""
    found = kind[:0]
    found.frombytes(raw)
    found.byteswap()
    return found


def packed_trimmed(values: "array[float]") -> bytes:
    """Single precision numbers without their lowest byte; `trimmed` ones, and what is not a number, lose nothing."""
    raw = bytearray(packed(values))
    del raw[3::4]
    return bytes(raw)


def unpacked_trimmed(raw: bytes) -> "array[float]":
    """What `packed_trimmed` stored."""
    wide = bytearray(len(raw) // 3 * 4)
    for at in range(3):
        wide[at::4] = raw[at::3]
    return unpacked(array("f"), bytes(wide))


def within(place: bytes, read: Read) -> Read:
    """What is stored under this beginning of the names."""
    return lambda part: read(place + part)


def under(place: bytes, parts: Parts) -> Parts:
    """The parts with this beginning put before their names."""
    return [(place + part, raw) for part, raw in parts]


def nothing(part: bytes) -> None:
    """What is stored of a series that is seen for the first time."""
