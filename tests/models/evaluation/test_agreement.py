"""Agreement of people: against known values and another implementation."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from models.evaluation.agreement import agreement

VERDICT = st.sampled_from(("right", "wrong"))


def pairs(both: int, first: int, second: int, neither: int) -> list[tuple[str, str]]:
    kinds = (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no"))
    return [kind for kind, count in zip(kinds, (both, first, second, neither), strict=True) for _ in range(count)]


@pytest.mark.parametrize(
    ("table", "share", "kappa"),
    [
        ((20, 5, 10, 15), 0.7, 0.4),
        # As many agree, and more of that is chance; then less.
        ((45, 15, 25, 15), 0.6, 0.1304),
        ((25, 35, 5, 35), 0.6, 0.2593),
        ((7, 0, 0, 3), 1.0, 1.0),
        ((5, 5, 5, 5), 0.5, 0.0),
        ((0, 5, 5, 0), 0.0, -1.0),
    ],
)
def test_known_values(table: tuple[int, int, int, int], share: float, kappa: float) -> None:
    found = agreement(pairs(*table))
    assert found["agreement"] == share
    assert found["kappa"] == pytest.approx(kappa, abs=5e-5)
    assert found["low"] <= share <= found["high"]


@pytest.mark.parametrize("table", [(0, 0, 0, 0), (9, 0, 0, 0)])
def test_without_two_verdicts_kappa_means_nothing(table: tuple[int, int, int, int]) -> None:
    assert agreement(pairs(*table))["kappa"] is None


@settings(max_examples=15)
@given(st.lists(st.tuples(VERDICT, VERDICT), min_size=1, max_size=60))
def test_as_another_implementation(given: list[tuple[str, str]]) -> None:
    found = agreement(given)
    if len({verdict for pair in given for verdict in pair}) == 1:
        assert found["kappa"] is None
        return
    expected = cohen_kappa_score(*zip(*given, strict=True))
    assert math.isnan(expected) if found["kappa"] is None else found["kappa"] == pytest.approx(expected)
