"""The topics' part of the data dictionary, written from the catalogue and the schemas."""

from typing import Any

from schemas import versions
from schemas.topics import CATALOGUE, DAY_MS, Topic

HEAD = """\
Written by `watchfloor schemas doc` from `schemas/topics.py` and `schemas/*.avsc`; change those, not this page.

Values are Avro in single-object encoding: the bytes `c3 01`, the 8-byte Rabin fingerprint of the schema with the
lowest byte first, then the record. Every schema reads the records of all versions in `schemas/history/`. Keys are
UTF-8 text; a record's partition is murmur2 of its key, as the default partitioner of the Java client computes it.
A `timestamp-millis` is UTC epoch milliseconds. A field with a default may be left out by writers that encode with
the functions of `schemas/`. What is kept by key is compacted: the newest record of each key stays. Topics that may hold
personal data say so: [privacy.md](privacy.md).

| topic | key | kept | holds |
|---|---|---|---|
"""


def topics() -> str:
    """All topics in Markdown, below a heading of the second level."""
    rows = [
        f"| [{t.name}](#{_anchor(t.name)}) | {_key(t)} | {_kept(t)} | {_cell(t.doc)} |\n" for t in CATALOGUE.values()
    ]
    return HEAD + "".join(rows) + "".join(_section(topic) for topic in CATALOGUE.values())


def _section(topic: Topic) -> str:
    schema = versions.current(topic.schema)
    number = versions.released(topic.schema)[-1].number
    facts = [f"Schema `{schema['namespace']}.{schema['name']}`, version {number}", f"event time `{topic.time}`"]
    if topic.id:
        facts.append(f"identity `{topic.id}`")
    facts.append("Kafka timestamps by the broker" if topic.by_broker else "Kafka timestamps by the senders")
    records = "".join(_record(part) for part in _records(schema))
    return f"\n### {topic.name}\n\n{schema['doc']}\n\n{', '.join(facts)}.\n{records}"


def _record(schema: Any) -> str:
    rows = "".join(
        f"| {field['name']} | {_type(field['type'])} | {_default(field)} | {_cell(field['doc'])} |\n"
        for field in schema["fields"]
    )
    return f"\n{schema['name']}:\n\n| field | type | default | meaning |\n|---|---|---|---|\n{rows}"


def _records(part: Any) -> list[Any]:
    """The record types in a schema, the outermost first."""
    if isinstance(part, list):
        return [record for each in part for record in _records(each)]
    if not isinstance(part, dict):
        return []
    below = [record for key in ("type", "items", "values", "fields") for record in _records(part.get(key))]
    return [part, *below] if part["type"] == "record" else below


def _type(part: Any) -> str:
    if isinstance(part, list):
        return " or ".join(_type(branch) for branch in part)
    if isinstance(part, str):
        return part
    if part["type"] in ("array", "map"):
        return f"{part['type']} of {_type(part['items' if part['type'] == 'array' else 'values'])}"
    return str(part.get("logicalType") or part.get("name") or part["type"])


def _default(field: Any) -> str:
    if "default" not in field:
        return ""
    return "null" if field["default"] is None else f"`{field['default']}`"


def _key(topic: Topic) -> str:
    if topic.key is None:
        return "the source's"
    return "`" + "\\|".join(("tenant_id", *topic.key)) + "`"


def _kept(topic: Topic) -> str:
    if topic.retention_ms is None:
        return "by key"
    days = f"{topic.retention_ms // DAY_MS} d"
    return f"at most {days}: personal" if topic.personal else days


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(name: str) -> str:
    return name.replace(".", "")
