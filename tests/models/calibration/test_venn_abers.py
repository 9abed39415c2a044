"""Venn-Abers tables against isotonic regression refitted for every single score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from models.calibration import Interval, VennAbers, probability

CASES = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40)


def refitted(scores: list[float], labels: list[bool], new: float, label: int) -> float:
    """Value at `new` of the isotonic regression with (new, label) among the cases."""
    fitted = IsotonicRegression().fit([*scores, new], [*map(float, labels), float(label)])
    return float(fitted.predict([new])[0])


@settings(max_examples=60)
@given(cases=CASES, halves=st.lists(st.integers(-1, 26), min_size=1, max_size=8))
def test_p0_and_p1_are_those_of_isotonic_regression_with_the_case_added(
    cases: list[tuple[int, bool]], halves: list[int]
) -> None:
    scores, labels = [score / 12 for score, _ in cases], [label for _, label in cases]
    new = [half / 24 for half in halves]
    low, high, _ = VennAbers.fit(scores, labels).interval(new)
    assert low.tolist() == pytest.approx([refitted(scores, labels, each, 0) for each in new], abs=1e-12)
    assert high.tolist() == pytest.approx([refitted(scores, labels, each, 1) for each in new], abs=1e-12)


@given(cases=CASES)
def test_the_interval_is_one_and_ascends_with_the_score(cases: list[tuple[int, bool]]) -> None:
    tables = VennAbers.fit([score / 12 for score, _ in cases], [label for _, label in cases])
    new = np.linspace(-0.1, 1.1, 121)
    low, high, _ = tables.interval(new)
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert (low < high).all()
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) >= 0).all()
    one = probability(new, tables.interval(new))
    assert ((low <= one) & (one <= high)).all()


def test_rows_are_those_of_the_weaker_block() -> None:
    tables = VennAbers.fit([0.1, 0.2, 0.3, 0.4, 0.5], [0, 0, 0, 1, 1])
    # As a 1, a score of 0.15 is pooled with the zeros at 0.2 and 0.3; as a 0 with those at 0.1, 0.2 and 0.3.
    assert tables.interval([0.15]).high.tolist() == [1 / 3]
    assert tables.interval([0.15, 0.05, 0.9, 0.45]).rows.tolist() == [2, 0, 0, 1]


def test_more_data_gives_narrower_intervals_and_more_rows() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(20_000)
    labels = rng.random(20_000) < scores**3
    few, many = VennAbers.fit(scores[:200], labels[:200]), VennAbers.fit(scores, labels)
    inner = np.linspace(0.1, 0.9, 50)
    width = [np.mean(tables.interval(inner).high - tables.interval(inner).low) for tables in (few, many)]
    assert width[1] < width[0] / 4
    assert many.interval(inner).rows.mean() > 20 * few.interval(inner).rows.mean()
    assert np.abs(probability(inner, many.interval(inner)) - inner**3).max() < 0.06


def test_one_of_p0_and_p1_is_calibrated_and_their_mean_holds_in_every_band() -> None:
    """The theorem: the probability chosen by the true label is calibrated exactly, here on average over many draws."""
    rng = np.random.default_rng(2)
    chosen, truth = [], []
    for _ in range(400):
        scores = rng.random(101)
        labels = rng.random(101) < scores
        low, high, _ = VennAbers.fit(scores[:100], labels[:100]).interval(scores[100:])
        truth.append(bool(labels[100]))
        chosen.append(float(high[0] if labels[100] else low[0]))
    bands = np.digitize(chosen, (0.25, 0.5, 0.75))
    for band in range(4):
        among = bands == band
        assert np.mean(np.array(truth)[among]) == pytest.approx(np.mean(np.array(chosen)[among]), abs=0.13)


def test_the_probability_lies_between_and_keeps_the_order_of_the_scores() -> None:
    interval = Interval(np.array([0.0, 0.2, 0.2]), np.array([1.0, 0.4, 0.4]), np.zeros(3, dtype=np.int64))
    found = probability(np.array([0.1, 0.3, 0.4]), interval)
    assert found == pytest.approx([0.5, 1 / 3, 1 / 3], abs=1e-9)
    assert found[2] > found[1]
