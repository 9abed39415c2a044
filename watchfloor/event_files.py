"""Events and outcomes of a domain out of files in their public schemas, for evaluation and training."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from producers.records import Rejected, reader
from producers.tables import FileError, lines
from schemas.topics import Topic
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

    @property
    def why(self) -> str:
        """Why there is nothing."""
        return self.examples[0] if self.examples else "it is empty"

    @property
    def about(self) -> dict[str, Any]:
        """As it stands in a report."""
        return {"lines": self.count, "examples": self.examples}


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


def events(path: Path, topic: Topic, refused: Refused, told: Told) -> list[dict[str, Any]]:
    """The events of a topic by time; of several with one id the first counts. Raises FileError."""
    seen: set[Event] = set()
    found = []
    for record in records(path, topic, refused, told):
        name = record["tenant_id"], record["event_id"]
        if name in seen:
            continue
        seen.add(name)
        found.append(record)
    found.sort(key=lambda event: event["occurred_at"])
    return found


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What outcomes said, by event, in any order."""

    given: dict[Event, list[Verdict]]

    @classmethod
    def of(cls, outcomes: Iterable[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], Verdict]) -> Self:
        """Of records; `read`: what one says."""
        given: dict[Event, list[Verdict]] = {}
        for one in outcomes:
            given.setdefault((one["tenant_id"], one["event_id"]), []).append(read(one))
        return cls(given)

    def newest(self, event: Event, until_ms: int | None = None) -> Verdict | None:
        """The verdict that held at a time, epoch milliseconds; None: in the end."""
        known = [each for each in self.given.get(event, ()) if until_ms is None or each.decided_at <= until_ms]
        return max(known, key=attrgetter("rank"), default=None)


def truths(path: Path) -> frozenset[Event]:
    """What a simulation's truth.jsonl names. Raises FileError."""
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
