"""What is remembered of a user: how many of the syncs conflicted, and of each of the last ones what came of it.

- past: two counts, over all that is known.
- syncs: each for 7 days, so that a repeat is told from a new one and a later or reversed outcome counts in the place
  of the one before.

An outcome counts from when it comes. A sync of which nothing has come within 24 hours is taken for one without
conflict until something does: many clients only tell of conflicts.
"""

import struct
from typing import NamedTuple

PRIOR, PRIOR_WEIGHT = 0.1, 10
"""What a rate is taken for before much is known, and how many cases that weighs."""

NO, YES, PRESUMED, UNKNOWN = range(4)
"""What came of a sync: no conflict, a conflict, no word within 24 hours, nothing yet."""

_PAST = struct.Struct("<II")
_SYNC = struct.Struct("<8sqqBq8s")
NOTHING = bytes(8)


class Past(NamedTuple):
    """Syncs whose outcome is known, and those of them that conflicted."""

    known: int = 0
    conflicts: int = 0


class Sync(NamedTuple):
    """A sync, or an outcome that waits for it.

    Attributes:
        content: 8 bytes that stand for what it says; NOTHING until it has come.
        occurred_at, published_at: epoch milliseconds.
        result: NO, YES, PRESUMED or UNKNOWN.
        decided_at, outcome: the rank of the outcome that holds: its time, and 8 bytes that stand for its id.
        entity: domain, type and id of its entity, joined by "|".
    """

    content: bytes = NOTHING
    occurred_at: int = 0
    published_at: int = 0
    result: int = UNKNOWN
    decided_at: int = 0
    outcome: bytes = NOTHING
    entity: str = ""

    @property
    def came(self) -> bool:
        return self.content != NOTHING


NEWCOMER = Past()
UNHEARD = Sync()


def pack_past(past: Past) -> bytes:
    return _PAST.pack(*past)


def unpack_past(raw: bytes) -> Past:
    return Past._make(_PAST.unpack(raw))


def pack_sync(sync: Sync) -> bytes:
    return _SYNC.pack(*sync[:6]) + sync.entity.encode()


def unpack_sync(raw: bytes) -> Sync:
    return Sync._make((*_SYNC.unpack_from(raw), raw[_SYNC.size :].decode()))


def smoothed(conflicts: int, known: int) -> float:
    """A share of few cases, drawn to PRIOR."""
    return (conflicts + PRIOR * PRIOR_WEIGHT) / (known + PRIOR_WEIGHT)


def decided(sync: Sync, result: int, decided_at: int = 0, outcome: bytes = NOTHING) -> Sync:
    """A sync after an outcome (NO, YES) or the lack of one (PRESUMED); the same object where that changes nothing.

    An outcome takes the place of one with a lower rank, and of a presumption.
    """
    if sync.result in (NO, YES) and (decided_at, outcome) <= (sync.decided_at, sync.outcome):
        return sync
    return sync._replace(result=result, decided_at=decided_at, outcome=outcome)


def conflicted(sync: Sync) -> bool | None:
    """What counts for a sync; None before it has come, and while nothing is known of it."""
    return None if not sync.came or sync.result == UNKNOWN else sync.result == YES


def counted(past: Past, before: Sync, after: Sync) -> Past:
    """The past after one of its syncs, or what is known of it, has changed."""
    was, is_now = conflicted(before), conflicted(after)
    return Past(
        past.known + (is_now is not None) - (was is not None), past.conflicts + (is_now is True) - (was is True)
    )
