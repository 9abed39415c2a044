"""What is remembered of an entity, under 1 kB, and how one sync is measured against it.

- edits: the last ones, as many as fit into EDITS_BYTES (some thirty): when, by whom, which fields, what came of it.
- counts: edits of the last 7 days, in steps of 6 hours.

A sync that changed no field is no edit. All of it is immutable.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from models.conflict.user import smoothed

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LOOK_BACK_MS = DAY_MS
"""Editors count as concurrent for so long."""
WINDOW_DAYS = 7
MOST_HOURS = 24 * WINDOW_DAYS
"""What happened longer ago than this is as if it had never been."""
STEP_MS = 6 * HOUR_MS
STEPS = WINDOW_DAYS * DAY_MS // STEP_MS
HALVED_H = 6.0
"""An edit weighs half as much in `weighted_overlap` after so many hours."""
EDITS_BYTES = 800

UNKNOWN, PEACE, CONFLICT = range(3)
"""What came of an edit."""

MARK = 4
"""Bytes that stand for a user or a field among those of one entity."""
_MOST_COUNT = 0xFFFF
_EDIT = struct.Struct("<q4sBB")
_HEAD = struct.Struct("<Bi")
_STEP = struct.Struct("<BH")


class Edit(NamedTuple):
    """An edit.

    Attributes:
        time: epoch milliseconds.
        user: mark of who made it.
        result: UNKNOWN, PEACE or CONFLICT.
        fields: marks of the fields that it changed.
    """

    time: int
    user: bytes
    result: int
    fields: frozenset[bytes]

    @property
    def size(self) -> int:
        return _EDIT.size + MARK * len(self.fields)


class Entity(NamedTuple):
    """An entity.

    Attributes:
        counts: (step since 1970, edits in it), ascending.
        edits: by time.
    """

    counts: tuple[tuple[int, int], ...] = ()
    edits: tuple[Edit, ...] = ()


UNTOUCHED = Entity()


def mark_of(name: str) -> bytes:
    """What stands for a user or a field."""
    return crc32(name.encode()).to_bytes(MARK, "little")


def pack_entity(entity: Entity) -> bytes:
    first = entity.counts[0][0] if entity.counts else 0
    head = _HEAD.pack(len(entity.counts), first)
    steps = [_STEP.pack(step - first, count) for step, count in entity.counts]
    edits = [
        _EDIT.pack(edit.time, edit.user, edit.result, len(edit.fields)) + b"".join(sorted(edit.fields))
        for edit in entity.edits
    ]
    return b"".join([head, *steps, *edits])


def unpack_entity(raw: bytes) -> Entity:
    count, first = _HEAD.unpack_from(raw)
    at = _HEAD.size + count * _STEP.size
    counts = tuple([(first + step, times) for step, times in _STEP.iter_unpack(raw[_HEAD.size : at])])
    edits = []
    while at < len(raw):
        time, user, result, fields = _EDIT.unpack_from(raw, at)
        at += _EDIT.size
        end = at + MARK * fields
        edits.append(Edit(time, user, result, frozenset([raw[place : place + MARK] for place in range(at, end, MARK)])))
        at = end
    return Entity(counts, tuple(edits))


def observe(
    entity: Entity, user: str, time: int, base: int | None, fields: Sequence[str], user_rate: float
) -> tuple[list[float], Entity]:
    """Measure a sync against an entity, and learn it.

    Others' edits count that came before it and are newer than its base, wherever their times stand to its own: they
    are on the server by then.

    Args:
        entity: before the sync.
        user: who syncs.
        time: when, epoch milliseconds.
        base: when the user synced the entity before; None for never.
        fields: that the user changed.
        user_rate: user_conflict_rate.
    Returns:
        The features in the order of FEATURES, and the entity after the sync.
    """
    oldest = time - MOST_HOURS * HOUR_MS
    since = oldest if base is None else max(base, oldest)
    me, mine = mark_of(user), frozenset([mark_of(field) for field in fields])
    foreign = [edit for edit in entity.edits if edit.user != me and edit.time > since]
    recent = max(since, time - LOOK_BACK_MS)
    theirs = frozenset[bytes]().union(*[edit.fields for edit in foreign])
    shared = len(mine & theirs)
    weighted = 0.0
    for edit in foreign:
        common = len(mine & edit.fields)
        if common:
            weighted += common / len(mine) * 0.5 ** (max(0, time - edit.time) / HOUR_MS / HALVED_H)
    last = max([edit.time for edit in entity.edits if edit.user != me], default=oldest)
    parties = {me, *[edit.user for edit in foreign]}
    row = [
        float(len({edit.user for edit in foreign if edit.time > recent})),
        float(MOST_HOURS) if base is None else min(float(MOST_HOURS), max(0, time - base) / HOUR_MS),
        user_rate,
        _recent(entity.counts, time) / WINDOW_DAYS,
        shared / len(mine | theirs) if shared else 0.0,
        weighted,
        float(shared),
        float(len(foreign)),
        min(float(MOST_HOURS), max(0, time - last) / HOUR_MS),
        _conflicted(entity.edits),
        _conflicted([edit for edit in entity.edits if edit.user in parties]),
        float(len(mine)),
    ]
    return row, _learned(entity, Edit(time, me, UNKNOWN, mine)) if mine else entity


def conclude(entity: Entity, user: str, time: int, conflict: bool) -> Entity:
    """The entity after it is known what came of the edit that a user made at a time; as it was if that is forgotten."""
    me, result = mark_of(user), CONFLICT if conflict else PEACE
    edits = [edit._replace(result=result) if edit.time == time and edit.user == me else edit for edit in entity.edits]
    return Entity(entity.counts, tuple(edits))


def _learned(entity: Entity, edit: Edit) -> Entity:
    counts = dict(entity.counts)
    step = edit.time // STEP_MS
    counts[step] = min(_MOST_COUNT, counts.get(step, 0) + 1)
    newest = max(counts)
    kept = sorted((each, count) for each, count in counts.items() if each > newest - STEPS)
    edits = sorted([*entity.edits, edit], key=_order)
    size = sum([each.size for each in edits])
    first = 0
    while size > EDITS_BYTES:
        size -= edits[first].size
        first += 1
    return Entity(tuple(kept), tuple(edits[first:]))


def _order(edit: Edit) -> tuple[int, bytes]:
    return edit.time, edit.user


def _recent(counts: tuple[tuple[int, int], ...], time: int) -> int:
    newest = time // STEP_MS
    return sum([count for step, count in counts if newest - STEPS < step <= newest])


def _conflicted(edits: Sequence[Edit]) -> float:
    known = [edit.result for edit in edits if edit.result != UNKNOWN]
    return smoothed(known.count(CONFLICT), len(known))
