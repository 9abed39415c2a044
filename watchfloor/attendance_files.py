"""Check-ins, verdicts and reference data out of files in their public schemas, for evaluation and training."""

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.fraud.evaluation import UNKNOWN, Cases
from models.fraud.references import References
from models.fraud.replay import Replay
from schemas import topics
from streams.fraud_outcomes import read
from watchfloor import event_files
from watchfloor.event_files import Event, Refused, Told, Verdicts, records


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
    return event_files.events(path, topics.EVENTS_ATTENDANCE, refused, told)


def verdicts(path: Path, refused: Refused, told: Told) -> Verdicts:
    """Raises FileError."""
    return Verdicts.of(records(path, topics.OUTCOMES_ATTENDANCE, refused, told), read)


def label(said: Verdicts, event: Event, until_ms: int | None = None) -> int:
    """1 fraud, 0 genuine or UNKNOWN, by the newest verdict that had been given at a time; None: in the end."""
    newest = said.newest(event, until_ms)
    return UNKNOWN if newest is None or newest.label is None else int(newest.label)


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
            into.early.append(label(said, name, until_ms))
            into.late.append(label(said, name) if truth is None else int(name in truth))
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
