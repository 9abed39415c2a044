"""Corrections over HTTP: which are taken, and why the others are not."""

from typing import Any

import pytest

from models.identity import derived_id
from models.readings import METER
from producers.corrections import Refused, correction
from schemas import topics

NOW = 1_790_000_000_000
GOOD = {
    "source_type": METER,
    "source_id": "img-1",
    "corrected_text": "001234",
    "correction_type": "OCR_ERROR",
    "corrected_by": "jane",
}
READINGS = {(METER, "img-1"): [("umbrella", "m-9"), ("acme", "m-1")], (METER, "img-2"): [("umbrella", "m-2")]}


def made(**changes: Any) -> dict[str, Any]:
    given = {name: value for name, value in {**GOOD, **changes}.items() if value != "absent"}
    return correction(given, "acme", lambda *name: READINGS.get(name, []), NOW, derived_id("acme", "o"))


def test_a_good_one_becomes_an_outcome_of_the_callers_asset() -> None:
    record = made()
    assert (record["tenant_id"], record["asset_id"], record["decided_at"]) == ("acme", "m-1", NOW)
    assert topics.OUTCOMES_OCR.codec.decode(topics.OUTCOMES_OCR.codec.encode(record)) == record


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        *(({name: "absent"}, 400, f"{name} is missing") for name in GOOD),
        *(({name: None}, 400, f"{name} is missing") for name in GOOD),
        ({"asset_id": "m-1"}, 400, "'asset_id' is no field"),
        ({"source_type": "passport"}, 400, "source_type must be meter_reading or vehicle_entry"),
        ({"correction_type": "TYPO"}, 400, "correction_type must be OCR_ERROR or WRONG_READING"),
        ({"corrected_text": 1234}, 400, "corrected_text must be a text"),
        ({"corrected_text": "x" * 201}, 400, "corrected_text must be 1 to 200 characters, not 201"),
        ({"corrected_text": "  "}, 400, "corrected_text must be 1 to 200"),
        ({"corrected_by": "a|b"}, 400, "corrected_by must be"),
        ({"source_id": "img-3"}, 404, "there is no meter_reading 'img-3'"),
        ({"source_id": "img-2"}, 403, "is another tenant's"),
    ],
)
def test_others_are_refused_with_a_status(changes: dict[str, Any], status: int, message: str) -> None:
    with pytest.raises(Refused, match=message.replace("(", r"\(")) as caught:
        made(**changes)
    assert caught.value.status == status
    assert "1234" not in str(caught.value)
