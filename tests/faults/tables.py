"""The tables beside the topics: every fact once, with every value, as analysts read it through FINAL."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import clickhouse_connect

from schemas import topics
from schemas.codec import DecodeError
from schemas.topics import Topic
from sinks.tables import OFFSET, PARTITION, TIME, TIMESTAMP, Column, Table
from tests.faults import logs
from tests.faults.compare import Verdict, compare_rows
from tests.faults.logs import Logged

Row = tuple[Any, ...]

IDENTITY: dict[str, tuple[str, ...]] = {
    "predictions": ("prediction_id",),
    "metric_samples": ("tenant_id", "host", "occurred_at", "event_id"),
    "alerts": ("alert_id",),
    "alert_events": ("alert_id", "seq"),
    "incidents": ("incident_id",),
    "incident_events": ("incident_id", "seq"),
    "tickets": ("ticket_id",),
    "ticket_events": ("ticket_id", "seq"),
    "labelled": ("alert_id",),
    "outcomes": ("tenant_id", "event_id", "decided_at", "source_partition", "source_offset"),
    "labelled_predictions": ("prediction_id",),
    "events_attendance": ("tenant_id", "person_id", "occurred_at", "event_id"),
    "events_sync": ("tenant_id", "user_id", "occurred_at", "event_id"),
    "outcomes_sync": ("tenant_id", "event_id", "decided_at", "source_partition", "source_offset"),
    "events_ocr": ("tenant_id", "source_type", "asset_id", "occurred_at", "event_id"),
    "ocr_captures": ("capture_id",),
    "ocr_capture_events": ("capture_id", "version", "source_partition", "source_offset"),
    "outcomes_ocr": ("tenant_id", "event_id", "decided_at", "outcome_id"),
    "labeling_tasks": ("task_id",),
    "control_audit": ("command_offset",),
    "dead_letters": ("source_topic", "source_partition", "source_offset", "agent"),
}
"""Columns that make two rows of a table the same fact."""

EMPTY: dict[str, Any] = {"Array": (), "Map": (), "LowCardinality": "", "String": ""}


@dataclass(frozen=True, slots=True)
class Database:
    """Reads the tables of one run."""

    url: str
    user: str
    password: str
    name: str

    def rows(self, table: Table) -> list[Row]:
        client = clickhouse_connect.get_client(dsn=self.url, username=self.user, password=self.password)
        try:
            chosen = ", ".join(_selected(column) for column in table.columns)
            found = client.query(f"SELECT {chosen} FROM `{self.name}`.`{table.name}` FINAL").result_rows
            return [tuple(_plain(value) for value in row) for row in found]
        finally:
            client.close()

    def stored(self, topic: str) -> dict[int, int]:
        """By partition, the offset below which everything is in the tables, as the sink has noted it."""
        client = clickhouse_connect.get_client(dsn=self.url, username=self.user, password=self.password)
        try:
            found = client.query(
                f"SELECT partition, next_offset FROM `{self.name}`.sink_progress FINAL WHERE topic = {{topic:String}}",
                parameters={"topic": topic},
            )
            return {int(partition): int(offset) for partition, offset in found.result_rows}
        finally:
            client.close()


def _selected(column: Column) -> str:
    """The column in a form that compares exactly: times as integers, bytes as hexadecimal text."""
    if column.type == TIME or column.type == f"Nullable({TIME})":
        return f"toUnixTimestamp64Milli(`{column.name}`)"
    if column.type in ("UUID", "Nullable(UUID)"):
        return f"toString(`{column.name}`)"
    if column.type == "Nullable(String)":
        return f"hex(`{column.name}`)"
    if column.type.startswith("Array(Tuple"):
        return f"arrayMap(h -> (h.1, hex(h.2)), `{column.name}`)"
    return f"`{column.name}`"


def _plain(value: Any) -> Any:
    """Lists and maps as something that compares and hashes; a map's order means nothing."""
    if isinstance(value, dict):
        return tuple(sorted((key, _plain(inner)) for key, inner in value.items()))
    if isinstance(value, list | tuple):
        return tuple(_plain(inner) for inner in value)
    return value


def row_of(table: Table, record: dict[str, Any], one: Logged) -> Row:
    """The row that a record must have become."""
    return tuple(_stored(column, record, one) for column in table.columns)


def _stored(column: Column, record: dict[str, Any], one: Logged) -> Any:
    place = {PARTITION: one.partition, OFFSET: one.offset, TIMESTAMP: one.timestamp}
    if column.field in place:
        return place[column.field]
    value = record[column.field]
    if column.type == "Nullable(String)":
        raw = value.encode() if isinstance(value, str) else value
        return None if raw is None else raw.hex().upper()
    if column.type.startswith("Array(Tuple"):
        return tuple((header["name"], _hex(header["value"])) for header in value)
    if value is None and not column.type.startswith("Nullable"):
        return EMPTY[column.type.partition("(")[0]]
    return _plain(value)


def _hex(raw: bytes | None) -> str | None:
    return None if raw is None else raw.hex().upper()


def decoded(topic: Topic, records: Iterable[Logged]) -> Iterator[tuple[Logged, dict[str, Any]]]:
    """The records that can be read; what cannot is the business of the topic's agent."""
    for one in records:
        try:
            yield one, topic.codec.decode(one.value or b"")
        except DecodeError:
            continue


def judge(servers: str, prefix: str, database: Database, table: Table, sources: Sequence[Topic]) -> Verdict:
    """Compare a table with its topics. Of several versions of an alert the newest must stand."""
    raw = sources[0] in (topics.EVENTS_METRICS, topics.EVENTS_SYNC)
    # An event that came twice may stand with either place in the log: the values are the same.
    columns = [
        number for number, column in enumerate(table.columns) if not raw or column.field not in (OFFSET, TIMESTAMP)
    ]
    names = [column.name for column in table.columns]
    places = [names.index(name) for name in IDENTITY[table.name]]
    expected: dict[Row, Row] = {}
    open_to_doubt: set[Row] = set()
    every = [(topic, records) for topic in sources for records in logs.read(servers, prefix + topic.name)]
    refused = _refused(servers, prefix, sources[0]) if raw else frozenset()
    for topic, records in every:
        for one, record in decoded(topic, records):
            row = row_of(table, record, one)
            fact = tuple(row[place] for place in places)
            if (one.partition, one.offset) in refused:
                open_to_doubt.add(fact)
            else:
                expected[fact] = tuple(row[number] for number in columns)
    found = [
        (tuple(row[place] for place in places), tuple(row[number] for number in columns))
        for row in database.rows(table)
    ]
    sure = [(fact, row) for fact, row in found if fact in expected or fact not in open_to_doubt]
    return compare_rows(f"table {table.name}", expected, sure)


def _refused(servers: str, prefix: str, topic: Topic) -> frozenset[tuple[int, int]]:
    """Places of the records that an agent put into the dead letters: whether they have a row is left open."""
    letters = logs.read(servers, prefix + topics.DEAD_LETTERS.name)
    return frozenset(
        (letter["source_partition"], letter["source_offset"])
        for records in letters
        for _, letter in decoded(topics.DEAD_LETTERS, records)
        if letter["source_topic"] == prefix + topic.name
    )
