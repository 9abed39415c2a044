"""Records from JSON and from cells: what is taken, and what the refusal says."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.records import Rejected, epoch_ms, reader
from schemas.topics import EVENTS_METRICS

NOON = 1_772_366_400_000  # 2026-03-01T12:00:00Z
CELLS = {"tenant_id": "acme", "event_id": "e1", "host": "web1", "occurred_at": "2026-03-01T12:00:00Z"}
GOOD = {**CELLS, "occurred_at": NOON}
EVENTS = reader(EVENTS_METRICS)


def test_absent_metrics_are_null_and_never_zero() -> None:
    record = EVENTS.read({**GOOD, "cpu_percent": 12})
    assert record["cpu_percent"] == 12.0
    assert record["queue_depth"] is None
    assert record["extra"] == {}
    assert EVENTS_METRICS.codec.decode(EVENTS_METRICS.codec.encode(record)) == record


def test_defaults_are_not_shared_between_records() -> None:
    EVENTS.read(GOOD)["extra"]["a"] = 1.0
    assert EVENTS.read(GOOD)["extra"] == {}


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"tenant_id": "Acme"}, "tenant_id", "must match"),
        ({"tenant_id": None}, "tenant_id", "expected a text, got null"),
        ({"event_id": ""}, "event_id", "1 to 128 bytes"),
        ({"event_id": "e" * 129}, "event_id", "1 to 128 bytes"),
        ({"host": "\u00fc" * 101}, "host", "1 to 200 bytes"),
        ({"host": "a|b"}, "host", "without |"),
        ({"host": "a\nb"}, "host", "printable text"),
        ({"host": "\ud800"}, "host", "printable text"),
        ({"host": 7}, "host", "expected a text, got 7"),
        ({"occurred_at": "yesterday"}, "occurred_at", "ISO 8601"),
        ({"occurred_at": "2026-03-01T12:00:00"}, "occurred_at", "lacks a zone"),
        ({"occurred_at": True}, "occurred_at", "whole number"),
        ({"occurred_at": 1 << 63}, "occurred_at", "expected -9223372036854775808"),
        ({"cpu_percent": "12"}, "cpu_percent", "expected a number, got '12'"),
        ({"cpu_percent": float("nan")}, "cpu_percent", "finite"),
        ({"cpu_percent": 10**400}, "cpu_percent", "64 bits"),
        ({"cpu_percent": True}, "cpu_percent", "expected a number"),
        ({"cpu_percent": 100.1}, "cpu_percent", "cpu_percent must be 0 to 100, not 100.1"),
        ({"extra": {"cpu_percent": 1.0}}, "extra", "must not repeat"),
        ({"extra": {"g" * 65: 1.0}}, None, "a name in extra must be 1 to 64 bytes"),
        ({"extra": {"gpu": None}}, "extra", "expected a number, got null"),
        ({"extra": []}, "extra", "expected an object"),
        ({"cpu": 1.0}, "cpu", "no field of events.metrics; its fields: tenant_id,"),
    ],
)
def test_a_refusal_names_the_field_and_what_was_expected(
    change: dict[str, Any], field: str | None, reason: str
) -> None:
    with pytest.raises(Rejected) as refusal:
        EVENTS.read({**GOOD, **change})
    assert refusal.value.field == field
    assert reason in refusal.value.reason


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("tenant_id", "Acme", "expected [a-z0-9]"),
        ("event_id", "", "1 to 512 characters"),
        ("event_id", "e" * 513, "1 to 512 characters"),
        ("host", "a|b", "without |"),
        ("host", "a\nb", "control characters"),
        ("host", "\ud800", "surrogate"),
    ],
)
def test_names_are_checked_where_no_domain_says_what_it_demands(field: str, value: str, reason: str) -> None:
    other = reader(replace(EVENTS_METRICS, name="events.other"))
    assert other.read(GOOD)["host"] == "web1"
    with pytest.raises(Rejected) as refusal:
        other.read({**GOOD, field: value})
    assert refusal.value.field == field
    assert reason in refusal.value.reason


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_must_be_there_is_missed(name: str) -> None:
    with pytest.raises(Rejected, match=f"{name}: missing"):
        EVENTS.read({field: value for field, value in GOOD.items() if field != name})


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01 12:00:00+00:00",
        "2026-03-01T13:00:00+01:00",
        "2026-03-01T12:00:00.000999Z",
        str(NOON),
        NOON,
        float(NOON),
        datetime(2026, 3, 1, 12, tzinfo=UTC),
    ],
)
def test_times(text: Any) -> None:
    assert epoch_ms(text) == NOON


@given(
    st.datetimes(),
    st.integers(-14 * 60, 14 * 60),
)
def test_every_zone_names_the_same_instant(local: datetime, minutes: int) -> None:
    time = local.replace(microsecond=local.microsecond // 1000 * 1000, tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert epoch_ms(time.isoformat()) == epoch_ms(time) == expected


def test_cells_are_texts_and_an_empty_one_is_null() -> None:
    cells = {**CELLS, "cpu_percent": "12.5", "memory_percent": ""}
    record = EVENTS.read_cells({**cells, "extra": '{"gpu_percent": 3}'})
    assert (record["cpu_percent"], record["memory_percent"]) == (12.5, None)
    assert record["extra"] == {"gpu_percent": 3.0}
    with pytest.raises(Rejected, match=r"cpu_percent: expected a number, got 'n/a'"):
        EVENTS.read_cells({**cells, "cpu_percent": "n/a"})
    with pytest.raises(Rejected, match=r"extra: expected JSON"):
        EVENTS.read_cells({**cells, "extra": "gpu"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from([*EVENTS.fields, "other"])


@given(st.dictionaries(NAMES, JSON))
def test_json_is_taken_or_refused(change: dict[str, Any]) -> None:
    with suppress(Rejected):
        EVENTS_METRICS.codec.encode(EVENTS.read({**GOOD, **change}))


@given(st.dictionaries(NAMES, st.text() | st.floats().map(str) | st.integers().map(str) | JSON.map(json.dumps)))
def test_cells_are_taken_or_refused(change: dict[str, str]) -> None:
    with suppress(Rejected):
        EVENTS_METRICS.codec.encode(EVENTS.read_cells({**CELLS, **change}))
