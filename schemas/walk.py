"""Encoding and decoding one step at a time: slow, complete, and able to say what is wrong and where.

The generated and the compiled codecs handle what is right in every way; whatever they do not know they hand to
these functions, which either finish the work or raise the error that a person reads.
"""

import reprlib
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from schemas.avro import DOUBLE, FLOAT, INT, LONG, DecodeError, EncodeError, Node, SchemaError, varint

SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 60
BYTES = (bytes, bytearray, memoryview)


def encode(node: Node, value: Any) -> bytes:
    """Value as Avro. Raises EncodeError."""
    out = bytearray()
    write(node, value, out, node.name.rpartition(".")[2] or "value")
    return bytes(out)


def decode(node: Node, raw: bytes, start: int = 0) -> Any:
    """The one value that `raw` holds from `start` to its end. Raises DecodeError."""
    if not isinstance(raw, BYTES):
        raise DecodeError(f"expected bytes, got {'no value' if raw is None else type(raw).__name__}")
    source = _Source(bytes(raw), start)
    value = source.read(node, node.name.rpartition(".")[2] or "value")
    if source.at != len(raw):
        raise DecodeError(f"{len(raw) - source.at} bytes after the end of the value, which is at byte {source.at}")
    return value


def write(node: Node, value: Any, out: bytearray, at: str) -> None:
    """Append the value as Avro; `at` names the place in the record for errors."""
    match node.kind:
        case "null" if value is None:
            pass
        case "boolean" if isinstance(value, bool):
            out.append(value)
        case "int" | "long" if isinstance(value, Integral) and not isinstance(value, bool):
            low, high = INT if node.kind == "int" else LONG
            number = int(value)
            if not low <= number <= high:
                raise EncodeError(f"{at}: expected {node} ({low} to {high}), got {SHORT.repr(number)}")
            out += varint(number)
        case "float" | "double" if isinstance(value, Real) and not isinstance(value, bool):
            try:
                out += (FLOAT if node.kind == "float" else DOUBLE).pack(float(value))
            except OverflowError:
                raise EncodeError(f"{at}: {SHORT.repr(value)} is too large for a {node}") from None
        case "bytes" if isinstance(value, BYTES):
            raw = bytes(value)
            out += varint(len(raw)) + raw
        case "fixed" if isinstance(value, BYTES) and len(bytes(value)) == node.size:
            out += value
        case "string" if isinstance(value, str):
            try:
                raw = value.encode()
            except UnicodeEncodeError as error:
                raise EncodeError(f"{at}: {SHORT.repr(value)} is no valid Unicode: {error.reason}") from None
            out += varint(len(raw)) + raw
        case "enum" if isinstance(value, str) and value in node.symbols:
            out += varint(node.symbols.index(value))
        case "array" if isinstance(value, Sequence) and not isinstance(value, (str, *BYTES)):
            if len(value):
                out += varint(len(value))
                for i, item in enumerate(value):
                    write(_items(node), item, out, f"{at}[{i}]")
            out.append(0)
        case "map" if isinstance(value, Mapping):
            if len(value):
                out += varint(len(value))
                for key, item in value.items():
                    write(STRING, key, out, f"{at}: name of an entry")
                    write(_items(node), item, out, f"{at}[{SHORT.repr(key)}]")
            out.append(0)
        case "record" if isinstance(value, Mapping):
            _write_record(node, value, out, at)
        case "union":
            _write_union(node, value, out, at)
        case _:
            raise EncodeError(f"{at}: expected {node}, got {_came(value)}")


def _write_record(node: Node, value: Mapping[str, Any], out: bytearray, at: str) -> None:
    for field in node.fields:
        if field.name in value:
            write(field.node, value[field.name], out, f"{at}.{field.name}")
        elif field.default is not None:
            out += field.default
        else:
            raise EncodeError(f"{at}.{field.name}: expected {field.node}, but the field is missing")
    names = {field.name for field in node.fields}
    for name in value:
        if name not in names:
            raise EncodeError(f"{at}: has no field {SHORT.repr(name)}; its fields are {', '.join(sorted(names))}")


def _write_union(node: Node, value: Any, out: bytearray, at: str) -> None:
    """The first branch that takes the value; past a float to a double, so that nothing is rounded needlessly."""
    chosen: tuple[int, bytes] | None = None
    problems: list[EncodeError] = []
    for i, branch in enumerate(node.branches):
        if chosen and branch.kind != "double":
            continue
        written = bytearray()
        try:
            write(branch, value, written, at)
        except EncodeError as problem:
            problems.append(problem)
            continue
        chosen = i, bytes(written)
        if branch.kind != "float":
            break
    if chosen is None:
        nested = [p for p in problems if not str(p).startswith(f"{at}: expected")]
        raise nested[0] if nested else EncodeError(f"{at}: expected {node}, got {_came(value)}")
    out += varint(chosen[0]) + chosen[1]


def _items(node: Node) -> Node:
    assert node.items is not None
    return node.items


def _came(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {SHORT.repr(value)}"


class _Source:
    """Bytes and the position of the next one."""

    def __init__(self, raw: bytes, at: int) -> None:
        self.raw = raw
        self.at = at

    def take(self, count: int, what: str) -> bytes:
        left = len(self.raw) - self.at
        if not 0 <= count <= left:
            raise DecodeError(f"{what}: expected {count} bytes at byte {self.at}, {left} are left")
        self.at += count
        return self.raw[self.at - count : self.at]

    def long(self, what: str, bounds: tuple[int, int] = LONG) -> int:
        start, value, shift = self.at, 0, 0
        while True:
            byte = self.take(1, what)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 63:
                raise DecodeError(f"{what}: the number at byte {start} is longer than 64 bits")
        value = (value >> 1) ^ -(value & 1)
        if not bounds[0] <= value <= bounds[1]:
            raise DecodeError(f"{what}: expected {bounds[0]} to {bounds[1]} at byte {start}, got {value}")
        return value

    def choice(self, options: Sequence[Any], what: str) -> int:
        start = self.at
        i = self.long(what)
        if not 0 <= i < len(options):
            raise DecodeError(f"{what}: expected a number under {len(options)} at byte {start}, got {i}")
        return i

    def text(self, what: str) -> str:
        raw = self.take(self.long(what), what)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            bad = self.at - len(raw) + error.start
            raise DecodeError(f"{what}: no valid UTF-8 at byte {bad}: {error.reason}") from None

    def block(self, node: Node, what: str) -> int:
        """Number of items in the next block; 0 at the end."""
        start = self.at
        count = self.long(what)
        if count < 0:
            count = -count
            if not 0 <= self.long(what) <= len(self.raw) - self.at:
                raise DecodeError(f"{what}: the block at byte {start} is longer than what is left")
        least = _items(node).width + (node.kind == "map")
        if count * least > len(self.raw) - self.at:
            raise DecodeError(f"{what}: {count} items at byte {start} cannot fit into what is left")
        return count

    def read(self, node: Node, what: str) -> Any:
        match node.kind:
            case "null":
                return None
            case "boolean":
                byte = self.take(1, what)[0]
                if byte > 1:
                    raise DecodeError(f"{what}: expected 0 or 1 at byte {self.at - 1}, got {byte}")
                return byte == 1
            case "int":
                return self.long(what, INT)
            case "long":
                return self.long(what)
            case "float":
                return FLOAT.unpack(self.take(4, what))[0]
            case "double":
                return DOUBLE.unpack(self.take(8, what))[0]
            case "bytes":
                return self.take(self.long(what), what)
            case "fixed":
                return self.take(node.size, what)
            case "string":
                return self.text(what)
            case "enum":
                return node.symbols[self.choice(node.symbols, what)]
            case "union":
                return self.read(node.branches[self.choice(node.branches, what)], what)
            case "record":
                return {field.name: self.read(field.node, f"{what}.{field.name}") for field in node.fields}
            case "array":
                items: list[Any] = []
                while count := self.block(node, what):
                    for _ in range(count):
                        items.append(self.read(_items(node), f"{what}[{len(items)}]"))
                return items
            case _:
                entries: dict[str, Any] = {}
                while count := self.block(node, what):
                    for _ in range(count):
                        name = self.text(f"{what}: name of an entry")
                        entries[name] = self.read(_items(node), f"{what}[{SHORT.repr(name)}]")
                return entries


def default_bytes(node: Node, default: Any, name: str) -> bytes:
    """A field's default, given in JSON as the specification says, as Avro. Raises SchemaError."""
    try:
        return encode(node, _from_json(node, default))
    except EncodeError as error:
        raise SchemaError(f"default of {name}: {error}") from error


def _from_json(node: Node, value: Any) -> Any:
    """JSON has no bytes: there they are a string of the code points 0 to 255."""
    match node.kind:
        case "bytes" | "fixed" if isinstance(value, str):
            return value.encode("latin-1")
        case "array" if isinstance(value, list):
            return [_from_json(_items(node), item) for item in value]
        case "map" if isinstance(value, dict):
            return {key: _from_json(_items(node), item) for key, item in value.items()}
        case "record" if isinstance(value, dict):
            nodes = {field.name: field.node for field in node.fields}
            return {key: _from_json(nodes[key], item) if key in nodes else item for key, item in value.items()}
        case "union":
            return _from_json(node.branches[0], value) if node.branches else value
    return value


STRING = Node("string", 1)
