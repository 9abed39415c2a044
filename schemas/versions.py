"""The schemas in their versions: the current ones in this folder, and in history/ every one that was released.

Records of any released version may still lie in a topic, so each current schema must be able to read them all.
A released version is kept without docs and logical types, which touch neither bytes nor values.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.avro import Node
from schemas.parse import parse, stored

FOLDER = Path(__file__).parent
HISTORY = FOLDER / "history"
RELEASED = re.compile(r"^(.+)\.v([0-9]+)\.avsc$")
# What Avro lets a reader make of a writer's type.
PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}


@dataclass(frozen=True, slots=True)
class Version:
    """A released version of a schema; numbers begin with 1."""

    name: str
    number: int
    schema: Any


def names() -> list[str]:
    """Names of all schemas."""
    return sorted(path.stem for path in FOLDER.glob("*.avsc") if not RELEASED.search(path.name))


def current(name: str) -> Any:
    """The schema as it is now, with docs."""
    return json.loads((FOLDER / f"{name}.avsc").read_text())


def released(name: str, history: Path | None = None) -> list[Version]:
    """Released versions, oldest first."""
    history = history or HISTORY
    found = [(RELEASED.search(path.name), path) for path in history.glob(f"{name}.v*.avsc")]
    versions = [
        Version(name, int(match[2]), json.loads(path.read_text()))
        for match, path in found
        if match and match[1] == name
    ]
    return sorted(versions, key=lambda version: version.number)


def problems(name: str, schema: Any, versions: list[Version]) -> list[str]:
    """What forbids to ship `schema` as the current one, in plain words; empty when nothing does."""
    found = []
    for version in versions:
        found += [
            f"{name} cannot read records of its version {version.number}: {problem}"
            for problem in unreadable(parse(version.schema), parse(schema), "record")
        ]
    if not versions:
        found.append(f"{name} has no version in schemas/history; run `watchfloor schemas release {name}`")
    elif versions[-1].schema != stored(schema):
        found.append(
            f"{name} differs from its last version {versions[-1].number} in schemas/history; "
            f"run `watchfloor schemas release {name}` to keep it as version {versions[-1].number + 1}"
        )
    return found


def release(name: str, schema: Any, history: Path | None = None) -> Path | None:
    """Keep the current schema as the next version; None when the last version is the same.

    Raises ValueError, naming what is wrong, when it cannot read an earlier version.
    """
    history = history or HISTORY
    versions = released(name, history)
    if versions and versions[-1].schema == stored(schema):
        return None
    forbidden = [problem for problem in problems(name, schema, versions) if "cannot read" in problem]
    if forbidden:
        raise ValueError("\n".join(forbidden))
    path = history / f"{name}.v{versions[-1].number + 1 if versions else 1}.avsc"
    path.write_text(json.dumps(stored(schema), indent=1) + "\n")
    return path


def unreadable(writer: Node, reader: Node, at: str) -> list[str]:
    """Where a reader cannot make its type of a writer's (the rules of Avro's schema resolution)."""
    if writer.kind == "union":
        return [problem for branch in writer.branches for problem in unreadable(branch, reader, at)]
    if reader.kind == "union":
        if any(not unreadable(writer, branch, at) for branch in reader.branches):
            return []
        return [f"{at}: {writer} became {reader}"]
    if writer.kind != reader.kind:
        return [] if reader.kind in PROMOTIONS.get(writer.kind, ()) else [f"{at}: {writer} became {reader}"]
    if writer.items is not None and reader.items is not None:
        return unreadable(writer.items, reader.items, f"items of {at}")
    if writer.kind == "enum":
        return [f"{at}: the symbol {s} is gone" for s in writer.symbols if s not in reader.symbols]
    if writer.kind == "fixed" and writer.size != reader.size:
        return [f"{at}: {writer} became {reader}"]
    written = {field.name: field.node for field in writer.fields}
    found = []
    for field in reader.fields:
        if field.name in written:
            found += unreadable(written[field.name], field.node, f"{at}.{field.name}")
        elif field.default is None:
            found.append(f"{at}.{field.name}: a new field needs a default")
    return found
