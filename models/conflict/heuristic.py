"""The documented rule that scores where no model does: `heuristic_v1`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.conflict.features import FEATURES, PLACE
from models.decisions import Cuts

VERSION = "heuristic_v1"

CUTS = Cuts(0.3, 0.6, 0.8)
"""From these probabilities on the risk is MEDIUM, HIGH and CRITICAL."""

BASE, MOST = 0.10, 0.95

_EDITORS, _HOURS, _RATE, _FREQUENCY, _OVERLAP = (
    PLACE[name]
    for name in (
        "concurrent_editors",
        "hours_since_last_sync",
        "user_conflict_rate",
        "entity_edit_frequency",
        "field_overlap_score",
    )
)


def probabilities(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of a conflict, 0.1 to MOST, of n vectors (n × features of either set).

    BASE + 0.15 per concurrent editor (at most 0.45) + 0.10 when the last sync is over 24 h ago + half of what the
    user's rate is over 0.1 + 0.02 per edit a day (at most 10) + 0.30 × overlap, added in this order.
    """
    out = np.full(len(vectors), BASE)
    for term in _terms(vectors).values():
        out += term
    found: NDArray[np.float64] = np.minimum(MOST, out)
    return found


def contributions(vector: Sequence[float]) -> dict[str, float]:
    """What each feature adds to the probability before MOST cuts it, and the `base`."""
    terms = _terms(np.array([vector], dtype=np.float64))
    return {FEATURES[place].name: float(term[0]) for place, term in terms.items()} | {"base": BASE}


def _terms(vectors: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
    """By the place of their feature."""
    return {
        _EDITORS: np.minimum(0.45, 0.15 * vectors[:, _EDITORS]),
        _HOURS: np.where(vectors[:, _HOURS] > 24.0, 0.10, 0.0),
        _RATE: 0.5 * np.maximum(0.0, vectors[:, _RATE] - 0.1),
        _FREQUENCY: 0.02 * np.minimum(10.0, vectors[:, _FREQUENCY]),
        _OVERLAP: 0.30 * vectors[:, _OVERLAP],
    }
