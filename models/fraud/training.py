"""Training a model of fraud of labelled cases, and what it is worth on the newest of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.classifiers import Boosting, Examples, Plan, Regression, Scorer, artifact, train
from models.decisions import HEURISTIC_CUTS, Policy
from models.evaluation import Answers, figures, report
from models.fraud import heuristic, rules
from models.fraud.artifact import NAME
from models.fraud.features import FEATURE_SETS
from models.registry import Manifest, Place

KINDS: Mapping[str, Boosting | Regression] = {"xgboost": Boosting(), "logistic": Regression()}

SPAN_MS = 183 * 86_400_000
"""Cases of the newest half year are learned from."""

TEST = 0.15
"""Share of the cases, the newest, that only measures."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A trained model with its reports on the cases that measured; None where these have but one class.

    Attributes:
        scorer, feature_set: of the model.
        about: of its training; values of JSON.
        model, rule: reports of it and of the heuristic, as by models.evaluation.
        measured: the cases that measured, with all features.
    """

    scorer: Scorer
    feature_set: str
    about: Mapping[str, Any]
    model: Mapping[str, Any] | None
    rule: Mapping[str, Any] | None
    measured: Examples

    def manifest(self, tenant: str, version: str, source: Mapping[str, Any]) -> Manifest:
        """Of this model as a version. `source`: what else is to be said of the cases; values of JSON."""
        metrics = {} if self.model is None else figures(self.model)
        if self.rule is not None and self.rule["pr_auc"] is not None:
            metrics["heuristic_pr_auc"] = self.rule["pr_auc"]
        names = FEATURE_SETS[self.feature_set]
        about = {**source, **self.about}
        return artifact.describe(self.scorer, Place(NAME, tenant), version, self.feature_set, names, about, metrics)


def learn(examples: Examples, feature_set: str, kind: str, seed: int = 0) -> Result:
    """Train, calibrate and measure, each on cases newer than the ones before.

    Args:
        examples: by time, with all features; of the newest half year those are used.
        kind: of KINDS.
    Raises:
        TooFewLabels: too few cases.
    """
    if len(examples):
        first = int(np.searchsorted(examples.times_ms, examples.times_ms[-1] - SPAN_MS))
        examples = examples[first:]
    count = len(FEATURE_SETS[feature_set])
    chosen = Examples.of(examples.times_ms, examples.features[:, :count], examples.labels, examples.weights)
    trained = train(chosen, Plan(KINDS[kind], test=TEST, seed=seed))
    test, whole = chosen[trained.slices.test], examples[trained.slices.test]
    model = rule = None
    if 0 < test.positives < len(test):
        demanded = rules.demanded(rules.impossible_travel(whole.features))
        answers = Answers.of(trained.scorer, test.features, FEATURE_SETS[feature_set], demanded)
        model = report(test.labels, answers, Policy(trained.scorer.cuts))
        scores = heuristic.probabilities(whole.features)
        rule = report(test.labels, Answers(scores, scores, demanded=demanded), Policy(HEURISTIC_CUTS))
    return Result(trained.scorer, feature_set, trained.about, model, rule, whole)
