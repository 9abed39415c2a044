"""Halving finds exactly the records over which the agent raises, and a run of them is a bug."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import topics
from streams.runtime.errors import Halt, PoisonFloodError
from streams.runtime.frame import InputRecord
from streams.runtime.isolate import AHEAD, POISON_LIMIT, PoisonCounter, ahead, halves
from streams.runtime.offline import Outcome, run
from tests.streams.runtime.tally import OUTPUT, POISON, records, sample, tally


def pattern(poison: Sequence[bool]) -> list[InputRecord]:
    return records(sample(number, *[POISON] * bad) for number, bad in enumerate(poison))


def flooded(poison: Sequence[bool]) -> int | None:
    """Where a run of poison becomes too long and nothing soon after it is good; None when that is nowhere."""
    streak = 0
    for place, bad in enumerate(poison):
        streak = streak + 1 if bad else 0
        if streak > POISON_LIMIT and all(poison[place + 1 : place + 1 + AHEAD]):
            return place
    return None


@given(st.lists(st.integers()))
def test_halves_are_the_whole_in_order(frame: list[int]) -> None:
    if len(frame) < 2:
        with pytest.raises(ValueError, match="one record"):
            halves(frame)
        return
    first, second = halves(frame)
    assert [*first, *second] == frame
    assert first
    assert second


@given(st.lists(st.integers()), st.lists(st.integers()))
def test_what_is_ahead_is_the_next_few_in_order(rest: list[int], after: list[int]) -> None:
    assert [*ahead(rest, after)] == [*rest, *after][:AHEAD]


@given(st.lists(st.booleans() | st.just(True) | st.just(True), max_size=60), st.integers(1, 70))
@example([True] * (POISON_LIMIT + 1) + [False], 3)
@example([True] * 30 + [False] + [True] * 30, 7)
def test_exactly_the_poison_is_taken_out(poison: list[bool], size: int) -> None:
    outcome = Outcome()
    flood = flooded(poison)
    if flood is None:
        run(tally(), pattern(poison), cuts=lambda: size, start=outcome)
    else:
        with pytest.raises(PoisonFloodError, match=f"{POISON_LIMIT + 1} records in a row"):
            run(tally(), pattern(poison), cuts=lambda: size, start=outcome)
    reached = poison[:flood]
    letters = [topics.DEAD_LETTERS.codec.decode(value) for _, value in outcome.topic("dead-letters") if value]
    assert [letter["source_offset"] for letter in letters] == [place for place, bad in enumerate(reached) if bad]
    assert {letter["error_class"] for letter in letters} <= {"ValueError"}
    good = [OUTPUT.codec.decode(value)["event_id"] for _, value in outcome.topic(OUTPUT.name) if value]
    assert good == [f"e{place}" for place, bad in enumerate(reached) if not bad]
    assert outcome.records == len(reached)


def test_the_limit_counts_records_in_a_row() -> None:
    counter = PoisonCounter(limit=2)
    error = ValueError("odd")
    counter.failed(error)
    counter.failed(error)
    counter.passed()
    counter.failed(error)
    counter.failed(error)
    counter.failed(error, others_pass=True)
    with pytest.raises(PoisonFloodError, match=r"3 records in a row .* ValueError: odd") as flood:
        counter.failed(error)
    assert flood.value.__cause__ is error
    assert counter.streak == 2
    assert issubclass(PoisonFloodError, Halt)


def test_a_run_goes_on_counting_where_the_last_one_ended() -> None:
    """As the engine does from MARK: restarts must not give a bug more dead letters."""
    whole = pattern([True] * (POISON_LIMIT + 1))
    outcome = run(tally(), whole[:6])
    run(tally(), whole[6:POISON_LIMIT], start=outcome)
    with pytest.raises(PoisonFloodError):
        run(tally(), whole[POISON_LIMIT:], start=outcome)
    assert len(outcome.topic("dead-letters")) == POISON_LIMIT
