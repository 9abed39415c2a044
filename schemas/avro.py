"""What a codec is built from: Avro types as a tree, and the errors of encoding and decoding."""

import struct
from dataclasses import dataclass

INT = (-(1 << 31), (1 << 31) - 1)
LONG = (-(1 << 63), (1 << 63) - 1)
FLOAT = struct.Struct("<f")
DOUBLE = struct.Struct("<d")


class SchemaError(ValueError):
    """A schema that is wrong, or that no codec can be built for."""


class EncodeError(ValueError):
    """A value that does not fit its schema. The text names the field, what was expected and what came."""


class DecodeError(ValueError):
    """Bytes that are no value of the schema. `reason` says what was expected and what came."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownFingerprint(DecodeError):
    """A record that was written with a schema which this release does not know.

    `fingerprint` is the 64-bit Rabin fingerprint in hexadecimal, in the byte order of the record.
    """

    def __init__(self, fingerprint: str, topic: str) -> None:
        super().__init__(f"{topic} has no schema with the fingerprint {fingerprint}, now or in its history")
        self.fingerprint = fingerprint


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record. `default` is what stands for a missing value, in Avro; None when there is none."""

    name: str
    node: "Node"
    default: bytes | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A type. `width` is the least number of bytes that a value takes; the rest is set where the kind has it."""

    kind: str
    width: int
    name: str = ""
    fields: tuple[Field, ...] = ()
    items: "Node | None" = None
    branches: tuple["Node", ...] = ()
    symbols: tuple[str, ...] = ()
    size: int = 0

    def __str__(self) -> str:
        if self.kind == "union":
            return " or ".join(map(str, self.branches)) or "nothing"
        if self.items is not None:
            return f"{self.kind} of {self.items}"
        if self.kind == "enum":
            return "one of " + ", ".join(self.symbols)
        if self.kind == "fixed":
            return f"{self.size} bytes"
        return f"record {self.name}" if self.kind == "record" else self.kind

    def sole_branches(self) -> dict[str, int]:
        """Python type -> the branch of this union that a value of exactly that type goes to.

        Types that several branches could take are left out: there the value decides. A number goes to the
        first number branch, and past a float to a double when there is one.
        """
        takers: dict[str, list[int]] = {}
        for i, branch in enumerate(self.branches):
            for python_type in TAKES[branch.kind]:
                takers.setdefault(python_type, []).append(i)
        sole = {}
        for python_type, found in takers.items():
            if self.branches[found[0]].kind == "float":
                sole[python_type] = next((i for i in found if self.branches[i].kind == "double"), found[0])
            elif len(found) == 1 or python_type in ("int", "float"):
                sole[python_type] = found[0]
        return sole


TAKES = {
    "null": ("None",),
    "boolean": ("bool",),
    "int": ("int",),
    "long": ("int",),
    "float": ("int", "float"),
    "double": ("int", "float"),
    "bytes": ("bytes",),
    "fixed": ("bytes",),
    "string": ("str",),
    "enum": ("str",),
    "array": ("list",),
    "map": ("dict",),
    "record": ("dict",),
}


def varint(value: int) -> bytes:
    """A long as Avro stores it: zig-zag, then seven bits a byte."""
    return seven_bits((value << 1) ^ (value >> 63))


def seven_bits(number: int) -> bytes:
    """A number of 0 or more, seven bits a byte, the lowest first; the last byte is the one under 128."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
