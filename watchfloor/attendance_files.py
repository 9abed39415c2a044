"""Check-ins, verdicts and reference data out of files in their public schemas, for evaluation and training."""

import json
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from models.fraud.evaluation import UNKNOWN, Cases
from models.fraud.references import References
from models.fraud.replay import Replay
from producers.records import Rejected, reader
from producers.tables import FileError, lines
from schemas import topics
from schemas.topics import Topic
from streams.fraud_outcomes import read
from streams.outcomes import Verdict

Told = Callable[[str, float], None]
"""Hears what is being read, and the share of it that has been."""

TELL_EVERY = 1000
MOST_EXAMPLES = 5
"""Refused lines that are quoted."""

Event = tuple[str, str]
"""Tenant and event id."""


@dataclass(slots=True)
class Refused:
    """Lines that are no records, which a stream would put into the dead letters."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, place: str, why: object) -> None:
        self.count += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(f"{place}: {why}")


def records(path: Path, topic: Topic, refused: Refused, told: Told) -> Iterator[dict[str, Any]]:
    """The good records of a file, in its order.

    Raises:
        FileError: it cannot be read.
    """
    for line in lines(path, reader(topic)):
        if line.number % TELL_EVERY == 0:
            told(path.name, line.share)
        if isinstance(line.record, Rejected):
            refused.add(f"{path.name}, line {line.number}", line.record)
        else:
            yield line.record


def references(
    sites: Path | None, calendars: Path | None, rosters: Path | None, refused: Refused, told: Told
) -> References:
    """Reference data from files; of what no file is given there is none. Raises FileError."""
    wanted = (
        (sites, topics.CONTROL_SITES),
        (calendars, topics.CONTROL_CALENDARS),
        (rosters, topics.CONTROL_ROSTERS),
    )
    return References.of(*([] if path is None else list(records(path, topic, refused, told)) for path, topic in wanted))


def events(path: Path, refused: Refused, told: Told) -> list[dict[str, Any]]:
    """Check-ins and check-outs by time; of several with one id the first counts. Raises FileError."""
    seen: set[Event] = set()
    found = []
    for record in records(path, topics.EVENTS_ATTENDANCE, refused, told):
        name = record["tenant_id"], record["event_id"]
        if name in seen:
            continue
        seen.add(name)
        found.append(record)
    found.sort(key=lambda event: event["occurred_at"])
    return found


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What supervisors said, by event, in any order."""

    given: dict[Event, list[Verdict]]

    def label(self, event: Event, until_ms: int | None = None) -> int:
        """1 fraud, 0 genuine or UNKNOWN, by the newest verdict that had been given at a time; None: in the end."""
        known = [each for each in self.given.get(event, ()) if until_ms is None or each.decided_at <= until_ms]
        newest = max(known, key=attrgetter("rank"), default=None)
        return UNKNOWN if newest is None or newest.label is None else int(newest.label)


def verdicts(path: Path, refused: Refused, told: Told) -> Verdicts:
    """Raises FileError."""
    given: dict[Event, list[Verdict]] = {}
    for one in records(path, topics.OUTCOMES_ATTENDANCE, refused, told):
        given.setdefault((one["tenant_id"], one["event_id"]), []).append(read(one))
    return Verdicts(given)


@dataclass(slots=True)
class _Rows:
    ids: list[str] = field(default_factory=list)
    times: "array[int]" = field(default_factory=lambda: array("q"))
    vectors: list[Any] = field(default_factory=list)
    early: "array[int]" = field(default_factory=lambda: array("b"))
    late: "array[int]" = field(default_factory=lambda: array("b"))


def cases(
    given: list[dict[str, Any]],
    known: References,
    said: Verdicts,
    until_ms: int,
    told: Told,
    truth: frozenset[Event] | None = None,
) -> dict[str, Cases]:
    """The events of each tenant, measured one after the other by the code of the stream.

    Args:
        given: by time.
        until_ms: labels given until then are the early ones.
        truth: the frauds, where they are known; all else is genuine then.
    """
    tenants: dict[str, _Rows] = {}
    done = 0
    for batch in Replay(known).measure(given):
        for event, vector in zip(batch.events, batch.vectors, strict=True):
            name = event["tenant_id"], event["event_id"]
            into = tenants.setdefault(event["tenant_id"], _Rows())
            into.ids.append(event["event_id"])
            into.times.append(event["occurred_at"])
            into.vectors.append(vector)
            into.early.append(said.label(name, until_ms))
            into.late.append(said.label(name) if truth is None else int(name in truth))
        done += len(batch.events)
        told("features", done / len(given))
    return {
        tenant: Cases(
            rows.ids,
            np.array(rows.times, dtype=np.int64),
            np.array(rows.vectors, dtype=np.float64),
            np.array(rows.early, dtype=np.int8),
            np.array(rows.late, dtype=np.int8),
        )
        for tenant, rows in sorted(tenants.items())
    }


def truths(path: Path) -> frozenset[Event]:
    """The frauds of a simulation's truth.jsonl. Raises FileError."""
    found = set()
    try:
        with path.open() as file:
            for number, line in enumerate(file, 1):
                try:
                    one = json.loads(line)
                    found.add((one["tenant_id"], one["event_id"]))
                except (ValueError, KeyError, TypeError) as error:
                    raise FileError(
                        f"{path}, line {number}: expected tenant_id and event_id as JSON: {error}"
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: {error}") from error
    return frozenset(found)


@contextmanager
def progress() -> Iterator[Told]:
    """A bar on the terminal; nothing where stderr is none."""
    terminal = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)
