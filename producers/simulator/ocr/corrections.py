"""People who look at readings: at some by chance, at wrong ones when they notice."""

from collections.abc import Mapping
from random import Random
from typing import Any

from models.identity import derived_id
from models.readings import METER, OCR_ERROR, WRONG_READING

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MISTYPED = 0.01
"""Of what people enter: wrong itself."""
LONGEST_MS = 6 * DAY_MS

Record = dict[str, Any]


def correction(
    event: Mapping[str, Any], shown: str, wrong: bool, swapped: bool, corrected: float, checked: float, r: Random
) -> Record | None:
    """A record of outcomes.ocr about a reading; None where nobody looks.

    Half of those who do look within a day, nobody later than 6 days after it.

    Args:
        shown: what was there.
        wrong: whether the engine read something else.
        swapped: the image is one of something else.
        corrected, checked: as in the scenario.
    """
    chance, notices = r.random(), r.random()
    noticed = wrong and notices < corrected * (1.3 if _conspicuous(event, shown) else 0.7)
    if not noticed and chance >= checked:
        return None
    text = shown
    if r.random() < MISTYPED:
        place = r.randrange(len(shown))
        text = shown[:place] + str(r.randrange(10)) + shown[place + 1 :]
    at = event["occurred_at"] + HOUR_MS + min(LONGEST_MS, round(DAY_MS * r.lognormvariate(-0.2, 0.9)))
    names = ("tenant_id", "source_type", "asset_id", "source_id")
    return {
        **{name: event[name] for name in names},
        "outcome_id": derived_id(event["tenant_id"], event["event_id"], str(at)),
        "corrected_text": text,
        "correction_type": WRONG_READING if swapped else OCR_ERROR,
        "corrected_by": f"clerk-{r.randrange(1, 5)}",
        "decided_at": at,
    }


def _conspicuous(event: Mapping[str, Any], shown: str) -> bool:
    """Whether a wrong reading catches the eye: the first digits are, or the length is."""
    read = event["raw_text"]
    return event["source_type"] != METER or len(read.split(" ")[0]) != len(shown) or read[:-3] != shown[:-3]
