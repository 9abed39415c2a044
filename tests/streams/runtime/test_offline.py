"""Where frames are cut, and where a run stops and goes on, must show in no byte of what comes out."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from tests.streams.runtime.tally import FORGET, NOW, OUTPUT, POISON, REFUSE, record, records, sample, tally

KINDS = {
    "good": 12,
    REFUSE: 2,
    FORGET: 2,
    POISON: 2,
    "undecodable": 1,
    "empty": 1,
    "foreign": 1,
    "future": 1,
    "old": 1,
    "late": 2,
}


def one(offset: int, kind: str) -> InputRecord:
    at = NOW + offset * 1000
    if kind in (REFUSE, FORGET, POISON):
        return record(sample(offset, kind, at=at), offset)
    good = record(sample(offset, at=at), offset)
    changed: dict[str, dict[str, Any]] = {
        "undecodable": {"value": b"?"},
        "empty": {"value": None},
        "foreign": {"key": b"globex|h1"},
        "future": {"timestamp": at - 3_600_000},
        "old": {"timestamp": at + 31 * 86_400_000},
        "late": {"timestamp": at + 86_400_000},
    }
    return good._replace(**changed.get(kind, {}))


KIND = st.sampled_from([kind for kind, weight in KINDS.items() for _ in range(weight)])
INPUTS = st.lists(KIND, max_size=50).map(lambda kinds: [one(offset, kind) for offset, kind in enumerate(kinds)])


def facts(outcome: Outcome) -> tuple[object, ...]:
    """All that a run leaves in the logs: outputs and dead letters, state, and what MARK holds."""
    return outcome.outputs, outcome.state, outcome.records, outcome.clock, outcome.poison.streak


@settings(max_examples=200)
@given(INPUTS, st.lists(st.integers(1, 12), min_size=1), st.data())
def test_any_cut_gives_the_same_bytes(source: list[InputRecord], sizes: list[int], data: st.DataObject) -> None:
    whole = facts(run(tally(), source))
    assert facts(run(tally(), source, cuts=lambda: 1)) == whole
    turns = iter(sizes * (len(source) + 1))
    assert facts(run(tally(), source, cuts=lambda: next(turns))) == whole
    pause = data.draw(st.integers(0, len(source)))
    first = run(tally(), source[:pause], cuts=lambda: 3)
    assert facts(run(tally(), source[pause:], cuts=lambda: 4, start=first)) == whole


@settings(max_examples=50)
@given(INPUTS, st.integers(0, 50))
def test_a_run_goes_on_from_the_stored_state_alone(source: list[InputRecord], pause: int) -> None:
    """A restart has the changelog and MARK, and none of the decoded objects."""
    whole = facts(run(tally(), source))
    first = run(tally(), source[:pause])
    first.store.live.clear()
    assert facts(run(tally(), source[pause:], start=first)) == whole


def test_outputs_come_with_their_partition_and_in_order() -> None:
    source = records(sample(number) for number in range(20))
    outcome = run(
        tally(), source, partition=1, counts=dict.fromkeys(["events.metrics", OUTPUT.name, "dead-letters"], 2)
    )
    assert {topic for topic, _ in outcome.outputs} == {OUTPUT.name}
    for (_, number), rows in outcome.outputs.items():
        assert all(OUTPUT.partition_of(key or b"", 2) == number for key, _ in rows)
    said = [OUTPUT.codec.decode(value)["event_id"] for _, value in outcome.topic(OUTPUT.name) if value]
    assert sorted(said) == sorted(f"e{number}" for number in range(20))
    assert outcome.records == 20
    assert outcome.clock == NOW


def test_dead_letters_name_the_topic_as_it_is_called_in_the_cluster() -> None:
    outcome = run(tally(), [one(0, "undecodable")], prefix="demo.")
    ((_, value),) = outcome.topic("dead-letters")
    assert value is not None
    assert b"demo.events.metrics" in value


def test_a_state_that_was_deleted_is_gone() -> None:
    outcome = run(tally(), records([sample(0, host="a"), sample(1, host="a"), sample(2, FORGET, host="a")]))
    assert outcome.state == {}
