"""A calibration whose probabilities are as high as they should be, where its cases were no fair sample."""

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from models.calibration.calibration import Calibration, probability
from models.calibration.venn_abers import Floats
from models.decisions import Cuts

FARTHEST = 20.0
"""Log-odds that probabilities are moved at most."""


def leveled(calibration: Calibration, scores: Floats, share: float) -> Calibration:
    """The calibration with all probabilities moved by the same log-odds, so that their mean over `scores` is `share`.

    Where one label was more likely to be known than the other, and nothing else decided about that, this is what
    undoes it: the odds of every case are wrong by one factor (Saerens, Latinne and Decaestecker, Adjusting the outputs
    of a classifier to new a priori probabilities, 2002). The order of the cases stays, as do label sets, which are of
    each label's own cases alone. Matching the mean is calibration-in-the-large (Steyerberg, Clinical prediction models,
    2009, chapter 15).

    Args:
        scores: the model's own, of a fair sample of what it is asked about, whatever the labels; (rows,), at least one.
        share: of the cases with label 1 among these; above 0, below 1.
    Raises:
        ValueError: no scores, or a share that is none.
    """
    if not len(scores) or not 0.0 < share < 1.0:
        raise ValueError(f"expected at least one score and a share between 0 and 1, got {len(scores)} and {share}")

    def excess(offset: float) -> float:
        tables = _moved(calibration, offset).venn_abers
        return float(probability(scores, tables.interval(scores)).mean()) - share

    if excess(-FARTHEST) >= 0.0 or excess(FARTHEST) <= 0.0:
        return calibration  # what is certain by the tables cannot be moved
    return _moved(calibration, brentq(excess, -FARTHEST, FARTHEST, xtol=1e-6))


def _moved(calibration: Calibration, offset: float) -> Calibration:
    """All probabilities by this many log-odds; 0 and 1 stay."""
    tables, cuts = calibration.venn_abers, calibration.cuts

    def move(values: Floats) -> Floats:
        return np.where((values > 0.0) & (values < 1.0), expit(logit(np.clip(values, 0.0, 1.0)) + offset), values)

    medium, high, critical = move(np.array([cuts.medium, cuts.high, cuts.critical])).tolist()
    return replace(
        calibration,
        venn_abers=replace(tables, low=move(tables.low), high=move(tables.high)),
        cuts=Cuts(medium, high, critical),
    )
