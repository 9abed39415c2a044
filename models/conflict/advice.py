"""What a client should do before a sync that is likely to conflict, and who is not told, so that one can learn."""

from collections.abc import Sequence
from hashlib import blake2b

from models.conflict.entity import MOST_HOURS
from models.conflict.features import PLACE

HELD_OUT = 0.05
"""Of the syncs that would be advised, the share that is not: advice that is taken changes what comes of a sync, so only
these show what would have come without."""

_SHARED, _SINCE = PLACE["shared_fields"], PLACE["hours_since_foreign_edit"]


def held_out(tenant: str, event_id: str) -> bool:
    """Whether a sync is one of those that are told nothing; by its id alone, so that a replay says the same."""
    digest = blake2b(f"{tenant}|{event_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < HELD_OUT * 2**64


def advice(vector: Sequence[float]) -> str:
    """What to do, in words, for a vector of all features."""
    hours, shared = vector[_SINCE], round(vector[_SHARED])
    if hours >= MOST_HOURS:
        return "no edit by another user is known, but conflicts are likely here: sync before editing"
    fields = f"{shared} shared field{'s' * (shared != 1)}"
    return f"entity edited by another user {_ago(hours)} ago, {fields}: sync before editing"


def _ago(hours: float) -> str:
    minutes = round(60 * hours)
    if minutes < 100:
        return f"{minutes} min"
    return f"{round(hours)} h" if hours < 48 else f"{round(hours / 24)} days"
