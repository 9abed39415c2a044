"""From Avro schemas in JSON to trees, and their fingerprints."""

from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, fingerprint, to_parsing_canonical_form

from schemas.avro import Field, Node, SchemaError
from schemas.walk import default_bytes

WIDTHS = {"null": 0, "float": 4, "double": 8}
PRIMITIVES = frozenset(("null", "boolean", "int", "long", "float", "double", "bytes", "string"))


def parse(schema: Any) -> Node:
    """Tree of an Avro schema (as json.loads gives it). Logical types are left as what they are stored in.

    Raises SchemaError for a wrong schema, for one that contains itself, and for arrays and maps whose items
    take no bytes: of those, a short input could ask for any amount of memory.
    """

    def of(part: Any, above: tuple[str, ...]) -> Node:
        if isinstance(part, list):
            branches = tuple(of(branch, above) for branch in part)
            return Node("union", 1 + min((b.width for b in branches), default=0), branches=branches)
        if isinstance(part, str):
            if part in PRIMITIVES:
                return Node(part, WIDTHS.get(part, 1))
            if part in above:
                raise SchemaError(f"{part} contains itself; such schemas are not supported")
            return of(named[part], above)
        kind = part["type"]
        if kind in ("array", "map"):
            items = of(part["items" if kind == "array" else "values"], above)
            if kind == "array" and not items.width:
                raise SchemaError(f"items of an array must take at least one byte, {items} takes none")
            return Node(kind, 1, items=items)
        if kind == "enum":
            return Node(kind, 1, name=part["name"], symbols=tuple(part["symbols"]))
        if kind == "fixed":
            return Node(kind, part["size"], name=part["name"], size=part["size"])
        if kind in ("record", "error"):
            fields = tuple(field(f, (*above, part["name"])) for f in part["fields"])
            return Node("record", sum(f.node.width for f in fields), name=part["name"], fields=fields)
        return of(kind, above)

    def field(part: dict[str, Any], above: tuple[str, ...]) -> Field:
        node = of(part["type"], above)
        default = default_bytes(node, part["default"], part["name"]) if "default" in part else None
        return Field(part["name"], node, default)

    named: dict[str, Any] = {}
    try:
        parsed = fastavro.parse_schema(schema, named, _force=True)
    except (SchemaParseException, KeyError, TypeError, ValueError) as error:
        raise SchemaError(f"not an Avro schema: {error!r}") from error
    return of(parsed, ())


def rabin(schema: Any) -> bytes:
    """64-bit Rabin fingerprint of the canonical form, little-endian: as single-object encoding has it."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def stored(schema: Any) -> Any:
    """The schema without what does not touch the stored bytes or values: docs and logical types."""
    if isinstance(schema, dict):
        return {
            key: part if key == "default" else stored(part)
            for key, part in schema.items()
            if key not in ("doc", "logicalType")
        }
    return [stored(part) for part in schema] if isinstance(schema, list) else schema
