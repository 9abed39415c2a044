"""Syncs and what came of them out of files, measured by the agents of the stream themselves."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.conflict.evaluation import NO, PRESUMED, UNKNOWN, YES, Cases
from models.conflict.features import FEATURES
from models.registry.activation import CHAMPION
from schemas import topics
from schemas.topics import Topic
from streams.runtime.frame import InputRecord
from streams.runtime.offline import merge, run
from streams.sync import SYNC
from streams.sync_outcomes import PRESUMED_AFTER, read
from streams.sync_users import SYNC_USERS
from watchfloor import event_files
from watchfloor.event_files import TELL_EVERY, Event, Refused, Told, Verdicts

PRESUMED_MS = round(PRESUMED_AFTER.total_seconds() * 1000)

Records = list[dict[str, Any]]


def syncs(path: Path, refused: Refused, told: Told) -> Records:
    """By time; of several with one id the first counts. Raises FileError."""
    return event_files.events(path, topics.EVENTS_SYNC, refused, told)


def outcomes(path: Path, refused: Refused, told: Told) -> Records:
    """By time. Raises FileError."""
    return sorted(event_files.records(path, topics.OUTCOMES_SYNC, refused, told), key=_decided)


def cases(given: Records, said: Records, until_ms: int, told: Told, truth: frozenset[Event] | None = None) -> Cases:
    """Syncs of all tenants with what was known when each came.

    Files do not say when a record was published, so it counts from its own time on: a sync from occurred_at, an outcome
    from decided_at. What an agent puts into the dead letters is no case.

    Args:
        given, said: syncs and outcomes, by time.
        until_ms: outcomes decided until then make the early labels.
        truth: the conflicts, where they are known: they make the late labels.
    """
    source = merge(
        {
            topics.EVENTS_SYNC.name: _log(topics.EVENTS_SYNC, given, _told(told, len(given), 0.0)),
            topics.OUTCOMES_SYNC.name: _log(topics.OUTCOMES_SYNC, said, lambda number: None),
        }
    )
    by_entity = run(SYNC_USERS, source).topic(topics.SYNC_BY_ENTITY.name)
    found = run(SYNC, _between(by_entity, _told(told, len(by_entity), 0.5))).topic(topics.PREDICTIONS_CONFLICT.name)
    decoded = [topics.PREDICTIONS_CONFLICT.codec.decode(value or b"") for _, value in found]
    rows = sorted((each for each in decoded if each["slot"] == CHAMPION), key=_time)
    names = [(row["tenant_id"], row["event_id"]) for row in rows]
    times = np.array([row["event_time"] for row in rows], dtype=np.int64)
    verdicts = Verdicts.of(said, read)
    early = [_label(verdicts, name, int(time), until_ms) for name, time in zip(names, times, strict=True)]
    late = [
        _label(verdicts, name, int(time)) if truth is None else int(name in truth)
        for name, time in zip(names, times, strict=True)
    ]
    return Cases(
        np.array([tenant for tenant, _ in names], dtype=np.str_),
        [event for _, event in names],
        times,
        np.array([row["features"] for row in rows], dtype=np.float64).reshape(-1, len(FEATURES)),
        np.array(early, dtype=np.int8),
        np.array(late, dtype=np.int8),
    )


def _label(said: Verdicts, event: Event, time: int, until_ms: int | None = None) -> int:
    """NO, YES, PRESUMED or UNKNOWN, as it was known at a time; None: in the end."""
    newest = said.newest(event, until_ms)
    if newest is None:
        return PRESUMED if until_ms is None or time + PRESUMED_MS <= until_ms else UNKNOWN
    return YES if newest.label else NO


def _log(topic: Topic, records: Records, tell: Any) -> Iterator[InputRecord]:
    for number, record in enumerate(records):
        tell(number)
        yield InputRecord(topic.key_of(record), topic.codec.encode(record), record[topic.time], number, (), topic.name)


def _between(rows: Sequence[tuple[bytes | None, bytes | None]], tell: Any) -> Iterator[InputRecord]:
    """What the first agent wrote, as the second one reads it."""
    topic = topics.SYNC_BY_ENTITY
    for number, (key, value) in enumerate(rows):
        tell(number)
        yield InputRecord(key, value, topic.codec.decode(value or b"")["published_at"], number, (), topic.name)


def _told(told: Told, count: int, begin: float) -> Any:
    def tell(number: int) -> None:
        if number % TELL_EVERY == 0:
            told("features", begin + number / count / 2)

    return tell


def _decided(outcome: Mapping[str, Any]) -> int:
    time: int = outcome["decided_at"]
    return time


def _time(prediction: Mapping[str, Any]) -> int:
    time: int = prediction["event_time"]
    return time
