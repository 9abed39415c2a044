"""Logistic regression on standardised features, from JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from models.classifiers.examples import Examples, Floats, known
from models.registry import ArtifactRefused

FILE = "model.json"
FORMAT = 1
LIMIT = 8.0
"""Standard deviations from the mean at which a feature is cut: one wild value must not decide alone."""

_VECTORS = ("mean", "deviation", "weight", "weight_missing")


@dataclass(frozen=True, slots=True)
class Regression:
    """How it is fitted.

    Attributes:
        strength: inverse strength of the L2 penalty (C), above 0.
        scale_pos_weight: weight of the rare class; see `Boosting`.
    """

    strength: float = 1.0
    scale_pos_weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Coefficients; see `Classifier`.

    A feature stands as (x - mean) / deviation, cut at LIMIT. A missing one stands at the mean (0), and adds
    `weight_missing` instead.

    Attributes:
        intercept: log-odds of a row whose features all stand at the mean.
        mean, deviation: of what the training rows have of each feature, (features,); 0 and 1 where none have it.
        weight, weight_missing: log-odds, (features,).
    """

    kind: ClassVar[str] = "logistic"

    intercept: float
    mean: Floats
    deviation: Floats
    weight: Floats
    weight_missing: Floats

    @classmethod
    def fit(cls, examples: Examples, settings: Regression, seed: int) -> "Logistic":
        """Coefficients of all examples, weighted. The seed is not needed."""
        there = ~np.isnan(examples.features)
        counts = np.maximum(there.sum(axis=0), 1)
        mean = np.where(there, examples.features, 0.0).sum(axis=0) / counts
        spread = np.sqrt(np.where(there, (examples.features - mean) ** 2, 0.0).sum(axis=0) / counts)
        # A feature that never changes would otherwise divide by next to nothing.
        deviation = np.where(spread > 1e-9 * np.maximum(1.0, np.abs(mean)), spread, 1.0)
        blank = cls(0.0, mean, deviation, np.ones(len(mean)), np.zeros(len(mean)))
        inputs = np.concatenate([blank._standard(examples.features), ~there], axis=1)
        weights = examples.weights * np.where(examples.labels, settings.scale_pos_weight, 1.0)
        fitted = LogisticRegression(C=settings.strength, max_iter=2000)
        fitted.fit(inputs, examples.labels, sample_weight=weights)
        weight, weight_missing = np.split(fitted.coef_[0], 2)
        return cls(float(fitted.intercept_[0]), mean, deviation, weight, weight_missing)

    @property
    def features(self) -> int:
        return len(self.mean)

    def scores(self, features: Floats) -> Floats:
        # Summed feature after feature: a matrix product rounds differently with the number of rows.
        margin = np.full(len(features), self.intercept)
        for part in self._parts(features):
            margin += part
        out: Floats = expit(margin)
        return out

    def contributions(self, features: Floats) -> Floats:
        return np.stack([*self._parts(features), np.full(len(features), self.intercept)], axis=1)

    def importance(self) -> Floats:
        found = np.abs(self.weight)
        return found / (found.sum() or 1.0)

    def pack(self) -> Mapping[str, bytes]:
        about = {name: getattr(self, name).tolist() for name in _VECTORS}
        text = json.dumps({"format": FORMAT, "intercept": self.intercept, **about}, indent=1, allow_nan=False)
        return {FILE: (text + "\n").encode()}

    def _parts(self, features: Floats) -> list[Floats]:
        there = known(features)
        standard, missing = self._standard(there), np.isnan(there)
        return [
            np.where(missing[:, number], self.weight_missing[number], standard[:, number] * self.weight[number])
            for number in range(self.features)
        ]

    def _standard(self, features: Floats) -> Floats:
        """Missing features at 0."""
        cut = np.clip((features - self.mean) / self.deviation, -LIMIT, LIMIT)
        return np.where(np.isnan(features), 0.0, cut)


def unpack(raw: bytes, features: int) -> Logistic:
    """The coefficients of a file. Raises ArtifactRefused for what are none of so many features."""
    try:
        about: Any = json.loads(raw)
        version = about["format"]
        vectors = {name: np.array(about[name], dtype=np.float64) for name in _VECTORS}
        found = Logistic(intercept=float(about["intercept"]), **vectors)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactRefused(f"{FILE} cannot be read: {error!r}") from error
    if version != FORMAT:
        raise ArtifactRefused(f"{FILE} has format {version!r}; this release reads format {FORMAT}")
    if any(vector.shape != (features,) for vector in vectors.values()):
        shapes = ", ".join(f"{name} {vector.shape}" for name, vector in vectors.items())
        raise ArtifactRefused(f"{FILE} was trained on another number of features ({shapes}); expected {features}")
    if (
        not np.isfinite([found.intercept, *np.concatenate(list(vectors.values()))]).all()
        or (found.deviation <= 0).any()
    ):
        raise ArtifactRefused(f"{FILE}: some of its numbers are not finite, or a deviation is not above 0")
    return found
