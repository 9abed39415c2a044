"""The relay's agents, offline: where frames are cut must not show, with several inputs, timers, ticks and settings."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from streams.runtime import Agent
from streams.runtime.control import Control, Row
from streams.runtime.frame import InputRecord
from streams.runtime.mark import MARK_KEY, Mark
from streams.runtime.offline import Outcome, merge, run
from tests.faults.logs import Logged
from tests.faults.oracle import judge_changelog, segments
from tests.faults.relay import GATHER, GAUGE, LEFT, MET, PAIR, RESULTS, RIGHT, SHARE
from tests.faults.samples import Message
from tests.faults.traffic import Traffic

MESSAGES = 900


@cache
def published() -> tuple[list[Message], int]:
    """What was sent, and when the first of it was; epoch milliseconds."""
    now = int(time.time() * 1000)
    traffic = Traffic(seed=5, partitions=1)
    return [traffic.next() for _ in range(MESSAGES)], now


@cache
def logs() -> dict[str, list[InputRecord]]:
    """The inputs' logs: a record every 3 ms, and every now and then a silence that lets timers fire."""
    messages, now = published()
    found: dict[str, list[InputRecord]] = {topic.name: [] for topic in (LEFT, RIGHT, GAUGE)}
    for number, one in enumerate(messages):
        if one.topic.name in found:
            log = found[one.topic.name]
            at = now + number * 3 + number // 150 * 1500
            log.append(InputRecord(one.key, one.value, at, len(log), (), one.topic.name))
    met = run(PAIR, merge({LEFT.name: found[LEFT.name], RIGHT.name: found[RIGHT.name]}), cuts=lambda: 50)
    found[MET.name] = [
        InputRecord(key, value, now + number * 3 + number // 150 * 1500, number, (), MET.name)
        for number, (key, value) in enumerate(met.topic(MET.name))
    ]
    return found


def told(agent: Agent, cuts: Callable[[], int]) -> Outcome:
    """Three times some records and then silence, each under another control."""
    records = list(merge({topic.name: logs()[topic.name] for topic in agent.inputs}))
    outcome = Outcome()
    for number in range(3):
        part = records[number * len(records) // 3 : (number + 1) * len(records) // 3]
        outcome = run(agent, part, cuts=cuts, start=outcome, control=control(agent, number))
        outcome = run(agent, [], start=outcome, tick=outcome.clock + 600, control=control(agent, number))
    return outcome


def control(agent: Agent, version: int) -> Control:
    """Settings after so many changes."""
    entry = {
        "tenant_id": "*",
        "name": SHARE,
        "valid_from": published()[1],
        "command_id": "c",
        "undoes": None,
        "by": "test",
        "at": published()[1],
        "reason": "so that values change",
    }
    topic = topics.CONTROL_THRESHOLDS
    entries = [entry | {"version": n, "value": f"0.{n}", "command_offset": n} for n in range(1, version + 1)]
    rows: Iterable[Row] = [(topic, topic.key_of(each), topic.codec.encode(each)) for each in entries]
    return Control(agent.settings).after(rows)


@pytest.mark.parametrize("agent", [PAIR, GATHER], ids=lambda agent: agent.name)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1 << 20), largest=st.sampled_from([1, 3, 40, 500]))
def test_any_cut_gives_the_same_bytes(agent: Agent, seed: int, largest: int) -> None:
    draw = random.Random(seed)
    whole, cut = told(agent, lambda: MESSAGES), told(agent, lambda: draw.randint(1, largest))
    assert cut.outputs == whole.outputs
    assert cut.state == whole.state
    assert cut.clock == whole.clock


def test_everything_happens() -> None:
    met = [
        MET.codec.decode(value or b"")["advice"].split(" ")[0] for _, value in told(PAIR, lambda: 99).topic(MET.name)
    ]
    assert {"joined", "unknown", "alone"} <= set(met)
    outcome = told(GATHER, lambda: 99)
    results = [RESULTS.codec.decode(value or b"") for _, value in outcome.topic(RESULTS.name)]
    assert {"quiet", "gauged", "joined"} <= {each["advice"].split(" ")[0] for each in results}
    assert {each["control_offset"] for each in results} == {-1, 1, 2}
    assert told(PAIR, lambda: 99).topic(topics.DEAD_LETTERS.name)


# -- the yardstick ----------------------------------------------------------------------------------------


def log(name: str, timestamps: Sequence[int]) -> list[Logged]:
    return [Logged(0, offset, at, b"k", name.encode() + b"%d" % offset, ()) for offset, at in enumerate(timestamps)]


def marks(*found: Mark, at: int = 1_000) -> list[Logged]:
    return [Logged(0, offset, at, MARK_KEY, mark.encode(), ()) for offset, mark in enumerate(found)]


def test_frames_are_read_from_the_marks() -> None:
    sources = {"a": log("a", [1, 5, 9]), "b": log("b", [2, 3, 20])}
    changelog = marks(
        Mark({"a": 2, "b": 1}, clock=5),
        Mark({"a": 2, "b": 2}, clock=5),  # b1 came late: a1 was taken without it
        Mark({"a": 2, "b": 2}, clock=8),
        Mark({"a": 3, "b": 2}, control=4, clock=9),
        Mark({"a": 3, "b": 3}, control=7, clock=20),
    )
    found = [
        ([f"{one.topic}{one.offset}" for one in each.records], each.control, each.tick)
        for each in segments(changelog, sources)
    ]
    assert found == [
        (["a0", "b0", "a1", "b1"], -1, 8),
        (["a2"], 4, None),
        (["b2"], 7, None),
    ]


@pytest.mark.parametrize(
    ("second", "wrong"),
    [
        (Mark({"a": 2, "b": 2}, clock=6), 0),
        (Mark({"a": 1, "b": 2}, clock=6), 0),
        (Mark({"a": 1, "b": 1}, clock=6), 0),
        (Mark({"a": 1, "b": 1}, clock=5), 1),
        (Mark({"a": 0, "b": 2}, clock=6), 1),
        (Mark({"a": 2, "b": 2}, clock=4), 1),
        (Mark({"a": 2, "b": 2}, control=-2, clock=6), 1),
    ],
)
def test_marks_only_grow(second: Mark, wrong: int) -> None:
    changelog = marks(Mark({"a": 1, "b": 1}, clock=5), second)
    assert judge_changelog("s", {"a": [], "b": []}, Outcome(clock=second.clock), changelog).out_of_order == wrong


def test_a_clock_before_the_brokers_is_told() -> None:
    hour = Mark({"a": 1}, clock=3_600_000)
    verdict = judge_changelog("s", {"a": []}, Outcome(clock=hour.clock), marks(Mark({"a": 1}, clock=0), hour))
    assert verdict.remarks == [f"the clock is 3599000 ms before the broker's at {hour}"]
