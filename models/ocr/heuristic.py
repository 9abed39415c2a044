"""The documented rule that scores where no model does: `heuristic_v1`."""

from collections.abc import Sequence

import numpy as np

from models.classifiers.examples import Floats
from models.ocr.features import PLACE

VERSION = "heuristic_v1"
IMPLAUSIBLE = 0.8
"""An implausible reading is wrong with this probability at least."""


def probabilities(table: Floats) -> Floats:
    """Of vectors (rows, features): 1 - confidence, raised to at least IMPLAUSIBLE where a reading is implausible."""
    doubt = 1.0 - table[:, PLACE["confidence"]]
    return np.where(table[:, PLACE["implausible"]] > 0.0, np.maximum(doubt, IMPLAUSIBLE), doubt)


def contributions(vector: Sequence[float]) -> dict[str, float]:
    """What each feature adds to the probability, and the `base`, where there is full confidence in the reading."""
    doubt = 1.0 - vector[PLACE["confidence"]]
    raised = max(0.0, IMPLAUSIBLE - doubt) if vector[PLACE["implausible"]] > 0.0 else 0.0
    return {"confidence": doubt, "implausible": raised, "base": 0.0}
