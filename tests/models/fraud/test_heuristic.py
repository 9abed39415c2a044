"""heuristic_v1 as documented, condition by condition."""

import math
from typing import Any

import pytest

from models.fraud.features import FEATURES_V2
from models.fraud.heuristic import contributions, log_odds, probability, risk_level

MISSING = dict.fromkeys(FEATURES_V2, math.nan)


def odds(**features: float) -> float:
    found = probability([(MISSING | features)[name] for name in FEATURES_V2])
    return math.log(found / (1 - found))


@pytest.mark.parametrize(
    ("holds", "fails", "weight"),
    [
        ({"beyond_radius_m": 100.1}, {"beyond_radius_m": 100.0}, 2.5),
        ({"face_matched": 0.0}, {"face_matched": 1.0}, 2.0),
        ({"face_recognition_confidence": 0.49}, {"face_recognition_confidence": 0.5}, 1.5),
        ({"travel_speed_kmh": 200.1}, {"travel_speed_kmh": 200.0}, 2.5),
        ({"accounts_per_device_30d": 2.0}, {"accounts_per_device_30d": 1.0}, 1.0),
        (
            {"is_weekend": 1.0, "weekend_work_frequency": 0.09},
            {"is_weekend": 1.0, "weekend_work_frequency": 0.1},
            0.8,
        ),
        (
            {"is_holiday": 1.0, "is_weekend": 0.0, "weekend_work_frequency": 0.0},
            {"is_holiday": 0.0, "is_weekend": 0.0, "weekend_work_frequency": 0.0},
            0.8,
        ),
        ({"check_in_frequency_zscore": 3.1}, {"check_in_frequency_zscore": 3.0}, 0.5),
        ({"check_in_frequency_zscore": -3.1}, {"check_in_frequency_zscore": -3.0}, 0.5),
        ({"hour_of_day": 4.99}, {"hour_of_day": 5.0}, 0.5),
        ({"hour_of_day": 23.0}, {"hour_of_day": 22.99}, 0.5),
    ],
)
def test_each_condition(holds: dict[str, Any], fails: dict[str, Any], weight: float) -> None:
    assert odds(**fails) == pytest.approx(-4.5)
    assert odds(**holds) == pytest.approx(-4.5 + weight)


def test_conditions_add_up_and_what_is_missing_does_not_hold() -> None:
    assert odds() == pytest.approx(-4.5)
    both = odds(beyond_radius_m=5000.0, face_matched=0.0, face_recognition_confidence=0.1, travel_speed_kmh=math.nan)
    assert both == pytest.approx(-4.5 + 2.5 + 2.0 + 1.5)


def test_contributions_add_up_to_the_log_odds() -> None:
    features = {"beyond_radius_m": 5000.0, "is_weekend": 1.0, "is_holiday": 1.0, "weekend_work_frequency": 0.0}
    vector = [(MISSING | features)[name] for name in FEATURES_V2]
    found = contributions(vector)
    assert {name: share for name, share in found.items() if share} == {
        "beyond_radius_m": 2.5,
        "weekend_work_frequency": 0.8,
        "base": -4.5,
    }
    assert sum(found.values()) == pytest.approx(log_odds(vector))


def test_risk_levels() -> None:
    found = [risk_level(each) for each in (0.39, 0.4, 0.69, 0.7, 0.89, 0.9, 1.0)]
    assert found == ["LOW", "MEDIUM", "MEDIUM", "HIGH", "HIGH", "CRITICAL", "CRITICAL"]
