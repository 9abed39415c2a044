"""From labelled cases to a calibrated scorer: split by time, fit, calibrate."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.calibration import TooFewCases, calibrate
from models.classifiers.boosted import Boosted, Boosting
from models.classifiers.classifier import Classifier
from models.classifiers.examples import DAY_MS, Examples, Slices, split
from models.classifiers.logistic import Logistic, Regression
from models.classifiers.scorer import Scorer


class TooFewLabels(ValueError):
    """Not enough labelled cases to train on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is trained.

    Attributes:
        settings: of the classifier; their type says which one.
        labels, positives: fewest labelled cases, and fewest of label 1, of the train and calibrate slices together.
        calibrate, test, gap_ms: see `split`.
        seed: of whatever is drawn.
    """

    settings: Boosting | Regression
    labels: int = 200
    positives: int = 20
    calibrate: float = 0.2
    test: float = 0.0
    gap_ms: int = DAY_MS
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What came of it.

    Attributes:
        scorer: of the train and calibrate slices.
        slices: of the examples.
        about: what is to be said of the training; values of JSON.
    """

    scorer: Scorer
    slices: Slices
    about: Mapping[str, Any]


def train(examples: Examples, plan: Plan) -> Trained:
    """A scorer of labelled cases. The same cases and plan give the same bytes.

    Without enough cases to calibrate on it has no calibration, and `about` says why: its scores have no intervals.

    Raises:
        TooFewLabels: fewer labels or positives than the plan asks for, or only one class to train on.
    """
    slices = split(examples.times_ms, calibrate=plan.calibrate, test=plan.test, gap_ms=plan.gap_ms)
    learn, newer = examples[slices.train], examples[slices.calibrate]
    _require(plan, len(examples), learn, newer)
    classifier: Classifier
    if isinstance(plan.settings, Boosting):
        classifier = Boosted.fit(learn, plan.settings, plan.seed)
    else:
        classifier = Logistic.fit(learn, plan.settings, plan.seed)
    try:
        calibration, uncalibrated = calibrate(classifier.scores(newer.features), newer.labels), None
    except TooFewCases as error:
        calibration, uncalibrated = None, str(error)
    about = {
        "kind": classifier.kind,
        "settings": asdict(plan.settings),
        "seed": plan.seed,
        "gap_ms": plan.gap_ms,
        "train": describe(learn),
        "calibrate": describe(newer),
        "uncalibrated": uncalibrated,
        "digest": examples.digest,
    }
    return Trained(Scorer(classifier, calibration), slices, about)


def describe(examples: Examples) -> dict[str, Any]:
    """Range, rows and positives of a slice; values of JSON."""
    times = examples.times_ms
    first, last = (int(times[0]), int(times[-1])) if len(times) else (None, None)
    weight = float(np.sum(examples.weights))
    return {"first_ms": first, "last_ms": last, "rows": len(times), "positives": examples.positives, "weight": weight}


def _require(plan: Plan, rows: int, learn: Examples, newer: Examples) -> None:
    labels, positives = len(learn) + len(newer), learn.positives + newer.positives
    if labels < plan.labels or positives < plan.positives:
        raise TooFewLabels(
            f"training needs {plan.labels} labelled cases, {plan.positives} of them positive; "
            f"there are {labels}, {positives} of them positive, beside {rows - labels} that test or lie in gaps"
        )
    if not 0 < learn.positives < len(learn):
        raise TooFewLabels(
            f"training needs cases of both classes: of the {len(learn)} older cases, which train, "
            f"{learn.positives} are positive"
        )
