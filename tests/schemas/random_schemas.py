"""Random Avro schemas of every type, and random values that fit them.

Both come from a `random.Random`: building hypothesis strategies for each new schema took a hundred times longer.
"""

import struct
from random import Random
from typing import Any

Named = dict[str, Any]
PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
KINDS = (*PRIMITIVES, "time", "array", "map", "enum", "fixed", "union", "again", *["record"] * 4)
DEFAULTS = {"null": None, "boolean": True, "int": -5, "long": 1 << 40, "double": 1.5, "string": "é"}
ODD = ({"record", "map"}, {"array", "bytes"}, {"array", "fixed"})
CHARACTERS = "ab|\x00éß水😀"
SPECIAL = (0.0, -0.0, 1.0, -1.5, 1e-300, 3.0e38, float("inf"), float("-inf"), float("nan"), 5e-324)


def schema(r: Random, depth: int, named: Named) -> Any:
    """A schema at most `depth` types deep. `named` takes the named types, so that they can come again."""
    kind = r.choice(KINDS if depth else PRIMITIVES)
    name = f"N{len(named)}"
    match kind:
        case "time":
            return {"type": "long", "logicalType": "timestamp-millis"}
        case "array":
            before = dict(named)
            items = schema(r, depth - 1, named)
            if _may_be_empty(items, named):
                items = _forget(named, before, "double")
            return {"type": "array", "items": items}
        case "map":
            return {"type": "map", "values": schema(r, depth - 1, named)}
        case "enum":
            named[name] = {"type": "enum", "name": name, "symbols": [f"S{i}" for i in range(r.randint(1, 5))]}
            return named[name]
        case "fixed":
            named[name] = {"type": "fixed", "name": name, "size": r.randint(1, 9)}
            return named[name]
        case "union":
            return _union(r, depth - 1, named)
        case "again":
            return r.choice(sorted(named)) if named else "long"
        case "record":
            return record(r, depth, named)
    return kind


def record(r: Random, depth: int, named: Named) -> Any:
    """A record of up to 8 fields; runs of numbers are likely, as in the public schemas."""
    fields: list[Named] = []
    for i in range(r.randint(0, 8)):
        part = r.choice(("double", "double", "float", "long")) if r.random() < 0.4 else schema(r, depth - 1, named)
        fields.append({"name": f"f{i}", "type": part, **(_default(part) if r.random() < 0.5 else {})})
    name = f"N{len(named)}"
    named[name] = {"type": "record", "name": name, "fields": fields}
    return named[name]


def _union(r: Random, depth: int, named: Named) -> Any:
    """Branches that Avro allows beside each other, at most one of a kind. Left out is where fastavro chooses oddly:
    of a record and a map it takes the later, and it takes bytes for an array of numbers.
    """
    union: list[Any] = []
    kinds: set[str] = set()
    for _ in range(r.randint(1, 5)):
        before = dict(named)
        branch = schema(r, depth, named)
        kind = "union" if isinstance(branch, list) else _kind(branch, named)
        if kind == "union" or kind in kinds or any({kind, *kinds} >= odd for odd in ODD):
            _forget(named, before, None)
        else:
            kinds.add(kind)
            union.append(branch)
    return union or "null"


def _forget(named: Named, before: Named, instead: Any) -> Any:
    """`instead` of a part, whose named types are no more."""
    named.clear()
    named.update(before)
    return instead


def _kind(part: Any, named: Named) -> str:
    while isinstance(part, dict):
        part = part["type"]
    return _kind(named[part], named) if part in named else str(part)


def _may_be_empty(part: Any, named: Named) -> bool:
    if isinstance(part, str):
        return part == "null" or (part in named and _may_be_empty(named[part], named))
    if isinstance(part, list) or part["type"] != "record":
        return False
    return all(_may_be_empty(field["type"], named) for field in part["fields"])


def _default(part: Any) -> Named:
    first = part[0] if isinstance(part, list) else part
    if isinstance(first, str) and first in DEFAULTS:
        return {"default": DEFAULTS[first]}
    if isinstance(first, dict) and first["type"] in ("array", "map"):
        return {"default": [] if first["type"] == "array" else {}}
    return {}


def value(r: Random, part: Any, named: Named) -> Any:
    """A value that fits the schema; fields with a default may be missing."""
    if isinstance(part, list):
        return value(r, r.choice(part), named)
    if isinstance(part, str) and part in named:
        return value(r, named[part], named)
    kind = part if isinstance(part, str) else part["type"]
    match kind:
        case "null":
            return None
        case "boolean":
            return r.random() < 0.5
        case "int" | "long":
            bits = r.randint(0, 31 if kind == "int" else 63)
            return r.randint(-(1 << bits), (1 << bits) - 1)
        case "float" | "double":
            number = r.choice(SPECIAL) if r.random() < 0.3 else r.gauss(0, 1e6)
            single: float = struct.unpack("<f", struct.pack("<f", number))[0]
            return single if kind == "float" else r.choice((number, r.randint(-1000, 1000)))
        case "bytes":
            return r.randbytes(_size(r))
        case "fixed":
            return r.randbytes(part["size"])
        case "string":
            return _text(r)
        case "enum":
            return r.choice(part["symbols"])
        case "array":
            return [value(r, part["items"], named) for _ in range(r.randint(0, 4))]
        case "map":
            return {_text(r): value(r, part["values"], named) for _ in range(r.randint(0, 4))}
        case "record":
            return {
                field["name"]: made
                for field in part["fields"]
                for made in [value(r, field["type"], named)]
                if "default" not in field or r.random() < 0.7
            }
    return value(r, kind, named)


def _size(r: Random) -> int:
    return r.choice((0, 1, 5, 63, 64, 200, 1100)) if r.random() < 0.2 else r.randint(0, 9)


def _text(r: Random) -> str:
    return "".join(r.choices(CHARACTERS, k=_size(r)))


def bits(found: Any) -> Any:
    """The value with floats as their bits, so that NaN equals itself and -0.0 is not 0.0."""
    if isinstance(found, float):
        return struct.pack("<d", found)
    if isinstance(found, dict):
        return {key: bits(item) for key, item in found.items()}
    return [bits(item) for item in found] if isinstance(found, list) else found
