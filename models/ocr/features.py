"""The feature set of ocr_trust: names, units and what a missing value means. NaN stands for what is not known."""

from models.features import NEVER, Feature

OCR_V1 = "ocr_v1"
NO_HISTORY = "too little is confirmed of the meter, or it is a plate"
NO_KEY = "there is no key or it can be no plate, or it is a meter"
NO_VERDICTS = "nobody judged a reading of the asset yet"
NO_READINGS = "fewer than 8 readings of the asset before"

FEATURES: tuple[Feature, ...] = (
    Feature("confidence", "share", "what the engine says of its reading", NEVER),
    Feature("vehicle", "0/1", "whether it is a plate and not a meter", NEVER),
    Feature("confidence_shift", "share", "confidence less the median of the asset's last 32", NO_READINGS),
    Feature("confidence_rank", "share", "of the asset's last 32 readings, those not more confident", NO_READINGS),
    Feature("asset_error_rate", "share", "of the asset's judged readings, the wrong ones; smoothed", NO_VERDICTS),
    Feature(
        "confusion_risk", "share", "probability that a character was confused, as on this asset before", NO_VERDICTS
    ),
    Feature("odd_characters", "characters", "such as have no place in a meter or a plate", NEVER),
    Feature("backwards", "0/1", "whether the meter would have run backwards against confirmed readings", NO_HISTORY),
    Feature("rate_ratio", "times", "rate since the confirmed reading before, over the meter's own median", NO_HISTORY),
    Feature("digits_more", "digits", "digits more than confirmed readings have", NO_HISTORY),
    Feature("days_since_confirmed", "d", "since the newest confirmed reading before", NO_HISTORY),
    Feature(
        "recent_deviation", "log d", "from where the last readings lead, in days of running; signed log1p", NO_HISTORY
    ),
    Feature("mendable", "0/1", "whether another likely character would make it fit the asset's history", "no history"),
    Feature("format_known", "0/1", "whether the plate has a form of the tenant's countries", "it is a meter"),
    Feature("plate_known", "0/1", "whether the plate was confirmed at this gate", NO_KEY),
    Feature("near_known", "0/1", "whether a plate that differs in one character was confirmed", NO_KEY),
    Feature("sightings", "log", "how often the plate was read at this gate before; log1p", NO_KEY),
    Feature("near_sightings", "log", "the same of the most frequent plate that differs in one character", NO_KEY),
    Feature("implausible", "0/1", "whether it is implausible by what is confirmed, or by its form", NEVER),
)
FEATURE_SETS: dict[str, tuple[str, ...]] = {OCR_V1: tuple(feature.name for feature in FEATURES)}
NAMES = FEATURE_SETS[OCR_V1]
PLACE: dict[str, int] = {name: place for place, name in enumerate(NAMES)}
