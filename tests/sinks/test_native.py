"""Columns as ClickHouse reads them: the plain way against the engine, the compiled one against the plain."""

import uuid
from array import array
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import DecodeError
from schemas.topics import Topic
from sinks import contents, native
from sinks.batch import Batch, Month
from sinks.contents import Decoded, Scanned, usable_layout
from sinks.store import Store
from sinks.tables import ROUTES, Route
from tests.sinks.records import (
    NOW_MS,
    Record,
    alert,
    attended,
    audit,
    capture,
    event,
    found_wrong,
    incident,
    judged,
    label,
    outcome,
    prediction,
    reading,
    sync_outcome,
    synced,
    task,
    ticket,
)

VALUES: dict[str, list[Any]] = {
    "Float64": [0.0, -1.5, 1e308, float("inf"), 3.0],
    "Int64": [0, -1, 2**63 - 1, -(2**63), 5],
    "Int32": [0, -1, 2**31 - 1, -(2**31), 5],
    "UInt64": [0, 1, 2**64 - 1, 2**63, 5],
    "UInt16": [0, 1, 65535, 300, 5],
    "Bool": [True, False, True, True, False],
    "String": ["", "é\n\n'", "x" * 300, "a", "b"],
    "UUID": [str(uuid.UUID(int=n)) for n in (0, 1, 2**128 - 1, 2**64, 12345678901234567890123)],
    "DateTime64(3, 'UTC')": [0, 1, NOW_MS, NOW_MS + 999, 7_258_118_399_999],
    "LowCardinality(String)": ["", "a", "b", "a", ""],
    "Nullable(Float64)": [None, 1.0, None, -0.5, 0.0],
    "Nullable(String)": [None, "", "a", None, "é"],
    "Nullable(UUID)": [None, str(uuid.UUID(int=7)), None, str(uuid.UUID(int=8)), None],
    "Nullable(DateTime64(3, 'UTC'))": [None, NOW_MS, None, 0, 1],
    "Array(Nullable(Float64))": [[], [None], [1.0, None, 2.0], [], [0.5]],
    "Array(LowCardinality(String))": [[], ["a", "b", "a"], ["b"], [], ["c"]],
    "Map(LowCardinality(String), Float64)": [{}, {"a": 1.0, "b": 2.0}, {"b": 3.0}, {}, {"": 4.0}],
    "Array(Tuple(name String, value Nullable(String)))": [
        [],
        [{"name": "a", "value": None}, {"name": "a", "value": b"b"}],
        [{"name": "", "value": b""}],
        [],
        [{"name": "c", "value": b"d"}],
    ],
}


@pytest.mark.clickhouse
def test_the_engine_reads_what_was_written(store: Store) -> None:
    names = [f"c{number}" for number in range(len(VALUES))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, VALUES, strict=True))
    store.command(f"CREATE TABLE {store.database}.kinds (n Int32, {columns}) ENGINE = MergeTree ORDER BY n")
    blocks = [native.column(native.parse(kind), values) for kind, values in VALUES.items()]
    rows = native.column(native.parse("Int32"), range(5))
    block = native.block(["n", *names], ["Int32", *VALUES], [rows, *blocks], 5)
    store.insert("kinds", ["n", *names], block, "t")
    text = ", ".join(f"toJSONString({name}) AS {name}" for name in names)
    found = store.client().query(f"SELECT {text} FROM {store.database}.kinds ORDER BY n").result_columns
    literals = ", ".join(
        f"toJSONString(CAST({_literal(kind, value)}, '{kind.replace(chr(39), chr(92) + chr(39))}'))"
        for kind, values in VALUES.items()
        for value in values
    )
    expected = store.client().query(f"SELECT {literals}").result_rows[0]
    for number, kind in enumerate(VALUES):
        assert list(found[number]) == list(expected[number * 5 : number * 5 + 5]), kind


def _literal(kind: str, value: Any) -> str:
    if value is None:
        return "NULL"
    if "DateTime64" in kind:
        return f"fromUnixTimestamp64Milli({value}, 'UTC')"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | bytes):
        text = value.decode() if isinstance(value, bytes) else value
        return "'" + text.replace("'", "\\'").replace("\n", "\\n") + "'"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(kind, each) for each in value) + "]"
    if isinstance(value, dict) and kind.startswith("Map"):
        return "map(" + ", ".join(_literal("", each) for pair in value.items() for each in pair) + ")"
    if isinstance(value, dict):
        return "(" + ", ".join(_literal("", each) for each in value.values()) + ")"
    return f"toFloat64({value})" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("Float64", None), ("Float64", "x"), ("Int32", 2**31), ("UUID", "nonsense"), ("UUID", None), ("Int64", 1.5)],
)
def test_a_value_that_does_not_fit_is_refused(kind: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError, AttributeError)):
        native.column(native.parse(kind), [value])


def test_many_different_words() -> None:
    for count in (255, 256, 65_535, 65_536):
        words = [f"w{n}" for n in range(count)]
        assert len(native.column(native.parse("LowCardinality(String)"), words)) > count * 3


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(ValueError, match="Decimal"):
        native.parse("Decimal(18, 4)")


# ---- the compiled way ---------------------------------------------------------------------------------------

needs_compiled = pytest.mark.skipif(contents.IMPLEMENTATION == "plain", reason="sinks._compiled was not built")
SCANNED = [route for route in ROUTES if usable_layout(route) is not None]
RECORDS = {
    "events.metrics": event,
    "predictions.anomaly": prediction,
    "predictions.fraud": prediction,
    "attendance.enriched": attended,
    "events.sync": synced,
    "outcomes.sync": sync_outcome,
    "predictions.conflict": prediction,
    "labelled.conflict": lambda n: judged(n, n % 3 + 1),
    "ocr.readings": reading,
    "ocr.captures": lambda n: capture(n, n % 3 + 1),
    "ocr.verdicts": found_wrong,
    "ocr.labeling-tasks": lambda n: task(n, n % 3 + 1),
    "predictions.ocr_trust": prediction,
    "labelled.ocr_trust": lambda n: judged(n, n % 3 + 1),
    "alerts": lambda n: alert(n, n % 3 + 1),
    "incidents": lambda n: incident(n, n % 3 + 1),
    "labelled.anomaly": lambda n: label(n, n % 3 + 1),
    "outcomes.attendance": outcome,
    "labelled.fraud": lambda n: judged(n, n % 3 + 1),
    "tickets": lambda n: ticket(n, n % 3 + 1),
    "control.audit": audit,
}


def both(route: Route, values: list[bytes]) -> tuple[Decoded, Scanned]:
    return Decoded(route, values), Scanned(route, usable_layout(route), values)


def assert_equal(route: Route, values: list[bytes]) -> None:
    plain, compiled = both(route, values)
    assert {row: str(error) for row, error in compiled.wrong.items()} == {
        row: str(error) for row, error in plain.wrong.items()
    }
    rows = array("q", [row for row in range(len(values)) if row not in plain.wrong])
    assert compiled.times() == plain.times()
    assert [compiled.key(row) for row in rows] == [plain.key(row) for row in rows]
    for table in route.tables:
        for column in table.columns:
            if not column.field.startswith("@"):
                kind = native.parse(column.type)
                assert said_of(compiled, column.field, kind, rows) == said_of(plain, column.field, kind, rows)


def said_of(found: Decoded | Scanned, field: str, kind: native.Type, rows: "array[int]") -> bytes | type[Exception]:
    try:
        return found.columns([(field, kind)], rows)[0]
    except (TypeError, ValueError, OverflowError) as error:
        return type(error)


@needs_compiled
@pytest.mark.parametrize("route", SCANNED, ids=lambda route: route.topic.name)
def test_compiled_equals_plain(route: Route) -> None:
    make: Any = RECORDS[route.topic.name]
    assert_equal(route, [route.topic.codec.encode(make(number)) for number in range(500)])


def damaged(topic: Topic) -> st.SearchStrategy[bytes]:
    """Values that are cut, lengthened, or have a byte changed."""
    make: Any = RECORDS[topic.name]
    good = st.integers(0, 50).map(lambda number: topic.codec.encode(make(number)))
    cut = st.tuples(good, st.integers(0, 300)).map(lambda pair: pair[0][: pair[1]])
    longer = st.tuples(good, st.binary(min_size=1, max_size=4)).map(lambda pair: pair[0] + pair[1])
    changed = st.tuples(good, st.integers(0, 400), st.integers(0, 255)).map(
        lambda each: bytes(each[2] if n == each[1] else byte for n, byte in enumerate(each[0]))
    )
    return st.one_of(good, changed, changed, cut, longer, st.binary(max_size=20))


@needs_compiled
@settings(max_examples=150)
@given(data=st.data())
@pytest.mark.parametrize("route", SCANNED, ids=lambda route: route.topic.name)
def test_compiled_equals_plain_on_damaged_values(route: Route, data: st.DataObject) -> None:
    assert_equal(route, data.draw(st.lists(damaged(route.topic), min_size=1, max_size=8)))


@needs_compiled
def test_unusual_forms_of_the_same_are_read() -> None:
    """A map in two blocks, one with its size in bytes, and a repeated key: all allowed by Avro."""
    (route,) = (route for route in SCANNED if route.topic.name == "events.metrics")
    usual = route.topic.codec.encode(event(1, extra={"a": 1.0}))
    assert usual.endswith(b"\x02\x02a" + (b"\0" * 6 + b"\xf0?") + b"\0")
    entry = b"\x02a" + b"\0" * 6 + b"\xf0?"
    other = b"\x02b" + b"\0" * 8
    head = usual[: -len(entry) - 2]
    values = [
        usual,
        head + b"\x02" + entry + b"\x02" + other + b"\0",
        head + b"\x01\x14" + entry + b"\0",
        head + b"\x04" + entry + entry + b"\0",
    ]
    assert_equal(route, values)
    records = route.topic.codec.decode_many(values)
    assert [record["extra"] for record in records] == [{"a": 1.0}, {"a": 1.0, "b": 0.0}, {"a": 1.0}, {"a": 1.0}]


@needs_compiled
def test_empty_and_missing_values() -> None:
    for route in SCANNED:
        plain, compiled = both(route, [b"", b"\xc3\x01", b"\xc3\x01" + bytes(8)])
        assert all(isinstance(error, DecodeError) for error in compiled.wrong.values())
        assert compiled.wrong.keys() == plain.wrong.keys() == {0, 1, 2}


# ---- batches ------------------------------------------------------------------------------------------------


def test_months_as_the_engine_cuts_them() -> None:
    for time_ms in (0, 1, NOW_MS, 951_782_400_000, 4_107_542_399_999, 7_258_118_399_999):
        month = Month(time_ms)
        assert month.first <= time_ms < month.end
        assert Month(month.first).name == month.name == Month(month.end - 1).name
        assert Month(month.end).name > month.name
    assert Month(0).name == "1970-01"
    assert Month(7_258_118_399_999).name == "2199-12"


def test_a_batch_sorts_its_records() -> None:
    (route,) = (route for route in ROUTES if route.topic.name == "events.metrics")
    start = Month(NOW_MS).first
    times = [start - 1, start, start + 1, start - 2]
    good = [Record(route.topic.codec.encode(event(3, occurred_at=t)), n, b"local|h0") for n, t in enumerate(times)]
    strange = Record(good[0].raw, 4, b"other|h0")
    early = Record(route.topic.codec.encode(event(3, occurred_at=1)), 5, b"local|h0")
    batch = Batch(route, [*good, strange, early, Record(None, 6)])
    assert [list(rows) for rows in batch.months.values()] == [[0, 3], [1, 2]]
    assert [each.message.offset() for each in batch.rejected] == [4, 5, 6]
    assert [each.error_class for each in batch.rejected] == ["InvalidRecord", "InvalidRecord", "DecodeError"]
    assert "other|h0" in batch.rejected[0].reason


def test_outcomes_of_long_ago_are_kept_as_long_as_their_table_keeps_them() -> None:
    (route,) = (route for route in ROUTES if route.topic.name == "outcomes.attendance")
    day = 86_400_000
    late = [outcome(n) | {"decided_at": NOW_MS - days * day} for n, days in enumerate((0, 60, 399, 401))]
    topic = route.topic
    batch = Batch(route, [Record(topic.codec.encode(each), n, topic.key_of(each)) for n, each in enumerate(late)])
    assert sorted(row for rows in batch.months.values() for row in rows) == [0, 1, 2]
    assert [each.reason for each in batch.rejected] == [
        "decided_at is more than 400 days before or an hour after its publishing"
    ]
