"""What a frame lets through, what it puts into the dead letters and in which order, and where it sends outputs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.compiled import load
from schemas.topics import Topic
from streams.runtime.agent import Agent
from streams.runtime.frame import Frame, InputRecord, Record, believed
from streams.runtime.state import Store
from tests.faults.counting import ZERO, step
from tests.streams.runtime.tally import NOW, OUTPUT, REFUSE, TOPIC, record, sample, tally

MINUTE = 60_000
COUNTS = {topic.name: 4 for topic in topics.CATALOGUE.values()}


def made(
    source: Sequence[Record],
    agent: Agent | None = None,
    *,
    partition: int = 2,
    clock: int = -1,
    counts: dict[str, int] = COUNTS,
    prefix: str = "",
) -> Frame:
    return Frame(agent or tally(), partition, source, Store(), clock, counts, prefix)


def letters(frame: Frame) -> list[dict[str, Any]]:
    rows = [row for (topic, _), rows in frame.outputs.items() if topic == "dead-letters" for row in rows]
    return [topics.DEAD_LETTERS.codec.decode(value) for _, value in rows if value is not None]


def refused(one: InputRecord, agent: Agent | None = None) -> str | None:
    """The error class of a record's dead letter, None when it is good."""
    frame = made([one], agent)
    events = frame.decode()
    found = letters(frame)
    assert len(found) + len(events) == 1
    assert len(frame.records) == len(events)
    return found[0]["error_class"] if found else None


GOOD = sample(7)
VALUE = TOPIC.codec.encode(GOOD)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (record(GOOD, 0), None),
        (record(GOOD, 0, value=None), "EmptyValue"),
        (record(GOOD, 0, value=b""), "DecodeError"),
        (record(GOOD, 0, value=VALUE[:-1]), "DecodeError"),
        (record(GOOD, 0, value=VALUE + b"\0"), "DecodeError"),
        (record(GOOD, 0, value=b'{"host": "h2"}'), "DecodeError"),
        (record(GOOD, 0, value=VALUE[:2] + bytes(8) + VALUE[10:]), "UnknownFingerprint"),
        (record(GOOD, 0, key=b"globex|h2"), "KeyMismatch"),
        (record(GOOD, 0, key=b"acme|h2 "), "KeyMismatch"),
        (record(GOOD, 0, key=b"acme|h2\xffcount\xff"), "KeyMismatch"),
        (record(GOOD, 0, key=b"\xff\xfe"), "KeyMismatch"),
        (record(GOOD, 0, key=b""), "KeyMismatch"),
        (record(GOOD, 0, key=None), "KeyMismatch"),
    ],
)
def test_what_cannot_be_read_or_has_a_foreign_key_is_refused(one: InputRecord, reason: str | None) -> None:
    assert refused(one) == reason


WRONG_ONES = [
    (GOOD, {}),
    (sample(8, at=NOW + 5 * MINUTE), {}),
    (sample(9, at=NOW - 20 * MINUTE), {"timestamp": NOW + MINUTE}),
    (GOOD | {"host": "hôte", "extra": {"ä": 1.0}}, {}),
    (GOOD, {"value": None}),
    (GOOD, {"value": VALUE[:-1]}),
    (GOOD, {"value": VALUE[:2] + bytes(8) + VALUE[10:]}),
    (GOOD, {"key": b"acme|h2 "}),
    (GOOD, {"key": None}),
    (sample(1, at=NOW + 11 * MINUTE), {}),
]


@given(st.lists(st.sampled_from(WRONG_ONES[:4]) | st.sampled_from(WRONG_ONES), max_size=8), st.sampled_from((-1, NOW)))
def test_columns_say_what_events_say(rows: list[tuple[dict[str, Any], dict[str, Any]]], clock: int) -> None:
    source = [record(event, place, **({"timestamp": NOW} | about)) for place, (event, about) in enumerate(rows)]
    by_row, by_field = made(source, clock=clock), made(source, clock=clock)
    events, columns = by_row.decode(), by_field.columns()
    assert [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] == events
    for name in ("records", "clock", "outputs", "rejected"):
        assert getattr(by_field, name) == getattr(by_row, name)
    assert list(by_field._clocks) == list(by_row._clocks)


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        (0, None),
        (10 * MINUTE, None),
        (10 * MINUTE + 1, "EventFromTheFuture"),
        (-30 * 24 * 60 * MINUTE, None),
        (-30 * 24 * 60 * MINUTE - 1, "EventTooOld"),
    ],
)
def test_an_event_is_believed_by_its_publish_time_alone(later: int, reason: str | None) -> None:
    for published in (NOW, 86_400_000 * 40, 4_102_444_800_000):
        one = record(sample(7, at=published + later), 0, timestamp=published)
        assert refused(one) == reason


def test_an_agent_sets_its_own_limits_of_time() -> None:
    strict = replace(tally(), max_ahead=timedelta(0), max_age=timedelta(seconds=1))
    assert refused(record(sample(7, at=NOW + 1), 0, timestamp=NOW), strict) == "EventFromTheFuture"
    assert refused(record(sample(7, at=NOW - 1001), 0, timestamp=NOW), strict) == "EventTooOld"
    assert refused(record(sample(7, at=0), 0, timestamp=NOW), replace(tally(), max_age=None)) is None


def test_the_clock_follows_the_valid_records_and_never_goes_back() -> None:
    frame = made(
        [
            record(sample(0, at=NOW - 5 * MINUTE), 0, timestamp=NOW),
            record(sample(1, at=NOW + 9 * MINUTE), 1, timestamp=NOW - MINUTE),
            record(sample(2, at=NOW - 20 * MINUTE), 2, timestamp=NOW),
            record(sample(3, at=NOW), 3, timestamp=NOW, key=b"no|body"),
            record(sample(4, at=NOW + 90 * MINUTE), 4, timestamp=NOW + MINUTE),
        ]
    )
    frame.decode()
    assert frame.clock == NOW - MINUTE
    later = made([record(sample(0, at=NOW - 5 * MINUTE), 5)], clock=frame.clock)
    later.decode()
    assert later.clock == NOW - MINUTE


def test_a_dead_letter_holds_the_record_whole_its_place_and_the_reason() -> None:
    headers = [("trace", b"\x00\xff"), ("trace", None), ("", b"")]
    one = InputRecord(b"acme|h2", b"\xc3\x01 nonsense", NOW + 3, 41, headers)
    frame = made([one], prefix="prefix.")
    frame.decode()
    (letter,) = letters(frame)
    message = letter.pop("message")
    assert message
    assert letter == {
        "tenant_id": "acme",
        "source_topic": "prefix.events.metrics",
        "source_partition": 2,
        "source_offset": 41,
        "source_timestamp": NOW + 3,
        "agent": "tally",
        "error_class": "UnknownFingerprint",
        "key": b"acme|h2",
        "value": b"\xc3\x01 nonsense",
        "headers": [{"name": name, "value": value} for name, value in headers],
    }
    ((place, rows),) = frame.outputs.items()
    assert place == ("dead-letters", 2)
    assert rows[0][0] == b"acme|h2"
    assert frame.rejected == 1


@pytest.mark.parametrize(("key", "tenant"), [(None, None), (b"", None), (b"\xff|x", "\ufffd"), (b"acme", "acme")])
def test_a_dead_letter_names_the_tenant_that_the_key_names(key: bytes | None, tenant: str | None) -> None:
    frame = made([record(GOOD, 0, key=key)])
    frame.decode()
    assert [(letter["key"], letter["tenant_id"]) for letter in letters(frame)] == [(key, tenant)]


def test_a_long_message_is_cut() -> None:
    one = record(GOOD, 0)
    frame = made([one])
    frame.reject(one, "Long", "x" * 5000)
    assert len(letters(frame)[0]["message"]) == 1000


def test_dead_letters_lie_in_the_order_of_their_records() -> None:
    source = [
        record(sample(0, REFUSE), 0),  # refused last, by the agent
        record(sample(1), 3, key=b"foreign"),  # refused in the second pass
        record(sample(2), 7),
        record(sample(3), 8, value=b"?"),  # refused first
        record(sample(4, REFUSE), 9),
        record(sample(5, at=NOW + 11 * MINUTE), 12, timestamp=NOW),
        record(sample(6), 13, value=None),
    ]
    frame = made(source)
    frame.run()
    assert [(letter["source_offset"], letter["error_class"]) for letter in letters(frame)] == [
        (0, "Refused"),
        (3, "KeyMismatch"),
        (8, "DecodeError"),
        (9, "Refused"),
        (12, "EventFromTheFuture"),
        (13, "EmptyValue"),
    ]
    assert frame.rejected == 6
    assert [each.offset for each in frame.records] == [0, 7, 9]


def test_dead_letters_fit_a_topic_with_fewer_partitions() -> None:
    frame = made([record(GOOD, 0, value=None)], partition=3, counts=COUNTS | {"dead-letters": 2})
    frame.decode()
    assert list(frame.outputs) == [("dead-letters", 1)]


def sender(topic: topics.Topic, make: Callable[[dict[str, Any]], dict[str, Any]]) -> Agent:
    def process(frame: Frame) -> None:
        frame.send(topic, [make(event) for event in frame.decode()])

    return Agent("sender", (TOPIC,), (topic,), process)


def test_an_output_goes_to_the_partition_of_its_key() -> None:
    agent = sender(OUTPUT, lambda event: step(ZERO, event)[1])
    source = [record(sample(n, host=f"host-{n}"), n) for n in range(40)]
    for count in (1, 3, 4):
        frame = made(source, agent, counts=COUNTS | {OUTPUT.name: count})
        frame.run()
        found = {row[0]: number for (_, number), rows in frame.outputs.items() for row in rows}
        assert found == {each.key: OUTPUT.partition_of(each.key or b"", count) for each in source}
        assert {topic for topic, _ in frame.outputs} == {OUTPUT.name}


def test_an_output_keyed_as_the_input_stays_in_its_partition() -> None:
    agent = sender(TOPIC, lambda event: event)
    # Not where the partitioner would put them: whoever wrote the input chose the partition.
    source = [record(sample(n, host=f"host-{n}"), n) for n in range(8)]
    frame = made(source, agent)
    frame.run()
    assert frame.outputs == {(TOPIC.name, 2): [(each.key, each.value) for each in source]}
    other = made(source, agent, counts=COUNTS | {TOPIC.name: 4, "events.metrics": 4})
    other.run()
    assert other.outputs == frame.outputs


def test_another_key_of_the_same_fields_goes_to_its_own_partition() -> None:
    agent = sender(TOPIC, lambda event: {**event, "host": f"device-{event['event_id']}"})
    frame = made([record(sample(n, host=f"host-{n}"), n) for n in range(20)], agent)
    frame.run()
    found = {row[0]: number for (_, number), rows in frame.outputs.items() for row in rows}
    keys = [f"acme|device-e{n}".encode() for n in range(20)]
    assert found == {key: TOPIC.partition_of(key, 4) for key in keys}


def test_values_are_written_with_the_codec_of_their_topic() -> None:
    frame = made([record(GOOD, 0)])
    frame.run()
    ((key, value),) = next(iter(frame.outputs.values()))
    assert key == b"acme|h2"
    assert value is not None
    assert OUTPUT.codec.decode(value)["detail"] == {
        "n": 1.0,
        "sum": 7.0,
        "mean": 7.0,
        "moving": 0.7000000000000001,
        "live": 1.0,
    }


def test_a_record_that_does_not_fit_the_schema_fails_the_frame() -> None:
    def broken(event: dict[str, Any]) -> dict[str, Any]:
        return {**step(ZERO, event)[1], "probability": "high"}

    frame = made([record(GOOD, 0)], sender(OUTPUT, broken))
    with pytest.raises(Exception, match="probability"):
        frame.run()


SEVERAL = Topic("t", "events.ocr", ("source_type", "asset_id", "number"), "at", None, None, "")
_NAMES = st.sampled_from(["a", "b|", "é", "", "a|b"])
_EVENTS = st.fixed_dictionaries(
    {
        "tenant_id": _NAMES,
        "source_type": _NAMES,
        "asset_id": _NAMES,
        "number": st.integers(-2, 12),
        "at": st.integers(0, 60),
    }
)


@pytest.mark.skipif(load("streams.runtime._compiled") is None, reason="streams.runtime._compiled was not built")
@given(
    st.lists(st.tuples(_EVENTS, st.sampled_from([None, b"", b"|", b"x"]), st.integers(0, 60)), max_size=12),
    st.booleans(),
)
def test_compiled_believes_what_the_plain_form_does(given: list[tuple[dict[str, Any], Any, int]], aged: bool) -> None:
    events = [event for event, _, _ in given]
    records = [
        # Mostly the right key, sometimes none, cut short or with more behind it.
        InputRecord(None if odd is None and number % 4 == 3 else SEVERAL.key_of(event)[: -1 if odd == b"x" else None]
                    + (odd or b""), b"", time, number)
        for number, (event, odd, time) in enumerate(given)
    ]  # fmt: skip
    compiled = load("streams.runtime._compiled")
    assert compiled is not None
    limits = (10.0, 20.0 if aged else float("inf"))
    begin = 0
    while begin < len(records):
        found = []
        for judge in (believed, compiled.believed):
            clocks: list[int] = []
            found.append((judge(records, events, begin, len(records), SEVERAL, *limits, 5, clocks), clocks))
        assert found[0] == found[1]
        begin = found[0][0][0] + 1
