"""Every classifier: the same scores for any cut of a batch, exact contributions, files that come back as they were."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from models.classifiers import Boosted, Boosting, Logistic, Regression, boosted, logistic, ubjson
from models.classifiers.classifier import Classifier
from models.classifiers.examples import known
from models.classifiers.shapley import Shapley
from models.classifiers.trees import Trees
from models.registry import ArtifactRefused
from schemas.compiled import load
from tests.models.classifiers.made import FEATURES, cases, rows_of

EXAMPLES = cases(1)
BOOSTING = Boosting(rounds=60)
BOOSTED = Boosted.fit(EXAMPLES, BOOSTING, seed=1)
LOGISTIC = Logistic.fit(EXAMPLES, Regression(), seed=1)

each = pytest.mark.parametrize("classifier", [BOOSTED, LOGISTIC], ids=["xgboost", "logistic"])


@each
@settings(max_examples=25)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 90), min_size=1, max_size=12))
def test_any_cut_gives_the_same_scores_to_the_last_bit(classifier: Classifier, seed: int, cuts: list[int]) -> None:
    values = rows_of(seed, sum(cuts))
    whole = classifier.scores(values)
    parts = [classifier.scores(part) for part in np.split(values, np.cumsum(cuts)[:-1])]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    alone = [classifier.scores(values[row : row + 1]) for row in range(min(20, len(values)))]
    assert np.concatenate([np.zeros(0), *alone]).tobytes() == whole[: len(alone)].tobytes()
    assert ((whole >= 0) & (whole <= 1)).all()


OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"base_score": 0.013, "scale_pos_weight": 99},
    {"max_depth": 1},
    {"max_depth": 9, "max_delta_step": 0},
    {"max_depth": 0, "max_leaves": 20, "grow_policy": "lossguide"},
    {"min_child_weight": 1e9},  # no tree has more than a leaf
)
compiled = pytest.mark.skipif(load("models.classifiers._compiled") is None, reason="it was not built")


@compiled
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_compiled_trees_sum_up_to_the_librarys_margins_to_the_last_bit(options: dict[str, Any]) -> None:
    matrix = xgboost.DMatrix(EXAMPLES.features, label=EXAMPLES.labels, nthread=1)
    booster = xgboost.train(Boosting().parameters(1) | options, matrix, 50)
    trees = Trees(booster, ubjson.decode(bytes(booster.save_raw("ubj"))))
    assert trees.quick
    for rows in (0, 1, 15, 16, 17, 700):
        # Some stand on a limit, which belongs to the right.
        values = np.concatenate([EXAMPLES.features[: rows // 2].astype(np.float32), rows_of(rows, rows - rows // 2)])
        wanted = booster.inplace_predict(known(values), predict_type="margin", validate_features=False) if rows else []
        assert trees.margins(values).tolist() == list(wanted)


@pytest.mark.parametrize("plain", [pytest.param(False, marks=compiled), True], ids=["compiled", "plain"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_contributions_are_those_of_the_library(options: dict[str, Any], plain: bool) -> None:
    matrix = xgboost.DMatrix(EXAMPLES.features, label=EXAMPLES.labels, nthread=1)
    booster = xgboost.train(Boosting().parameters(1) | options, matrix, 50)
    shapley = Shapley(ubjson.decode(bytes(booster.save_raw("ubj")))["learner"])
    for rows in (1, 15, 17, 50):
        # Some stand on a limit, which belongs to the right.
        values = np.concatenate([EXAMPLES.features[: rows // 2].astype(np.float32), rows_of(rows, rows - rows // 2)])
        wanted = booster.predict(xgboost.DMatrix(known(values), nthread=1), pred_contribs=True)
        found = shapley.contributions(values, plain=plain)
        assert found == pytest.approx(wanted, abs=3e-5)
        assert found.tobytes() == shapley.contributions(values).tobytes()


@each
def test_contributions_add_up_to_the_log_odds_of_the_score(classifier: Classifier) -> None:
    values = rows_of(3, 300)
    parts = classifier.contributions(values)
    assert parts.shape == (300, len(FEATURES) + 1)
    assert 1 / (1 + np.exp(-parts.sum(axis=1))) == pytest.approx(classifier.scores(values), abs=1e-5)
    assert classifier.contributions(values[:0]).shape == (0, len(FEATURES) + 1)


@each
def test_it_learns_what_tells_the_classes_apart(classifier: Classifier) -> None:
    new = cases(2)
    assert roc_auc_score(new.labels, classifier.scores(new.features)) > (0.93 if classifier is BOOSTED else 0.9)
    share = classifier.importance()
    assert share.sum() == pytest.approx(1.0)
    assert int(np.argmax(share)) == 0
    assert share[4] < 0.01  # it never changes
    assert classifier.scores(new.features).mean() == pytest.approx(0.05, abs=0.015)


@each
@pytest.mark.parametrize("nothing", [np.inf, -np.inf, 1e300])
def test_what_is_no_number_counts_as_missing(classifier: Classifier, nothing: float) -> None:
    values = cases(4, 50, missing=0.3).features
    odd = np.where(np.isnan(values), nothing, values)
    assert classifier.scores(odd).tobytes() == classifier.scores(values).tobytes()
    assert classifier.contributions(odd).tobytes() == classifier.contributions(values).tobytes()


def test_files_come_back_as_they_were() -> None:
    values = rows_of(5, 200)
    for name, classifier, unpack in (
        (boosted.FILE, BOOSTED, boosted.unpack),
        (logistic.FILE, LOGISTIC, logistic.unpack),
    ):
        assert isinstance(classifier, Boosted | Logistic)
        raw = classifier.pack()[name]
        back = unpack(raw, len(FEATURES))
        assert back.pack()[name] == raw
        assert back.scores(values).tobytes() == classifier.scores(values).tobytes()


def test_training_again_gives_the_same_bytes() -> None:
    assert Boosted.fit(EXAMPLES, BOOSTING, seed=1).pack() == BOOSTED.pack()
    assert Boosted.fit(EXAMPLES, BOOSTING, seed=2).pack() != BOOSTED.pack()
    assert Logistic.fit(EXAMPLES, Regression(), seed=9).pack() == LOGISTIC.pack()


def test_re_weighting_lifts_the_scores_above_the_true_share() -> None:
    weighted = Boosted.fit(EXAMPLES, replace(BOOSTING, scale_pos_weight=19.0), seed=1)
    assert weighted.scores(cases(2).features).mean() > 0.08
    heavier = Logistic.fit(EXAMPLES, Regression(scale_pos_weight=19.0), seed=1)
    assert heavier.scores(cases(2).features).mean() > 0.15


def test_a_case_that_weighs_more_counts_for_more() -> None:
    heavy = replace(EXAMPLES, weights=np.where(EXAMPLES.labels, 19.0, 1.0))
    for kind, usual, weighted in (
        (Boosted.fit(heavy, BOOSTING, 1), BOOSTED, replace(BOOSTING, scale_pos_weight=19.0)),
        (Logistic.fit(heavy, Regression(), 1), LOGISTIC, Regression(scale_pos_weight=19.0)),
    ):
        found = kind.scores(EXAMPLES.features)
        assert found.mean() > 1.3 * usual.scores(EXAMPLES.features).mean()
        same = type(kind).fit(EXAMPLES, weighted, 1)  # type: ignore[arg-type]
        assert np.corrcoef(found, same.scores(EXAMPLES.features))[0, 1] > 0.98


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    values = cases(6, 1000, missing=0.0)
    found = Logistic.fit(values, Regression(strength=0.5), seed=0)
    scaled = np.clip((values.features - found.mean) / found.deviation, -8, 8)
    theirs = LogisticRegression(C=0.5, max_iter=2000).fit(scaled, values.labels)
    assert found.scores(values.features) == pytest.approx(theirs.predict_proba(scaled)[:, 1], abs=1e-4)
    assert found.mean[:4] == pytest.approx(values.features[:, :4].mean(axis=0))
    assert found.deviation[4] == 1.0


def test_a_missing_value_stands_at_the_mean_and_has_a_weight_of_its_own() -> None:
    assert LOGISTIC.weight_missing[3] > 1.0
    missing, mean = LOGISTIC.mean.copy(), LOGISTIC.mean.copy()
    missing[3] = np.nan
    parts = LOGISTIC.contributions(np.stack([missing, mean]))
    assert parts[0].tolist() == [0, 0, 0, LOGISTIC.weight_missing[3], 0, LOGISTIC.intercept]
    assert parts[1].tolist() == [0, 0, 0, 0, 0, LOGISTIC.intercept]


def test_a_wild_value_is_cut() -> None:
    row = LOGISTIC.mean.copy()
    row[0] += 1e9
    assert LOGISTIC.contributions(row[None])[0, 0] == 8.0 * LOGISTIC.weight[0]


RAW = BOOSTED.pack()[boosted.FILE]
OTHER = bytes(
    xgboost.train(
        {"objective": "reg:squarederror", "nthread": 1}, xgboost.DMatrix(np.eye(5), label=np.arange(5)), 2
    ).save_raw("ubj")
)


@pytest.mark.parametrize(
    ("raw", "features", "said"),
    [
        (RAW, 4, "trained on 5 features; expected 4"),
        (RAW[: len(RAW) // 2], 5, "cannot be read"),
        (b"", 5, "cannot be read"),
        (b"{}{}", 5, "cannot be read"),
        (b"{}", 5, "cannot be read"),
        (OTHER, 5, "objective reg:squarederror"),
        (b"\0" * (boosted.MOST_BYTES + 1), 5, "at most 67,108,864 are loaded"),
    ],
)
def test_files_that_are_no_booster_of_so_many_features_are_refused(raw: bytes, features: int, said: str) -> None:
    with pytest.raises(ArtifactRefused, match=said):
        boosted.unpack(raw, features)


def test_a_tree_whose_nodes_lead_nowhere_is_refused() -> None:
    stored = ubjson.decode(RAW)
    assert boosted.fault(stored, 5) is None
    tree = stored["learner"]["gradient_booster"]["model"]["trees"][3]
    inner = int(np.flatnonzero(tree["left_children"] >= 0)[-1])
    for name, value in (
        ("left_children", 0),
        ("left_children", len(tree["parents"])),
        ("left_children", -2),
        ("left_children", -1),
        ("right_children", int(tree["left_children"][inner])),
        ("parents", 1),
        ("split_indices", 5),
        ("split_indices", -1),
        ("split_type", 1),
        ("split_conditions", np.nan),
    ):
        good = tree[name]
        tree[name] = good.copy()
        tree[name][int(tree["left_children"][0]) if name == "parents" else inner] = value
        said = boosted.fault(stored, 5)
        assert said is not None, (name, value)
        assert said.startswith("has a tree, number 3, whose")
        tree[name] = good
    assert boosted.fault(stored, 5) is None


@settings(max_examples=30)
@given(at=st.floats(0, 0.9999), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_file_is_refused_or_scores(at: float, value: int, cut: bool) -> None:
    place = int(at * len(RAW))
    damaged = RAW[:place] if cut else RAW[:place] + bytes([value]) + RAW[place + 1 :]
    if cut:
        with pytest.raises(ArtifactRefused, match="cannot be read"):
            boosted.unpack(damaged, 5)
    else:
        with suppress(ArtifactRefused):
            assert len(boosted.unpack(damaged, 5).scores(rows_of(1, 20))) == 20


TEXT = LOGISTIC.pack()[logistic.FILE]


@pytest.mark.parametrize(
    ("raw", "features", "said"),
    [
        (TEXT, 4, "another number of features"),
        (TEXT[:50], 5, "cannot be read"),
        (b"[1]", 5, "cannot be read"),
        (TEXT.replace(b'"mean"', b'"men"'), 5, "cannot be read"),
        (TEXT.replace(b'"format": 1', b'"format": 2'), 5, "reads format 1"),
        (replace(LOGISTIC, deviation=np.zeros(5)).pack()[logistic.FILE], 5, "not above 0"),
        (TEXT.replace(b'"intercept": ', b'"intercept": 1e999, "was": '), 5, "not finite"),
    ],
)
def test_files_that_are_no_coefficients_of_so_many_features_are_refused(raw: bytes, features: int, said: str) -> None:
    with pytest.raises(ArtifactRefused, match=said):
        logistic.unpack(raw, features)
