"""Splits by time, what is refused, and a trained scorer as a signed version."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import ARRAYS, LEVELS, calibrate
from models.classifiers import Boosting, Examples, Plan, Regression, Scorer, TooFewLabels, split, train
from models.classifiers.artifact import (
    calibration_place,
    describe,
    describe_calibration,
    pack,
    unpack,
    unpack_calibration,
)
from models.classifiers.examples import DAY_MS
from models.decisions import HEURISTIC_CUTS
from models.registry import Artifact, ArtifactRefused, Mark, Place, Registry, Signer, version_at
from models.registry.signing import Trust
from tests.models.classifiers.made import FEATURES, HOUR_MS, cases, rows_of

EXAMPLES = cases(1)
PLAN = Plan(Boosting(rounds=60), test=0.2)
TRAINED = train(EXAMPLES, PLAN)
PLAIN = train(EXAMPLES, replace(PLAN, settings=Regression()))
SMALL = train(cases(1, 350, share=0.12), PLAN)

PLACE = Place("fraud", "acme")
SET = "made/1"
NUMBERS = count()
VERSION = version_at(datetime(2025, 1, 31, 6, tzinfo=UTC))


@given(
    steps=st.lists(st.integers(0, 50), min_size=0, max_size=80),
    calibrate=st.sampled_from((0.0, 0.2, 0.5)),
    test=st.sampled_from((0.0, 0.2, 0.4)),
    gap=st.integers(0, 60),
)
def test_slices_follow_one_another_with_a_gap(steps: list[int], calibrate: float, test: float, gap: int) -> None:
    times = np.cumsum(np.array(steps, dtype=np.int64))
    found = split(times, calibrate=calibrate, test=test, gap_ms=gap)
    parts = [times[rows] for rows in (found.train, found.calibrate, found.test)]
    filled = [part for part in parts if len(part)]
    for older, newer in pairwise(filled):
        assert newer[0] > older[-1]
        assert newer[0] - older[-1] >= gap
    # Only rows in a gap are left out.
    starts = [times[rows.start] for rows in (found.calibrate, found.test) if rows.start < len(times)]
    used = sum(map(len, parts))
    left_out = sum(any(start - gap < time < start for start in starts) for time in times.tolist())
    assert used + left_out == len(times)
    assert len(parts[2]) >= round(test * len(times))


def test_slices_have_their_shares() -> None:
    found = split(np.arange(1000) * HOUR_MS, calibrate=0.2, test=0.1, gap_ms=DAY_MS)
    assert (found.train, found.calibrate, found.test) == (slice(0, 677), slice(700, 877), slice(900, 1000))


@pytest.mark.parametrize(
    ("rows", "positives", "said"),
    [
        (199, 30, "needs 200 labelled cases, 20 of them positive; there are 199, 30 of them positive"),
        (1000, 19, "there are 1000, 19 of them positive"),
        (0, 0, "there are 0, 0"),
    ],
)
def test_too_few_labels_are_refused_in_words(rows: int, positives: int, said: str) -> None:
    some = cases(1, max(rows, 1))[:rows]
    some = replace(some, labels=np.arange(rows) % max(1, rows // max(1, positives)) == 0)
    some = replace(some, labels=some.labels & (np.cumsum(some.labels) <= positives))
    with pytest.raises(TooFewLabels, match=said):
        train(some, Plan(Boosting(), gap_ms=0))


def test_one_class_alone_trains_nothing() -> None:
    late = replace(EXAMPLES, labels=np.arange(len(EXAMPLES)) >= 3300)
    with pytest.raises(TooFewLabels, match="both classes: of the 3177 older cases, which train, 0 are positive"):
        train(late, Plan(Boosting()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"times_ms": np.arange(3)}, "expected"),
        ({"times_ms": np.array([1, 0, 2, 3])}, "ascending"),
        ({"labels": np.zeros(5)}, "expected"),
        ({"features": np.zeros(4)}, "expected"),
        ({"weights": np.zeros(4)}, "above 0"),
        ({"weights": np.full(4, np.nan)}, "above 0"),
    ],
)
def test_examples_must_fit(change: dict[str, Any], said: str) -> None:
    good: dict[str, Any] = {"times_ms": np.arange(4), "features": np.zeros((4, 2)), "labels": np.zeros(4)}
    Examples.of(**good)
    with pytest.raises(ValueError, match=said):
        Examples.of(**(good | change))


def test_a_slice_learns_nothing_of_the_later_ones() -> None:
    changed = replace(EXAMPLES, features=EXAMPLES.features.copy(), labels=EXAMPLES.labels.copy())
    changed.features[TRAINED.slices.test] = 1e6
    changed.labels[TRAINED.slices.test] = True
    assert pack(train(changed, PLAN).scorer) == pack(TRAINED.scorer)
    changed.labels[TRAINED.slices.calibrate] ^= True
    again = pack(train(changed, PLAN).scorer)
    assert again["model.ubj"] == pack(TRAINED.scorer)["model.ubj"]
    assert again[ARRAYS] != pack(TRAINED.scorer)[ARRAYS]


def test_what_was_trained_is_said() -> None:
    about = TRAINED.about
    assert about["kind"] == "xgboost"
    assert about["settings"]["scale_pos_weight"] == 1.0
    assert about["train"] == {
        "first_ms": 0,
        "last_ms": (len(EXAMPLES[TRAINED.slices.train]) - 1) * HOUR_MS,
        "rows": 2377,
        "positives": EXAMPLES[TRAINED.slices.train].positives,
        "weight": 2377.0,
    }
    assert about["calibrate"]["rows"] == 777
    assert about["digest"] == EXAMPLES.digest == cases(1).digest != cases(2).digest
    assert about["uncalibrated"] is None
    assert "there are 47, 7 of" in SMALL.about["uncalibrated"]


@pytest.mark.parametrize("trained", [TRAINED, PLAIN], ids=["xgboost", "logistic"])
@pytest.mark.parametrize("seed", range(5))
def test_a_loaded_scorer_gives_the_same_bits_for_any_cut(trained: Any, seed: int) -> None:
    scorer = trained.scorer
    loaded = stored(scorer, lambda artifact: unpack(artifact, "fraud", SET, FEATURES))
    values = rows_of(seed, 400)
    whole, cuts = scorer.score(values), np.sort(np.random.default_rng(seed).integers(0, 401, 30))
    parts = [loaded.score(part) for part in np.split(values, cuts)]

    def joined(name: str) -> bytes:
        return np.concatenate([np.asarray(getattr(part, name)) for part in parts]).tobytes()

    for name in ("raw", "probability", "label_sets", "calibration_score"):
        assert joined(name) == getattr(whole, name).tobytes()
    for bound in (0, 1):
        assert np.concatenate([part.interval[bound] for part in parts]).tobytes() == whole.interval[bound].tobytes()


def stored(scorer: Scorer, read: Any, **changes: Any) -> Any:
    """Read back what is signed and stored in memory."""
    signer = Signer.generate("test")
    registry = Registry(f"memory://trained-{next(NUMBERS)}", Trust((signer.public,), "test"))
    manifest = describe(scorer, PLACE, VERSION, SET, FEATURES, TRAINED.about, {"pr_auc": 0.5})
    registry.publish(manifest, pack(scorer), signer)
    artifact = registry.load(PLACE, VERSION)
    return read(replace(artifact, **changes))


def test_a_score_is_what_its_parts_say() -> None:
    scorer = TRAINED.scorer
    values = EXAMPLES.features[TRAINED.slices.test]
    found = scorer.score(values)
    calibration = scorer.calibration
    assert calibration is not None
    assert found.interval is not None
    assert found.raw.tobytes() == scorer.classifier.scores(values).tobytes()
    expected = calibration.venn_abers.interval(found.raw)
    assert [bound.tobytes() for bound in found.interval] == [expected.low.tobytes(), expected.high.tobytes()]
    assert found.calibration_score is not None
    assert found.calibration_score.tolist() == expected.rows.tolist()
    low, high = found.interval
    assert found.probability == pytest.approx(high / (1 - low + high), abs=1.1e-9)
    assert ((low < found.probability) & (found.probability < high)).all()
    order = np.argsort(found.raw)
    assert (np.diff(found.probability[order])[np.diff(found.raw[order]) > 0] > 0).all()
    assert found.label_sets is not None
    assert found.label_sets.shape == (len(values), len(LEVELS), 2)
    assert found.probability.mean() == pytest.approx(EXAMPLES.labels[TRAINED.slices.test].mean(), abs=0.02)
    assert scorer.cuts == calibration.cuts
    assert scorer.contributions(values[:3]).shape == (3, 6)


def test_without_calibration_there_are_no_intervals() -> None:
    found = SMALL.scorer.score(EXAMPLES.features[:50])
    assert (found.interval, found.label_sets, found.calibration_score) == (None, None, None)
    assert found.probability is found.raw
    assert SMALL.scorer.cuts == HEURISTIC_CUTS
    assert ARRAYS not in pack(SMALL.scorer)
    assert stored(SMALL.scorer, lambda artifact: unpack(artifact, "fraud", SET, FEATURES)).calibration is None


@pytest.mark.parametrize("shape", [(3, 4), (5,), (2, 5, 1)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(rows, 5\) features"):
        TRAINED.scorer.score(np.zeros(shape))
    with pytest.raises(ValueError, match="5 features, made/1 has 4"):
        describe(TRAINED.scorer, PLACE, VERSION, SET, FEATURES[:4], {}, {})


def test_versions_that_do_not_fit_are_refused() -> None:
    def read(model: str = "fraud", name: str = SET, features: tuple[str, ...] = FEATURES) -> Any:
        return lambda artifact: unpack(artifact, model, name, features)

    for reader, said in (
        (read(model="conflict"), "expected a model named conflict"),
        (read(name="made/2"), "trained on feature set made/1"),
        (read(features=FEATURES[::-1]), "trained on feature set"),
    ):
        with pytest.raises(ArtifactRefused, match=said):
            stored(TRAINED.scorer, reader)
    files = pack(TRAINED.scorer)
    for broken, said in (
        ({}, "expected one of model.ubj, model.json, but it has no files"),
        (files | pack(PLAIN.scorer), "expected one of"),
        (files | {ARRAYS: files[ARRAYS][:100]}, "calibration.npz cannot be read"),
        ({"model.ubj": files["model.ubj"][:100]}, "fraud of acme, v20250131_060000: model.ubj cannot be read"),
    ):
        with pytest.raises(ArtifactRefused, match=said):
            stored(TRAINED.scorer, read(), files=broken)


def test_a_newer_calibration_is_a_version_of_its_own() -> None:
    model = describe(TRAINED.scorer, PLACE, VERSION, SET, FEATURES, TRAINED.about, {})
    newer = cases(7)
    calibration = calibrate(TRAINED.scorer.classifier.scores(newer.features), newer.labels)
    manifest = describe_calibration(calibration, model, "acme", VERSION, {"source": "test"})
    assert manifest.place == calibration_place("fraud", "acme") == Place("fraud_calibration", "acme")
    assert manifest.training["model_version"] == VERSION
    files = {ARRAYS: pack(Scorer(TRAINED.scorer.classifier, calibration))[ARRAYS]}
    assert manifest.files == {ARRAYS: Mark.of(files[ARRAYS])}
    back = unpack_calibration(Artifact(manifest, "key", files), "fraud")
    assert (back.place, back.version) == (PLACE, VERSION)
    scorer = replace(TRAINED.scorer, calibration=back.calibration)
    assert scorer.cuts == calibration.cuts != TRAINED.scorer.cuts
    others = describe_calibration(calibration, replace(model, place=Place("fraud", "bolt")), "acme", VERSION, {})
    for wrong, said in (
        (others, "it calibrates fraud of bolt, which is not of acme"),
        (replace(manifest, training={}), "does not say what it calibrates"),
    ):
        with pytest.raises(ArtifactRefused, match=said):
            unpack_calibration(Artifact(wrong, "key", files), "fraud")
    with pytest.raises(ArtifactRefused, match="expected a calibration of a model named conflict"):
        unpack_calibration(Artifact(manifest, "key", files), "conflict")
    with pytest.raises(ArtifactRefused, match="it has no calibration"):
        unpack_calibration(Artifact(manifest, "key", {}), "fraud")
