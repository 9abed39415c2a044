"""The first agent of sync, keyed by user: good syncs, each once, with what the user's past tells, on to their entities.

What came of a sync is its second input. It counts in the user's rate from when it comes, and follows its sync to the
entity. What is wrong with a record is said here, at its source. See docs/conflict.md.
"""

import struct
from operator import itemgetter
from typing import Any

from models.conflict.entity import MOST_HOURS
from models.conflict.user import (
    NEWCOMER,
    NO,
    PRESUMED,
    UNHEARD,
    UNKNOWN,
    YES,
    Sync,
    conflicted,
    counted,
    decided,
    pack_past,
    pack_sync,
    smoothed,
    unpack_past,
    unpack_sync,
)
from models.control import DEFAULTS, STATE_LEVEL
from models.sync import event_fault, outcome_fault
from schemas import topics
from streams.repeats import HASH, REMEMBERED_MS, REPEATS, hashed
from streams.runtime import Agent, Due, Event, Frame, Part, StateVersionError
from streams.sync_outcomes import PRESUMED_AFTER, read

PRESUMED_MS = round(PRESUMED_AFTER.total_seconds() * 1000)
BASE_MS = MOST_HOURS * 3_600_000

PAST = Part("past", version=1, pack=pack_past, unpack=unpack_past)

SYNC, BASE = b"s", b"b"
"""Timers hold what is forgotten one day: a sync, by its event_id; when an entity was last synced, by a hash of it."""
FORMAT = 1
"""Of the syncs."""

_TIME = struct.Struct("<q")
_content = itemgetter(
    "device_id", "domain", "entity_type", "entity_id", "occurred_at", "last_synced_at", "fields_changed"
)
_ENTITY = ("domain", "entity_type", "entity_id")

Row = dict[str, Any]


def process(frame: Frame) -> None:
    out: list[Row] = []
    for moment in frame.timeline():
        if isinstance(moment, Due):
            out += _due(frame, moment)
        elif moment.topic == topics.OUTCOMES_SYNC.name:
            out += _outcome(frame, moment)
        else:
            out += _event(frame, moment)
    frame.send(topics.SYNC_BY_ENTITY, out)


def _event(frame: Frame, moment: Event) -> list[Row]:
    _, record, event, clock = moment
    wrong = event_fault(event)
    if wrong is not None:
        frame.reject(record, "InvalidEvent", wrong)
        return []
    key = record.key or b""
    content = hashed(repr(_content(event)), HASH)
    before = _sync(frame, key, event["event_id"])
    if before.came:
        if before.content == content:
            repeats = frame.state.values(REPEATS)
            repeats[key] = (repeats[key] or 0) + 1
        else:
            frame.reject(record, "ConflictingEvent", f"event_id {event['event_id']!r} came before with other content")
        return []
    past = frame.state.values(PAST)[key] or NEWCOMER
    time, fields = event["occurred_at"], event["fields_changed"]
    entity = "|".join([event[name] for name in _ENTITY])
    row = _row(key, event["event_id"], entity, time, record.timestamp) | {
        "base_at": _base(frame, key, entity, time, event["last_synced_at"], clock),
        "fields_changed": fields,
        "user_conflict_rate": smoothed(past.conflicts, past.known),
        "conflict": None,
    }
    after = before._replace(content=content, occurred_at=time, published_at=record.timestamp, entity=entity)
    return [row, *_changed(frame, key, event["event_id"], before, after)]


def _outcome(frame: Frame, moment: Event) -> list[Row]:
    _, record, outcome, _ = moment
    wrong = outcome_fault(outcome)
    if wrong is not None:
        frame.reject(record, "InvalidOutcome", wrong)
        return []
    key, verdict = record.key or b"", read(outcome)
    before = _sync(frame, key, outcome["event_id"])
    result = YES if verdict.label else NO
    after = decided(before, result, verdict.decided_at, hashed(verdict.outcome_id, HASH))
    if after is before:
        return []
    if not before.came:
        after = after._replace(published_at=record.timestamp)  # it waits from now on
    return _changed(frame, key, outcome["event_id"], before, after)


def _due(frame: Frame, due: Due) -> list[Row]:
    """Presume what nobody said, or forget."""
    if not due.name.startswith(SYNC):
        return []
    sync = _read(due.payload)
    if not sync.came or sync.result != UNKNOWN:
        return []
    return _changed(frame, due.key, due.name[len(SYNC) :].decode(), sync, decided(sync, PRESUMED))


def _changed(frame: Frame, key: bytes, event_id: str, before: Sync, after: Sync) -> list[Row]:
    """Remember a sync; what its entity is told of it."""
    waits = after.came and after.result == UNKNOWN
    deadline = after.published_at + (PRESUMED_MS if waits else REMEMBERED_MS)
    frame.timers.set(key, SYNC + event_id.encode(), deadline, bytes([FORMAT]) + pack_sync(after))
    result = conflicted(after)
    if result is None or result == conflicted(before):
        return []
    pasts = frame.state.values(PAST)
    past = pasts[key] = counted(pasts[key] or NEWCOMER, before, after)
    return [
        _row(key, event_id, after.entity, after.occurred_at, after.published_at)
        | {
            "base_at": None,
            "fields_changed": [],
            "user_conflict_rate": smoothed(past.conflicts, past.known),
            "conflict": result,
        }
    ]


def _base(frame: Frame, key: bytes, entity: str, time: int, told: int | None, clock: int) -> int | None:
    """When the user had synced the entity before, by what was seen and what the client says; learns this sync."""
    name = BASE + hashed(entity, HASH)
    held = frame.timers.get(key, name)
    seen = None if held is None else int(_TIME.unpack(held[1])[0])
    if seen is None or time > seen:
        frame.timers.set(key, name, max(clock, time) + BASE_MS, _TIME.pack(time))
    # A clock that is ahead, or a sync that comes late, cannot have had what came after it.
    known = [min(each, time) for each in (seen, told) if each is not None]
    return max([each for each in known if time - each <= BASE_MS], default=None)


def _row(key: bytes, event_id: str, entity: str, time: int, published_at: int) -> Row:
    tenant, user = key.decode().split("|", 1)
    whose = {"tenant_id": tenant, "user_id": user, "event_id": event_id}
    return (
        whose | dict(zip(_ENTITY, entity.split("|"), strict=True)) | {"occurred_at": time, "published_at": published_at}
    )


def _sync(frame: Frame, key: bytes, event_id: str) -> Sync:
    held = frame.timers.get(key, SYNC + event_id.encode())
    return UNHEARD if held is None else _read(held[1])


def _read(raw: bytes) -> Sync:
    if raw[0] != FORMAT:
        raise StateVersionError(f"a sync is remembered in format {raw[0]}, this release reads {FORMAT}")
    return unpack_sync(raw[1:])


SYNC_USERS = Agent(
    name="sync-users",
    inputs=(topics.EVENTS_SYNC, topics.OUTCOMES_SYNC),
    outputs=(topics.SYNC_BY_ENTITY,),
    process=process,
    timers=True,
    settings=DEFAULTS,
    level=STATE_LEVEL,
)
