"""The generated and the compiled codecs against fastavro and against the walk, over random schemas and values."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import generate, walk
from schemas.avro import DecodeError, EncodeError, Node, SchemaError
from schemas.columns import Coded
from schemas.compiled import COMPILED
from schemas.parse import parse, stored
from tests.schemas import random_schemas
from tests.schemas.random_schemas import bits

MAKERS = [pytest.param(generate.Codec, id="plain")]
if COMPILED:
    MAKERS.append(pytest.param(COMPILED.Codec, id="compiled"))
Maker = Callable[[Node], Any]
RANDOM = st.randoms(use_true_random=True)
many = settings(max_examples=250)
WRONG: list[Any] = [None, True, 7, -1, 1 << 31, 1 << 63, 10**400, 0.5, 1e300, float("inf"), object, Ellipsis]
WRONG += ["S0", "\ud800", b"", b"123", [], ["a"], {}, {"f0": 1}, {"f0": 1.0, "f1": None}, {1: 2}, (1.0, 2)]


def pair(r: Random) -> tuple[Any, Any]:
    make, named = (random_schemas.record if r.random() < 0.7 else random_schemas.schema), dict[str, Any]()
    schema = make(r, 3, named)
    return schema, random_schemas.value(r, schema, named)


def outcome(action: Callable[[Any], Any], given_: Any) -> Any:
    """What comes of it: the value, or the text of the error. Any other exception is a failure."""
    try:
        return bits(action(given_))
    except (DecodeError, EncodeError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("make", MAKERS)
@given(r=RANDOM)
@many
def test_equals_fastavro(make: Maker, r: Random) -> None:
    schema, value = pair(r)
    node = parse(schema)
    codec, oracle, out = make(node), fastavro.parse_schema(stored(schema)), BytesIO()
    fastavro.schemaless_writer(out, oracle, value)
    raw = out.getvalue()
    assert codec.encode(value) == walk.encode(node, value) == raw
    if isinstance(schema, dict) and schema["type"] == "record":
        assert codec.encode(dict(r.sample(list(value.items()), len(value)))) == raw
    expected = bits(fastavro.schemaless_reader(BytesIO(raw), oracle, None))
    assert bits(codec.decode(raw)) == bits(walk.decode(node, raw)) == expected
    assert [bits(each) for each in codec.decode_many([raw, raw])] == [expected] * 2
    columns = codec.decode_columns([raw, raw])
    assert columns is None or bits(columns) == bits({name: [one] * 2 for name, one in codec.decode(raw).items()})
    assert (columns is None) == (not node.fields)
    assert codec.decode_columns([raw, raw[:-1]]) is None or not raw


@pytest.mark.parametrize("make", MAKERS)
@given(r=RANDOM)
@settings(max_examples=60)
def test_a_table_gives_what_its_records_give(make: Maker, r: Random) -> None:
    named: dict[str, Any] = {}
    schema = random_schemas.record(r, 3, named)
    codec, records = make(parse(schema), b"head"), [random_schemas.value(r, schema, named) for _ in range(3)]
    names = [name for name in records[0] if all(name in each for each in records)]  # what has a default may be missing
    common = {name: records[0][name] for name in names if r.random() < 0.5}
    columns = {name: [each[name] for each in records] for name in names if name not in common}
    whole = [
        codec.encode({name: (common | each if name in columns else common)[name] for name in names}) for each in records
    ]
    if columns:
        assert codec.encode_columns(common, columns) == whole
    for wrong in r.sample(WRONG, 3):
        # What does not fit is refused as it is in a record by itself, also a field too many.
        broken = {**columns, r.choice([*columns, "more"]): [records[0], wrong, None]}
        alone = outcome(lambda rows: [codec.encode({**common, **row}) for row in rows], rows_of(broken))
        assert outcome(lambda given_: codec.encode_columns(common, given_), broken) == alone


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("make", MAKERS)
def test_a_table_of_numbers_is_a_column_of_arrays(make: Maker) -> None:
    node = parse(
        {
            "type": "record",
            "name": "R",
            "fields": [
                {"name": "n", "type": "long"},
                {"name": "x", "type": {"type": "array", "items": ["null", "double"]}},
                {"name": "d", "type": "string", "default": "d"},
            ],
        }
    )
    codec, table = make(node), np.array([[1.5, np.nan, -0.0], [np.inf, 2.0, np.nan]])
    found = codec.encode_columns({"n": 7}, {"x": table})
    assert found == codec.encode_columns({"n": 7}, {"x": np.asfortranarray(table)})
    lists = [[1.5, None, -0.0], [float("inf"), 2.0, None]]
    assert found == [codec.encode({"n": 7, "x": each}) for each in lists]
    assert codec.encode_columns({"n": 7}, {"x": table[:, :0]}) == [codec.encode({"n": 7, "x": []})] * 2
    with pytest.raises(ValueError, match=r"expected 1|longer"):
        codec.encode_columns({}, {"n": [1], "x": table})


@pytest.mark.parametrize("make", MAKERS)
def test_columns_hold_the_texts_of_their_own_records(make: Maker) -> None:
    names = ("s", "t")
    codec = make(parse({"type": "record", "name": "R", "fields": [{"name": name, "type": "string"} for name in names]}))
    texts = [f"{'x' * length}{number}" for number in (1, 2, 12, 21, 121) for length in (0, 1, 9)]
    records = [{"s": one, "t": other} for one in ("", "a", "ä", *texts) for other in ("é", *texts)]
    assert codec.decode_columns([codec.encode(each) for each in records]) == {
        name: [each[name] for each in records] for name in names
    }
    assert codec.decode_columns([]) == {"s": [], "t": []}
    damaged = codec.encode(records[0])
    assert codec.decode_columns([damaged[:-2] + b"\x02\xff"]) is None


@pytest.mark.parametrize("make", MAKERS)
def test_a_column_of_numbers_has_nulls_where_the_field_may_have_them(make: Maker) -> None:
    fields = [{"name": "n", "type": "double"}, {"name": "x", "type": ["null", "double"]}]
    codec = make(parse({"type": "record", "name": "R", "fields": fields}))
    numbers, known = np.array([1.5, np.nan, -np.inf]), np.array([0.0, 1.0, 2.0])
    expected = [codec.encode({"n": one, "x": each}) for one, each in zip(known, (1.5, None, -np.inf), strict=True)]
    assert codec.encode_columns({}, {"n": known, "x": numbers}) == expected
    assert codec.encode_columns({}, {"n": known, "x": np.repeat(numbers, 2)[::2]}) == expected
    with pytest.raises(EncodeError):
        codec.encode_columns({}, {"n": numbers, "x": known})


@pytest.mark.parametrize("make", MAKERS)
def test_few_values_of_many_records_are_the_values_themselves(make: Maker) -> None:
    fields = [{"name": "m", "type": {"type": "map", "values": "double"}}, {"name": "s", "type": ["null", "string"]}]
    codec = make(parse({"type": "record", "name": "R", "fields": fields}))
    maps, texts = Coded([{"a": 1.0}, {}], np.array([1, 0, 0])), Coded(("x", None), np.array([0, 1, 0]))
    assert codec.encode_columns({}, {"m": maps, "s": texts}) == [
        codec.encode({"m": one, "s": other}) for one, other in (({}, "x"), ({"a": 1.0}, None), ({"a": 1.0}, "x"))
    ]
    assert list(maps) == [{}, {"a": 1.0}, {"a": 1.0}]
    with pytest.raises(EncodeError):
        codec.encode_columns({}, {"m": maps, "s": Coded(("x", 7), texts.codes)})
    with pytest.raises(IndexError):
        codec.encode_columns({}, {"m": maps, "s": Coded(("x", None), np.array([0, 2, 0]))})


@pytest.mark.parametrize("make", MAKERS)
@given(r=RANDOM)
@example(r=Random(251513365047))  # a long of eleven bytes, the last ones zero
@many
def test_damaged_input_gives_what_the_walk_gives(make: Maker, r: Random) -> None:
    schema, value = pair(r)
    node = parse(schema)
    codec, whole = make(node), walk.encode(node, value)
    for _ in range(10):
        raw = bytearray(whole)
        for _ in range(r.randint(0, 3) if raw else 0):
            raw[r.randrange(len(raw))] = r.choice((0, 1, 2, 127, 128, 255, r.randrange(256)))
        damaged = bytes(raw[: r.randint(0, len(raw))] if r.random() < 0.5 else raw) + r.choice((b"", b"", b"\0"))
        assert outcome(codec.decode, damaged) == outcome(lambda each: walk.decode(node, each), damaged)


@pytest.mark.parametrize("make", MAKERS)
@given(r=RANDOM)
@many
def test_wrong_values_give_what_the_walk_gives(make: Maker, r: Random) -> None:
    schema, value = pair(r)
    node = parse(schema)
    codec = make(node)
    for _ in range(10):
        wrong = r.choice(WRONG)
        if isinstance(value, dict) and value:
            name = r.choice(list(value))
            wrong = r.choice(({**value, name: wrong}, {k: v for k, v in value.items() if k != name}))
        elif isinstance(value, list):
            wrong = [*value, wrong]
        assert outcome(codec.encode, wrong) == outcome(lambda each: walk.encode(node, each), wrong)


HOST = {
    "type": "record",
    "name": "Host",
    "namespace": "watchfloor",
    "fields": [
        {"name": "host", "type": "string"},
        {"name": "level", "type": {"type": "enum", "name": "Level", "symbols": ["LOW", "HIGH"]}, "default": "LOW"},
        {"name": "load", "type": ["null", "double"], "default": None},
        {"name": "parts", "type": {"type": "array", "items": ["null", "double"]}, "default": [None, 2.0]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 5},
        {"name": "small", "type": "int", "default": 0},
    ],
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"host": b"a"}, "Host.host: expected string, got bytes b'a'"),
        ({}, "Host.host: expected string, but the field is missing"),
        ({"host": "a", "level": "MID"}, "Host.level: expected one of LOW, HIGH, got str 'MID'"),
        ({"host": "a", "load": "5"}, "Host.load: expected null or double, got str '5'"),
        ({"host": "a", "load": True}, "Host.load: expected null or double, got bool True"),
        ({"host": "a", "parts": [1.0, "x"]}, "Host.parts[1]: expected null or double, got str 'x'"),
        ({"host": "a", "parts": None}, "Host.parts: expected array of null or double, got null"),
        ({"host": "a", "at": 1.5}, "Host.at: expected long, got float 1.5"),
        ({"host": "a", "small": 1 << 31}, "Host.small: expected int (-2147483648 to 2147483647), got 2147483648"),
        ({"host": "\ud800"}, "Host.host: '\\ud800' is no valid Unicode: surrogates not allowed"),
        ({"host": "a", "laod": 1.0}, "Host: has no field 'laod'; its fields are at, host, level, load, parts, small"),
        (None, "Host: expected record watchfloor.Host, got null"),
    ],
)
def test_encode_error_names_field_expected_and_given(make: Maker, record: Any, message: str) -> None:
    with pytest.raises(EncodeError) as caught:
        make(parse(HOST)).encode(record)
    assert str(caught.value) == message
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("make", MAKERS)
def test_missing_fields_take_their_default(make: Maker) -> None:
    codec = make(parse(HOST))
    full = {"host": "a", "level": "LOW", "load": None, "parts": [None, 2.0], "at": 5, "small": 0}
    assert codec.decode(codec.encode({"host": "a"})) == full
    assert codec.encode({"host": "a"}) == codec.encode(full)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "Host.host: expected 1 bytes at byte 0, 0 are left"),
        (b"\x08ab", "Host.host: expected 4 bytes at byte 1, 2 are left"),
        (b"\x04\xff\xfe", "Host.host: no valid UTF-8 at byte 1: invalid start byte"),
        (b"\x02a\x04", "Host.level: expected a number under 2 at byte 2, got 2"),
        (b"\x02a\x00\x02\x00", "Host.load: expected 8 bytes at byte 4, 1 are left"),
        (b"\x02a\x00\x00" + b"\xff" * 9 + b"\x01", "Host.parts: expected 1 bytes at byte 14, 0 are left"),
        (b"\x02a\x00\x00\xfe\xff\xff\xff\x0f", "Host.parts: 2147483647 items at byte 4 cannot fit into what is left"),
        (b"\x02a\x00\x00\x00\x00" + b"\xff" * 4 + b"\x1f", "Host.small: expected -2147483648 to 2147483647 at byte 6"),
        (b"\x02a\x00\x00\x00\x0a\x00\x00", "1 bytes after the end of the value, which is at byte 7"),
        (b"\xff" * 20, "Host.host: the number at byte 0 is longer than 64 bits"),
        (None, "expected bytes, got no value"),
    ],
)
def test_decode_error_names_field_and_byte(make: Maker, raw: Any, message: str) -> None:
    codec = make(parse(HOST))
    with pytest.raises(DecodeError) as caught:
        codec.decode(raw)
    assert caught.value.reason.startswith(message)
    if raw is not None:
        assert caught.value.__context__ is None or caught.value.__suppress_context__
    (listed,) = codec.decode_many([raw])
    assert isinstance(listed, DecodeError)
    assert listed.reason.startswith(message)


@pytest.mark.parametrize("make", MAKERS)
def test_blocks_with_a_size_are_read(make: Maker) -> None:
    # Java's blocking encoder writes blocks as a negative count and the size in bytes.
    codec = make(parse(HOST))
    raw = b"\x02a\x00\x00" + b"\x01\x02\x00" + b"\x02\x00" + b"\x00" + b"\x0a\x00"
    assert codec.decode(raw)["parts"] == [None, None]


@pytest.mark.parametrize("make", MAKERS)
def test_large_records(make: Maker) -> None:
    codec = make(parse({"type": "map", "values": "bytes"}))
    value = {f"name {i}": bytes(i * 40) for i in range(300)}
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "array", "items": "null"}, "items of an array must take at least one byte"),
        ({"type": "record", "name": "A", "fields": [{"name": "a", "type": ["null", "A"]}]}, "A contains itself"),
        ({"type": "record", "name": "A", "fields": [{"name": "a", "type": "int", "default": "x"}]}, "Default value"),
        ("strnig", "not an Avro schema"),
        ({"type": "record"}, "not an Avro schema"),
    ],
)
def test_wrong_schemas_are_refused(schema: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        parse(schema)


BUILT = "compiled" if importlib.util.find_spec("schemas._compiled") else "plain"


@pytest.mark.parametrize(("pure", "implementation"), [("1", "plain"), ("0", BUILT)])
def test_implementation_is_chosen_by_the_environment(pure: str, implementation: str) -> None:
    program = "from schemas import codec, topics; print(codec.IMPLEMENTATION, topics.ALERTS.partition_of(b'acme', 24))"
    env = {**os.environ, "WATCHFLOOR_PURE": pure}
    result = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [implementation, "12"]
