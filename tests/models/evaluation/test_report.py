"""The report of a model whose truth is known, of a rule, and of slices in which nothing can be known."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.calibration import calibrate
from models.classifiers import Boosting, Plan, train
from models.classifiers.artifact import describe
from models.decisions import HEURISTIC_CUTS, Policy
from models.evaluation import Answers, figures, report
from models.evaluation.coverage import absolute_residual, label_sets, venn_abers
from models.registry import Manifest, Place
from tests.models.classifiers.made import FEATURES, cases

TRAINED = train(cases(1, 12_000), Plan(Boosting(rounds=60)))
NEW = cases(2, 6000)
POLICY = Policy(TRAINED.scorer.cuts)
ANSWERS = Answers.of(TRAINED.scorer, NEW.features, FEATURES)
FOUND = report(NEW.labels, ANSWERS, POLICY)


def drawn(seed: int, rows: int) -> tuple[Any, Any]:
    """Scores that are the true probabilities of their labels, most of them small."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.3, 4, rows)
    return scores, rng.random(rows) < scores


def test_the_report_is_json_and_adds_up() -> None:
    assert json.loads(json.dumps(FOUND, allow_nan=False)) == FOUND
    assert (FOUND["rows"], FOUND["positives"]) == (6000, int(NEW.labels.sum()))
    decisions = FOUND["decisions"]
    assert decisions["tickets"] + decisions["alerts"] + decisions["cleared"] == 6000
    caught = decisions["positives_in_tickets"] + decisions["positives_in_alerts"]
    assert caught + decisions["positives_cleared"] == FOUND["positives"]
    assert decisions["automated"] == pytest.approx(1 - decisions["alerts"] / 6000)
    assert decisions["ticket_precision_low"] < decisions["ticket_precision"] < decisions["ticket_precision_high"]
    assert sum(band["rows"] for band in FOUND["reliability"]) == 6000
    for method in ("venn_abers", "mondrian", "absolute_residual"):
        bands = FOUND["coverage"][method]
        assert sum(band["rows"] for name, band in bands.items() if name != "all") == bands["all"]["rows"] == 6000


def test_the_report_says_what_the_model_is_worth() -> None:
    assert FOUND["pr_auc"] > 0.5 > 10 * FOUND["pr_auc_of_chance"] / 1.5
    assert FOUND["brier"] < 0.8 * FOUND["brier_of_prevalence"]
    assert FOUND["cuts"]["HIGH"]["share"] < 0.055
    assert FOUND["cuts"]["HIGH"]["false_positive_rate"] < 0.05
    assert FOUND["importance"]["drift"] == max(FOUND["importance"].values())
    assert "constant" in FOUND["unimportant"]
    assert "drift" not in FOUND["unimportant"]
    assert 0 < FOUND["decisions"]["certificate"]["reviews"] <= FOUND["decisions"]["tickets"]


def test_figures_are_what_a_manifest_holds() -> None:
    found = figures(FOUND)
    assert found["pr_auc"] == FOUND["pr_auc"]
    assert found["high_share"] == FOUND["cuts"]["HIGH"]["share"]
    assert found["ticket_precision"] == FOUND["decisions"]["ticket_precision"]
    manifest = describe(TRAINED.scorer, Place("fraud"), "v20250131_060000", "made/1", FEATURES, TRAINED.about, found)
    assert Manifest.decode(manifest.encode()).metrics == found


def test_a_rule_has_a_report_without_intervals() -> None:
    rule = Answers(np.where(NEW.features[:, 0] > 300, 0.8, 0.1), np.zeros(len(NEW)))
    found = report(NEW.labels, rule, Policy(HEURISTIC_CUTS))
    assert found["coverage"] == {}
    assert found["importance"] is None
    assert found["decisions"]["tickets"] == 0
    assert found["decisions"]["certificate"] is None
    assert found["decisions"]["alerts"] == int((NEW.features[:, 0] > 300).sum())
    assert found["pr_auc"] < FOUND["pr_auc"]


def test_a_slice_of_one_class_says_what_it_can() -> None:
    few = Answers.of(TRAINED.scorer, NEW.features[:40], FEATURES)
    found = report(np.zeros(40, dtype=bool), few, POLICY)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["roc_auc"], found["pr_auc"], found["precision_at_80_recall"]) == (None, None, None)
    assert "pr_auc" not in figures(found)
    assert found["cuts"]["HIGH"]["recall"] is None
    assert found["coverage"]["mondrian"]["all"]["coverage_of_positives"] is None


def test_venn_abers_holds_in_every_band_and_a_shifted_one_does_not() -> None:
    scores, labels = drawn(1, 20_000)
    calibration = calibrate(scores, labels)
    new, truth = drawn(2, 40_000)
    low, high, _ = calibration.venn_abers.interval(new)
    risk = calibration.cuts.risk((low + high) / 2)
    found = venn_abers(truth, low, high, risk, 0.2)
    assert found["all"]["coverage"]["0.99"] >= 0.9
    assert found["all"]["narrow"] > 0.999
    assert found["LOW"]["groups"] == 10
    assert found["LOW"]["width"] < found["CRITICAL"]["width"]
    shifted = venn_abers(truth, low / 2, high / 2, risk, 0.2)
    assert shifted["all"]["coverage"]["0.99"] < 0.5
    assert all(band["coverage"]["0.90"] <= band["coverage"]["0.99"] for band in found.values())


def test_sets_cover_both_classes_and_residuals_only_the_large_one() -> None:
    scores, labels = drawn(3, 20_000)
    calibration = calibrate(scores, labels)
    new, truth = drawn(4, 20_000)
    risk = calibration.cuts.risk(new)
    sets = label_sets(truth, calibration.label_sets.of(new), risk)["all"]
    residual = absolute_residual(truth, *calibration.residual.interval(new), risk, 0.2)["all"]
    for level in (0.90, 0.95, 0.99):
        name = f"{level:.2f}"
        assert sets["coverage"][name] == pytest.approx(level, abs=0.015)
        assert sets["coverage_of_positives"][name] == pytest.approx(level, abs=0.04)
        assert residual["coverage"][name] == pytest.approx(level, abs=0.015)
    assert residual["coverage_of_positives"]["0.90"] < 0.4
    assert 1 <= sets["width"]["0.90"] <= sets["width"]["0.99"] <= 2
    assert residual["narrow"] == {"0.90": 0.0, "0.95": 0.0, "0.99": 0.0}


def test_certificates_are_of_the_rows_that_would_be_tickets() -> None:
    rows = 400
    low = np.where(np.arange(rows) < 30, 0.9, 0.1)
    answers = Answers(low, low, (low, low + 0.05))
    labels = np.arange(rows) < 28
    found = report(labels, answers, replace(POLICY, act=0.8))["decisions"]
    assert found["certificate"] == {"since": 0.8, "reviews": 30, "correct": 28, "missing": 0}
    assert (found["tickets"], found["ticket_precision"]) == (30, 28 / 30)
    wrong = report(np.arange(rows) < 20, answers, POLICY)["decisions"]["certificate"]
    assert wrong == {"since": None, "reviews": 30, "correct": 20, "missing": None}
