"""The isolation forest: scores as scikit-learn's, conformal p-values, and files that are refused when wrong."""

from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest

from models.anomaly import forest_trainer
from models.anomaly.forest import Forest, Trees, filled
from models.anomaly.forest_artifact import ARRAYS, Training, describe, figures, pack, unpack
from models.anomaly.forest_trainer import TooFewSamples, flatten, train
from models.metrics import NAMES
from models.registry import Artifact, ArtifactRefused, Mark, Place

Floats = NDArray[np.float64]

MINUTE_MS, DAY_MS = 60_000, 86_400_000
VERSION = "v20250131_060000"
HIGH = np.finfo(np.float32).max


def usual(seed: int, count: int = 2000, missing: float = 0.02) -> Floats:
    """Nine metrics that follow one load, each in its own unit; some are missing."""
    rng = np.random.default_rng(seed)
    load = rng.uniform(0, 1, (count, 1))
    units = np.array([40, 5, 1e6, 3e6, 50, 4, 10, 60, 0.01])
    values = units * (0.2 + load) * np.exp(rng.normal(0, 0.15, (count, 9)))
    values[rng.random(values.shape) < missing] = np.nan
    return values


def trained(seed: int = 1, count: int = 2000) -> tuple[Forest, Training]:
    return train(np.arange(count) * MINUTE_MS, usual(seed, count), seed=seed)


FOREST, TRAINING = trained()
FILES = pack(FOREST)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 400),
    features=st.integers(1, 9),
    decimals=st.sampled_from((0, 2, 9)),
    scale=st.sampled_from((1e-30, 1.0, 1e9, 1e38)),
    samples=st.integers(2, 300),
)
def test_scores_are_those_of_scikit_learn(
    seed: int, count: int, features: int, decimals: int, scale: float, samples: int
) -> None:
    rng = np.random.default_rng(seed)
    known = scale * np.round(rng.normal(size=(count, features)), decimals)
    known[:, 0] = scale  # one that never changes
    theirs = IsolationForest(n_estimators=20, max_samples=min(samples, count), random_state=seed % 1000)
    theirs.fit(filled(known, np.zeros(features)))
    ours = Forest(flatten(theirs), np.zeros(features), np.zeros(1), 0.5)
    new = np.concatenate([known[:100], scale * rng.normal(0, 3, size=(100, features))])
    expected = -theirs.score_samples(filled(new, np.zeros(features)))
    assert np.abs(ours.scores(new) - expected).max() < 1e-9


def test_a_value_at_the_threshold_goes_to_the_first_child() -> None:
    trees = Trees(
        roots=np.array([0]),
        feature=np.zeros(3, dtype=np.intp),
        threshold=np.array([1.0, np.inf, np.inf]),
        children=np.array([[1, 2], [1, 1], [2, 2]]),
        length=np.array([0.0, 1.0, 3.0]),
        depth=1,
        usual=1.0,
    )
    forest = Forest(trees, np.zeros(1), np.zeros(1), 0.5)
    assert forest.scores([[0.5], [1.0], [1.001]]).tolist() == [0.5, 0.5, 0.125]


def test_the_trained_forest_scores_as_scikit_learn_fitted_on_the_same_samples() -> None:
    values = usual(1)
    theirs = IsolationForest(n_estimators=100, max_samples=256, contamination=0.05, random_state=1)
    theirs.fit(filled(values[:1600], FOREST.medians))
    new = usual(2)
    assert np.abs(FOREST.scores(new) + theirs.score_samples(filled(new, FOREST.medians))).max() < 1e-9
    assert FOREST.nominal == pytest.approx(-theirs.offset_, abs=1e-12)
    assert np.mean(FOREST.scores(values[:1600]) >= FOREST.nominal) == pytest.approx(0.05, abs=0.002)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_any_cut_gives_the_same_scores_to_the_last_bit(seed: int, cuts: list[int]) -> None:
    values = usual(seed, sum(cuts))
    whole = FOREST.scores(values)
    parts = np.split(values, np.cumsum(cuts)[:-1])
    assert np.concatenate([FOREST.scores(part) for part in parts]).tobytes() == whole.tobytes()
    assert [FOREST.score(each.tolist()) for each in values] == whole.tolist()


@given(values=st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), min_size=9, max_size=9))
def test_whatever_comes_has_a_score_and_a_p_value(values: list[float | None]) -> None:
    score = FOREST.score(values)
    assert 0.0 < score < 1.0
    assert 1 / 401 <= FOREST.p_value(score) <= 1.0


@pytest.mark.parametrize("nothing", [None, np.nan, np.inf, -np.inf, 1e200])
def test_a_missing_value_stands_at_the_median_of_the_training_samples(nothing: float | None) -> None:
    values = usual(1)
    assert FOREST.medians.tolist() == np.nanmedian(values[:1600], axis=0).tolist()
    for number in range(9):
        row: list[float | None] = usual(3, 1, missing=0)[0].tolist()
        with_median = [*row]
        row[number], with_median[number] = nothing, float(FOREST.medians[number])
        assert FOREST.score(row) == FOREST.score(with_median)


def test_a_metric_that_a_host_does_not_have_decides_nothing() -> None:
    values = usual(1)
    values[:, 4:6] = np.nan
    forest, about = train(np.arange(2000) * MINUTE_MS, values)
    assert forest.medians[4:6].tolist() == [0.0, 0.0]
    assert about.missing["db_connections"] == 1.0
    assert not set(forest.trees.feature[np.isfinite(forest.trees.threshold)].tolist()) & {4, 5}


def test_an_unusual_combination_of_usual_values_has_a_small_p_value() -> None:
    values = usual(1, missing=0.0)
    quiet, busy = np.quantile(values, (0.02, 0.98), axis=0)
    torn = np.where(np.arange(9) % 2, quiet, busy)
    assert FOREST.p_value(FOREST.score(torn)) < 0.02
    assert FOREST.p_value(FOREST.score(np.median(values, axis=0))) > 0.3


def test_p_values_are_the_rank_among_the_calibration_scores() -> None:
    forest = Forest(FOREST.trees, FOREST.medians, np.array([0.3, 0.4, 0.4, 0.6]), 0.5)
    assert [forest.p_value(score) for score in (0.7, 0.6, 0.5, 0.4, 0.3, 0.1)] == [0.2, 0.4, 0.4, 0.8, 1.0, 1.0]


def test_p_values_of_new_usual_samples_are_spread_evenly() -> None:
    found = np.array([FOREST.p_value(score) for score in FOREST.scores(usual(4, 4000))])
    for level in (0.05, 0.2, 0.5, 0.9):
        assert np.mean(found <= level) == pytest.approx(level, abs=0.05)


def test_the_newest_samples_calibrate_and_do_not_train() -> None:
    values = usual(1)
    values[1600:] *= 3
    forest, about = train(np.arange(2000) * MINUTE_MS, values, seed=1)
    assert (about.trained, about.calibrated) == (1600, 400)
    assert forest.trees.threshold.tobytes() == FOREST.trees.threshold.tobytes()
    assert forest.calibration.tolist() == sorted(forest.scores(values[1600:]).tolist())


def test_thirty_days_are_used_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    times, values = np.arange(4000) * (DAY_MS // 50), usual(1, 4000)
    _, about = train(times, values)
    assert (about.first_ms, about.last_ms) == (int(times[-1]) - 30 * DAY_MS, int(times[-1]))
    assert about.trained + about.calibrated == 1501
    monkeypatch.setattr(forest_trainer, "MOST", 1200)
    _, about = train(times, values)
    assert (about.first_ms, about.last_ms) == (int(times[-1]) - 30 * DAY_MS, int(times[-1]))
    assert about.trained + about.calibrated == 1200


@pytest.mark.parametrize(
    ("times", "values", "message"),
    [
        (np.arange(999), usual(1, 999), "at least 1000 samples of the last 30 days, there are 999"),
        (np.arange(2000) * DAY_MS, usual(1), "there are 31"),
        (np.zeros(0), np.zeros((0, 9)), "there are 0"),
        (np.arange(2000)[::-1], usual(1), "ascending"),
        (np.arange(2000), usual(1)[:, :8], "values, got .* and .2000, 8."),
    ],
)
def test_what_cannot_be_trained_on_is_refused(times: Any, values: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        train(times, values)
    assert isinstance(refused.value, TooFewSamples) == ("there are" in message)


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(samples, 9\) values, got \(1, 8\)"):
        FOREST.score([1.0] * 8)


def read(files: dict[str, bytes]) -> Forest:
    """The forest of files that the registry found to be in order."""
    return unpack(Artifact(describe(FOREST, TRAINING, VERSION, "acme"), "tests", files))


def test_a_forest_comes_back_from_its_files_bit_by_bit() -> None:
    forest = read(FILES)
    values = usual(5)
    assert forest.scores(values).tobytes() == FOREST.scores(values).tobytes()
    assert forest.calibration.tobytes() == FOREST.calibration.tobytes()
    assert forest.nominal == FOREST.nominal
    assert pack(forest) == FILES
    again, training = trained()
    assert (pack(again), training) == (FILES, TRAINING)


def test_the_digest_is_that_of_the_samples() -> None:
    values = usual(1)
    values[7, 3] = np.nan
    one = train(np.arange(2000), values, seed=1)[1].digest
    values[7, 3] = np.inf  # missing as well
    assert train(np.arange(2000), values, seed=2)[1].digest == one
    values[7, 3] = 5.0
    assert train(np.arange(2000), values, seed=1)[1].digest != one


def test_the_manifest_says_what_it_is() -> None:
    about = describe(FOREST, TRAINING, VERSION, "acme", "web-1", {"source": "a file"})
    assert about.place == Place("isolation_forest", "acme", "web-1")
    assert about.version == VERSION
    assert (about.feature_set, about.features) == ("metrics-1", NAMES)
    assert (about.training["first_ms"], about.training["last_ms"]) == (0, 1999 * MINUTE_MS)
    assert (about.training["trained"], about.training["source"]) == (1600, "a file")
    assert about.files == {"forest.npz": Mark(len(FILES[ARRAYS]), sha256(FILES[ARRAYS]).hexdigest())}
    assert about.libraries.keys() == {"python", "numpy", "scikit-learn"}
    assert type(about).decode(about.encode()) == about


def test_the_figures_say_what_the_scores_mean() -> None:
    found = figures(FOREST)
    assert (found["nominal"], found["least_p"]) == (FOREST.nominal, 1 / 401)
    assert found["nominal_p"] == FOREST.p_value(FOREST.nominal)
    for p in (0.05, 0.01):
        score = found[f"score_at_{p:g}"]
        assert FOREST.p_value(score) <= p < FOREST.p_value(float(np.nextafter(score, 0.0)))
    assert found["score_at_0.001"] == 1.0  # of 400 samples none is so rare


def test_other_models_and_features_are_refused() -> None:
    about = describe(FOREST, TRAINING, VERSION, "acme")
    for wrong, message in (
        (replace(about, place=Place("fraud", "acme")), "fraud of acme, v20250131_060000: expected a model named iso"),
        (replace(about, feature_set="metrics-0"), r"trained on feature set metrics-0 .* expected metrics-1"),
        (replace(about, features=NAMES[::-1]), "trained on feature set metrics-1"),
    ):
        with pytest.raises(ArtifactRefused, match=message):
            unpack(Artifact(wrong, "tests", FILES))


def with_arrays(arrays: dict[str, Any]) -> dict[str, bytes]:
    """Files in which some arrays are others; None: missing."""
    with np.load(BytesIO(FILES[ARRAYS])) as stored:
        every = {name: stored[name] for name in stored.files} | arrays
    out = BytesIO()
    np.savez(out, **{name: array for name, array in every.items() if array is not None})
    return {ARRAYS: out.getvalue()}


def changed(name: str, at: Any, value: float) -> dict[str, Any]:
    with np.load(BytesIO(FILES[ARRAYS])) as stored:
        array = stored[name].copy()
    array[at] = value
    return {name: array}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "it has no forest.npz, but no files"),
        ({ARRAYS: FILES[ARRAYS][:1000]}, "cannot be read"),
        (with_arrays({"roots": np.array([{"a": 1}], dtype=object)}), "cannot be read: Object arrays"),
        (with_arrays({"threshold": None}), "cannot be read"),
        (with_arrays({"roots": np.array([0.5])}), "roots is float64 .1,., which is no part of a forest"),
        (with_arrays({"calibration": np.zeros(0)}), "calibration is float64 .0,."),
        (with_arrays({"medians": np.zeros(8)}), "no forest of 9 features: it asks about"),
        (with_arrays(changed("feature", 0, 9)), "it asks about 10 features"),
        (with_arrays(changed("roots", 0, -1)), "nodes that it does not have"),
        (with_arrays(changed("children", (0, 1), 10**6)), "nodes that it does not have"),
        (with_arrays(changed("children", (5, 0), 2)), "a node leads back"),
        (with_arrays(changed("length", 3, np.nan)), "not finite"),
        (with_arrays(changed("medians", 3, np.inf)), "not finite"),
        (with_arrays(changed("threshold", 0, np.nan)), "not finite"),
        (with_arrays({"length": np.zeros(3)}), "one row per node"),
        (with_arrays(changed("calibration", 0, 1.0)), "not ascending"),
        (with_arrays(changed("depth_usual_nominal", 0, 3)), "its depth is not 3"),
    ],
)
def test_arrays_that_are_no_forest_are_refused_whoever_signed_them(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(ArtifactRefused, match=f"isolation_forest of acme, {VERSION}: .*{message}"):
        read(files)


def test_storing_arrays_anew_alone_is_not_what_is_refused() -> None:
    assert read(with_arrays({})).scores(usual(5)).tobytes() == FOREST.scores(usual(5)).tobytes()
