"""How rare an anomaly must be to have a place in the alert budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anomaly.budget import NOTHING, ORDER, SHIFT_S, Anomaly, budget
from models.control import CUTS, SETTINGS

anomalies = st.builds(Anomaly, st.sampled_from(ORDER), st.sampled_from((0.5, 0.8, 0.9, 1.0)), st.booleans())


def place(anomaly: Anomaly) -> tuple[bool, int, float]:
    """The rarest first."""
    return not anomaly.critical, 0 if anomaly.critical else ORDER.index(anomaly.detector), -anomaly.score


@given(given=st.lists(anomalies), shifts=st.integers(1, 5), per_shift=st.integers(1, 12))
def test_the_budget_is_kept_and_what_is_held_back_is_counted(given: list[Anomaly], shifts: int, per_shift: int) -> None:
    found = budget(given, shifts * SHIFT_S, per_shift)
    told = [each for each in given if found.tells(each)]
    held = [each for each in given if not found.tells(each)]
    assert (found.told, found.held_back) == (len(told), len(held))
    assert all(place(one) < place(other) for one in told for other in held)
    room, critical = per_shift * shifts, sum(each.critical for each in given)
    if held:
        # No lower cut keeps the budget: with the next group of equals it would be passed.
        first = min(map(place, held))
        assert len(told) + sum(place(each) == first for each in held) > room
    # It is only passed by what is CRITICAL, or because the rarest are many.
    assert len(told) <= room or len(told) == critical or (not critical and len({place(each) for each in told}) == 1)
    assert told or not given, "a budget above 0 silences nobody"


def test_a_budget_that_is_not_used_up_holds_nothing_back() -> None:
    found = budget([Anomaly("novelty", 0.6)] * 9, SHIFT_S, 10)
    assert (found.cuts, found.told, found.held_back) == (dict.fromkeys(ORDER, 0.0), 9, 0)


def test_what_stands_out_of_a_known_series_comes_before_what_is_new_to_a_young_one() -> None:
    given = [Anomaly("novelty", 0.99)] * 30 + [Anomaly("standing", 0.5 + n / 100) for n in range(5)]
    assert budget(given, SHIFT_S, 10).cuts == {"standing": 0.0, "novelty": NOTHING}
    assert budget(given, SHIFT_S, 3).cuts == {"standing": 0.52, "novelty": NOTHING}
    assert budget([Anomaly("novelty", 0.6), *given[30:]], SHIFT_S, 6).cuts == {"standing": 0.0, "novelty": 0.0}


def test_what_is_critical_is_told_and_uses_the_budget_up() -> None:
    given = [Anomaly("novelty", 0.95, critical=True)] * 8 + [Anomaly("standing", 0.5 + n / 10) for n in range(4)]
    found = budget(given, SHIFT_S, 10)
    assert (found.cuts["standing"], found.told, found.held_back) == (0.7, 10, 2)
    found = budget(given, SHIFT_S, 5)
    assert (found.cuts, found.told, found.held_back) == (dict.fromkeys(ORDER, NOTHING), 8, 4)


def test_no_budget_tells_only_what_is_critical() -> None:
    given = [Anomaly("standing", 1.0), Anomaly("novelty", 0.9, critical=True)]
    found = budget(given, SHIFT_S, 0)
    assert (found.cuts, found.told, found.held_back) == (dict.fromkeys(ORDER, NOTHING), 1, 1)


def test_every_cut_is_a_value_of_its_setting() -> None:
    assert set(CUTS) == set(ORDER)
    for setting in CUTS.values():
        for cut in (0.0, 0.5, 1.0, NOTHING):
            assert SETTINGS[setting].read(repr(cut)) == cut


@pytest.mark.parametrize(("seconds", "per_shift"), [(0, 10), (-1, 10), (SHIFT_S, -1), (float("nan"), 1)])
def test_impossible_budgets_are_refused(seconds: float, per_shift: float) -> None:
    with pytest.raises(ValueError, match="expected seconds over 0"):
        budget([], seconds, per_shift)
