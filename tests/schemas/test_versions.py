"""Released schemas stay readable, and a change of a schema is a new version."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas import topics, versions
from schemas.avro import DecodeError
from schemas.codec import MARKER, topic_codec
from schemas.parse import parse, rabin
from schemas.versions import Version, problems, release, released, unreadable
from tests.schemas.samples import SAMPLES


@pytest.mark.parametrize("name", versions.names())
def test_current_schema_is_released_and_reads_every_version(name: str) -> None:
    assert problems(name, versions.current(name), released(name)) == []


def test_every_schema_belongs_to_a_topic() -> None:
    assert versions.names() == sorted({topic.schema for topic in topics.CATALOGUE.values()})


@pytest.mark.parametrize("topic", topics.CATALOGUE.values(), ids=lambda topic: str(topic.name))
def test_records_of_every_version_are_read(topic: topics.Topic) -> None:
    for version in released(topic.schema):
        out = BytesIO(MARKER + rabin(version.schema))
        out.seek(10)
        names = [field["name"] for field in version.schema["fields"]]
        record = {name: SAMPLES[topic.name][name] for name in names if name in SAMPLES[topic.name]}
        fastavro.schemaless_writer(out, version.schema, record)
        found = topic.codec.decode(out.getvalue())
        assert {name: found[name] for name in record if name in found} == record


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def enum(*symbols: str) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols)}


A = {"name": "a", "type": "int"}


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        (record(A), record(A), []),
        (record(A), record(), []),
        (record(A), record({"name": "a", "type": "double"}), []),
        (record(A), record(A, {"name": "b", "type": "int", "default": 3}), []),
        (record(A), record(A, {"name": "b", "type": "int"}), ["r.b: a new field needs a default"]),
        (record(A), record({"name": "a", "type": "string"}), ["r.a: int became string"]),
        (record(A), record({"name": "a", "type": ["null", "long"]}), []),
        (record({"name": "a", "type": ["null", "int"]}), record(A), ["r.a: null became int"]),
        (enum("X", "Y"), enum("Y", "X", "Z"), []),
        (enum("X", "Y"), enum("X"), ["r: the symbol Y is gone"]),
        ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}, ["items of r: long became int"]),
        ({"type": "map", "values": "string"}, {"type": "map", "values": "bytes"}, []),
        (
            {"type": "fixed", "name": "F", "size": 2},
            {"type": "fixed", "name": "F", "size": 3},
            ["r: 2 bytes became 3 bytes"],
        ),
        (["null", "string"], ["string", "null"], []),
    ],
)
def test_what_a_reader_can_make_of_a_writer(writer: Any, reader: Any, expected: list[str]) -> None:
    assert unreadable(parse(writer), parse(reader), "r") == expected


def test_a_change_without_a_new_version_is_a_problem(tmp_path: Path) -> None:
    old, new = record(A), record(A, {"name": "b", "type": ["null", "int"], "default": None})
    assert release("x", old, tmp_path) == tmp_path / "x.v1.avsc"
    assert problems("x", old, released("x", tmp_path)) == []
    assert problems("x", record({**A, "doc": "Another text."}), released("x", tmp_path)) == []
    (problem,) = problems("x", new, released("x", tmp_path))
    assert problem.startswith("x differs from its last version 1")
    assert release("x", new, tmp_path) == tmp_path / "x.v2.avsc"
    assert release("x", new, tmp_path) is None
    assert [version.number for version in released("x", tmp_path)] == [1, 2]
    assert problems("x", new, released("x", tmp_path)) == []


def test_a_change_that_cannot_read_is_refused(tmp_path: Path) -> None:
    release("x", record(A), tmp_path)
    with pytest.raises(ValueError, match=r"its version 1: record\.b: a new field needs a default"):
        release("x", record(A, {"name": "b", "type": "int"}), tmp_path)
    assert len(released("x", tmp_path)) == 1


def test_an_older_version_is_read_as_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = record(A, {"name": "gone", "type": "string"}, {"name": "t", "type": "int"})
    then = record(A, {"name": "new", "type": ["null", "double"], "default": None}, {"name": "t", "type": "double"})
    (tmp_path / "x.avsc").write_text(json.dumps(then))
    versions_of_x = [Version("x", 1, first), Version("x", 2, then)]
    monkeypatch.setattr(versions, "FOLDER", tmp_path)
    monkeypatch.setattr(versions, "released", lambda name: versions_of_x)
    codec = topic_codec.__wrapped__("x")
    out = BytesIO()
    fastavro.schemaless_writer(out, first, {"a": 5, "gone": "x", "t": 7})
    raw = MARKER + rabin(first) + out.getvalue()
    assert codec.decode(raw) == {"a": 5, "new": None, "t": 7.0}
    for damaged in (raw[:-1], raw + b"\0", raw[:-2] + b"\xff\xff"):
        with pytest.raises(DecodeError):
            codec.decode(damaged)
