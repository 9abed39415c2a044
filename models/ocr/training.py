"""Training a model of ocr_trust of judged readings, and what it is worth on the newest of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from models.calibration.level import leveled
from models.classifiers import Boosting, Examples, Plan, Regression, Scorer, artifact, train
from models.classifiers.examples import Floats
from models.decisions import HEURISTIC_CUTS, Policy
from models.evaluation import Answers, figures, report
from models.ocr import heuristic
from models.ocr.artifact import NAME
from models.ocr.evaluation import tops
from models.ocr.features import NAMES, OCR_V1, PLACE
from models.registry import Manifest, Place

KINDS: Mapping[str, Boosting | Regression] = {"xgboost": Boosting(), "logistic": Regression()}
SPAN_MS = 90 * 86_400_000
"""Readings of the newest 90 days are learned from."""
TEST = 0.15
"""Share of the cases, the newest, that only measures."""


class Sample(NamedTuple):
    """A fair sample of what the model is asked about, beside what people judged.

    Attributes:
        features: of readings, judged or not, (rows, features); at least one.
        wrong: share of the wrong ones among all readings; see models.ocr.prevalence.
    """

    features: Floats
    wrong: float


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A trained model; `metrics` of it and of rule and confidence on the cases that measured, empty with one class."""

    scorer: Scorer
    about: Mapping[str, Any]
    metrics: Mapping[str, float]

    def manifest(self, tenant: str, version: str, source: Mapping[str, Any]) -> Manifest:
        """Of this model as a version. `source`: what else is to be said of the cases; values of JSON."""
        about = {**source, **self.about}
        return artifact.describe(self.scorer, Place(NAME, tenant), version, OCR_V1, NAMES, about, dict(self.metrics))


def learn(examples: Examples, kind: str, seed: int = 0, sample: Sample | None = None) -> Result:
    """Train, calibrate and measure, each on cases newer than the ones before.

    Args:
        examples: by time; of the newest 90 days those are used.
        kind: of KINDS.
        sample: the probabilities are made as high as this calls for; without it they are those of judged readings.
    Raises:
        TooFewLabels: too few cases.
    """
    if len(examples):
        examples = examples[int(np.searchsorted(examples.times_ms, examples.times_ms[-1] - SPAN_MS)) :]
    trained = train(examples, Plan(KINDS[kind], test=TEST, seed=seed))
    scorer = trained.scorer
    if sample is not None:
        scorer = level(scorer, sample)
    test = examples[trained.slices.test]
    metrics: dict[str, float] = {}
    if 0 < test.positives < len(test):
        answers = Answers.of(scorer, test.features, NAMES)
        metrics = figures(report(test.labels, answers, Policy(scorer.cuts)))
        doubt, rule = 1.0 - test.features[:, PLACE["confidence"]], heuristic.probabilities(test.features)
        metrics["heuristic_pr_auc"] = report(test.labels, Answers(rule, rule), Policy(HEURISTIC_CUTS))["pr_auc"]
        for name, scores in (("", answers.raw), ("heuristic_", rule), ("confidence_", doubt)):
            metrics |= {f"{name}{top}": share for top, share in tops(test.labels, scores).items()}
    told = None if sample is None else {"wrong": sample.wrong, "rows": len(sample.features)}
    return Result(scorer, {**trained.about, "sample": told}, metrics)


def level(scorer: Scorer, sample: Sample) -> Scorer:
    """The scorer with probabilities whose mean over a sample is the share of wrong readings; as it is without any."""
    if scorer.calibration is None:
        return scorer
    scores = scorer.classifier.scores(np.ascontiguousarray(sample.features, dtype=np.float64))
    return replace(scorer, calibration=leveled(scorer.calibration, scores, sample.wrong))
