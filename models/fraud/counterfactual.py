"""What would have had to be otherwise for a check-in to be cleared: the smallest change of one group of features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from models.decisions import CLEAR, Cuts, Flags, Policy, decide
from models.fraud import heuristic, rules
from models.fraud.artifact import FraudModel
from models.fraud.features import FEATURES, FEATURES_V2, PLACE

Floats = NDArray[np.float64]
Judge = Callable[[Floats], tuple[Floats, Flags]]
"""Probabilities of vectors (rows, all features), and which of them are cleared."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "location": (
        *("gps_drift_meters", "beyond_radius_m", "nearest_usual_m", "location_consistency_score", "missing_fix"),
        *("fix_age_s", "gps_accuracy_m", "accuracy_repeats", "mock_location"),
    ),
    "face": ("face_recognition_confidence", "face_matched", "biometric_mismatch_count_30d"),
    "device": (
        *("accounts_per_device_30d", "accounts_on_device_5min", "seconds_since_other_account", "device_familiarity"),
    ),
    "travel": ("travel_speed_kmh", "claimed_speed_kmh", "time_since_last_event"),
    "time": ("hour_of_day", "day_of_week", "is_weekend", "is_holiday"),
    "roster": ("site_allowed", "minutes_from_start"),
    "habits": ("check_in_frequency_zscore", "late_arrival_rate", "weekend_work_frequency"),
}
"""Features by what they are about. `is_check_out` is in none: another kind of event would be another event."""

PERSON, TENANT, MISSING = SOURCES = ("person", "tenant", "missing")
"""Where the other values come from: what is usual for the person, for the tenant's people, or nothing was measured."""

STEPS = 20
"""A change is looked for in so many steps from what was to what is usual."""

_WHOLE = frozenset(feature.name for feature in FEATURES if feature.unit == "")
_FLAGS = frozenset(feature.name for feature in FEATURES if feature.unit == "0/1")


@dataclass(frozen=True, slots=True)
class Change:
    """A change that clears an event.

    Attributes:
        group: of GROUPS.
        source: of SOURCES.
        values: what was and what would have been, by feature; NaN for missing.
        probability: with it.
    """

    group: str
    source: str
    values: Mapping[str, tuple[float, float]]
    probability: float


def judge(model: FraudModel | None, cuts: Cuts, travel: float = np.inf) -> Judge:
    """How a model, or the heuristic without one, decides under cuts of the risk. `travel`: impossible over it, km/h."""

    def judged(table: Floats) -> tuple[Floats, Flags]:
        if model is None:
            probability, interval = heuristic.probabilities(table), None
        else:
            scored = model.score(table)
            probability, interval = scored.probability, scored.interval
        demanded = rules.demanded(rules.impossible_travel(table, travel))
        return probability, decide(Policy(cuts), probability, interval, demanded).decision == CLEAR

    return judged


def usual(vectors: Sequence[Sequence[float | None]], otherwise: Floats | None = None) -> Floats:
    """The lower median of each feature, a value that occurred, over vectors of all features (rows, features).

    Args:
        otherwise: values of the features that no vector has; NaN without it.
    """
    out = np.full(len(FEATURES_V2), np.nan) if otherwise is None else otherwise.copy()
    for place, column in enumerate(zip(*vectors, strict=True)):
        values = sorted(value for value in column if value is not None and value == value)
        if values:
            out[place] = values[(len(values) - 1) // 2]
    return out


def counterfactual(vector: Floats, others: Mapping[str, Floats], judged: Judge) -> Change | None:
    """The smallest change of one group that clears an event; None where no group alone does.

    Of the first source that has any, the one of the fewest features, and of these the one that goes the least part of
    the way to the other values; then the order of GROUPS decides.

    Args:
        vector: of the event, all features.
        others: what would be there instead, by source, in the order in which they are tried.
    """
    for source, other in others.items():
        asked = list(_subsets(vector, other))
        if not asked:
            continue
        whole = np.array([_moved(vector, other, names, 1.0) for _, names in asked])
        cleared = [each for each, well in zip(asked, judged(whole)[1].tolist(), strict=True) if well]
        if cleared:
            fewest = min(len(names) for _, names in cleared)
            return _least(vector, other, [each for each in cleared if len(each[1]) == fewest], source, judged)
    return None


def _subsets(vector: Floats, other: Floats) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every choice of features of one group that would change."""
    for group, names in GROUPS.items():
        differing = [name for name in names if not _same(vector[PLACE[name]], other[PLACE[name]])]
        for count in range(1, len(differing) + 1):
            for chosen in combinations(differing, count):
                yield group, chosen


def _least(
    vector: Floats, other: Floats, asked: list[tuple[str, tuple[str, ...]]], source: str, judged: Judge
) -> Change:
    tried = [(step, place) for step in range(1, STEPS + 1) for place in range(len(asked))]
    rows = [_moved(vector, other, asked[place][1], step / STEPS) for step, place in tried]
    probability, cleared = judged(np.array(rows))
    best = int(np.argmax(cleared))
    group, names = asked[tried[best][1]]
    values = {name: (float(vector[PLACE[name]]), float(rows[best][PLACE[name]])) for name in names}
    return Change(group, source, values, float(probability[best]))


def _moved(vector: Floats, other: Floats, names: Sequence[str], share: float) -> Floats:
    """With some features part of the way to other values. What is yes or no, or missing, goes the whole way at once."""
    out = vector.copy()
    for name in names:
        place = PLACE[name]
        was, would = vector[place], other[place]
        if share < 1.0 and name not in _FLAGS and was == was and would == would:
            would = was + share * (would - was)
            if name in _WHOLE:
                would = np.round(would)
        out[place] = would
    return out


def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)
