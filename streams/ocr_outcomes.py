"""Corrections that have found their reading, joined with the predictions of ocr_trust."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from models.readings import CORRECTABLE_DAYS, UNSURE, WRONG
from schemas import topics
from streams.outcomes import Join, Verdict

SOURCE = "user_correction"
HORIZON = timedelta(days=CORRECTABLE_DAYS)
"""As long as a reading may be corrected, so no label is left to a job."""


def read(outcome: Mapping[str, Any]) -> Verdict:
    """What a correction says of a reading."""
    verdict = outcome["verdict"]
    label = None if verdict == UNSURE else verdict == WRONG
    return Verdict(outcome["decided_at"], outcome["outcome_id"], label, SOURCE, outcome["decided_by"])


JOIN = Join(
    predictions=topics.PREDICTIONS_OCR_TRUST,
    outcomes=topics.OCR_VERDICTS,
    labelled=topics.LABELLED_OCR_TRUST,
    fault=lambda outcome: None,  # the agent that found the reading has judged it
    read=read,
    horizon=HORIZON,
)
OCR_OUTCOMES = JOIN.agent("ocr-outcomes")
