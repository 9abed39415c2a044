"""The OCR domain's records: what they must be beyond the types of their schemas. No message quotes a text."""

from collections.abc import Mapping
from typing import Any

from models.identity import ID_BYTES, NAME_BYTES, name_fault, names_fault

METER, VEHICLE = SOURCE_TYPES = ("meter_reading", "vehicle_entry")
OCR_ERROR, WRONG_READING = CORRECTION_TYPES = ("OCR_ERROR", "WRONG_READING")
WRONG, RIGHT, UNSURE = VERDICTS = ("wrong", "right", "unsure")
"""What a correction says of a reading; unsure where the two texts cannot be compared."""

TEXT_CHARACTERS = 200
URI_CHARACTERS = 2000
LARGEST = 1e15
CORRECTABLE_DAYS = 14
"""So long after it came a reading may be corrected: what a weekly batch asks of the week before has a week left."""

_ASSET = (("asset_id", NAME_BYTES), ("source_id", NAME_BYTES))


def event_fault(event: Mapping[str, Any]) -> str | None:
    """What is wrong with an event, naming the field: what was expected and what came; None for a good one."""
    wrong = _source(event) or names_fault(
        event, ("event_id", ID_BYTES), *_ASSET, ("engine", NAME_BYTES), ("engine_version", NAME_BYTES)
    )
    if wrong:
        return wrong
    if len(event["raw_text"]) > TEXT_CHARACTERS:
        return f"raw_text must be at most {TEXT_CHARACTERS} characters, not {len(event['raw_text'])}"
    # Neither NaN nor an infinity passes these comparisons.
    if not 0.0 <= event["confidence"] <= 1.0:
        return f"confidence must be 0 to 1, not {event['confidence']!r}"
    if event["value"] is not None and not -LARGEST <= event["value"] <= LARGEST:
        return f"value must be -{LARGEST:g} to {LARGEST:g}, not {event['value']!r}"
    if event["unit"] is not None and (wrong := name_fault(event["unit"], NAME_BYTES)):
        return f"unit {wrong}"
    if len(event["image_uri"]) > URI_CHARACTERS:
        return f"image_uri must be at most {URI_CHARACTERS} characters, not {len(event['image_uri'])}"
    return None


def outcome_fault(outcome: Mapping[str, Any]) -> str | None:
    """As event_fault, of a correction."""
    wrong = _source(outcome) or names_fault(outcome, *_ASSET, ("corrected_by", NAME_BYTES))
    if wrong:
        return wrong
    if outcome["outcome_id"] is not None and (wrong := name_fault(outcome["outcome_id"], ID_BYTES)):
        return f"outcome_id {wrong}"
    if not 0 < len(outcome["corrected_text"].strip()) <= TEXT_CHARACTERS:
        return f"corrected_text must be 1 to {TEXT_CHARACTERS} characters, not {len(outcome['corrected_text'])}"
    if outcome["correction_type"] not in CORRECTION_TYPES:
        return f"correction_type must be {' or '.join(CORRECTION_TYPES)}, not {outcome['correction_type']!r}"
    return None


def _source(record: Mapping[str, Any]) -> str | None:
    if record["source_type"] in SOURCE_TYPES:
        return None
    return f"source_type must be {' or '.join(SOURCE_TYPES)}, not {record['source_type']!r}"
