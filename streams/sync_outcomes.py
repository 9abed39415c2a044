"""What came of syncs, joined with the predictions of conflicts. A sync of which nobody says anything had none."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from models.identity import derived_id
from models.sync import outcome_fault
from schemas import topics
from streams.outcomes import Join, Verdict

SOURCE = "sync_result"
PRESUMED_AFTER = timedelta(hours=24)


def read(outcome: Mapping[str, Any]) -> Verdict:
    """What an outcome says; one without an id of its own gets the same one each time."""
    conflict, at = outcome["conflict_occurred"], outcome["decided_at"]
    own = outcome["outcome_id"] or derived_id(outcome["tenant_id"], outcome["event_id"], str(conflict), str(at))
    return Verdict(at, own, conflict, SOURCE, None)


JOIN = Join(
    predictions=topics.PREDICTIONS_CONFLICT,
    outcomes=topics.OUTCOMES_SYNC,
    labelled=topics.LABELLED_CONFLICT,
    fault=outcome_fault,
    read=read,
    presumed=PRESUMED_AFTER,
)
SYNC_OUTCOMES = JOIN.agent("sync-outcomes")
