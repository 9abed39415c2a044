"""Training a model of conflicts of labelled syncs, and what it is worth on the newest of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.classifiers import Scorer, artifact, train
from models.classifiers.examples import Floats
from models.conflict import heuristic
from models.conflict.artifact import NAME
from models.conflict.evaluation import KINDS, Labels, examples, plan
from models.conflict.features import FEATURE_SETS
from models.decisions import Policy
from models.evaluation import Answers, figures, report
from models.registry import Manifest, Place

SPAN_MS = 90 * 86_400_000
"""Syncs of the newest 90 days are learned from."""

TEST = 0.15
"""Share of the cases, the newest, that only measures."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A trained model with its reports on the cases that measured; None where these have but one class.

    Attributes:
        scorer, feature_set: of the model.
        about: of its training; values of JSON.
        model, rule: reports of it and of the heuristic, as by models.evaluation.
    """

    scorer: Scorer
    feature_set: str
    about: Mapping[str, Any]
    model: Mapping[str, Any] | None
    rule: Mapping[str, Any] | None

    def manifest(self, tenant: str, version: str, source: Mapping[str, Any]) -> Manifest:
        """Of this model as a version. `source`: what else is to be said of the cases; values of JSON."""
        metrics = {} if self.model is None else figures(self.model)
        if self.rule is not None and self.rule["roc_auc"] is not None:
            metrics["heuristic_roc_auc"] = self.rule["roc_auc"]
        names = FEATURE_SETS[self.feature_set]
        about = {**source, **self.about}
        return artifact.describe(self.scorer, Place(NAME, tenant), version, self.feature_set, names, about, metrics)


def learn(
    times_ms: NDArray[np.int64],
    vectors: Floats,
    labels: Labels,
    weights: Floats,
    feature_set: str,
    kind: str,
    seed: int = 0,
) -> Result:
    """Train, calibrate and measure, each on cases newer than the ones before.

    Args:
        times_ms, vectors, labels, weights: by time, with all features and labels that are known
            (models.conflict.evaluation); those of the newest 90 days are used.
        kind: of KINDS.
    Raises:
        TooFewLabels: too few cases.
    """
    since = int(np.searchsorted(times_ms, times_ms[-1] - SPAN_MS)) if len(times_ms) else 0
    vectors = vectors[since:]
    chosen = examples(times_ms[since:], vectors, labels[since:], weights[since:], feature_set)
    trained = train(chosen, plan(KINDS[kind], test=TEST, seed=seed))
    test = chosen[trained.slices.test]
    model = rule = None
    if 0 < test.positives < len(test):
        answers = Answers.of(trained.scorer, test.features, FEATURE_SETS[feature_set])
        model = report(test.labels, answers, Policy(trained.scorer.cuts))
        scores = heuristic.probabilities(vectors[trained.slices.test])
        rule = report(test.labels, Answers(scores, scores), Policy(heuristic.CUTS))
    return Result(trained.scorer, feature_set, trained.about, model, rule)
