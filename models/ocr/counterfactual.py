"""What of an OCR reading may have been otherwise."""

from models.counterfactual import Space
from models.ocr.features import FEATURES

SPACE = Space(
    FEATURES,
    groups={
        "confidence": ("confidence", "confidence_shift", "confidence_rank"),
        "plausibility": (
            *("implausible", "backwards", "rate_ratio", "digits_more", "days_since_confirmed", "recent_deviation"),
            *("format_known", "mendable"),
        ),
        "characters": ("odd_characters", "confusion_risk"),
        "errors before": ("asset_error_rate",),
        "acquaintance": ("plate_known", "near_known", "sightings", "near_sightings"),
    },
    whole=frozenset({"odd_characters", "digits_more"}),
)
"""`vehicle` is in no group: a plate in place of a meter would be another reading."""
