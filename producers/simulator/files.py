"""A simulation written to files that `watchfloor replay` and evaluation read."""

import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self, TypeVar

import pyarrow
import pyarrow.parquet

from producers.records import reader
from producers.simulator.world import Day, Record, Simulation
from schemas import topics
from schemas.topics import Topic

FORMATS = ("jsonl", "parquet")
EVENTS, OUTCOMES = topics.EVENTS_ATTENDANCE, topics.OUTCOMES_ATTENDANCE
TRUTH = "truth.jsonl"
ABOUT = "simulation.json"
ROW_GROUP = 50_000
TYPES = {
    "string": pyarrow.string(),
    "double": pyarrow.float64(),
    "boolean": pyarrow.bool_(),
    "int": pyarrow.int32(),
}


class Sink(Protocol):
    """Takes records in their order."""

    def write(self, records: Iterable[Record]) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Lines:
    """JSON, a record a line; times in epoch milliseconds."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="\n")
        self._encode = json.JSONEncoder(separators=(",", ":")).encode

    def write(self, records: Iterable[Record]) -> None:
        encode = self._encode
        self._file.writelines(f"{encode(record)}\n" for record in records)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class Parquet:
    """The same records as columns, with the types of the topic's schema."""

    def __init__(self, path: Path, topic: Topic) -> None:
        self._schema = pyarrow.schema([(name, _type(field["type"])) for name, field in reader(topic).fields.items()])
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[Record] = []

    def write(self, records: Iterable[Record]) -> None:
        self._waiting += records
        while len(self._waiting) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        table = pyarrow.Table.from_pylist(self._waiting[:ROW_GROUP], self._schema)
        self._writer.write_table(table)
        del self._waiting[:ROW_GROUP]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting and error is None:
            self._flush()
        self._writer.close()


def write(
    simulation: Simulation,
    out: Path,
    format: str = "jsonl",
    told: Callable[[Day, int], None] = lambda day, events: None,
) -> dict[str, Any]:
    """Run a simulation into the folder `out`; returns what simulation.json holds.

    Files are named after their topics: events.attendance, outcomes.attendance, control.sites, control.calendars and
    control.rosters; beside them truth.jsonl and simulation.json, the parameters and counts. Files of these names are
    replaced. `told` is called after each day with the number of events so far. Raises OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    fixed = ((topics.CONTROL_SITES, simulation.sites), (topics.CONTROL_CALENDARS, simulation.calendars))
    for topic, records in (*fixed, (topics.CONTROL_ROSTERS, simulation.rosters)):
        with open_sink(out, topic, format) as sink:
            sink.write(records)
    counts = {tenant.tenant_id: {"events": 0, "outcomes": 0, "frauds": 0} for tenant in simulation.tenants}
    write_days(simulation.days(), counts, out, EVENTS, OUTCOMES, format, told)
    return write_about(out, simulation.scenario, counts)


class Known(Protocol):
    """What became known on a day, of any domain. `truth`: what is true of events, for evaluation alone."""

    events: list[Record]
    outcomes: list[Record]
    truth: list[Record]


K = TypeVar("K", bound=Known)


def write_days(
    days: Iterable[K],
    counts: dict[str, dict[str, int]],
    out: Path,
    events_topic: Topic,
    outcomes_topic: Topic,
    format: str,
    told: Callable[[K, int], None],
) -> None:
    """Write the events, outcomes and truth of days.

    Args:
        counts: by tenant, of the three in this order; changed in place.
        told: called after each day with the number of events so far.
    Raises:
        OSError.
    """
    total = 0
    with ExitStack() as stack:
        events = stack.enter_context(open_sink(out, events_topic, format))
        outcomes = stack.enter_context(open_sink(out, outcomes_topic, format))
        truth = stack.enter_context(Lines(out / TRUTH))
        for day in days:
            for number, (sink, records) in enumerate(
                ((events, day.events), (outcomes, day.outcomes), (truth, day.truth))
            ):
                sink.write(records)
                for record in records:
                    mine = counts[record["tenant_id"]]
                    mine[list(mine)[number]] += 1
            total += len(day.events)
            told(day, total)


def write_about(out: Path, scenario: Any, counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Write simulation.json, the parameters and counts; returns what it holds. Raises OSError."""
    about = {"scenario": asdict(scenario), "tenants": counts}
    (out / ABOUT).write_text(json.dumps(about, indent=1, default=str) + "\n")
    return about


def open_sink(out: Path, topic: Topic, format: str) -> Sink:
    """The file of a topic in a folder: JSONL or Parquet. Raises OSError."""
    path = out / f"{topic.name}.{format}"
    return Lines(path) if format == "jsonl" else Parquet(path, topic)


def _type(kind: Any) -> pyarrow.DataType:
    """Column type of a field of an Avro schema."""
    if isinstance(kind, list):
        return _type(next(branch for branch in kind if branch != "null"))
    if isinstance(kind, str):
        return TYPES[kind]
    if kind["type"] == "array":
        return pyarrow.list_(_type(kind["items"]))
    return pyarrow.timestamp("ms", "UTC")
