"""The documented rule that scores where no model does: `heuristic_v1`."""

import numpy as np
from numpy.typing import NDArray

from models.conflict.features import PLACE
from models.decisions import Cuts

VERSION = "heuristic_v1"

CUTS = Cuts(0.3, 0.6, 0.8)
"""From these probabilities on the risk is MEDIUM, HIGH and CRITICAL."""

MOST = 0.95

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

    0.10 + 0.15 per concurrent editor (at most 0.45) + 0.10 when the last sync is over 24 h ago + half of what the
    user's rate is over 0.1 + 0.02 per edit a day (at most 10) + 0.30 × overlap, added in this order.
    """
    out = 0.10 + np.minimum(0.45, 0.15 * vectors[:, _EDITORS])
    out += np.where(vectors[:, _HOURS] > 24.0, 0.10, 0.0)
    out += 0.5 * np.maximum(0.0, vectors[:, _RATE] - 0.1)
    out += 0.02 * np.minimum(10.0, vectors[:, _FREQUENCY])
    out += 0.30 * vectors[:, _OVERLAP]
    found: NDArray[np.float64] = np.minimum(MOST, out)
    return found
