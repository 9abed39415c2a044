"""Every record becomes its row, once as read through the views, whatever happens on the way."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from schemas import topics
from schemas.topics import Topic
from sinks import writer
from sinks.errors import LostTrack, Mismatch, Refused, SinkStopped, Unavailable
from sinks.figures import Figures
from sinks.partition import Size
from sinks.progress import TABLE as PROGRESS
from sinks.readings import owners
from sinks.store import Store
from sinks.tables import (
    ALERT_EVENTS,
    ALERTS,
    CONTROL_AUDIT,
    DEAD_LETTERS,
    EVENTS_ATTENDANCE,
    EVENTS_OCR,
    EVENTS_SYNC,
    INCIDENT_EVENTS,
    INCIDENTS,
    LABELING_TASKS,
    LABELLED,
    LABELLED_PREDICTIONS,
    METRIC_SAMPLES,
    OCR_CAPTURE_EVENTS,
    OCR_CAPTURES,
    OUTCOMES,
    OUTCOMES_OCR,
    OUTCOMES_SYNC,
    PREDICTIONS,
    TICKET_EVENTS,
    TICKETS,
    Table,
)
from sinks.writer import Options, Sink
from tests.faults.waiting import until
from tests.sinks.conftest import PARTITIONS, Bench, Running
from tests.sinks.records import (
    MONTH_MS,
    alert,
    attended,
    audit,
    by_key,
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

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

KEYS = {
    "predictions": ("tenant_id", "prediction_id"),
    "metric_samples": ("tenant_id", "host", "event_id"),
    "events_attendance": ("tenant_id", "event_id"),
    "events_sync": ("tenant_id", "event_id"),
    "outcomes_sync": ("tenant_id", "outcome_id"),
    "alerts": ("tenant_id", "alert_id"),
    "alert_events": ("tenant_id", "alert_id", "seq"),
    "incidents": ("tenant_id", "incident_id"),
    "incident_events": ("tenant_id", "incident_id", "seq"),
    "tickets": ("tenant_id", "ticket_id"),
    "ticket_events": ("tenant_id", "ticket_id", "seq"),
    "labelled": ("tenant_id", "alert_id"),
    "outcomes": ("tenant_id", "outcome_id"),
    "labelled_predictions": ("tenant_id", "prediction_id"),
    "events_ocr": ("tenant_id", "event_id"),
    "ocr_captures": ("tenant_id", "capture_id"),
    "ocr_capture_events": ("tenant_id", "capture_id", "version"),
    "outcomes_ocr": ("tenant_id", "outcome_id"),
    "labeling_tasks": ("tenant_id", "task_id"),
    "control_audit": ("command_offset",),
}


# Of several records of one key the one with the highest version stands.
VERSIONS = {
    "alerts": "seq",
    "incidents": "seq",
    "tickets": "seq",
    "labelled": "label_version",
    "labelled_predictions": "label_version",
    "ocr_captures": "version",
    "labeling_tasks": "seq",
}


def compare(bench: Bench, topic: Topic, table: Table, view: bool = True) -> None:
    """All values of all rows."""
    key, written = KEYS[table.name], bench.expected(topic, table)
    if table.name in VERSIONS:
        newest = sorted(written, key=lambda row: row[VERSIONS[table.name]])
        written = list({tuple(row[name] for name in key): row for row in newest}.values())
    expected, found = by_key(written, *key), by_key(bench.rows(table, view), *key)
    assert found.keys() == expected.keys()
    assert found == expected


def test_all_tables(bench: Bench) -> None:
    bench.write(topics.EVENTS_METRICS, [event(n) for n in range(300)])
    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n) for n in range(300)])
    bench.write(topics.ATTENDANCE_ENRICHED, [attended(n) for n in range(300)])
    bench.write(topics.EVENTS_SYNC, [synced(n) for n in range(300)])
    bench.write(topics.OUTCOMES_SYNC, [sync_outcome(n) for n in range(30)])
    bench.write(topics.ALERTS, [alert(n, seq) for n in range(5) for seq in (1, 2, 3)])
    bench.write(topics.INCIDENTS, [incident(n, seq) for n in range(5) for seq in (1, 2, 3)])
    bench.write(topics.TICKETS, [ticket(n, seq) for n in range(5) for seq in (1, 2, 3)])
    bench.write(topics.LABELLED_ANOMALY, [label(n, version) for n in range(5) for version in (1, 2)])
    bench.write(topics.OUTCOMES_ATTENDANCE, [outcome(n) for n in range(30)])
    bench.write(topics.LABELLED_FRAUD, [judged(n, version) for n in range(15) for version in (1, 2)])
    bench.write(topics.OCR_READINGS, [reading(n) for n in range(300)])
    bench.write(topics.OCR_CAPTURES, [capture(n, version) for n in range(15) for version in (1, 2)])
    bench.write(topics.OCR_VERDICTS, [found_wrong(n) for n in range(30)])
    bench.write(topics.OCR_LABELING_TASKS, [task(n, seq) for n in range(5) for seq in (1, 2, 3)])
    bench.write(topics.CONTROL_AUDIT, [audit(n) for n in range(30)])
    bench.drain()
    for topic, table in (
        (topics.CONTROL_AUDIT, CONTROL_AUDIT),
        (topics.EVENTS_METRICS, METRIC_SAMPLES),
        (topics.PREDICTIONS_ANOMALY, PREDICTIONS),
        (topics.ATTENDANCE_ENRICHED, EVENTS_ATTENDANCE),
        (topics.EVENTS_SYNC, EVENTS_SYNC),
        (topics.OUTCOMES_SYNC, OUTCOMES_SYNC),
        (topics.OCR_READINGS, EVENTS_OCR),
        (topics.OCR_CAPTURES, OCR_CAPTURES),
        (topics.OCR_CAPTURES, OCR_CAPTURE_EVENTS),
        (topics.OCR_VERDICTS, OUTCOMES_OCR),
        (topics.OCR_LABELING_TASKS, LABELING_TASKS),
        (topics.ALERTS, ALERTS),
        (topics.ALERTS, ALERT_EVENTS),
        (topics.INCIDENTS, INCIDENTS),
        (topics.INCIDENTS, INCIDENT_EVENTS),
        (topics.TICKETS, TICKETS),
        (topics.TICKETS, TICKET_EVENTS),
        (topics.LABELLED_ANOMALY, LABELLED),
        (topics.OUTCOMES_ATTENDANCE, OUTCOMES),
        (topics.LABELLED_FRAUD, LABELLED_PREDICTIONS),
    ):
        compare(bench, topic, table)
    assert owners(bench.store, "meter_reading", "s0") == [("local", "m-0é")]
    assert owners(bench.store, "vehicle_entry", "s0") == []
    freshness = bench.store.query(f"SELECT topic FROM {bench.store.database}.v_freshness")
    assert {row["topic"] for row in freshness} >= {
        bench.options.prefix + topic.name
        for topic in (topics.EVENTS_METRICS, topics.PREDICTIONS_ANOMALY, topics.ALERTS, topics.INCIDENTS)
    }


@pytest.mark.parametrize(
    ("topic", "record", "table", "events"),
    [
        (topics.ALERTS, alert, ALERTS, ALERT_EVENTS),
        (topics.INCIDENTS, incident, INCIDENTS, INCIDENT_EVENTS),
        (topics.TICKETS, ticket, TICKETS, TICKET_EVENTS),
        (topics.LABELLED_ANOMALY, label, LABELLED, None),
        (topics.LABELLED_FRAUD, judged, LABELLED_PREDICTIONS, None),
    ],
    ids=["alerts", "incidents", "tickets", "labelled", "labelled predictions"],
)
def test_an_old_version_never_wins(
    bench: Bench, topic: Topic, record: Callable[..., dict[str, Any]], table: Table, events: Table | None
) -> None:
    """Even when its block is stored after the newer one's."""
    bench.write(topic, [record(1, 2), record(1, 3)], partition=0)
    bench.drain()
    bench.write(topic, [record(1, 1)], partition=1)
    bench.drain()
    assert [each[VERSIONS[table.name]] for each in bench.rows(table)] == [record(1, 3)[VERSIONS[table.name]]]
    if events is not None:
        assert sorted(each["seq"] for each in bench.rows(events)) == [1, 2, 3]


def test_scores_of_every_model_stand_in_one_table(bench: Bench) -> None:
    frauds = [prediction(n + 1000, model="fraud", subject="p-1", detail={}) for n in range(50)]
    bench.write(topics.PREDICTIONS_FRAUD, frauds)
    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n) for n in range(50)])
    bench.drain()
    written = bench.expected(topics.PREDICTIONS_FRAUD, PREDICTIONS) + bench.expected(
        topics.PREDICTIONS_ANOMALY, PREDICTIONS
    )
    assert by_key(bench.rows(PREDICTIONS), *KEYS["predictions"]) == by_key(written, *KEYS["predictions"])


def test_a_verdict_stands_beside_the_prediction_that_it_is_about(bench: Bench) -> None:
    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n) for n in range(3)])
    judged = prediction(1)
    bench.write(topics.LABELLED_ANOMALY, [label(1, 1, subject=judged["subject"], opened_at=judged["event_time"])])
    bench.drain()
    name = bench.store.database
    found = bench.store.query(
        f"SELECT toString(prediction_id) AS prediction_id, verdict FROM {name}.v_labelled "
        f"JOIN {name}.v_predictions USING (tenant_id, model, subject, event_time, event_id)"
    )
    assert found == [{"prediction_id": judged["prediction_id"], "verdict": "false_positive"}]


@pytest.mark.parametrize(
    ("topic", "table", "made", "changes", "apart"),
    [
        (topics.EVENTS_METRICS, METRIC_SAMPLES, event, {"cpu_percent": 99.0}, False),
        (topics.EVENTS_METRICS, METRIC_SAMPLES, event, {"cpu_percent": 99.0}, True),
        (topics.EVENTS_SYNC, EVENTS_SYNC, synced, {"fields_changed": ["another"]}, True),
    ],
)
def test_of_conflicting_events_the_first_published_holds(
    bench: Bench, topic: Topic, table: Table, made: Callable[..., dict[str, Any]], changes: dict[str, Any], apart: bool
) -> None:
    """In one block or in two, before and after merges, and when everything is stored again in the other order."""
    name, key = f"{bench.store.database}.{table.name}", KEYS[table.name]
    first = [made(n) for n in range(0, 30, 3)]
    bench.write(topic, first, partition=0)
    if apart:
        bench.drain()
    expected = by_key(bench.expected(topic, table), *key)
    bench.write(topic, [each | changes for each in first], partition=0)
    bench.write(topic, first, partition=0)
    bench.drain()

    def held() -> dict[tuple[str, ...], dict[str, object]]:
        return by_key(bench.rows(table), *key)

    assert held() == expected
    columns = ", ".join(table.names)
    bench.store.command(
        f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {name} ORDER BY source_offset DESC "
        "SETTINGS insert_deduplicate = 0, optimize_on_insert = 0"
    )
    assert held() == expected
    bench.store.command(f"OPTIMIZE TABLE {name} FINAL")
    assert held() == expected


def test_a_broker_away_is_said_in_a_line_of_the_log(
    store: Store, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    options = Options(servers="127.0.0.1:1", prefix="away.")
    figures = Figures()
    with Running(Sink(store, options, figures)):
        until(lambda: len(caplog.records) > 0, 30, "a line")
        until(lambda: figures.registry.get_sample_value("watchfloor_sink_retries_total") == 2, 60, "two tries")
    assert capfd.readouterr().err.count("%3|") == 0
    assert [record.getMessage()[:8] for record in caplog.records] == ["waiting:"]


def test_a_month_boundary_cuts_the_block(bench: Bench) -> None:
    month = MONTH_MS
    times = [month - 2, month - 1, month, month + 1, month - 86_400_000, month + 86_400_000]
    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n, event_time=t) for n, t in enumerate(times)], partition=0)
    bench.drain()
    compare(bench, topics.PREDICTIONS_ANOMALY, PREDICTIONS)
    parts = bench.store.query(
        "SELECT partition, sum(rows) AS n FROM system.parts "
        f"WHERE active AND database = '{bench.store.database}' AND table = 'predictions' GROUP BY partition"
    )
    assert [row["n"] for row in parts] == [3, 3]


def test_a_second_run_stores_only_what_is_new(bench: Bench) -> None:
    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n) for n in range(10)])
    bench.drain()
    assert inserted(bench.drain()) == 0
    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n) for n in range(10, 15)])
    assert inserted(bench.drain()) == 5
    compare(bench, topics.PREDICTIONS_ANOMALY, PREDICTIONS, view=False)


def inserted(sink: Sink) -> float:
    families = sink._figures.registry.collect()
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == "watchfloor_sink_rows_total")


class Crash(BaseException):
    """The process ends here, as far as the sink can tell."""


class Failing(Store):
    """Ends at one point of the way."""

    def __init__(self, store: Store, at: Callable[[str, str], str | None]) -> None:
        super().__init__(store.url, store._user, store._password, store.database)
        self.at = at
        self.lock = threading.Lock()

    def insert(self, table: str, columns: Sequence[str], native: bytes, token: str) -> None:
        with self.lock:
            when = self.at(table, token)
        if when == "before":
            raise Crash(f"before {token}")
        super().insert(table, columns, native, token)
        if when == "after":
            raise Crash(f"after {token}")


def at_insert(number: int, when: str, counted: Callable[[str], bool]) -> Callable[[str, str], str | None]:
    """Crash at the number-th insert into the tables that count."""
    seen = 0

    def at(table: str, _: str) -> str | None:
        nonlocal seen
        seen += counted(table)
        return when if counted(table) and seen == number else None

    return at


ARROWS = {
    "before the plan": at_insert(1, "before", lambda table: table == PROGRESS),
    "between plan and inserts": at_insert(1, "after", lambda table: table == PROGRESS),
    "between two inserts": at_insert(2, "before", lambda table: table != PROGRESS),
    "in the acknowledgement of an insert": at_insert(1, "after", lambda table: table != PROGRESS),
    "in the acknowledgement of the last insert": at_insert(4, "after", lambda table: table != PROGRESS),
    "between inserts and progress": at_insert(2, "before", lambda table: table == PROGRESS),
    "in the acknowledgement of the progress": at_insert(2, "after", lambda table: table == PROGRESS),
}


@pytest.mark.parametrize("arrow", ARROWS)
def test_a_crash_at_every_arrow(bench: Bench, arrow: str) -> None:
    """Nothing lost, nothing doubled, and even without FINAL each row once: the same blocks under the same tokens."""
    month = MONTH_MS
    times = [month + (n - 50) * 1000 for n in range(100)]
    bench.write(topics.ALERTS, [alert(n, 1, opened_at=t) for n, t in enumerate(times)], partition=0)
    with pytest.raises(Crash):
        bench.drain(Failing(bench.store, ARROWS[arrow]))
    # More has come meanwhile: the planned range must not grow by it.
    bench.write(topics.ALERTS, [alert(n, 1, opened_at=month + n) for n in range(100, 120)], partition=0)
    bench.drain()
    for table in (ALERTS, ALERT_EVENTS):
        compare(bench, topics.ALERTS, table)
        compare(bench, topics.ALERTS, table, view=False)


def test_clickhouse_away_is_waited_for(bench: Bench) -> None:
    calls: list[str] = []

    class Away(Failing):
        def insert(self, table: str, columns: Sequence[str], native: bytes, token: str) -> None:
            calls.append(token)
            if calls.count(token) < 3:
                raise Unavailable("Connection refused")
            super().insert(table, columns, native, token)

    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n) for n in range(50)])
    bench.drain(Away(bench.store, lambda *_: None))
    compare(bench, topics.PREDICTIONS_ANOMALY, PREDICTIONS, view=False)
    assert set(Counter(calls).values()) == {3}  # every insert was tried again under its own token


def test_memory_is_bounded_while_clickhouse_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BUFFER_BYTES", 20_000)
    monkeypatch.setattr(writer, "CONSUME", 50)
    monkeypatch.setattr(writer, "ENOUGH", Size(100, 5_000))
    monkeypatch.setattr(writer, "MOST", Size(100, 10_000))
    monkeypatch.setattr(writer, "PATIENCE_S", 0.2)
    away = threading.Event()
    away.set()

    class Away(Failing):
        def insert(self, table: str, columns: Sequence[str], native: bytes, token: str) -> None:
            if away.is_set():
                raise Unavailable("Connection refused")
            super().insert(table, columns, native, token)

    def figure(running: Running, name: str) -> float:
        return running.sink._figures.registry.get_sample_value(f"watchfloor_sink_{name}") or 0.0

    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n) for n in range(2_000)])
    with Running(bench.sink(Away(bench.store, lambda *_: None), once=False)) as running:
        until(lambda: figure(running, "buffered_bytes") > 20_000, 30, "a full buffer")
        until(lambda: running.sink._paused, 30, "the pause")
        most = figure(running, "buffered_bytes")
        assert figure(running, "clickhouse_up") == 0
        away.clear()
        until(lambda: len(bench.rows(PREDICTIONS)) == 2_000, 60, "the rows")
        assert figure(running, "clickhouse_up") == 1
    assert most < 20_000 + 50 * 600
    compare(bench, topics.PREDICTIONS_ANOMALY, PREDICTIONS, view=False)


def test_a_refused_row_becomes_a_dead_letter_and_the_others_are_stored(bench: Bench) -> None:
    good = [prediction(n) for n in range(200)]
    bench.write(topics.PREDICTIONS_ANOMALY, good[:70], partition=0)
    poison = [
        prediction(1000, prediction_id="not a uuid"),
        prediction(1001, tenant_id="No Tenant!"),
        prediction(1002, event_time=-5),
        prediction(1003, event_time=2**62),
    ]
    topic = topics.PREDICTIONS_ANOMALY
    for record in poison:
        bench.raw(topic, b"k", topic.codec.encode(record), 0)
    bench.raw(topic, b"k", b"no Avro", 0)
    bench.raw(topic, None, topic.codec.encode(good[0])[:-3], 0)
    bench.raw(topic, b"k", None, 0)
    bench.write(topic, good[70:], partition=0)
    bench.drain()
    compare(bench, topic, PREDICTIONS)
    bench.drain()  # the dead letters themselves
    letters = bench.rows(DEAD_LETTERS)
    assert {each["source_offset"]: each["error_class"] for each in letters} == {
        70: "ValueError",
        71: "clickhouse_469",
        72: "InvalidRecord",
        73: "InvalidRecord",
        74: "DecodeError",
        75: "DecodeError",
        76: "DecodeError",
    }
    assert {each["source_topic"] for each in letters} == {bench.options.prefix + topic.name}
    values = bench.store.query(
        f"SELECT source_offset, hex(key) AS key, hex(value) AS value FROM {bench.store.database}.v_dead_letters"
    )
    found = {row["source_offset"]: (row["key"], row["value"]) for row in values}
    assert found[71] == (b"k".hex().upper(), topic.codec.encode(poison[1]).hex().upper())
    assert found[75] == (None, topic.codec.encode(good[0])[:-3].hex().upper())


def test_a_huge_record_becomes_a_dead_letter_too(bench: Bench) -> None:
    config = {"max.message.bytes": str(32 << 20)}
    bench.configure(topics.DEAD_LETTERS, config)
    bench.configure(topics.ALERTS, config)
    huge = bytes(10 << 20)
    bench.raw(topics.ALERTS, b"k", huge, 0)
    bench.write(topics.ALERTS, [alert(1, 1)], partition=0)
    bench.drain()
    bench.drain()
    compare(bench, topics.ALERTS, ALERTS)
    sizes = bench.store.query(f"SELECT length(value) AS n FROM {bench.store.database}.v_dead_letters")
    assert [row["n"] for row in sizes] == [len(huge)]


def test_a_crash_after_writing_dead_letters_doubles_none(bench: Bench) -> None:
    bench.raw(topics.ALERTS, b"k", b"no Avro", 0)
    bench.write(topics.ALERTS, [alert(1, 1)], partition=0)

    def written(table: str) -> bool:
        return table == PROGRESS and sum(bench.ends(topics.DEAD_LETTERS)) > 0

    with pytest.raises(Crash):
        bench.drain(Failing(bench.store, at_insert(1, "before", written)))
    bench.drain()
    bench.drain()
    assert sum(bench.ends(topics.DEAD_LETTERS)) == 2
    assert [each["source_offset"] for each in bench.rows(DEAD_LETTERS)] == [0]
    compare(bench, topics.ALERTS, ALERTS)


def test_wrong_records_of_an_input_topic_are_left_to_its_agent(bench: Bench) -> None:
    topic = topics.EVENTS_METRICS
    bench.write(topic, [event(n) for n in range(20)], partition=0)
    for key, value in (
        (b"other|h1", topic.codec.encode(event(100, host="h1"))),
        (b"local|h1", topic.codec.encode(event(101, host="h1", occurred_at=86_400_000))),
        (b"local|h1", b"\xc3\x01 no Avro"),
        (b"local|h1", None),
    ):
        bench.raw(topic, key, value, 0)
    bench.flush()
    sink = bench.drain()
    compare(bench, topic, METRIC_SAMPLES)
    assert sink._figures.registry.get_sample_value("watchfloor_sink_skipped_total", {"topic": topic.name}) == 4
    assert sum(bench.ends(topics.DEAD_LETTERS)) == 0


def test_many_refusals_stop_the_sink_instead_of_draining_the_topic(bench: Bench) -> None:
    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n, tenant_id="No Tenant!") for n in range(30)], partition=0)
    with pytest.raises(Mismatch, match=r"More than 10 records .*VIOLATED_CONSTRAINT"):
        bench.drain(refusals=10)
    assert sum(bench.ends(topics.DEAD_LETTERS)) == 0
    bench.drain(refusals=30)
    assert sum(bench.ends(topics.DEAD_LETTERS)) == 30


def test_a_topic_made_anew_stops_the_sink(bench: Bench) -> None:
    topic = topics.PREDICTIONS_ANOMALY
    bench.write(topic, [prediction(n) for n in range(20)])
    bench.drain()
    before = bench.rows(PREDICTIONS)
    bench.create_again(topic)
    bench.write(topic, [prediction(n) for n in range(100, 150)])
    with pytest.raises(LostTrack, match=r"was deleted and made anew.*--accept"):
        bench.drain()
    assert by_key(bench.rows(PREDICTIONS), "prediction_id") == by_key(before, "prediction_id")
    bench.drain(accept=frozenset({bench.options.prefix + topic.name}))
    expected = by_key(before, "prediction_id") | by_key(bench.expected(topic, PREDICTIONS), "prediction_id")
    assert by_key(bench.rows(PREDICTIONS), "prediction_id") == expected
    bench.drain()


def test_a_topic_made_anew_while_the_sink_runs_stops_it(bench: Bench) -> None:
    topic = topics.PREDICTIONS_ANOMALY
    bench.write(topic, [prediction(n) for n in range(20)])
    with Running(bench.sink(once=False)) as running:
        until(lambda: len(bench.rows(PREDICTIONS)) == 20, 30, "the rows")
        bench.create_again(topic)
        until(running.done.done, 60, "the end of the sink")
    with pytest.raises(SinkStopped, match="--accept"):
        running.done.result()


def test_an_offset_outside_the_log_stops_the_sink(bench: Bench) -> None:
    topic = topics.ALERTS
    bench.write(topic, [alert(n, 1) for n in range(20)], partition=0)
    bench.drain()
    name = bench.options.prefix + topic.name
    table = f"{bench.store.database}.{PROGRESS}"
    ahead = f"INSERT INTO {table} SELECT * REPLACE(99 AS next_offset, 98 AS planned_last, seq + 1 AS seq) FROM {table} "
    bench.store.command(f"{ahead} FINAL WHERE topic = '{name}' AND partition = 0")
    with pytest.raises(LostTrack, match="is shorter than what was stored from it"):
        bench.drain()
    bench.drain(accept=frozenset({name}))
    compare(bench, topic, ALERTS)


def test_lost_records_stop_the_sink(bench: Bench) -> None:
    from confluent_kafka import TopicPartition

    topic = topics.ALERTS
    bench.write(topic, [alert(n, 1) for n in range(20)], partition=0)
    bench.drain()
    bench.write(topic, [alert(n, 1) for n in range(20, 40)], partition=0)
    name = bench.options.prefix + topic.name
    for future in bench.admin.delete_records([TopicPartition(name, 0, 30)]).values():
        future.result(30)
    with pytest.raises(LostTrack, match=r"has lost records .* offset 20, the log begins at 30"):
        bench.drain()
    bench.drain(accept=frozenset({name}))
    held = {each["source_offset"] for each in bench.rows(ALERTS)}
    assert held == {*range(20), *range(30, 40)}


def test_missing_topics_and_tables_are_named(bench: Bench) -> None:
    with pytest.raises(SinkStopped, match=r"nosuch\.alerts.*watchfloor topics apply"):
        bench.drain(prefix="nosuch.")
    empty = Store(bench.store.url, bench.store._user, bench.store._password, "nosuch")
    with pytest.raises(Mismatch, match="watchfloor db migrate"):
        bench.drain(empty)


def test_a_row_shows_soon_in_an_idle_system(bench: Bench) -> None:
    with Running(bench.sink(once=False, flush_s=0.2)):
        for number in range(3):
            bench.write(topics.PREDICTIONS_ANOMALY, [prediction(number)])
            until(partial(held, bench, number + 1), 20, "the row", every=0.02)
    compare(bench, topics.PREDICTIONS_ANOMALY, PREDICTIONS, view=False)


def held(bench: Bench, rows: int) -> bool:
    return len(bench.rows(PREDICTIONS)) == rows


def test_two_sinks_share_the_partitions(bench: Bench) -> None:
    """One joins, one leaves, while records come; every row is there once."""
    topic = topics.PREDICTIONS_ANOMALY
    with Running(bench.sink(once=False, instance="a")) as first:
        bench.write(topic, [prediction(n) for n in range(100)])
        until(lambda: len(bench.rows(PREDICTIONS)) == 100, 30, "the first rows")
        with Running(bench.sink(once=False, instance="b")) as second:
            until(lambda: partitions(second) and partitions(first), 30, "both to have partitions")
            bench.write(topic, [prediction(n) for n in range(100, 300)])
            until(lambda: len(bench.rows(PREDICTIONS)) == 300, 30, "the rows of both")
            assert partitions(first) + partitions(second) == len(bench.names) * PARTITIONS
        bench.write(topic, [prediction(n) for n in range(300, 400)])
        until(lambda: len(bench.rows(PREDICTIONS)) == 400, 60, "the rows of the one that is left")
    compare(bench, topic, PREDICTIONS)


def partitions(running: Running) -> float:
    return running.sink._figures.registry.get_sample_value("watchfloor_sink_partitions") or 0.0


def test_refused_is_about_data_only(store: Store) -> None:
    with pytest.raises(Refused):
        store.insert("alerts", ["tenant_id"], b"nonsense", "t1")
    with pytest.raises(Mismatch):
        store.insert("nosuch", ["a"], b"", "t2")
    away = Store("http://127.0.0.1:1", "u", "p", "d")
    with pytest.raises(Unavailable, match="refused"):
        away.query("SELECT 1")
