"""Timers, offline: what is due comes before the record that passes it, whatever the frames' cuts."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from streams.runtime import PoisonFloodError, StateVersionError
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, merge, run
from streams.runtime.state import Store
from streams.runtime.timers import Heap, Timers
from tests.streams.runtime.pairs import AGAIN, AGENT, FIRST, PAIRS, POISON, SECOND, SPOILT, one, said
from tests.streams.runtime.tally import NOW


def heard(*records: InputRecord, tick: int | None = None) -> list[tuple[str, str | None, float]]:
    return said(run(AGENT, records, tick=None if tick is None else NOW + tick).topic(PAIRS.name))


def test_a_timer_fires_before_the_record_that_passes_it() -> None:
    assert heard(one(FIRST, 1, 0, 0), one(FIRST, 2, 4.999, 1)) == []
    assert heard(one(FIRST, 1, 0, 0), one(SECOND, 2, 5, 0)) == [("e1", "alone once", 5), ("e2", "unknown", 5)]


def test_what_was_cancelled_does_not_fire() -> None:
    assert heard(one(FIRST, 1, 0, 0), one(SECOND, 1, 4, 0), one(FIRST, 3, 60, 1)) == [("e1", "joined", 4)]


def test_timers_fire_in_the_order_of_their_deadlines_and_one_may_set_the_next() -> None:
    records = one(FIRST, 1, 0, 0, AGAIN, host="b"), one(FIRST, 2, 1, 1, host="a"), one(FIRST, 3, 60, 2)
    assert heard(*records) == [("e1", "alone again", 5), ("e2", "alone once", 6), ("e1", "alone last", 10)]


def test_a_tick_fires_what_no_record_has_passed() -> None:
    assert heard(one(FIRST, 1, 0, 0), tick=4_999) == []
    outcome = run(AGENT, [one(FIRST, 1, 0, 0)], tick=NOW + 5_000)
    assert said(outcome.topic(PAIRS.name)) == [("e1", "alone once", 5)]
    assert outcome.clock == NOW + 5_000
    # The clock does not go back to a record that is older.
    run(AGENT, [one(FIRST, 2, 1, 1)], start=outcome)
    assert outcome.clock == NOW + 5_000


def test_a_timer_that_raises_is_a_dead_letter_and_the_rest_goes_on() -> None:
    outcome = run(AGENT, [one(FIRST, 1, 0, 0, SPOILT), one(FIRST, 2, 1, 1), one(FIRST, 3, 60, 2)], prefix="p.")
    assert said(outcome.topic(PAIRS.name)) == [("e2", "alone once", 6)]
    ((key, value),) = outcome.topic(topics.DEAD_LETTERS.name)
    letter = topics.DEAD_LETTERS.codec.decode(value or b"")
    assert key == b"acme|h"
    assert letter["error_class"] == "ValueError"
    assert letter["message"] == "timer b'e1': e1 is spoilt"
    assert letter["source_topic"] == "p.changelog.pairing"
    assert letter["source_timestamp"] == NOW + 5_000
    assert letter["value"] == b"spoilt e1"
    assert letter["headers"] == [{"name": "timer", "value": b"e1"}]


def test_dead_letters_of_timers_have_places_of_their_own() -> None:
    source = [one(FIRST, number, number % 2, number, SPOILT, host=f"h{number % 3}") for number in range(9)]
    outcome = run(AGENT, [*source, one(FIRST, 99, 3, 9)], tick=NOW + 5_500)
    letters = [topics.DEAD_LETTERS.codec.decode(value or b"") for _, value in outcome.topic(topics.DEAD_LETTERS.name)]
    assert len(letters) == 5
    assert len({letter["source_offset"] for letter in letters}) == 5
    assert all(letter["source_offset"] < 0 for letter in letters)


def test_a_bug_in_timers_does_not_drain_them() -> None:
    source = [one(FIRST, number, 0, number, SPOILT) for number in range(20)]
    with pytest.raises(PoisonFloodError, match="11 records in a row"):
        run(AGENT, source, tick=NOW + 60_000)


def test_what_a_failed_record_has_set_is_not_there() -> None:
    outcome = run(AGENT, [one(FIRST, 1, 0, 0), one(FIRST, 2, 1, 1, POISON), one(FIRST, 3, 2, 2)])
    assert len(outcome.state) == 2


def test_a_timer_that_is_put_off_has_one_entry() -> None:
    heap, committed = Heap(), dict[bytes, bytes]()
    for second in range(100):
        timers = Timers(heap, committed)
        timers.set(b"k", b"silent", second + 50)
        if second == 60:
            assert timers.pop(second) is None  # looked at, and put to its new place
        committed.update({key: raw for key, raw in timers.changes() if raw is not None})
        timers.apply()
    assert len(heap) == 1
    timers = Timers(heap, committed)
    assert timers.pop(148) is None
    assert timers.pop(149) == (b"k", b"silent", 149, b"", 149)
    assert timers.pop(10_000) is None


def test_a_timer_set_earlier_fires_earlier() -> None:
    timers = Timers(Heap(), {})
    timers.set(b"k", b"t", 100)
    timers.set(b"k", b"t", 50)
    due = timers.pop(60)
    assert due is not None
    assert due.deadline == 50
    assert timers.pop(200) is None


def test_an_unknown_format_stops_the_partition() -> None:
    with pytest.raises(StateVersionError, match="a timer is stored in format 9, this release reads 1"):
        Store({b"k\xff~timer\xfft": b"\x09" + bytes(8)})


ORDERS = st.sampled_from([(), (), (), (AGAIN,), (SPOILT,), (POISON,)])
STEPS = st.lists(
    st.tuples(st.sampled_from([FIRST, SECOND]), st.integers(0, 6), st.integers(-3, 6), st.sampled_from("ab"), ORDERS),
    max_size=30,
)


def records(steps: list[tuple[object, int, int, str, tuple[str, ...]]]) -> list[InputRecord]:
    """Two logs whose timestamps mostly grow, merged as a worker merges them."""
    logs: dict[str, list[InputRecord]] = defaultdict(list)
    second = 10.0
    for topic, number, passed, host, orders in steps:
        second = max(0.0, second + passed)
        assert isinstance(topic, type(FIRST))
        logs[topic.name].append(one(topic, number, second, len(logs[topic.name]), *orders, host=host))
    return list(merge(logs))


def facts(outcome: Outcome) -> tuple[object, ...]:
    return outcome.outputs, outcome.state, outcome.clock, outcome.records


@given(STEPS, st.lists(st.integers(1, 7), min_size=1), st.integers(0, 30))
def test_cuts_and_restarts_do_not_matter(
    steps: list[tuple[object, int, int, str, tuple[str, ...]]], sizes: list[int], pause: int
) -> None:
    source = records(steps)
    end = NOW + 100_000
    whole = facts(run(AGENT, source, tick=end))
    assert facts(run(AGENT, source, cuts=lambda: 1, tick=end)) == whole
    turns = iter(sizes * (len(source) + 1))
    assert facts(run(AGENT, source, cuts=lambda: next(turns), tick=end)) == whole
    first = run(AGENT, source[:pause])
    first.store = Store(dict(first.state))  # what a restart has: the changelog and MARK
    assert facts(run(AGENT, source[pause:], start=first, tick=end)) == whole
