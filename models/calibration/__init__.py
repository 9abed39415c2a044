"""Calibration of a classifier's scores: intervals, label sets and cuts. See docs/models.md.

Domain-free: it sees scores and labels, nothing of what they are scores of.
"""

from models.calibration.calibration import ARRAYS, Calibration, TooFewCases, calibrate, pack, probability, unpack
from models.calibration.label_sets import LEVELS, LabelSets
from models.calibration.residual import AbsoluteResidual
from models.calibration.venn_abers import Interval, VennAbers

__all__ = [
    "ARRAYS",
    "LEVELS",
    "AbsoluteResidual",
    "Calibration",
    "Interval",
    "LabelSets",
    "TooFewCases",
    "VennAbers",
    "calibrate",
    "pack",
    "probability",
    "unpack",
]
