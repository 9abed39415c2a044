"""Classifiers of rare events: training, scoring and storing. See docs/models.md.

Domain-free: a domain gives rows of features with labels, and names its feature set.
"""

from models.classifiers.boosted import Boosted, Boosting
from models.classifiers.classifier import Classifier
from models.classifiers.examples import Examples, Slices, split
from models.classifiers.logistic import Logistic, Regression
from models.classifiers.scorer import Scored, Scorer
from models.classifiers.trainer import Plan, TooFewLabels, Trained, train

__all__ = [
    "Boosted",
    "Boosting",
    "Classifier",
    "Examples",
    "Logistic",
    "Plan",
    "Regression",
    "Scored",
    "Scorer",
    "Slices",
    "TooFewLabels",
    "Trained",
    "split",
    "train",
]
