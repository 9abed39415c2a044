"""Identities: what a name may be, and ids derived from what a thing is about, so that a replay computes the same."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from schemas.compiled import load

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

ID_BYTES = 128
NAME_BYTES = 200
TEXT_CHARACTERS = 2000
"""The longest ids, names and remarks that records of events and outcomes may have."""

PLATFORM = "_platform"
"""Tenant of alerts about what concerns all tenants; events cannot have this name."""

_COMPILED = load("models._compiled")


def uuid_text(digest: blake2b) -> str:
    """A 128-bit digest written as a UUID."""
    text = digest.hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_id(*parts: str) -> str:
    """UUID from blake2b-128 over the parts, each led by its length (4 bytes, big-endian; UTF-8)."""
    return uuid_text(_digest(parts))


def prediction_id(tenant: str, model: str, slot: str, event_id: str) -> str:
    """Identity of one model version's score of one event in one slot (champion, shadow:NAME, ...).

    It is `derived_id` of the four, most of which many events share.
    """
    digest = _begun(tenant, model, slot).copy()
    raw = event_id.encode()
    digest.update(len(raw).to_bytes(4, "big") + raw)
    return uuid_text(digest)


def prediction_ids(model: str, slot: str, tenants: Sequence[str], events: Sequence[str]) -> list[str]:
    """`prediction_id` of many events: of their tenants and ids. Raises ValueError unless these are as many."""
    if _COMPILED is not None:
        found: list[str] = _COMPILED.prediction_ids(model, slot, tenants, events)
        return found
    return [prediction_id(tenant, model, slot, event) for tenant, event in zip(tenants, events, strict=True)]


@lru_cache(4096)
def _begun(*parts: str) -> blake2b:
    """The digest over what many ids begin with; to be copied."""
    return _digest(parts)


def _digest(parts: Iterable[str]) -> blake2b:
    digest = blake2b(digest_size=16)
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest


def name_fault(name: str, limit: int) -> str | None:
    """What is wrong with a name that may stand in a key of at most `limit` bytes; None for a good one."""
    if name and name.isprintable() and "|" not in name and len(name.encode()) <= limit and name.strip() == name:
        return None
    return f"must be 1 to {limit} bytes of printable text without | or spaces around it, not {name[:limit]!r}"


def names_fault(record: Mapping[str, Any], *fields: tuple[str, int]) -> str | None:
    """What is wrong with a record's tenant_id or with these of its names, each with its limit in bytes."""
    if not TENANT.fullmatch(record["tenant_id"]):
        return f"tenant_id must match {TENANT.pattern}, not {record['tenant_id']!r}"
    for field, limit in fields:
        if wrong := name_fault(record[field], limit):
            return f"{field} {wrong}"
    return None
