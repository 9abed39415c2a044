"""How many readings are wrong, from a random part beside what was corrected."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ocr.prevalence import LEAST, Week, prevalence
from models.ocr.selection import QUOTAS

WEEKS = st.lists(
    st.builds(
        lambda judged, wrong, rest, drawn, bad: Week(judged, min(wrong, judged), rest, drawn, min(bad, drawn)),
        st.integers(0, 500),
        st.integers(0, 500),
        st.floats(10, 1e5),
        st.integers(0, 10),
        st.integers(0, 10),
    ),
    max_size=14,
)


@given(WEEKS)
def test_it_is_a_share_once_enough_is_answered(weeks: list[Week]) -> None:
    found = prevalence(weeks)
    if sum(week.drawn for week in weeks) < LEAST:
        assert found is None
        return
    assert found is not None
    assert 0.0 < found < 1.0


def test_without_a_wrong_one_in_the_sample_some_are_wrong() -> None:
    weeks = [Week(50, 30, 950.0, 10, 0)] * 4
    found = prevalence(weeks)
    assert found == pytest.approx((30 + 950 * 0.5 / 41) / 1000)


def test_it_is_right_on_average_where_corrections_are_not() -> None:
    rng = np.random.default_rng(1)
    estimates, corrected = [], []
    for _ in range(400):
        weeks = []
        for _ in range(13):
            wrong = rng.random(1000) < 0.04
            judged = rng.random(1000) < np.where(wrong, 0.5, 0.05)
            rest = np.flatnonzero(~judged)
            drawn = rng.choice(rest, QUOTAS["random"], replace=False)
            weeks.append(
                Week(int(judged.sum()), int(wrong[judged].sum()), float(len(rest)), len(drawn), int(wrong[drawn].sum()))
            )
        found = prevalence(weeks)
        assert found is not None
        estimates.append(found)
        corrected.append(sum(week.wrong for week in weeks) / sum(week.judged for week in weeks))
    # Half a case more of each kind leans a little to the middle.
    assert np.mean(estimates) == pytest.approx(0.0435, abs=0.002)
    assert np.mean(corrected) > 0.25
