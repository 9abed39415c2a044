"""The margins of a booster by models.classifiers._compiled, where that was built and says what the library says."""

import json
from typing import Any

import numpy as np
import xgboost

from models.classifiers.examples import Floats, known
from schemas.compiled import load

_COMPILED = load("models.classifiers._compiled")

_PROBES = 16


class Trees:
    """Margins of rows, the sums before the logistic function; of a row alone, whatever else is asked for with it.

    Args:
        booster: of one tree per round, for two classes.
        stored: what its file holds, as `models.classifiers.ubjson` reads it; sound, because nobody looks again.
    """

    def __init__(self, booster: xgboost.Booster, stored: Any) -> None:
        self._booster = booster
        self._quick = _quick(stored["learner"])
        if self._quick is not None:
            # The library decides: a machine or a release on which it adds otherwise is not made faster.
            probes = _probes(int(booster.num_features()))
            if self.margins(probes).tobytes() != self._slow(probes).tobytes():
                self._quick = None

    @property
    def quick(self) -> bool:
        """Whether it is not the library that computes."""
        return self._quick is not None

    def margins(self, features: Floats) -> Floats:
        """Of features (rows, features), NaN for unknown: (rows,), 32-bit numbers."""
        if self._quick is None:
            return self._slow(features)
        out = np.empty(len(features), dtype=np.float32)
        self._quick.margins(features, out)
        return out.astype(np.float64)

    def _slow(self, features: Floats) -> Floats:
        found = self._booster.inplace_predict(known(features), predict_type="margin", validate_features=False)
        return np.asarray(found, dtype=np.float64)


def _quick(learner: Any) -> Any:
    if _COMPILED is None:
        return None
    layout = _layout(learner)
    try:
        return _COMPILED.Trees(*layout)
    except ValueError:  # too large for it
        return None


def base_score(learner: Any) -> np.float32:
    """The probability before the first tree. Raises ValueError for a stored one that is none."""
    # One number, which since version 3 of the library stands in brackets.
    (found,) = np.ravel(json.loads(learner["learner_model_param"]["base_score"])).astype(np.float32)
    if not 0.0 < found < 1.0:
        raise ValueError(f"a base score is between 0 and 1, not {found}")
    return np.float32(found)


def _layout(learner: Any) -> tuple[list[tuple[Any, ...]], float, int]:
    trees = [
        (
            np.array(tree["left_children"], dtype=np.int32),
            np.array(tree["right_children"], dtype=np.int32),
            np.array(tree["split_indices"], dtype=np.int32),
            np.array(tree["split_conditions"], dtype=np.float32),
            np.array(tree["default_left"], dtype=np.uint8),
        )
        for tree in learner["gradient_booster"]["model"]["trees"]
    ]
    return trees, float(base_score(learner)), int(learner["learner_model_param"]["num_feature"])


def _probes(features: int) -> Floats:
    draw = np.random.default_rng(0)
    values = draw.normal(scale=100.0, size=(_PROBES, features))
    values[draw.random(values.shape) < 0.2] = np.nan
    return values
