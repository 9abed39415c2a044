"""Several inputs and timers on a real broker: what comes out is what the offline driver makes of the merged logs."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import cast

import pytest
from aiokafka import TopicPartition

import streams.runtime.engine
from schemas import topics
from streams.runtime import idle
from streams.runtime.engine import Engine
from streams.runtime.frame import InputRecord
from streams.runtime.idle import LONGEST_STEP_S, IdleClock
from streams.runtime.inputs import Input
from streams.runtime.mark import Mark
from streams.runtime.offline import Outcome, merge, run
from tests.streams.runtime import pairs
from tests.streams.runtime.conftest import Lab, eventually
from tests.streams.runtime.pairs import AGENT, FIRST, PAIRS, POISON, SECOND, SPOILT, one, said
from tests.streams.runtime.tally import NOW

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]


def create(lab: Lab) -> None:
    names = (FIRST.name, SECOND.name, PAIRS.name, topics.DEAD_LETTERS.name, AGENT.changelog)
    lab.create(*names, partitions=lab.partitions)


def events(engine: Engine) -> float:
    return engine.metrics.registry.get_sample_value("watchfloor_events_total", {"agent": AGENT.name}) or 0.0


def expected(lab: Lab, partition: int) -> Outcome:
    logs: dict[str, list[InputRecord]] = {
        topic.name: [
            InputRecord(each.key, each.value, each.timestamp, each.offset, each.headers)
            for each in lab.log(topic.name)[partition]
        ]
        for topic in AGENT.inputs
    }
    counts = {topic.name: lab.partitions for topic in (*AGENT.inputs, PAIRS, topics.DEAD_LETTERS)}
    return run(AGENT, merge(logs), partition=partition, counts=counts, prefix=lab.prefix)


def check(lab: Lab) -> None:
    for partition in range(lab.partitions):
        wanted = expected(lab, partition)
        for topic in (PAIRS, topics.DEAD_LETTERS):
            assert lab.rows(topic.name, partition) == wanted.outputs.get((topic.name, partition), [])
        entries, mark = lab.state(partition, AGENT.name)
        assert entries == wanted.state
        assert mark.clock == wanted.clock
        ends = {topic.name: len(lab.log(topic.name)[partition]) for topic in AGENT.inputs}
        assert mark.offsets == ends


def backlog(lab: Lab, numbers: range) -> int:
    """Pairs whose halves lie in two logs, written one log after the other; how many records."""
    first, second = count(), count()
    opened = [
        one(
            FIRST,
            n,
            n / 10,
            next(first),
            *((SPOILT,) if n % 97 == 5 else (POISON,) if n % 97 == 6 else ()),
            host=f"h{n % 7}",
        )
        for n in numbers
    ]
    closed = [one(SECOND, n, n / 10 + n % 9, next(second), host=f"h{n % 7}") for n in numbers if n % 3]
    lab.write(FIRST.name, opened)
    lab.write(SECOND.name, sorted(closed, key=lambda each: each.timestamp))
    return len(opened) + len(closed)


async def test_two_logs_are_read_as_one_by_their_timestamps(lab: Lab) -> None:
    lab.partitions = 2
    create(lab)
    records = backlog(lab, range(600))
    async with lab.running(AGENT) as engine:
        await eventually(lambda: events(engine) >= records, "the backlog")
    check(lab)
    more = backlog(lab, range(700, 1000))  # later than all of the first: those were taken without waiting for these
    async with lab.running(AGENT) as engine:
        await eventually(lambda: events(engine) >= more, "what came while nobody worked")
    check(lab)
    assert any(advice == "joined" for rows in (0, 1) for _, advice, _ in said(lab.rows(PAIRS.name, rows)))


async def test_what_follows_from_a_record_never_overtakes_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy worker, where what was fetched waits for a while before it is taken.

    After a tenth of a second the client no longer lets what waits hold up its next fetch, which then has the other
    input alone: what is known of the end of the first log is older than what was read of the second.
    """
    monkeypatch.setattr(streams.runtime.engine, "FETCH_PAUSE_S", 0.8)
    create(lab)
    numbers = range(9)

    def publish() -> None:
        write = lab.writer(**{"linger.ms": 0})
        for n in numbers:
            write(FIRST.name, [one(FIRST, n, n, n)])
            if n % 3 < 2:
                time.sleep(0.3)  # one is taken, one waits
            else:
                write(SECOND.name, [one(SECOND, n, n + 0.5, n // 3)])

    async with lab.running(AGENT) as engine:
        await eventually(lambda: set(engine.parts) == {0} and engine.parts[0].open, "the partition")
        await asyncio.to_thread(publish)
        await eventually(lambda: events(engine) == 12, "all halves")
    found = {event_id: advice for event_id, advice, _ in said(lab.rows(PAIRS.name))}
    assert [found[event_id] for event_id in ("e2", "e5", "e8")] == ["joined"] * 3
    check(lab)


async def test_an_input_that_is_opened_again_waits_for_news_of_its_end(lab: Lab) -> None:
    create(lab)
    lab.write(FIRST.name, [one(FIRST, 1, 0, 0)])
    async with lab.running(AGENT) as engine:
        await eventually(lambda: events(engine) == 1, "the record")
        inputs = list(engine.parts[0].inputs.values())
        await eventually(lambda: all(each.read_to_end for each in inputs), "the ends")
        for each in inputs:
            each.open(each.expected or 0)
            assert not each.read_to_end
        await eventually(lambda: all(each.read_to_end for each in inputs), "the ends, told anew")


async def test_time_alone_fires_a_timer_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "WAIT_MS", 1_500)
    create(lab)
    lab.write(FIRST.name, [one(FIRST, 1, 0, 0)])
    async with lab.running(AGENT) as engine:
        await eventually(lambda: events(engine) == 1, "the record")
        assert lab.rows(PAIRS.name) == []
    # A restart forgets no timer.
    async with lab.running(AGENT):
        await eventually(lambda: lab.rows(PAIRS.name) != [], "the timer")
    _, mark = lab.state(0, AGENT.name)
    assert mark.offsets == {FIRST.name: 1, SECOND.name: 0}
    assert NOW + 1_500 <= mark.clock < NOW + 10_000
    async with lab.running(AGENT) as engine:
        lab.write(SECOND.name, [one(SECOND, 2, 600, 0)])
        await eventually(lambda: events(engine) == 1, "a later record")
    assert said(lab.rows(PAIRS.name)) == [("e1", "alone once", 1.5), ("e2", "unknown", 600)]


async def test_an_input_without_the_other_is_not_opened(lab: Lab) -> None:
    create(lab)
    async with lab.running(AGENT) as engine:
        both = [TopicPartition(lab.prefix + topic.name, 0) for topic in AGENT.inputs]
        await eventually(lambda: set(engine.parts) == {0}, "the assignment")
        await engine.on_partitions_assigned(both[:1])
        assert engine.parts == {}
        labels = {"agent": AGENT.name, "error": "IncompleteAssignment"}
        assert engine.metrics.registry.get_sample_value("watchfloor_errors_total", labels) == 1
        lab.write(FIRST.name, [one(FIRST, 1, 0, 0)])
        await engine.on_partitions_assigned(both)
        await eventually(lambda: events(engine) == 1, "the record")


async def test_inputs_must_have_the_same_number_of_partitions(lab: Lab) -> None:
    lab.create(FIRST.name, PAIRS.name, topics.DEAD_LETTERS.name, AGENT.changelog)
    lab.create(SECOND.name, partitions=3)
    name = lab.prefix + SECOND.name
    with pytest.raises(LookupError, match=f"pairing has 1 partitions, {name} has 3"):
        async with lab.running(AGENT):
            pass


async def test_a_mark_of_other_inputs_stops_the_partition(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    create(lab)
    mark = Mark({FIRST.name: 0, "third": 7})
    lab.write(AGENT.changelog, [InputRecord(b"\xffmark", mark.encode(), NOW, 0)])
    async with lab.running(AGENT) as engine:
        halted = {"agent": AGENT.name}
        await eventually(
            lambda: engine.metrics.registry.get_sample_value("watchfloor_halted_partitions", halted) == 1, "the halt"
        )
    assert "has positions of third, which this release does not read" in caplog.text


@dataclass
class Log:
    """What an input knows of its log, set by hand: the clock's own arithmetic is the subject."""

    answers: Iterator[int] = field(default_factory=count)
    alive: bool = True
    at_end: bool = True

    def answered(self) -> bool:
        return self.alive


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(idle.time, "monotonic", lambda: now[0])
    return now


def silent_for(seconds: int, clock: list[float], idle_clock: IdleClock) -> int:
    for _ in range(seconds):
        clock[0] += 1
        idle_clock.advance(NOW)
    return idle_clock.now - NOW


def test_silence_counts(clock: list[float]) -> None:
    silence = IdleClock(cast(list[Input], [Log(), Log()]))
    silence.start()
    assert silent_for(10, clock, silence) == 10_000
    silence.start()
    assert silent_for(3, clock, silence) == 3_000


def test_an_hour_without_the_broker_counts_for_nothing(clock: list[float]) -> None:
    log = Log()
    silence = IdleClock(cast(list[Input], [Log(), log]))
    silence.start()
    assert silent_for(5, clock, silence) == 5_000
    log.alive = False
    clock[0] += 3600
    assert not silence.advance(NOW)
    log.alive = True
    assert silence.advance(NOW)
    assert silence.now - NOW == 5_000
    assert silent_for(5, clock, silence) == 10_000


def test_a_process_that_was_stopped_counts_no_more_than_a_step(clock: list[float]) -> None:
    silence = IdleClock(cast(list[Input], [Log()]))
    silence.start()
    clock[0] += 86_400
    assert silence.advance(NOW)
    assert silence.now - NOW == LONGEST_STEP_S * 1000


def test_unread_records_stop_the_clock(clock: list[float]) -> None:
    log = Log(at_end=False)
    silence = IdleClock(cast(list[Input], [log]))
    silence.start()
    clock[0] += 1
    assert not silence.advance(NOW)


def test_without_a_first_record_there_is_no_time(clock: list[float]) -> None:
    silence = IdleClock(cast(list[Input], [Log()]))
    silence.start()
    clock[0] += 1
    assert not silence.advance(-1)
