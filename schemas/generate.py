"""Codecs in plain Python: for each schema, source is generated that does only what this schema needs.

The generated functions know exact Python types and well-formed bytes. Anything else makes them give up (raise
one of GIVE_UP), and schemas.walk finishes the work or says what is wrong.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schemas import walk
from schemas.avro import DecodeError, Field, Node, seven_bits, varint
from schemas.columns import Column, records

GIVE_UP = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, struct.error)
MISSING = object()
LENGTHS = tuple(varint(n) for n in range(2048))  # what is longer is left to the walk
ONE_BYTE = tuple(bytes((n,)) for n in range(128))
BOOLEANS = (False, True)
FORMATS = {"float": "f", "double": "d"}


class Codec:
    """Encodes and decodes values of one schema.

    `header` stands before every value; values that begin otherwise are given to `other`.
    """

    def __init__(self, node: Node, header: bytes = b"", other: Callable[[bytes], Any] | None = None) -> None:
        self.source = _Decoder(node, header).source() + _Encoder(node, header).source()
        self.fields = [field.name for field in node.fields]
        names: dict[str, Any] = dict(CONSTANTS)
        names["walk_decode"] = lambda raw: walk.decode(node, raw, len(header))
        names["walk_encode"] = lambda value: header + walk.encode(node, value)
        names["other"] = other
        exec(compile(self.source, f"<codec of {node}>", "exec"), names)
        self.decode: Callable[[bytes], Any] = names["decode"]
        self.encode: Callable[[Any], bytes] = names["encode"]

    def decode_many(self, raws: Iterable[bytes]) -> list[Any]:
        """The value of each, or the DecodeError that says why there is none."""
        decode = self.decode
        values: list[Any] = []
        for raw in raws:
            try:
                values.append(decode(raw))
            except DecodeError as error:
                values.append(error)
        return values

    def decode_columns(self, raws: list[bytes]) -> dict[str, list[Any]] | None:
        """The fields of records, by name; None unless each can be read."""
        values = self.decode_many(raws)
        if not self.fields or any(isinstance(value, DecodeError) for value in values):
            return None
        return {name: [value[name] for value in values] for name in self.fields}

    def encode_columns(self, common: Mapping[str, Any], columns: Mapping[str, Column]) -> list[bytes]:
        """What `encode` gives of each record of a table; see schemas.columns."""
        encode = self.encode
        return [encode(record) for record in records(common, columns)]


class _Lines:
    """Python source as it grows, and names that were not used yet."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: list[str] = []
        self.depth = 0
        self.used = 0

    def add(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]

    def block(self, line: str) -> "_Lines":
        """Begin a block with `line`; use with `with`."""
        self.add(line)
        return self

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1

    def name(self) -> str:
        self.used += 1
        return f"v{self.used}"

    def constant(self, value: str) -> str:
        """Name of what the source `value` gives when the codec is made."""
        name = f"{type(self).__name__[1]}{len(self.constants)}"
        self.constants.append(f"{name} = {value}")
        return name

    def source(self) -> str:
        return "\n".join([*self.constants, *self.lines]) + "\n"


class _Decoder(_Lines):
    """Source of `decode(b)`; p is the position of the next byte."""

    def __init__(self, node: Node, header: bytes) -> None:
        super().__init__()
        with self.block("def decode(b):"):
            self.add("if type(b) is not bytes: return walk_decode(b)")
            if header:
                self.add(f"if b[:{len(header)}] != {header!r}: return other(b)")
            with self.block("try:"):
                self.add(f"p = {len(header)}")
                value = self.read(node)
                self.add(f"if p == len(b): return {value}")
            self.add("except GIVE_UP: pass")
            self.add("return walk_decode(b)")

    def varint(self, name: str, bits: int = 64, unrolled: int = 2) -> None:
        """An unsigned varint into `name`; without a loop up to `unrolled` bytes."""
        self.add(f"{name} = b[p]; p += 1")
        depth = self.depth
        for shift in range(7, 7 * unrolled, 7):
            self.add(f"if {'x' if shift > 7 else name} > 127:")
            self.depth += 1
            self.add("x = b[p]; p += 1", f"{name} += (x << {shift}) - {1 << shift}")
        with self.block("if x > 127:"):
            self.add(f"s = {7 * (unrolled - 1)}")
            with self.block("while x > 127:"):
                self.add("x = b[p]; p += 1; s += 7", f"{name} += (x << s) - (1 << s)")
            self.add(f"if s > 63 or {name} >> {bits}: raise ValueError")
        self.depth = depth

    def count(self, name: str) -> None:
        """A length or a number of items."""
        self.varint(name)
        self.add(f"if {name} & 1: raise ValueError")

    def read(self, node: Node) -> str:
        """Emit what reads a value of the node; returns the expression that holds it."""
        if node.kind == "null":
            return "None"
        if node.kind == "record":
            return self.read_record(node)
        value = self.name()
        match node.kind:
            case "boolean":
                self.add(f"{value} = BOOLEANS[b[p]]; p += 1")
            case "int" | "long":
                # Four bytes of an int cannot be out of its range, and six hold the milliseconds of our time.
                self.varint(value, *((32, 4) if node.kind == "int" else (64, 6)))
                return f"({value} >> 1) ^ -({value} & 1)"
            case "float" | "double":
                self.add(f"{value}, = unpack_{FORMATS[node.kind]}(b, p); p += {node.width}")
            case "string" | "bytes":
                self.count("n")
                self.add("n = p + (n >> 1)", f"{value} = b[p:n]{'.decode()' * (node.kind == 'string')}; p = n")
            case "fixed":
                self.add(f"{value} = b[p:p + {node.size}]; p += {node.size}")
            case "enum":
                self.count("n")
                self.add(f"{value} = {self.constant(repr(node.symbols))}[n >> 1]")
            case "union":
                self.read_union(node, value)
            case _:
                self.read_blocks(node, value)
        return value

    def read_record(self, node: Node) -> str:
        values: list[str] = []
        for run in _runs(node):
            if len(run) == 1:
                value = self.read(run[0])
                values.append(value)
            else:
                names = [self.name() for _ in run]
                unpack = self.constant(f"Struct({_layout(run)!r}).unpack_from")
                self.add(f"{', '.join(names)} = {unpack}(b, p); p += {sum(part.width for part in run)}")
                values += names
        pairs = zip((field.name for field in node.fields), values, strict=True)
        return "{" + ", ".join(f"{name!r}: {value}" for name, value in pairs) + "}"

    def read_union(self, node: Node, value: str) -> None:
        self.add("n = b[p]; p += 1")
        for i, branch in enumerate(node.branches[:64]):
            with self.block(f"{'el' * (i > 0)}if n == {2 * i}:"):
                self.add(f"{value} = {self.read(branch)}")
        self.add("else: raise ValueError" if node.branches else "raise ValueError")

    def read_blocks(self, node: Node, value: str) -> None:
        """Blocks with a byte size (negative counts) are rare: left to the walk."""
        assert node.items is not None
        is_map = node.kind == "map"
        size = self.name()
        self.add(f"{value} = {'{}' if is_map else '[]'}")
        with self.block("while True:"):
            self.count(size)
            self.add(f"if not {size}: break", f"{size} >>= 1")
            self.add(f"if {size} * {node.items.width + is_map} > len(b) - p: raise ValueError")
            with self.block(f"for _ in range({size}):"):
                if is_map:
                    key = self.read(walk.STRING)
                    self.add(f"{value}[{key}] = {self.read(node.items)}")
                else:
                    self.add(f"{value}.append({self.read(node.items)})")


class _Encoder(_Lines):
    """Source of `encode(e)`: statements that check and convert, then one join of all parts."""

    def __init__(self, node: Node, header: bytes) -> None:
        super().__init__()
        with self.block("def encode(e):"):
            with self.block("try:"):
                parts = [repr(header)] * bool(header) + self.write(node, "e")
                self.add(f"return join(({', '.join(parts)},))" if parts else "return b''")
            self.add("except GIVE_UP: pass", "return walk_encode(e)")

    def write(self, node: Node, value: str) -> list[str]:
        """Emit what checks `value`, a name; returns the expressions of its bytes in order."""
        out = self.name()
        match node.kind:
            case "null":
                self.add(f"if {value} is not None: raise TypeError")
                return []
            case "boolean":
                self.add(f"if type({value}) is not bool: raise TypeError")
                return [f"ONE_BYTE[{value}]"]
            case "int" | "long":
                bound = 1 << (31 if node.kind == "int" else 63)
                self.add(f"if type({value}) is not int: raise TypeError")
                self.add(f"{out} = {value} + {value} if {value} >= 0 else ~({value} + {value})")
                if node.kind == "int":
                    self.add(f"if {out} >= {2 * bound}: raise ValueError")
                return [f"(ONE_BYTE[{out}] if {out} < 128 else long_bytes({out}))"]
            case "float" | "double":
                self.number(value)
                return [f"pack_{FORMATS[node.kind]}({value})"]
            case "bytes" | "string":
                if node.kind == "bytes":
                    self.add(f"if type({value}) is not bytes: raise TypeError")
                    out = value
                else:
                    self.add(f"{out} = to_utf8({value})")
                return [f"LENGTHS[len({out})]", out]
            case "fixed":
                self.add(f"if type({value}) is not bytes or len({value}) != {node.size}: raise TypeError")
                return [value]
            case "enum":
                table = {symbol: varint(i) for i, symbol in enumerate(node.symbols)}
                self.add(f"{out} = {self.constant(repr(table))}[{value}]")
                return [out]
            case "record":
                return self.write_record(node, value)
            case "union":
                self.write_union(node, value, out)
                return [out]
            case _:
                self.write_blocks(node, value, out)
                return [out]

    def number(self, value: str) -> None:
        """Check for an int or any float, but no bool."""
        test = f"type({value}) is not float and type({value}) is not int and not isinstance({value}, float)"
        self.add(f"if {test}: raise TypeError")

    def write_record(self, node: Node, value: str) -> list[str]:
        self.add(f"if type({value}) is not dict: raise TypeError")
        # Every field must be there and nothing else: with no defaults the count says it, for a missing one raises.
        names = frozenset(field.name for field in node.fields)
        test = f"len({value}) != {len(names)}"
        if any(field.default is not None for field in node.fields):
            test = f"not {self.constant(repr(names))}.issuperset({value})"
        self.add(f"if {test}: raise KeyError")
        parts: list[str] = []
        rest = iter(node.fields)
        for run in _runs(node):
            fields = [next(rest) for _ in run]
            if len(run) > 1 and all(field.default is None for field in fields):
                parts.append(self.write_run(fields, value))
            else:
                parts += [part for field in fields for part in self.write_field(field, value)]
        return parts

    def write_run(self, fields: list[Field], value: str) -> str:
        """Numbers that are packed together, because one call costs as much as another."""
        items = [self.name() for _ in fields]
        for item, field in zip(items, fields, strict=True):
            self.add(f"{item} = {value}[{field.name!r}]")
        with self.block(f"if not ({' is '.join(f'type({item})' for item in items)} is float):"):
            for item in items:
                self.number(item)
        layout = _layout([field.node for field in fields])
        return f"{self.constant(f'Struct({layout!r}).pack')}({', '.join(items)})"

    def write_field(self, field: Field, value: str) -> list[str]:
        item = self.name()
        if field.default is None:
            self.add(f"{item} = {value}[{field.name!r}]")
            return self.write(field.node, item)
        first = field.node.branches[0].kind if field.node.branches else ""
        if first == "null" and field.default == b"\0":
            self.add(f"{item} = {value}.get({field.name!r})")
            return self.write(field.node, item)
        out = self.name()
        self.add(f"{item} = {value}.get({field.name!r}, MISSING)")
        self.add(f"if {item} is MISSING: {out} = {field.default!r}")
        with self.block("else:"):
            self.assign(out, self.write(field.node, item))
        return [out]

    def assign(self, out: str, parts: list[str]) -> None:
        self.add(f"{out} = " + (" + ".join(parts) or "b''"))

    def write_union(self, node: Node, value: str, out: str) -> None:
        """Branches that the Python type alone decides; the rest is left to the walk."""
        sole = node.sole_branches()
        word = "if"
        if "None" in sole:
            self.add(f"if {value} is None: {out} = {varint(sole['None'])!r}")
            word = "elif"
        if len(node.branches) == 2 and "None" in sole:
            i = 1 - sole["None"]
            with self.block("else:"):
                self.assign(out, [repr(varint(i)), *self.write(node.branches[i], value)])
            return
        for python_type, i in sole.items():
            if python_type == "None":
                continue
            test = f"type({value}) is {python_type}"
            if python_type in ("float", "str"):
                test = f"isinstance({value}, {python_type})"
            with self.block(f"{word} {test}:"):
                self.assign(out, [repr(varint(i)), *self.write(node.branches[i], value)])
            word = "elif"
        self.add("else: raise TypeError" if word == "elif" else "raise TypeError")

    def write_blocks(self, node: Node, value: str, out: str) -> None:
        assert node.items is not None
        parts, item = self.name(), self.name()
        if node.kind == "map":
            self.add(f"if type({value}) is not dict: raise TypeError")
            head = f"for {item}k, {item} in {value}.items():"
        else:
            self.add(f"if type({value}) is not list and type({value}) is not tuple: raise TypeError")
            head = f"for {item} in {value}:"
        with self.block(f"if {value}:"):
            self.add(f"{parts} = [long_bytes(2 * len({value}))]")
            with self.block(head):
                key = self.write(walk.STRING, f"{item}k") if node.kind == "map" else []
                self.add(f"{parts} += ({', '.join(key + self.write(node.items, item))},)")
            self.add(f"{parts}.append(b'\\0')", f"{out} = join({parts})")
        self.add(f"else: {out} = b'\\0'")


def _runs(node: Node) -> list[list[Node]]:
    """Types of a record's fields in order; neighbours that are packed together stand together."""
    runs: list[list[Node]] = []
    for field in node.fields:
        if runs and field.node.kind in FORMATS and runs[-1][0].kind in FORMATS:
            runs[-1].append(field.node)
        else:
            runs.append([field.node])
    return runs


def _layout(run: list[Node]) -> str:
    return "<" + "".join(FORMATS[node.kind] for node in run)


class _Groups(dict[int, bytes]):
    """Two groups of seven bits, made when first asked for: at most 16,384 of them."""

    def __init__(self, last: bool) -> None:
        self.last = last

    def __missing__(self, number: int) -> bytes:
        made = self[number] = seven_bits(number) if self.last else bytes((number & 127 | 128, number >> 7 | 128))
        return made


GROUPS, LAST = _Groups(last=False), _Groups(last=True)


def long_bytes(number: int) -> bytes:
    """A zig-zagged long as seven bits a byte. ValueError past 64 bits."""
    if number < 1 << 14:
        return LAST[number]
    if number < 1 << 42:
        if number < 1 << 28:
            return GROUPS[number & 16383] + LAST[number >> 14]
        return GROUPS[number & 16383] + GROUPS[number >> 14 & 16383] + LAST[number >> 28]
    if number >> 64:
        raise ValueError
    return GROUPS[number & 16383] + long_bytes(number >> 14)


CONSTANTS = {
    "BOOLEANS": BOOLEANS,
    "GIVE_UP": GIVE_UP,
    "LENGTHS": LENGTHS,
    "MISSING": MISSING,
    "ONE_BYTE": ONE_BYTE,
    "Struct": struct.Struct,
    "join": b"".join,
    "long_bytes": long_bytes,
    "pack_d": struct.Struct("<d").pack,
    "pack_f": struct.Struct("<f").pack,
    "to_utf8": str.encode,
    "unpack_d": struct.Struct("<d").unpack_from,
    "unpack_f": struct.Struct("<f").unpack_from,
}
