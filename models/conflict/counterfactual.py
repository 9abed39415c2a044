"""What of a sync may have been otherwise."""

from models.conflict.features import FEATURES
from models.counterfactual import Space

SPACE = Space(
    FEATURES,
    groups={
        "edits of others": (
            *("concurrent_editors", "syncs_behind", "hours_since_foreign_edit", "entity_edit_frequency"),
        ),
        "overlap": ("field_overlap_score", "weighted_overlap", "shared_fields"),
        "last sync": ("hours_since_last_sync",),
        "conflicts before": ("user_conflict_rate", "entity_conflict_rate", "pair_conflict_rate"),
        "size of the change": ("fields_changed",),
    },
    whole=frozenset({"concurrent_editors", "shared_fields", "syncs_behind", "fields_changed"}),
)
