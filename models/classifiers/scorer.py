"""A classifier with its calibration: rows of features in, everything that a prediction says of them out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import Calibration, probability
from models.classifiers.classifier import Classifier
from models.classifiers.examples import Floats
from models.decisions import HEURISTIC_CUTS, Cuts


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Of a batch.

    Attributes:
        raw: the classifier's own score, (rows,), 0 to 1.
        probability: calibrated, (rows,): p1 / (1 - p0 + p1), to nine digits; `raw` without a calibration.
        interval: p0 and p1, (rows,) each; None without a calibration, like all that follow.
        label_sets: whether label 0 and 1 are in the sets at 90, 95 and 99 %, (rows, 3, 2).
        calibration_score: calibration cases that the weaker bound of the interval is a mean of, (rows,), 0 or more.
    """

    raw: Floats
    probability: Floats
    interval: tuple[Floats, Floats] | None
    label_sets: NDArray[np.bool_] | None
    calibration_score: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """Scores of a row do not depend on the rows beside it, to the last bit: any cut of a batch gives the same ones."""

    classifier: Classifier
    calibration: Calibration | None

    @property
    def cuts(self) -> Cuts:
        """Of the risk, as long as a tenant sets none of its own."""
        return HEURISTIC_CUTS if self.calibration is None else self.calibration.cuts

    def score(self, features: NDArray[Any]) -> Scored:
        """Of features (rows, features), NaN for unknown. Raises ValueError for another shape."""
        given = self._fit(features)
        raw = self.classifier.scores(given)
        if self.calibration is None:
            return Scored(raw, raw, None, None, None)
        interval = self.calibration.venn_abers.interval(raw)
        return Scored(
            raw=raw,
            probability=probability(raw, interval),
            interval=(interval.low, interval.high),
            label_sets=self.calibration.label_sets.of(raw),
            calibration_score=interval.rows.astype(np.float64),
        )

    def contributions(self, features: NDArray[Any]) -> Floats:
        """See `Classifier.contributions`; of the score before calibration. Raises ValueError for another shape."""
        return self.classifier.contributions(self._fit(features))

    def _fit(self, features: NDArray[Any]) -> Floats:
        given = np.ascontiguousarray(features, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != self.classifier.features:
            raise ValueError(f"expected (rows, {self.classifier.features}) features, got {given.shape}")
        return given
