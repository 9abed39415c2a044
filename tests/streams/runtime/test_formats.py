"""A change of format: either release reads what the other left, until the upgrade is finalised."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models.control
from schemas import topics
from streams.control import CONTROL
from streams.runtime import Agent, Change, Control, Part, State, StateVersionError, mark, partition
from streams.runtime.engine import Engine
from streams.runtime.formats import Formats, counted, heard, level, said
from streams.runtime.frame import InputRecord
from streams.runtime.mark import MARK_KEY, Before, Mark
from streams.runtime.offline import Outcome, run
from streams.runtime.state import Store
from streams.topology import AGENTS
from tests.faults.counting import ZERO
from tests.streams.control import command
from tests.streams.control import records as commands
from tests.streams.runtime.conftest import Lab, eventually, figure, processed
from tests.streams.runtime.releases import AFTER, CHANGES, DEFAULTS, NEW, NEW_COUNT, OLD, finalised, setting
from tests.streams.runtime.tally import COUNT, FORGET, NOW, OUTPUT, POISON, TOPIC, records, sample, tally

on_a_broker = pytest.mark.kafka
NOT_YET, FINAL = Control(DEFAULTS), finalised(1)


def restarted(outcome: Outcome) -> Outcome:
    """As the next worker finds it: what is in memory alone is gone."""
    outcome.store = Store(dict(outcome.state))
    return outcome


@given(
    st.lists(st.sampled_from(["", "", FORGET, POISON]), max_size=40),
    st.lists(st.tuples(st.booleans(), st.integers(1, 8))),
    st.integers(0, 40),
)
def test_releases_take_turns(orders: list[str], turns: list[tuple[bool, int]], last: int) -> None:
    """Whoever runs when, the outputs are the same; before the end of the upgrade even every stored byte is."""
    source = records(sample(n, *([order] if order else [])) for n, order in enumerate(orders))
    outcome, at = Outcome(), 0
    for new, count in turns:
        if at >= last:
            break
        run(NEW if new else OLD, source[at : at + count], start=restarted(outcome), control=NOT_YET)
        at += count
        assert outcome.state == run(OLD, source[:at]).state
    run(NEW, source[at:], start=restarted(outcome), control=FINAL, cuts=lambda: 3)
    assert outcome.outputs == run(OLD, source).outputs
    # As if there had never been another format.
    assert outcome.state == run(AFTER, source).state


def test_what_is_written_follows_control_and_what_is_read_does_not() -> None:
    store = Store({b"a\xffcount\xff": b"\x01" + COUNT.pack((7, 1.0, 2.0)), b"b\xffcount\xff": b"\x02[8, 1.0, 2.0]"})
    for final, head in ((False, b"\x01" + COUNT.pack((9, 1.0, 2.0))), (True, b"\x02[9, 1.0, 2.0]")):
        state = State(store, NEW.formats, final)
        assert [(state.get(key, NEW_COUNT) or ZERO)[0] for key in (b"a", b"b")] == [7, 8]
        assert state.changes() == {}
        state.put(b"a", NEW_COUNT, (9, 1.0, 2.0))
        assert state.changes() == {b"a\xffcount\xff": head}


def test_a_value_that_the_format_before_cannot_hold_stops_the_partition() -> None:
    lossy = Change(Part("text", 2, bytes, bytes), upgrade=lambda _, raw: raw, downgrade=lambda _, raw: raw[:3])
    part: Part[bytes] = Part("text", 2, bytes, bytes)
    for final in (True, False):
        state = State(Store(), Formats([lossy]), final)
        state.put(b"a", part, b"abc")
        assert state.changes() == {b"a\xfftext\xff": b"%cabc" % (2 if final else 1)}
    state.put(b"a", part, b"abcd")
    with pytest.raises(StateVersionError, match="'text' has a value that format 1 cannot hold"):
        state.changes()


def test_what_is_in_neither_format_is_found_at_the_opening_and_when_it_is_read() -> None:
    formats = Formats(CHANGES)
    old = {b"a\xffcount\xff": b"\x01x", b"d\xffseen\xff\xff": b"\x01"}
    stored = old | {b"b\xffcount\xff": b"\x02x", b"c\xffother\xff": b"\x09"}
    assert formats.old(stored) == [*old]
    assert counted(stored) == {"count": {1: 1, 2: 1}, "other": {9: 1}, "seen": {1: 1}}
    for found in (0, 3):
        entries = {b"c\xffcount\xff": bytes([found])}
        with pytest.raises(StateVersionError, match=f"'count' is stored in format {found}, this release reads 1 and 2"):
            formats.old(stored | entries)
        with pytest.raises(StateVersionError, match=f"'count' is stored in format {found}"):
            State(Store(entries), formats).get(b"c", NEW_COUNT)


@pytest.mark.parametrize(
    ("agent", "finalised_to", "expected"),
    [(OLD, 1, 0), (NEW, 0, 0), (NEW, 1, 1), (NEW, 2, 1), (AFTER, 0, 1), (AFTER, 1, 1), (AFTER, 2, 2)],
)
def test_the_level_is_one_of_two(agent: Agent, finalised_to: int, expected: int) -> None:
    assert level(agent, finalised(finalised_to)) == expected


def test_an_agent_that_changes_a_format_reads_the_setting() -> None:
    with pytest.raises(ValueError, match="tally changes formats, so it needs a level"):
        replace(tally(), changes=CHANGES)
    with pytest.raises(ValueError, match="tally has level 1, so it must read the setting state_level"):
        replace(tally(), level=1)
    with pytest.raises(ValueError, match="count has version 1: there is none before it"):
        Change(COUNT, CHANGES[0].upgrade, CHANGES[0].downgrade)
    # All have a MARK.
    assert mark.BEFORE is None or all(agent.level for agent in AGENTS)


@pytest.mark.parametrize("number", [0, 17])
def test_a_worker_says_its_level(number: int) -> None:
    assert heard(said(number)) == number
    assert heard(b"%d" % number) is heard(b"level=") is heard(b"") is None


def test_mark_follows_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Mark({"t": 1}, clock=5), Mark({"t": 1}, clock=5, level=1)
    first = old.encode()
    monkeypatch.setattr(mark, "VERSION", 2)
    before = Before(
        lambda body: {"poison": 4} | body, lambda body: {name: body[name] for name in body if name != "poison"}
    )
    monkeypatch.setattr(mark, "BEFORE", before)
    assert Mark.decode(first) == replace(old, poison=4)
    assert replace(old, poison=4).encode(newest=1) == first
    raw = new.encode(newest=1)
    assert json.loads(raw)["v"] == 2
    assert Mark.decode(raw) == new
    for found in (0, 3):
        with pytest.raises(StateVersionError, match=f"MARK is stored in format {found}, this release reads 1 and 2"):
            Mark.decode(b'{"v":%d}' % found)


# -- on a broker ------------------------------------------------------------------------------------------


@pytest.fixture
def release(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(partition, "HALT_PAUSE_S", (0.2, 0.3))
    lab.create_all()
    lab.create(*(topic.name for topic in topics.CONTROL))
    return lab


def finalise(lab: Lab) -> None:
    lab.write(topics.CONTROL_FLAGS.name, [InputRecord(*setting(1), NOW, 0)])


class Turns:
    """Workers that come one after the other; each processes the next samples."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.written = 0

    def write(self, count: int) -> None:
        kinds = ["", "", "", POISON, "", FORGET, ""]
        new = range(self.written, self.written + count)
        self.lab.write(TOPIC.name, records(sample(n, *filter(None, [kinds[n % 7]])) for n in new))
        self.written += count

    @asynccontextmanager
    async def worker(self, agent: Agent, count: int = 20) -> AsyncIterator[Engine]:
        async with self.lab.running(agent) as engine:
            self.write(count)
            await processed(engine, count)
            yield engine

    def formats(self) -> dict[str, dict[int, int]]:
        return counted(self.lab.state()[0])


@on_a_broker
async def test_there_and_back_and_there_for_good(
    release: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(partition, "RENEWED_AT_ONCE", 4)
    turns = Turns(release)
    for agent in (OLD, NEW, OLD):
        async with turns.worker(agent):
            pass
    async with turns.worker(NEW) as engine:
        state, stood = release.state()
        assert state == release.expected(OLD).state
        assert stood.level == 0
        finalise(release)
        # Nothing comes in; it is told by control.
        await eventually(lambda: all({*each} == {2} for each in turns.formats().values()), "the new formats")
        passes = [one for one in release.marks() if one.level]
        assert len(passes) >= len(state) / 4
        assert passes == [replace(stood, control=1, level=1)] * len(passes)
        turns.write(20)
        await processed(engine, 40)

    # What it computed is what would have been computed without any of this.
    source = [InputRecord(one.key, one.value, one.timestamp, one.offset) for one in release.log(TOPIC.name)[0]]
    wanted = run(OLD, source, counts=release.counts, prefix=release.prefix)
    assert release.rows(OUTPUT.name) == wanted.topic(OUTPUT.name)
    state, stood = release.state()
    assert state == run(AFTER, source, counts=release.counts).state
    assert (stood.level, stood.clock) == (1, wanted.clock)

    written = len(release.rows("changelog.tally"))
    turns.write(5)
    async with release.running(OLD) as engine:
        await eventually(lambda: figure(engine.metrics, "watchfloor_halted_partitions") == 1, "the halt")
        assert figure(engine.metrics, "watchfloor_errors_total", error="StateVersionError") >= 1
        assert not engine.parts[0].open
    assert "changelog.tally[0] is finalised at level 1, this release knows levels up to 0: run the" in caplog.text
    assert len(release.rows("changelog.tally")) == written
    # The release after it knows one format only, and goes on.
    async with release.running(AFTER) as engine:
        await processed(engine, 5)
    assert release.state()[0] == release.expected(AFTER).state


@on_a_broker
async def test_a_pass_that_was_interrupted_is_finished_by_the_next_worker(
    release: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RENEWED_AT_ONCE", 3)
    turns = Turns(release)
    async with turns.worker(OLD):
        pass
    finalise(release)
    transact, calls = partition.kafka.transact, 0

    async def once(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ConnectionError("the worker dies here")
        await transact(*arguments)

    async with release.running(NEW) as engine:
        monkeypatch.setattr(partition.kafka, "transact", once)
        await eventually(lambda: figure(engine.metrics, "watchfloor_errors_total", error="ConnectionError"), "its end")
    monkeypatch.undo()
    assert {1, 2} <= {version for formats in turns.formats().values() for version in formats}
    assert release.state()[1].level == 1
    async with turns.worker(NEW):
        await eventually(lambda: all({*formats} == {2} for formats in turns.formats().values()), "the rest")
    assert release.state()[0] == release.expected(AFTER).state


@on_a_broker
async def test_a_release_that_comes_too_early_stays_closed(release: Lab, caplog: pytest.LogCaptureFixture) -> None:
    release.write("changelog.tally", [InputRecord(MARK_KEY, Mark({TOPIC.name: 0}).encode(), NOW, 0)])
    async with release.running(AFTER) as engine:
        await eventually(lambda: figure(engine.metrics, "watchfloor_halted_partitions") == 1, "the halt")
    assert (
        "changelog.tally[0] is at level 0, this release reads levels 1 and 2: run the release before it, and "
        "`watchfloor upgrade finalize` there" in caplog.text
    )


@on_a_broker
async def test_a_partition_without_a_past_is_written_at_the_level_in_force(release: Lab) -> None:
    finalise(release)
    async with Turns(release).worker(NEW):
        pass
    state, stood = release.state()
    assert state == release.expected(AFTER).state
    assert stood.level == 1


@on_a_broker
async def test_the_control_agent_can_follow_control(lab: Lab) -> None:
    """It must, once its own formats change: what it left open is settled before it reads control to its end."""
    lab.create("control.commands", "changelog.control", "dead-letters", *(topic.name for topic in CONTROL.outputs))
    following = replace(CONTROL, settings=models.control.DEFAULTS)
    asked = commands(command(n, "true", n) for n in range(6))
    for few in (asked[:3], asked[3:]):
        async with lab.running(following) as engine:
            lab.write("control.commands", few)
            events = engine.metrics.events.labels("control")
            await eventually(lambda events=events: events._value.get() == 3, "the answers")  # type: ignore[misc]
    assert Mark.decode(dict(lab.rows("changelog.control"))[MARK_KEY] or b"").control >= 2
    assert len(lab.rows("control.flags")) == 6
