"""Files of attendance, measured: what the stream would make of them, for training and evaluation."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.fraud.references import References
from models.fraud.replay import Measured, Replay
from producers.records import Rejected, reader
from producers.tables import FileError, lines
from schemas import topics
from schemas.topics import Topic


def measured(
    events: Path,
    sites: Path | None = None,
    calendars: Path | None = None,
    rosters: Path | None = None,
    *,
    sort: bool = False,
) -> Iterator[Measured]:
    """Events of a file and their vectors, some thousands at a time, in the order of the file.

    An event_id that a person has had before is left out, as the stream drops repeats. The time of publishing is not
    in a file, so sites, calendars and rosters are those of the time at which an event occurred.

    Args:
        events: JSONL, CSV (both also .gz) or Parquet in the schema of events.attendance. What is older than the
            newest of its person so far is late (docs/fraud.md).
        sites, calendars, rosters: likewise; in the schemas of control.sites, control.calendars and control.rosters.
        sort: take the events in the order of time instead; then all of them are held in memory.
    Raises:
        FileError: a file cannot be read, or has a bad record, which is named.
    """
    known = References.of(
        records(sites, topics.CONTROL_SITES) if sites else (),
        records(calendars, topics.CONTROL_CALENDARS) if calendars else (),
        records(rosters, topics.CONTROL_ROSTERS) if rosters else (),
    )
    found = records(events, topics.EVENTS_ATTENDANCE)
    yield from Replay(known).measure(_once(sorted(found, key=_time) if sort else found))


def records(path: Path, topic: Topic) -> Iterator[dict[str, Any]]:
    """The records of a file in the schema of a topic. Raises FileError as `measured`."""
    for line in lines(path, reader(topic)):
        if isinstance(line.record, Rejected):
            raise FileError(f"{path}, line {line.number}: {line.record}")
        yield line.record


def _once(events: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    seen: set[tuple[str, str, str]] = set()
    for event in events:
        name = event["tenant_id"], event["person_id"], event["event_id"]
        if name not in seen:
            seen.add(name)
            yield event


def _time(event: Mapping[str, Any]) -> int:
    time: int = event["occurred_at"]
    return time
