"""The documented rule that scores where no model does: `heuristic_v1`."""

from collections.abc import Sequence
from math import exp, nan

import numpy as np
from numpy.typing import NDArray

from models.fraud.features import FEATURES_V2, PLACE

VERSION = "heuristic_v1"

CUTS = (0.4, 0.7, 0.9)
"""From these probabilities on the risk is MEDIUM, HIGH and CRITICAL."""

_BASE = -4.5
_BEYOND, _MATCHED, _FACE, _SPEED, _ACCOUNTS, _WEEKEND, _HOLIDAY, _WEEKEND_WORK, _ZSCORE, _HOUR = (
    PLACE[name]
    for name in (
        "beyond_radius_m",
        "face_matched",
        "face_recognition_confidence",
        "travel_speed_kmh",
        "accounts_per_device_30d",
        "is_weekend",
        "is_holiday",
        "weekend_work_frequency",
        "check_in_frequency_zscore",
        "hour_of_day",
    )
)
_DECIDING = (_BEYOND, _MATCHED, _FACE, _SPEED, _ACCOUNTS, _WEEKEND_WORK, _ZSCORE, _HOUR)


def probability(vector: Sequence[float]) -> float:
    """Probability of fraud, 0 to 1, of a vector of `fraud_v2`: the logistic of a sum over what holds of the event.

    What is missing (NaN) does not hold.
    """
    return 1.0 / (1.0 + exp(-log_odds(vector)))


def log_odds(vector: Sequence[float]) -> float:
    """That sum."""
    odds = _BASE
    if vector[_BEYOND] > 100.0:
        odds += 2.5
    if vector[_MATCHED] == 0.0:
        odds += 2.0
    if vector[_FACE] < 0.5:
        odds += 1.5
    if vector[_SPEED] > 200.0:
        odds += 2.5
    if vector[_ACCOUNTS] > 1.0:
        odds += 1.0
    if (vector[_WEEKEND] == 1.0 or vector[_HOLIDAY] == 1.0) and vector[_WEEKEND_WORK] < 0.1:
        odds += 0.8
    if abs(vector[_ZSCORE]) > 3.0:
        odds += 0.5
    if vector[_HOUR] < 5.0 or vector[_HOUR] >= 23.0:
        odds += 0.5
    return odds


def contributions(vector: Sequence[float]) -> dict[str, float]:
    """What each condition adds to the log-odds, by the feature that it stands or falls with, and the `base`.

    That of weekends and holidays is told under `weekend_work_frequency`.
    """
    odds = log_odds(vector)
    out = {}
    for place in _DECIDING:
        without = [nan if each == place else value for each, value in enumerate(vector)]
        # The sums are rounded, their terms have one digit.
        out[FEATURES_V2[place]] = round(odds - log_odds(without), 9)
    return out | {"base": _BASE}


def probabilities(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Those of n vectors (n × features)."""
    return np.array([probability(row) for row in vectors.tolist()], dtype=np.float64)


def risk_level(probability: float) -> str:
    """LOW, MEDIUM, HIGH or CRITICAL: the probability cut at CUTS."""
    medium, high, critical = CUTS
    if probability >= high:
        return "CRITICAL" if probability >= critical else "HIGH"
    return "MEDIUM" if probability >= medium else "LOW"
