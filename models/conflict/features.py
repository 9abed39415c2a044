"""The feature sets of the conflict model: names, units and meanings.

A vector is a sequence of float64 in the order of its set. All of it is known of every sync: what has no history yet
stands at a documented neutral value.
"""

from functools import partial

from models.features import NEVER, Feature

_known = partial(Feature, missing=NEVER)

_FIRST = (
    _known(
        "concurrent_editors",
        "",
        "distinct other users who edited the entity since the user's last sync of it, within 24 h at most",
    ),
    _known("hours_since_last_sync", "h", "since the user last synced the entity; at most 168, which also means never"),
    _known("user_conflict_rate", "share", "smoothed share of the user's syncs that conflicted, as far as known"),
    _known("entity_edit_frequency", "1/d", "edits of the entity over the last 7 days"),
    _known(
        "field_overlap_score",
        "share",
        "Jaccard overlap between the changed fields and those that others changed since the user's last sync of it",
    ),
)
_FURTHER = (
    _known(
        "weighted_overlap",
        "",
        "of others' edits since then, the share of the user's fields that each changed too, halved every 6 h of its "
        "age; summed",
    ),
    _known("shared_fields", "", "of the changed fields, those that others changed since then"),
    _known("syncs_behind", "", "edits by others since then"),
    _known("hours_since_foreign_edit", "h", "since another user last edited the entity; at most 168, also for never"),
    _known("entity_conflict_rate", "share", "smoothed share of the entity's remembered edits that conflicted"),
    _known(
        "pair_conflict_rate",
        "share",
        "the same of edits by the user and by the others who edited the entity since then",
    ),
    _known("fields_changed", "", "fields that the user changed"),
)

FEATURES: tuple[Feature, ...] = _FIRST + _FURTHER
"""Every feature, in the order of the vectors."""

FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "conflict_v1": tuple(feature.name for feature in _FIRST),
    "conflict_v2": tuple(feature.name for feature in FEATURES),
}
"""Names of the features by feature set; a set with more features begins with those of the one before."""

LARGEST = "conflict_v2"
"""The feature set that all others begin."""

PLACE: dict[str, int] = {feature.name: place for place, feature in enumerate(FEATURES)}
"""Where a feature stands in a vector, of either set."""
