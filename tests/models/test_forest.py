"""The isolation forest: scores as scikit-learn's, conformal p-values, and files that are refused when wrong."""

import json
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
from models.anomaly.forest_artifact import ARRAYS, MANIFEST, ArtifactRefused, Manifest, digest, pack, unpack
from models.anomaly.forest_trainer import TooFewSamples, flatten, train
from models.metrics import FEATURE_SET, NAMES

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


def trained(seed: int = 1, count: int = 2000) -> tuple[Forest, Manifest]:
    return train(np.arange(count) * MINUTE_MS, usual(seed, count), version=VERSION, seed=seed)


FOREST, ABOUT = trained()
FILES = pack(FOREST, ABOUT)


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
    forest, about = train(np.arange(2000) * MINUTE_MS, values, version=VERSION)
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
    forest, about = train(np.arange(2000) * MINUTE_MS, values, version=VERSION, seed=1)
    assert (about.trained, about.calibrated) == (1600, 400)
    assert forest.trees.threshold.tobytes() == FOREST.trees.threshold.tobytes()
    assert forest.calibration.tolist() == sorted(forest.scores(values[1600:]).tolist())


def test_thirty_days_are_used_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    times, values = np.arange(4000) * (DAY_MS // 50), usual(1, 4000)
    _, about = train(times, values, version=VERSION)
    assert (about.first_ms, about.last_ms) == (int(times[-1]) - 30 * DAY_MS, int(times[-1]))
    assert about.trained + about.calibrated == 1501
    monkeypatch.setattr(forest_trainer, "MOST", 1200)
    _, about = train(times, values, version=VERSION)
    assert (about.first_ms, about.last_ms) == (int(times[-1]) - 30 * DAY_MS, int(times[-1]))
    assert about.trained + about.calibrated == 1200


@pytest.mark.parametrize(
    ("times", "values", "version", "message"),
    [
        (np.arange(999), usual(1, 999), VERSION, "at least 1000 samples of the last 30 days, there are 999"),
        (np.arange(2000) * DAY_MS, usual(1), VERSION, "there are 31"),
        (np.zeros(0), np.zeros((0, 9)), VERSION, "there are 0"),
        (np.arange(2000)[::-1], usual(1), VERSION, "ascending"),
        (np.arange(2000), usual(1)[:, :8], VERSION, "values, got .* and .2000, 8."),
        (np.arange(2000), usual(1), "newest", "version must look like"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(times: Any, values: Floats, version: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        train(times, values, version=version)
    assert isinstance(refused.value, TooFewSamples) == ("there are" in message)


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(samples, 9\) values, got \(1, 8\)"):
        FOREST.score([1.0] * 8)


def read(files: dict[str, bytes]) -> tuple[Forest, Manifest]:
    return unpack(files, FEATURE_SET, NAMES)


def test_a_forest_comes_back_from_its_files_bit_by_bit() -> None:
    forest, about = read(FILES)
    values = usual(5)
    assert about == ABOUT
    assert forest.scores(values).tobytes() == FOREST.scores(values).tobytes()
    assert forest.calibration.tobytes() == FOREST.calibration.tobytes()
    assert forest.nominal == FOREST.nominal
    assert pack(forest, about) == FILES == pack(*trained())


def test_the_manifest_says_what_it_is() -> None:
    about = json.loads(FILES[MANIFEST])
    assert about["name"] == "isolation_forest"
    assert about["version"] == VERSION
    assert (about["feature_set"], about["features"]) == ("metrics-1", list(NAMES))
    assert (about["first_ms"], about["last_ms"]) == (0, 1999 * MINUTE_MS)
    assert about["files"] == {"forest.npz": sha256(FILES[ARRAYS]).hexdigest()}
    assert about["libraries"].keys() == {"python", "numpy", "scikit-learn"}


@settings(max_examples=200)
@given(data=st.data(), name=st.sampled_from((MANIFEST, ARRAYS)))
def test_a_changed_or_cut_file_is_refused(data: st.DataObject, name: str) -> None:
    raw = bytearray(FILES[name])
    at = data.draw(st.integers(0, len(raw) - 2))
    if data.draw(st.booleans()):
        del raw[at:]
    else:
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    files = FILES | {name: bytes(raw)}
    if name == MANIFEST and same(files[MANIFEST]):
        return
    with pytest.raises(ArtifactRefused, match=f"{name} (is|was|has|cannot)"):
        read(files)


def same(manifest: bytes) -> bool:
    """Whether only white space between the fields was changed."""
    try:
        return bool(json.loads(manifest) == json.loads(FILES[MANIFEST]))
    except ValueError:
        return False


@pytest.mark.parametrize("name", [MANIFEST, ARRAYS])
def test_a_missing_file_is_refused(name: str) -> None:
    with pytest.raises(ArtifactRefused, match=f"{name} is missing"):
        read({key: raw for key, raw in FILES.items() if key != name})


def test_other_features_are_refused() -> None:
    with pytest.raises(ArtifactRefused, match=r"trained on feature set metrics-1 .* expected metrics-2"):
        unpack(FILES, "metrics-2", NAMES)
    with pytest.raises(ArtifactRefused, match="trained on feature set metrics-1"):
        unpack(FILES, FEATURE_SET, NAMES[::-1])


def forged(arrays: dict[str, Any] | None = None, **fields: Any) -> dict[str, bytes]:
    """Files whose digests are right but whose contents are not."""
    raw = FILES[ARRAYS]
    if arrays is not None:
        with np.load(BytesIO(raw)) as stored:
            every = {name: stored[name] for name in stored.files} | arrays
        out = BytesIO()
        np.savez(out, **{name: array for name, array in every.items() if array is not None})
        raw = out.getvalue()
    about = json.loads(FILES[MANIFEST]) | {"files": {ARRAYS: sha256(raw).hexdigest()}} | fields
    about = {key: value for key, value in about.items() if value is not None}
    about["digest"] = digest(about)
    return {MANIFEST: json.dumps(about).encode(), ARRAYS: raw}


def changed(name: str, at: Any, value: float) -> dict[str, Any]:
    with np.load(BytesIO(FILES[ARRAYS])) as stored:
        array = stored[name].copy()
    array[at] = value
    return {name: array}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (forged(format=2), "format 2; this release reads format 1"),
        (forged(seed=None), "lacks seed"),
        (forged({"roots": np.array([{"a": 1}], dtype=object)}), "cannot be read: Object arrays"),
        (forged({"threshold": None}), "cannot be read"),
        (forged({"roots": np.array([0.5])}), "roots is float64 .1,., which is no part of a forest"),
        (forged({"calibration": np.zeros(0)}), "calibration is float64 .0,."),
        (forged({"medians": np.zeros(8)}), "no forest of 9 features: it asks about"),
        (forged(changed("feature", 0, 9)), "it asks about 10 features"),
        (forged(changed("roots", 0, -1)), "nodes that it does not have"),
        (forged(changed("children", (0, 1), 10**6)), "nodes that it does not have"),
        (forged(changed("children", (5, 0), 2)), "a node leads back"),
        (forged(changed("length", 3, np.nan)), "not finite"),
        (forged(changed("medians", 3, np.inf)), "not finite"),
        (forged(changed("threshold", 0, np.nan)), "not finite"),
        (forged({"length": np.zeros(3)}), "one row per node"),
        (forged(changed("calibration", 0, 1.0)), "not ascending"),
        (forged(changed("depth_usual_nominal", 0, 3)), "its depth is not 3"),
    ],
)
def test_wrong_contents_are_refused_even_with_right_digests(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(ArtifactRefused, match=message):
        read(files)


def test_forging_alone_is_not_what_is_refused() -> None:
    forest, about = read(forged({}))
    assert about == ABOUT
    assert forest.scores(usual(5)).tobytes() == FOREST.scores(usual(5)).tobytes()
