"""Agents under control on a real broker: a change is obeyed everywhere, soon, and never taken back by a move."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from models.control import DEFAULTS
from schemas import topics
from streams.control import CONTROL
from streams.runtime import Agent, Control, Frame, partition
from streams.runtime.engine import Engine
from streams.runtime.frame import InputRecord
from streams.runtime.mark import MARK_KEY, Mark
from streams.runtime.offline import Outcome, run
from tests.faults.counting import ZERO, step
from tests.streams.control import Naive, command, judged, rows, view
from tests.streams.control import records as commands
from tests.streams.runtime.conftest import Lab, eventually, figure, processed
from tests.streams.runtime.tally import NOW, OUTPUT, POISON, TOPIC, records, sample

on_a_broker = pytest.mark.kafka
CONTROL_TOPICS = [topic.name for topic in (*topics.CONTROL, *topics.REFERENCE)]
STOP = "stop_automatic"


def obedient(meanwhile: Callable[[Control], None] = lambda control: None) -> Agent:
    """An agent that says with each sample what it obeys; `meanwhile` is told of it too."""

    def process(frame: Frame) -> None:
        out = []
        events = frame.decode()
        for record, event in zip(frame.records, events, strict=True):
            meanwhile(frame.control)
            get, tenant, at = frame.control.get, event["tenant_id"], record.timestamp
            output = step(ZERO, event)[1] | {"control_offset": frame.control.offset}
            output["detail"] = {
                "threshold": get("control.thresholds", tenant, "anomaly_threshold", at),
                "stopped": float(get("control.flags", tenant, STOP, at)),
            }
            if POISON in event["extra"]:
                raise ValueError(f"{event['event_id']} is poison")
            out.append(output)
        frame.send(OUTPUT, out)

    return Agent(name="tally", inputs=(TOPIC,), outputs=(OUTPUT,), process=process, settings=DEFAULTS)


@pytest.fixture
def obeying(lab: Lab) -> Lab:
    """Topics of the agent and of control."""
    lab.create_all()
    lab.create("control.commands", *CONTROL_TOPICS, "control.audit", "changelog.control")
    return lab


def threshold(number: int, value: float, expected: int, **other: Any) -> dict[str, Any]:
    """The command of that number: from the beginning of the samples on, the threshold is this."""
    other = {"name": "anomaly_threshold", "valid_from": NOW, "requested_at": NOW} | other
    return command(number, str(value), expected, **other)


def ask(lab: Lab, *asked: dict[str, Any]) -> None:
    lab.write("control.commands", commands(asked))


def said(lab: Lab) -> list[dict[str, Any]]:
    """What the agent obeyed with each sample, in order."""
    return [OUTPUT.codec.decode(value or b"") for _, value in lab.rows(OUTPUT.name)]


@asynccontextmanager
async def flowing(lab: Lab, start: int = 0) -> AsyncIterator[None]:
    """A sample every 50 ms."""

    async def flow() -> None:
        number = start
        while True:
            await asyncio.to_thread(lab.write, TOPIC.name, records([sample(number)]))
            number += 1
            await asyncio.sleep(0.05)

    task = asyncio.create_task(flow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def repeated(lab: Lab, agent: Agent | None = None) -> Outcome:
    """The run of an agent as its MARKs tell it: each frame again, under the control that its MARK has."""
    agent = agent or obedient()
    whole = Control(DEFAULTS).after(
        (topic, key or b"", value) for topic in topics.CONTROL for key, value in lab.rows(topic.name)
    )
    source = [InputRecord(one.key, one.value, one.timestamp, one.offset) for one in lab.log(TOPIC.name)[0]]
    outcome = Outcome()
    for mark in lab.marks():
        frame = source[outcome.records : mark.offsets[TOPIC.name]]
        run(agent, frame, counts=lab.counts, prefix=lab.prefix, start=outcome, control=whole.upto(mark.control))
    return outcome


@on_a_broker
async def test_a_change_reaches_a_running_engine_soon(obeying: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [threshold(0, 0.8, 0), command(1, "true", 0, name=STOP, tenant_id="*", requested_at=NOW)]
    first: dict[int, float] = {}
    """When each control offset was in force for the first time."""

    def meanwhile(control: Control) -> None:
        first.setdefault(control.offset, time.monotonic())

    async with obeying.running(CONTROL), obeying.running(obedient(meanwhile)), flowing(obeying):
        await eventually(lambda: -1 in first, "the first sample")
        for offset, asked in enumerate(changes):
            started = time.monotonic()
            await asyncio.to_thread(ask, obeying, asked)
            sent = time.monotonic()
            await eventually(lambda wanted=offset: wanted in first, f"command {offset}")  # type: ignore[misc]
            seconds = first[offset] - started
            with capsys.disabled():
                print(
                    f"\n{asked['name']} is obeyed {seconds:.2f} s after it was asked, {first[offset] - sent:.2f} s "
                    "after the command was stored"
                )
            assert seconds < 2
    # Every frame is repeated from its MARK alone, byte for byte.
    outcome = repeated(obeying)
    assert obeying.rows(OUTPUT.name) == outcome.topic(OUTPUT.name)
    assert {(one["detail"]["threshold"], one["detail"]["stopped"]) for one in said(obeying)} == {
        (0.5, 0.0),
        (0.8, 0.0),
        (0.8, 1.0),
    }
    marks = [mark.control for mark in obeying.marks()]
    assert marks == sorted(marks)
    assert [min(marks), max(marks)] == [-1, 1]


@on_a_broker
async def test_a_moved_partition_never_obeys_older_control(
    obeying: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker that takes over has not heard of the change that the other one obeyed already."""
    monkeypatch.setattr(partition, "CONTROL_LIMIT_S", 0.5)
    thresholds = TopicPartition(obeying.prefix + "control.thresholds", 0)
    async with obeying.running(CONTROL), obeying.running(obedient()) as one:
        obeying.write(TOPIC.name, records(sample(n) for n in range(10)))
        await processed(one, 10)
        async with obeying.running(obedient()) as other:
            # Which of them has the partition from now on is up to chance.
            await eventually(lambda: other.consumer._subscription.subscription.assignment is not None, "the group")
            await eventually(lambda: bool(one.parts) != bool(other.parts), "the one owner", 40)
            first, second = (one, other) if one.parts else (other, one)
            await eventually(lambda: figure(first.metrics, "watchfloor_partitions") == 1, "the open partition")
            assert second.follower is not None
            await eventually(lambda: second.follower is not None and second.follower._edge is not None, "control")
            await second.follower.read_to_end(10)
            second.follower._source.pause(thresholds)  # type: ignore[union-attr]
            await asyncio.sleep(0.3)  # until the fetch that is under way has ended
            ask(obeying, threshold(0, 0.9, 0))
            assert first.follower is not None
            await first.follower.wait_until(0, 20)
            obeying.write(TOPIC.name, records(sample(n) for n in range(10, 20)))
            await eventually(lambda: len(said(obeying)) == 20, "what was said under the change")
            assert second.follower.offset == -1
            await first.app.stop()
            obeying.write(TOPIC.name, records(sample(n) for n in range(20, 30)))
            await eventually(lambda: "control was not read to its end within 0.5 s" in caplog.text, "the reason", 40)
            assert len(said(obeying)) == 20
            assert figure(second.metrics, "watchfloor_partitions") == 0
            second.follower._source.resume(thresholds)  # type: ignore[union-attr]
            await eventually(lambda: len(said(obeying)) == 30, "the rest", 40)
    assert [one["control_offset"] for one in said(obeying)] == [-1] * 10 + [0] * 20
    assert [one["detail"]["threshold"] for one in said(obeying)] == [0.5] * 10 + [0.9] * 20


@on_a_broker
async def test_a_fresh_partition_obeys_what_was_set_before(obeying: Lab) -> None:
    obeying.write(TOPIC.name, records(sample(n) for n in range(10)))
    async with obeying.running(CONTROL):
        ask(obeying, *(threshold(n, n / 100, n) for n in range(50)))
        await eventually(lambda: len(obeying.rows("control.audit")) == 50, "the last answer")
    async with obeying.running(obedient()) as engine:
        await processed(engine, 10)
    assert {(one["control_offset"], one["detail"]["threshold"]) for one in said(obeying)} == {(49, 0.49)}


@on_a_broker
async def test_control_made_anew_stops_the_partition(
    obeying: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(partition, "HALT_PAUSE_S", (0.1, 0.2))
    mark = Mark({TOPIC.name: 0}, control=3)
    obeying.write("changelog.tally", [InputRecord(MARK_KEY, mark.encode(), NOW, 0)])
    obeying.write(TOPIC.name, records([sample(0)]))
    async with obeying.running(obedient()) as engine:
        await eventually(
            lambda: "obeyed control up to command 3, the control topics end with command -1" in caplog.text, "word"
        )
        await eventually(lambda: figure(engine.metrics, "watchfloor_halted_partitions") == 1, "the figure")
    assert said(obeying) == []


@on_a_broker
async def test_without_the_control_topics_the_partition_stays_closed_and_says_so(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(partition, "HALT_PAUSE_S", (0.1, 0.2))
    monkeypatch.setattr("streams.runtime.kafka.TOPIC_TIMEOUT_S", 0.3)
    lab.create_all()
    lab.write(TOPIC.name, records([sample(0)]))
    async with lab.running(obedient()) as engine:
        await eventually(lambda: "tally[0] stopped: Halt: control cannot be read: topic" in caplog.text, "word")
        lab.create(*CONTROL_TOPICS)
        await processed(engine, 1)


@on_a_broker
async def test_halves_of_a_frame_obey_the_same(obeying: Lab) -> None:
    """A change that comes while the record that makes the agent raise is looked for waits for the next frame."""
    running: list[Engine] = []
    newer = view(judged([threshold(0, 0.9, 0)]))

    def meanwhile(_: Control) -> None:
        (engine,) = running
        assert engine.follower is not None
        engine.follower.control = newer

    obeying.write(TOPIC.name, records(sample(n, *[POISON] * (n == 7)) for n in range(16)))
    async with obeying.running(obedient(meanwhile)) as engine:
        running.append(engine)
        await processed(engine, 16)
        obeying.write(TOPIC.name, records([sample(16)]))
        await processed(engine, 17)
    assert [one["control_offset"] for one in said(obeying)] == [-1] * 15 + [0]
    assert [mark.control for mark in obeying.marks()][-2:] == [-1, 0]


# -- views ------------------------------------------------------------------------------------------------

NAMES = ("observe_only", "tuning", STOP)


@st.composite
def asked(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Commands of several settings, some of them stale."""
    versions: dict[str, int] = {}
    made = []
    for number in range(draw(st.integers(1, 25))):
        name = draw(st.sampled_from(NAMES))
        tenant = "*" if name == STOP else "acme"
        expected = versions.get(name, 0) + draw(st.sampled_from((0, 0, 0, 1)))
        fields: dict[str, Any] = {"name": name, "tenant_id": tenant}
        if name != STOP and draw(st.booleans()):
            fields["valid_from"] = NOW + draw(st.integers(-20, 20)) * 60_000
        if versions.get(name) and draw(st.integers(0, 3)) == 0:
            fields |= {"action": "undo", "valid_from": None}
        value = None if fields.get("action") else draw(st.sampled_from(("true", "false")))
        one = command(number, value, expected, **fields)
        versions[name] = versions.get(name, 0) + (expected == versions.get(name, 0))
        made.append(one)
    return made


@settings(max_examples=30)
@given(asked(), st.integers(-1, 26))
def test_a_view_up_to_an_offset_is_the_view_of_that_time(everything: list[dict[str, Any]], offset: int) -> None:
    then, now = judged(everything[: offset + 1]), judged(everything)
    old = view(now).upto(offset)
    assert old.offset == view(then).offset
    naive = Naive()
    for one in everything[: offset + 1]:
        naive.obey(one)
    for name in NAMES:
        who = "*" if name == STOP else "acme"
        assert old.history("control.flags", who, name) == view(then).history("control.flags", who, name)
        for minute in range(-25, 50):
            at = NOW + minute * 60_000
            assert old.get("control.flags", "acme", name, at) == naive.get("acme", name, at)
    # Taking in the rest makes it whole again.
    assert old.after(rows(now)).offset == view(now).offset
