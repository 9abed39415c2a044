"""Supervisors' verdicts, joined with the predictions of fraud."""

from collections.abc import Mapping
from typing import Any

from models.attendance import FRAUD, UNSURE, outcome_fault
from models.identity import derived_id
from schemas import topics
from streams.outcomes import Join, Verdict

SOURCE = "supervisor"


def read(outcome: Mapping[str, Any]) -> Verdict:
    """What a supervisor's verdict says; one without an id of its own gets the same one each time."""
    verdict, by, at = outcome["verdict"], outcome["decided_by"], outcome["decided_at"]
    own = outcome["outcome_id"] or derived_id(outcome["tenant_id"], outcome["event_id"], verdict, by, str(at))
    return Verdict(at, own, None if verdict == UNSURE else verdict == FRAUD, SOURCE, by)


JOIN = Join(
    predictions=topics.PREDICTIONS_FRAUD,
    outcomes=topics.OUTCOMES_ATTENDANCE,
    labelled=topics.LABELLED_FRAUD,
    fault=outcome_fault,
    read=read,
)
FRAUD_OUTCOMES = JOIN.agent("fraud-outcomes")
