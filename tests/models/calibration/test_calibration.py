"""Label sets, residual intervals, what is refused, and the file of a calibration."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.calibration import AbsoluteResidual, Calibration, LabelSets, TooFewCases, calibrate, pack, unpack
from models.decisions import Cuts
from models.registry import ArtifactRefused


def cases(seed: int, rows: int, rare: float = 0.05) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores that lean to their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.random(rows) < rare
    return 1 / (1 + np.exp(-rng.normal(np.where(labels, 0.5, -3), 1.5))), labels


SCORES, LABELS = cases(1, 4000)
FOUND = calibrate(SCORES, LABELS)


@given(seed=st.integers(0, 2**32 - 1), zeros=st.integers(1, 120), ones=st.integers(1, 120), decimals=st.integers(1, 6))
def test_label_sets_hold_the_labels_whose_p_value_is_above_one_minus_the_level(
    seed: int, zeros: int, ones: int, decimals: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.arange(zeros + ones) >= zeros
    scores = np.round(rng.random(zeros + ones), decimals)
    new = np.round(rng.random(20), decimals)
    found = LabelSets.fit(scores, labels).of(new)
    for row, score in enumerate(new):
        as_strange = {0: int((scores[:zeros] >= score).sum()), 1: int((scores[zeros:] <= score).sum())}
        for level, percent in enumerate((10, 5, 1)):
            for label, among in ((0, zeros), (1, ones)):
                # p > percent / 100 in whole numbers.
                assert found[row, level, label] == (100 * (1 + as_strange[label]) > percent * (among + 1))


def test_label_sets_cover_each_class_by_itself_and_residual_intervals_do_not() -> None:
    scores, labels = cases(2, 40_000)
    held = FOUND.label_sets.of(scores)
    low, high = FOUND.residual.interval(scores)
    inside = (low <= labels[:, None]) & (labels[:, None] <= high)
    for number, level in enumerate((0.90, 0.95, 0.99)):
        for label in (0, 1):
            assert held[labels == label, number, label].mean() == pytest.approx(level, abs=0.03)
        assert inside[:, number].mean() == pytest.approx(level, abs=0.02)
    assert inside[labels, 0].mean() < 0.4


def test_residual_intervals_have_the_conformal_quantile_as_half_width() -> None:
    probabilities = np.arange(1, 20) / 100
    found = AbsoluteResidual.fit(probabilities, np.zeros(19))
    assert found.half.tolist() == [0.18, 0.19, 1.0]  # 19 of 20 cases are no 99 %
    low, high = found.interval([0.05, 0.5])
    assert low.tolist() == [[0.0, 0.0, 0.0], [0.32, 0.31, 0.0]]
    assert high.tolist() == [[0.22999999999999998, 0.24, 1.0], [0.6799999999999999, 0.69, 1.0]]


@pytest.mark.parametrize(("rows", "ones"), [(99, 50), (1000, 9), (1000, 991), (0, 0)])
def test_too_few_cases_are_refused_in_words(rows: int, ones: int) -> None:
    labels = np.arange(rows) < ones
    with pytest.raises(TooFewCases, match=f"there are {rows}, {ones} of them with label 1"):
        calibrate(np.linspace(0, 1, rows), labels)


def test_just_enough_cases_are_taken() -> None:
    found = calibrate(np.linspace(0, 1, 100), np.arange(100) >= 90)
    assert (found.rows, found.ones) == (100, 10)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_what_is_no_score_is_refused(bad: float) -> None:
    scores = SCORES.copy()
    scores[7] = bad
    with pytest.raises(ValueError, match="0 to 1"):
        calibrate(scores, LABELS)
    with pytest.raises(ValueError, match="a score and a label for each"):
        calibrate(SCORES[1:], LABELS)


def test_a_calibration_comes_back_from_its_file_as_it_was() -> None:
    raw = pack(FOUND)
    back = unpack(raw)
    assert pack(back) == raw == pack(calibrate(SCORES, LABELS))
    assert (back.rows, back.ones, back.digest, back.cuts) == (FOUND.rows, FOUND.ones, FOUND.digest, FOUND.cuts)
    new = np.linspace(-0.1, 1.1, 500)
    for mine, theirs in zip(back.venn_abers.interval(new), FOUND.venn_abers.interval(new), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    assert back.label_sets.of(new).tolist() == FOUND.label_sets.of(new).tolist()
    assert back.residual.half.tolist() == FOUND.residual.half.tolist()


def torn(**changes: object) -> Calibration:
    return replace(FOUND, venn_abers=replace(FOUND.venn_abers, **changes))  # type: ignore[arg-type]


TABLES = FOUND.venn_abers


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        (torn(low=TABLES.low[1:]), "one more step"),
        (torn(low=TABLES.low.astype(np.float32)), "64-bit"),
        (torn(scores=TABLES.scores[::-1]), "ascending"),
        (torn(low=TABLES.high, high=TABLES.low), "p0 the lower"),
        (torn(high=TABLES.high * 2), "p0 the lower"),
        (torn(low=np.where(TABLES.low > 0.1, np.nan, TABLES.low)), "p0 the lower"),
        (replace(FOUND, residual=AbsoluteResidual(np.ones(2))), "3 levels"),
        (replace(FOUND, residual=AbsoluteResidual(np.full(3, 2.0))), "no numbers"),
    ],
)
def test_arrays_that_are_no_calibration_are_refused(calibration: Calibration, said: str) -> None:
    with pytest.raises(ArtifactRefused, match=said):
        unpack(pack(calibration))


def test_files_that_are_no_calibration_are_refused() -> None:
    raw = pack(FOUND)
    out = BytesIO()
    np.savez(out, scores=np.zeros(3))
    for bad in (b"", raw[: len(raw) // 2], b"not an archive", out.getvalue()):
        with pytest.raises(ArtifactRefused, match="cannot be read"):
            unpack(bad)


@given(low=st.floats(0, 1), middle=st.floats(0, 1), high=st.floats(0, 1))
def test_cuts_must_ascend(low: float, middle: float, high: float) -> None:
    if 0 < low <= middle <= high:
        Cuts(low, middle, high)
    else:
        with pytest.raises(ValueError, match="ascending"):
            Cuts(low, middle, high)
