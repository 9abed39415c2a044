"""Identities: what a name may be, and ids derived from what a thing is about, so that a replay computes the same."""

import re
from hashlib import blake2b

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

PLATFORM = "_platform"
"""Tenant of alerts about what concerns all tenants; events cannot have this name."""


def uuid_text(digest: blake2b) -> str:
    """A 128-bit digest written as a UUID."""
    text = digest.hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_id(*parts: str) -> str:
    """UUID from blake2b-128 over the parts, each led by its length (4 bytes, big-endian; UTF-8)."""
    digest = blake2b(digest_size=16)
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return uuid_text(digest)


def prediction_id(tenant: str, model: str, slot: str, event_id: str) -> str:
    """Identity of one model version's score of one event in one slot (champion, shadow:NAME, ...)."""
    return derived_id(tenant, model, slot, event_id)


def name_fault(name: str, limit: int) -> str | None:
    """What is wrong with a name that may stand in a key of at most `limit` bytes; None for a good one."""
    if name and name.isprintable() and "|" not in name and len(name.encode()) <= limit and name.strip() == name:
        return None
    return f"must be 1 to {limit} bytes of printable text without | or spaces around it, not {name[:limit]!r}"
