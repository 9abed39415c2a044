"""The smallest change that clears an event."""

import math
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import counterfactual as general
from models.counterfactual import MISSING, SUBJECT, TENANT, Floats
from models.decisions import HEURISTIC_CUTS
from models.fraud.counterfactual import SPACE, judge
from models.fraud.features import FEATURES_V2, PLACE

GROUPS, usual = SPACE.groups, SPACE.usual
counterfactual = partial(general.counterfactual, SPACE)
JUDGE = judge(None, HEURISTIC_CUTS)
NOTHING = np.full(len(FEATURES_V2), np.nan)
CALM = {
    "beyond_radius_m": -20.0,
    "face_matched": 1.0,
    "face_recognition_confidence": 0.9,
    "travel_speed_kmh": 3.0,
    "accounts_per_device_30d": 1.0,
    "hour_of_day": 8.0,
}


def vector(**features: float) -> Floats:
    return np.array([features.get(name, math.nan) for name in FEATURES_V2])


def test_every_feature_but_the_kind_is_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted([*grouped, "is_check_out"]) == sorted(FEATURES_V2)


def test_the_fewest_features_the_least_part_of_the_way() -> None:
    # -4.5 + 2.5 + 2.5 + 1 = 1.5: without the distance or the speed it is -1, without the device 0.5, which is cleared.
    event = vector(**CALM | {"beyond_radius_m": 5000.0, "travel_speed_kmh": 900.0, "accounts_per_device_30d": 9.0})
    change = counterfactual(event, {SUBJECT: vector(**CALM)}, JUDGE)
    assert change is not None
    assert (change.group, change.source) == ("travel", SUBJECT)
    ((name, (was, would)),) = change.values.items()
    assert (name, was) == ("travel_speed_kmh", 900.0)
    # Of 20 steps from 900 to 3 the first that is not above 200.
    assert would == pytest.approx(900.0 + 16 / 20 * (3.0 - 900.0))
    assert change.probability == pytest.approx(1 / (1 + math.exp(1.0)))


def test_two_features_of_one_group_when_one_is_not_enough() -> None:
    event = vector(
        **CALM
        | {
            "face_matched": 0.0,
            "face_recognition_confidence": 0.1,
            "beyond_radius_m": 5000.0,
            "hour_of_day": 3.0,
            "accounts_per_device_30d": 2.0,
        }
    )
    change = counterfactual(event, {SUBJECT: vector(**CALM)}, JUDGE)
    assert change is not None
    assert change.group == "location"  # one feature is less than the two of the face
    both = counterfactual(event, {SUBJECT: vector(**CALM | {"beyond_radius_m": 5000.0})}, JUDGE)
    assert both is not None
    assert (both.group, set(both.values)) == ("face", {"face_matched", "face_recognition_confidence"})


def test_the_tenant_and_what_is_missing_come_after_the_person() -> None:
    event = vector(**CALM | {"beyond_radius_m": 5000.0, "travel_speed_kmh": 900.0})
    event[PLACE["face_matched"]] = 0.0
    same = event.copy()
    change = counterfactual(event, {SUBJECT: same, TENANT: vector(**CALM), MISSING: NOTHING}, JUDGE)
    assert change is not None
    assert change.source == TENANT
    last = counterfactual(event, {SUBJECT: same, TENANT: same, MISSING: NOTHING}, JUDGE)
    assert last is not None
    assert last.source == MISSING
    assert all(math.isnan(would) for _, would in last.values.values())


def test_no_single_group() -> None:
    every = {"face_matched": 0.0, "face_recognition_confidence": 0.1, "beyond_radius_m": 5000.0}
    event = vector(**CALM | every | {"travel_speed_kmh": 900.0, "accounts_per_device_30d": 2.0})
    assert counterfactual(event, {SUBJECT: vector(**CALM), MISSING: NOTHING}, JUDGE) is None
    assert counterfactual(event, {SUBJECT: event}, JUDGE) is None


VALUES = st.sampled_from([math.nan, 0.0, 0.05, 0.4, 1.0, 2.0, 4.0, 150.0, 500.0])


@given(st.lists(VALUES, min_size=29, max_size=29), st.lists(VALUES, min_size=29, max_size=29))
def test_it_clears_and_no_smaller_one_does(one: list[float], other: list[float]) -> None:
    event, instead = np.array(one), np.array(other)
    change = counterfactual(event, {SUBJECT: instead}, JUDGE)
    changed = event.copy()
    count = len(FEATURES_V2)
    if change is not None:
        assert set(change.values) <= set(GROUPS[change.group])
        for name, (_, would) in change.values.items():
            changed[PLACE[name]] = would
        assert JUDGE(changed[None, :])[1][0]
        assert JUDGE(changed[None, :])[0][0] == change.probability
        count = len(change.values)
    for names in GROUPS.values():
        for size in range(1, min(count, len(names) + 1)):
            if size > 3:
                break
            for chosen in combinations(names, size):
                tried = event.copy()
                for name in chosen:
                    tried[PLACE[name]] = instead[PLACE[name]]
                if not np.array_equal(tried, event, equal_nan=True):
                    assert not JUDGE(tried[None, :])[1][0]


def test_usual_is_a_value_that_occurred() -> None:
    rows = [[float(each)] * 28 + [None] for each in (4, 1, 3, 2)]
    found = usual(rows)
    assert found[:28].tolist() == [2.0] * 28
    assert math.isnan(found[28])
    assert usual(rows, otherwise=np.full(29, 7.0))[28] == 7.0
    assert np.isnan(usual([])).all()
