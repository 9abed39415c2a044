"""The sync domain's records: what they must be beyond the types of their schemas."""

from collections.abc import Mapping
from typing import Any

from models.identity import ID_BYTES, NAME_BYTES, TEXT_CHARACTERS, name_fault, names_fault

MOST_FIELDS = 64
"""Fields that one sync may say to have changed."""

_ENTITY = (("domain", NAME_BYTES), ("entity_type", NAME_BYTES), ("entity_id", NAME_BYTES))


def event_fault(event: Mapping[str, Any]) -> str | None:
    """What is wrong with a sync, naming the field: what was expected and what came; None for a good one."""
    wrong = names_fault(event, ("event_id", ID_BYTES), ("user_id", NAME_BYTES), *_ENTITY)
    if wrong:
        return wrong
    device = event["device_id"]
    if device is not None and (wrong := name_fault(device, NAME_BYTES)):
        return f"device_id {wrong}"
    fields = event["fields_changed"]
    if len(fields) > MOST_FIELDS:
        return f"fields_changed must be at most {MOST_FIELDS} names, not {len(fields)}"
    for field in fields:
        if wrong := name_fault(field, NAME_BYTES):
            return f"fields_changed: each {wrong}"
    return None


def outcome_fault(outcome: Mapping[str, Any]) -> str | None:
    """As event_fault, of what came of a sync."""
    wrong = names_fault(outcome, ("event_id", ID_BYTES), ("user_id", NAME_BYTES))
    if wrong:
        return wrong
    if outcome["outcome_id"] is not None and (wrong := name_fault(outcome["outcome_id"], ID_BYTES)):
        return f"outcome_id {wrong}"
    resolution = outcome["resolution"]
    if resolution is not None and len(resolution) > TEXT_CHARACTERS:
        return f"resolution must be at most {TEXT_CHARACTERS} characters, not {len(resolution)}"
    return None
