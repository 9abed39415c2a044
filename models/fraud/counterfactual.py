"""What of a check-in may have been otherwise, and how a model of fraud would have decided then."""

import numpy as np

from models import counterfactual
from models.counterfactual import Floats, Judge, Space
from models.decisions import Codes, Cuts
from models.fraud import heuristic, rules
from models.fraud.artifact import FraudModel
from models.fraud.features import FEATURES

SPACE = Space(
    FEATURES,
    groups={
        "location": (
            *("gps_drift_meters", "beyond_radius_m", "nearest_usual_m", "location_consistency_score", "missing_fix"),
            *("fix_age_s", "gps_accuracy_m", "accuracy_repeats", "mock_location"),
        ),
        "face": ("face_recognition_confidence", "face_matched", "biometric_mismatch_count_30d"),
        "device": (
            *("accounts_per_device_30d", "accounts_on_device_5min", "seconds_since_other_account"),
            "device_familiarity",
        ),
        "travel": ("travel_speed_kmh", "claimed_speed_kmh", "time_since_last_event"),
        "time": ("hour_of_day", "day_of_week", "is_weekend", "is_holiday"),
        "roster": ("site_allowed", "minutes_from_start"),
        "habits": ("check_in_frequency_zscore", "late_arrival_rate", "weekend_work_frequency"),
    },
    whole=frozenset(feature.name for feature in FEATURES if feature.unit == ""),
)
"""`is_check_out` is in no group: another kind of event would be another event."""


def judge(model: FraudModel | None, cuts: Cuts, travel: float = np.inf) -> Judge:
    """How a model, or the heuristic without one, decides under cuts of the risk. `travel`: impossible over it, km/h."""

    def score(table: Floats) -> Floats:
        return heuristic.probabilities(table) if model is None else model.score(table).probability

    def demanded(table: Floats) -> Codes:
        return rules.demanded(rules.impossible_travel(table, travel))

    return counterfactual.judge(score, cuts, demanded)
