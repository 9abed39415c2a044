"""Keyed state: what a frame sees of it, what is stored of its changes, and what a failed frame leaves behind."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.compiled import load
from streams.runtime import Frame, Halt, Live, Part, State, StateVersionError
from streams.runtime.agent import Agent
from streams.runtime.mark import MARK_KEY
from streams.runtime.offline import Outcome, run
from streams.runtime.state import Store, Values
from tests.faults.counting import ZERO
from tests.streams.runtime.tally import COUNT, OUTPUT, POISON, STOP, TOPIC, Seen, record, records, sample, tally

TEXT = Part("text", version=3, pack=lambda value: value, unpack=bytes)
OTHER = Part("other", version=3, pack=lambda value: value, unpack=bytes)
PARTS = st.sampled_from([TEXT, OTHER, Part("", 3, bytes, bytes), Part("textother", 3, bytes, bytes)])
# A record that gets past decode() has the key that its text fields make.
KEYS = st.text(max_size=4).map(str.encode)
SUBS = st.binary(max_size=4) | st.sampled_from([b"", b"\xff", b"\xfftext\xff", b"other\xff"])


@given(st.lists(st.tuples(KEYS, PARTS, SUBS), unique_by=lambda place: (place[0], place[1].name, place[2])))
def test_no_two_places_share_an_entry(places: list[tuple[bytes, Part[bytes], bytes]]) -> None:
    store, state = Store(), None
    state = State(store)
    for number, (key, part, sub) in enumerate(places):
        state.put(key, part, str(number).encode(), sub)
    changes = state.changes()
    assert len(changes) == len(places)
    assert MARK_KEY not in changes
    store.apply(changes)
    later = State(store)
    for number, (key, part, sub) in enumerate(places):
        assert later.get(key, part, sub) == str(number).encode()


COMPILED = load("streams.runtime._compiled")


@pytest.mark.skipif(COMPILED is None, reason="streams.runtime._compiled was not built")
@given(
    st.sampled_from(
        [TEXT, Part("number", 1, lambda n: n.to_bytes(2, "big"), int.from_bytes), Part("raw", 7, bytes, bytes)]
    ),
    st.dictionaries(st.sampled_from([b"a", b"b", b"c"]), st.binary(min_size=2, max_size=2)),
    st.lists(st.tuples(st.sampled_from([b"a", b"b", (b"a", b"x"), (b"b", b"x")]), st.sampled_from("gsd"))),
)
def test_compiled_values_are_the_plain_ones(part: Part[Any], stored: dict[bytes, bytes], uses: Any) -> None:
    assert COMPILED is not None
    committed = {part.full((key, b"") if key == b"c" else key): part.head + raw for key, raw in stored.items()}
    found = []
    for values in (Values(part, committed), COMPILED.Values(part, committed)):
        for place, use in uses:
            if use == "s":
                values[place] = part.unpack(b"zz")
            elif use == "d":
                values[place] = None
            else:
                assert values[place] == values[place]
        found.append((dict(values), values.changes()))
    assert found[0] == found[1]


@pytest.mark.skipif(COMPILED is None, reason="streams.runtime._compiled was not built")
@pytest.mark.parametrize("raw", [b"", b"\x02zz"])
def test_compiled_values_refuse_another_version(raw: bytes) -> None:
    assert COMPILED is not None
    for values in (Values(TEXT, {TEXT.full(b"a"): raw}), COMPILED.Values(TEXT, {TEXT.full(b"a"): raw})):
        with pytest.raises((StateVersionError, IndexError)):
            values[b"a"]


Ops = list[tuple[str, bytes, Part[bytes], bytes, bytes]]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete", "get", "commit", "fail"]),
        st.sampled_from([b"", b"a", b"a|b"]),
        st.sampled_from([TEXT, OTHER]),
        st.sampled_from([b"", b"\xff", b"x"]),
        st.binary(max_size=3),
    ),
    max_size=40,
)


@given(OPERATIONS)
def test_state_is_a_mapping_whose_changes_wait_for_the_commit(operations: Ops) -> None:
    store = Store()
    state = State(store)
    committed: dict[tuple[bytes, str, bytes], bytes] = {}
    seen = dict(committed)
    for what, key, part, sub, value in operations:
        place = (key, part.name, sub)
        if what == "put":
            state.put(key, part, value, sub)
            seen[place] = value
        elif what == "delete":
            state.delete(key, part, sub)
            seen.pop(place, None)
        elif what == "get":
            assert state.get(key, part, sub) == seen.get(place)
        elif what == "commit":
            store.apply(state.changes())
            state, committed = State(store), dict(seen)
        else:
            state.roll_back()
            state, seen = State(store), dict(committed)
    assert len(store.committed) == len(committed)


def test_an_entry_is_its_key_and_one_version_byte_before_the_value() -> None:
    state = State(Store({b"acme|web\xffother\xff": b"\x03v"}))
    state.put(b"acme|web", TEXT, b"v", b"sub")
    state.delete(b"acme|web", OTHER)
    assert state.changes() == {b"acme|web\xfftext\xffsub": b"\x03v", b"acme|web\xffother\xff": None}


def test_only_what_differs_from_what_is_stored_is_written() -> None:
    state = State(Store({b"a\xfftext\xff": b"\x03v"}))
    state.put(b"a", TEXT, b"v")
    state.delete(b"b", TEXT)
    assert state.changes() == {}


def test_a_value_changed_in_place_is_written() -> None:
    numbers: Part[list[int]] = Part("numbers", version=1, pack=bytes, unpack=list)
    store = Store({b"a\xffnumbers\xff": b"\x01\x07"})
    state = State(store)
    values = state.values(numbers)
    values[b"a"].append(8)
    assert state.changes() == {b"a\xffnumbers\xff": b"\x01\x07\x08"}
    assert State(store).get(b"a", numbers) == [7]


@pytest.mark.parametrize("found", [2, 4, 0, 255])
def test_a_version_that_is_not_known_stops_the_partition(found: int) -> None:
    store = Store({b"a\xfftext\xff": bytes([found]) + b"v"})
    with pytest.raises(StateVersionError, match=rf"'text' is stored in format {found}, this release reads 3"):
        State(store).get(b"a", TEXT)
    assert issubclass(StateVersionError, Halt)


def test_a_live_object_of_another_version_stops_the_partition() -> None:
    key = TOPIC.key_of(sample(0))
    start = Outcome(store=Store({key + b"\xffseen\xff0": b"\x02" + bytes(8)}))
    with pytest.raises(StateVersionError, match="'seen' is stored in format 2, this release reads 1"):
        run(tally(), records([sample(0)]), start=start)
    assert start.topic("dead-letters") == []
    assert start.records == 0


@pytest.mark.parametrize("version", [-1, 256])
def test_a_version_is_one_byte(version: int) -> None:
    with pytest.raises(ValueError, match="256"):
        Part("p", version, bytes, bytes)


def test_a_name_is_ascii() -> None:
    with pytest.raises(UnicodeEncodeError):
        Part("p\xff", 1, bytes, bytes)


def frame(store: Store, *events: dict[str, object]) -> Frame:
    counts = {TOPIC.name: 1, OUTPUT.name: 1, "dead-letters": 1}
    return Frame(tally(halted=lambda: True), 0, records(events), store, -1, counts)


@pytest.mark.parametrize("order", [POISON, STOP])
def test_a_failed_frame_leaves_nothing(order: str) -> None:
    store = Store()
    first = frame(store, sample(0), sample(5))
    first.run()
    store.apply(first.changes)
    before, live = dict(store.committed), store.live[TOPIC.key_of(sample(0)), Seen]
    failed = frame(store, sample(10), sample(3), sample(15, order))
    with pytest.raises((ValueError, Halt)):
        failed.run()
    assert failed.changes == {}
    assert store.committed == before
    again = frame(store, sample(10), sample(3))
    again.run()
    # Counts of a store that never saw the failed frame.
    calm = Store(dict(before))
    other = frame(calm, sample(10), sample(3))
    other.run()
    assert (again.changes, again.outputs) == (other.changes, other.outputs)
    assert store.live[TOPIC.key_of(sample(0)), Seen] is not live


def test_a_failed_frame_drops_only_the_live_objects_that_it_touched() -> None:
    store = Store()
    first = frame(store, sample(0, host="a"), sample(1, host="b"))
    first.run()
    store.apply(first.changes)
    a, b = (store.live[TOPIC.key_of(sample(0, host=host)), Seen] for host in "ab")
    with pytest.raises(ValueError, match="poison"):
        frame(store, sample(2, POISON, host="a")).run()
    last = frame(store, sample(3, host="a"), sample(4, host="b"))
    last.run()
    assert store.live[TOPIC.key_of(sample(0, host="a")), Seen] is not a
    assert store.live[TOPIC.key_of(sample(0, host="b")), Seen] is b


def test_a_live_object_is_loaded_once_and_its_changes_are_taken_once_a_frame() -> None:
    calls: list[str] = []

    class Counted(Seen):
        @classmethod
        def load(cls, key: bytes, read: object) -> "Counted":
            calls.append("load")
            return cls([0, 0, 0])

        def changes(self) -> list[tuple[bytes, bytes | None]]:
            calls.append("changes")
            return super().changes()

    def process(frame: Frame) -> None:
        for each, event in zip(frame.records, frame.decode(), strict=True):
            kind: type[Live] = Counted
            live = frame.state.live(each.key or b"", kind)
            assert isinstance(live, Counted)
            live.add(int(event["cpu_percent"]))

    agent = Agent("counted", (TOPIC,), (), process)
    outcome = run(agent, records(sample(n, host="a") for n in range(9)), cuts=lambda: 3)
    assert calls == ["load", "changes", "changes", "changes"]
    assert outcome.state == {b"acme|a\xffseen\xff%d" % n: b"\x01\x03" + bytes(7) for n in range(3)}


def test_only_what_changed_is_written() -> None:
    outcome = run(tally(), records([sample(0, host="a"), sample(1, host="b"), sample(2, host="a")]))
    before = outcome.written
    store = outcome.store
    last = Frame(tally(), 0, [record(sample(3, host="a"), 3)], store, -1, {OUTPUT.name: 1, TOPIC.name: 1})
    last.run()
    assert set(last.changes) == {b"acme|a\xffcount\xff", b"acme|a\xffseen\xff0"}
    assert (State(store).get(b"acme|a", COUNT) or ZERO)[:2] == (2, 2.0)
    assert before > 0
