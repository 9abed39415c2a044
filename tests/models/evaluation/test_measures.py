"""Measures against their definitions, and what they say when there is nothing to measure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from models.evaluation.measures import Stratum, audited_recall, brier, confusion, exact_interval, ranking, reliability

SCORED = st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=30)
@given(cases=SCORED)
def test_ranking_is_what_its_definitions_say(cases: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([score / 10 for score, _ in cases]), np.array([label for _, label in cases])
    found = ranking(labels, scores)
    ones, zeros = scores[labels], scores[~labels]
    if not len(ones) or not len(zeros):
        assert set(found.values()) == {None}
        return
    pairs = (ones[:, None] > zeros).mean() + (ones[:, None] == zeros).mean() / 2
    assert found["roc_auc"] == pytest.approx(pairs)
    cuts = sorted(set(scores.tolist()), reverse=True)
    precision = [labels[scores >= cut].mean() for cut in cuts]
    recall = [(ones >= cut).mean() for cut in cuts]
    area = sum(p * (r - before) for p, r, before in zip(precision, recall, [0.0, *recall[:-1]], strict=True))
    assert found["pr_auc"] == pytest.approx(area)
    assert found["precision_at_80_recall"] == pytest.approx(
        max(p for p, r in zip(precision, recall, strict=True) if r >= 0.8)
    )
    assert found["pr_auc_of_chance"] == pytest.approx(labels.mean())


@settings(max_examples=50)
@given(rows=st.integers(1, 200), data=st.data(), confidence=st.sampled_from((0.8, 0.9, 0.99)))
def test_the_exact_interval_leaves_out_what_is_too_unlikely(rows: int, data: st.DataObject, confidence: float) -> None:
    hits = data.draw(st.integers(0, rows))
    low, high = exact_interval(hits, rows, confidence)
    tail = (1 - confidence) / 2
    assert 0 <= low <= hits / rows <= high <= 1
    assert low == 0 or binom.sf(hits - 1, rows, low) == pytest.approx(tail)
    assert high == 1 or binom.cdf(hits, rows, high) == pytest.approx(tail)


def test_more_hits_than_rows_are_an_error() -> None:
    with pytest.raises(ValueError, match="expected 0 to 3 hits, got 4"):
        exact_interval(4, 3)


def test_reliability_is_counted_in_bands() -> None:
    probabilities = np.array([0.0, 0.0009, 0.001, 0.2, 0.29, 0.3, 0.8, 1.0])
    labels = np.array([0, 0, 0, 0, 1, 0, 1, 1], dtype=bool)
    found = reliability(labels, probabilities)
    assert [(band["since"], band["rows"], band["positive"]) for band in found] == [
        (0.0, 2, 0.0),
        (0.001, 1, 0.0),
        (0.1, 2, 0.5),
        (0.3, 1, 0.0),
        (0.8, 2, 1.0),
    ]
    assert found[2]["mean_probability"] == pytest.approx(0.245)
    assert (found[2]["positive_low"], found[2]["positive_high"]) == exact_interval(1, 2)


def test_brier_and_confusion() -> None:
    labels = np.array([1, 1, 0, 0, 0], dtype=bool)
    assert brier(labels, np.array([0.5, 1.0, 0.5, 0.0, 0.0])) == pytest.approx(0.1)
    assert brier(labels[:0], np.zeros(0)) is None
    assert confusion(labels, np.array([1, 0, 1, 0, 0], dtype=bool)) == {
        "true_positives": 1,
        "false_positives": 1,
        "false_negatives": 1,
        "true_negatives": 2,
        "share": 0.4,
        "precision": 0.5,
        "recall": 0.5,
        "false_positive_rate": pytest.approx(1 / 3),
    }
    nothing = confusion(labels[2:], np.zeros(3, dtype=bool))
    assert (nothing["precision"], nothing["recall"], nothing["false_positive_rate"]) == (None, None, 0.0)


def test_recall_from_an_audit_is_an_interval() -> None:
    found = audited_recall(80, [Stratum(cleared=10_000, audited=500, hits=1)])
    low, high = exact_interval(1, 500)
    assert found["hidden"] == 20.0
    assert (found["hidden_low"], found["hidden_high"]) == (pytest.approx(1e4 * low), pytest.approx(1e4 * high))
    assert found["recall"] == 0.8
    assert found["recall_low"] == pytest.approx(80 / (80 + 1e4 * high))
    assert found["recall_high"] == pytest.approx(80 / (80 + 1e4 * low))


def test_without_an_audit_recall_may_be_anything() -> None:
    found = audited_recall(80, [Stratum(cleared=920, audited=0, hits=0)])
    assert (found["hidden"], found["recall"]) == (None, None)
    assert (found["recall_low"], found["recall_high"]) == (0.08, 1.0)


def test_when_all_was_audited_recall_is_known() -> None:
    found = audited_recall(80, [Stratum(cleared=100, audited=100, hits=20)])
    assert (found["recall_low"], found["recall"], found["recall_high"]) == (0.8, 0.8, 0.8)
    nothing = audited_recall(0, [Stratum(cleared=100, audited=100, hits=0)])
    assert (nothing["recall_low"], nothing["recall"], nothing["recall_high"]) == (None, None, None)
    with pytest.raises(ValueError, match="hits <= audited <= cleared, got 3, 2 and 5"):
        audited_recall(1, [Stratum(5, 2, 3)])


def test_strata_of_other_propensity_share_the_error() -> None:
    parts = [Stratum(1000, 100, 2), Stratum(500, 250, 0)]
    ends = [[part.cleared * end for end in exact_interval(part.hits, part.audited, 0.95)] for part in parts]
    found = audited_recall(80, parts)
    assert found["hidden"] == 20.0
    assert found["hidden_low"] == pytest.approx(sum(low for low, _ in ends))
    assert found["hidden_high"] == pytest.approx(sum(high for _, high in ends))
    assert audited_recall(80, [*parts, Stratum(10, 0, 0)])["hidden"] is None
    assert audited_recall(80, [])["recall"] == 1.0


def test_the_audit_s_interval_holds_the_truth_nine_times_of_ten() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(300):
        hidden = int(rng.integers(5, 60))
        hits = int(rng.hypergeometric(hidden, 5000 - hidden, 400))
        found = audited_recall(50, [Stratum(5000, 400, hits)])
        held += found["recall_low"] <= 50 / (50 + hidden) <= found["recall_high"]
    assert held >= 0.9 * 300 - 10
