"""Corrections of OCR readings as a caller over HTTP sends them: what is wrong with one, and what a good one becomes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from models.readings import CORRECTION_TYPES, SOURCE_TYPES
from producers.records import Rejected, reader
from schemas import topics

GIVEN = ("source_type", "source_id", "corrected_text", "correction_type", "corrected_by")
"""The fields that a caller gives, all of them."""

BAD_REQUEST, FORBIDDEN, NOT_FOUND = 400, 403, 404

Owners = Callable[[str, str], Iterable[tuple[str, str]]]
"""Tenant and asset of every reading of a source_type and source_id."""


class Refused(ValueError):
    """A correction that is not taken. `status`: that of HTTP; the message quotes no text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def correction(given: Mapping[str, Any], tenant: str, owners: Owners, now_ms: int, outcome_id: str) -> dict[str, Any]:
    """The record of outcomes.ocr that a caller's correction makes.

    Args:
        given: the fields of GIVEN.
        tenant: of the caller.
        owners: finds the reading.
        now_ms: when it is said, epoch milliseconds.
        outcome_id: unique for each call.
    Raises:
        Refused: 400 for a missing, unknown or wrong field, 404 where there is no such reading, 403 where it is another
            tenant's.
    """
    for name in GIVEN:
        if given.get(name) is None:
            raise Refused(BAD_REQUEST, f"{name} is missing; expected: {', '.join(GIVEN)}")
    for name in given:
        if name not in GIVEN:
            raise Refused(BAD_REQUEST, f"{name[:100]!r} is no field of a correction; expected: {', '.join(GIVEN)}")
    for name, values in (("source_type", SOURCE_TYPES), ("correction_type", CORRECTION_TYPES)):
        if given[name] not in values:
            raise Refused(BAD_REQUEST, f"{name} must be {' or '.join(values)}, not {str(given[name])[:100]!r}")
    for name in ("source_id", "corrected_text", "corrected_by"):
        if not isinstance(given[name], str):
            raise Refused(BAD_REQUEST, f"{name} must be a text")
    source, source_id = given["source_type"], given["source_id"]
    found = list(owners(source, source_id))
    asset = next((asset for owner, asset in found if owner == tenant), None)
    if asset is None and found:
        raise Refused(FORBIDDEN, f"the {source} {source_id[:200]!r} is another tenant's")
    if asset is None:
        raise Refused(NOT_FOUND, f"there is no {source} {source_id[:200]!r}")
    whole = {**given, "tenant_id": tenant, "asset_id": asset, "decided_at": now_ms, "outcome_id": outcome_id}
    try:
        return reader(topics.OUTCOMES_OCR).read(whole)
    except Rejected as error:
        raise Refused(BAD_REQUEST, str(error)) from error
