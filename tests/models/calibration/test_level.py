"""Probabilities as high as they should be, from cases that were no fair sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import Calibration, calibrate, pack, probability, unpack
from models.calibration.calibration import fault
from models.calibration.level import leveled
from models.calibration.venn_abers import Floats
from models.evaluation.measures import brier
from tests.models.calibration.test_calibration import FOUND, SCORES, cases


def said(calibration: Calibration, scores: Floats) -> Floats:
    return probability(scores, calibration.venn_abers.interval(scores))


@settings(max_examples=30)
@given(share=st.floats(0.002, 0.6))
def test_the_mean_is_the_share_and_the_order_stays(share: float) -> None:
    found = leveled(FOUND, SCORES, share)
    assert said(found, SCORES).mean() == pytest.approx(share, abs=1e-4)
    assert fault(found) is None
    ordered = np.sort(SCORES)
    assert (np.diff(said(found, ordered)) >= 0).all()
    interval = found.venn_abers.interval(ordered)
    assert (interval.low < said(found, ordered)).all()
    assert (said(found, ordered) < interval.high).all()
    assert (found.label_sets.of(SCORES) == FOUND.label_sets.of(SCORES)).all()
    assert (found.cuts.medium > FOUND.cuts.medium) == (share > said(FOUND, SCORES).mean())
    assert (said(unpack(pack(found)), SCORES) == said(found, SCORES)).all()


def test_it_undoes_that_one_label_was_more_likely_to_be_known() -> None:
    scores, labels = cases(3, 40_000)
    known = labels | (np.random.default_rng(4).random(len(labels)) < 0.05)
    biased = calibrate(scores[known], labels[known])
    later, truth = cases(5, 40_000)
    assert said(biased, later).mean() > 2 * truth.mean()
    fair = leveled(biased, scores, float(labels.mean()))
    assert said(fair, later).mean() == pytest.approx(truth.mean(), rel=0.05)
    best, ours, theirs = (brier(truth, said(each, later)) for each in (calibrate(scores, labels), fair, biased))
    assert best is not None
    assert ours is not None
    assert theirs is not None
    assert ours < 1.02 * best < 0.9 * theirs


@pytest.mark.parametrize(("scores", "share"), [([], 0.1), ([0.5], 0.0), ([0.5], 1.0), ([0.5], float("nan"))])
def test_what_is_no_share_is_refused(scores: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="expected at least one score and a share between 0 and 1"):
        leveled(FOUND, np.array(scores), share)
