"""The engine on a real broker: every record counts once, whatever happens to its worker."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import aiokafka
import pytest
from aiokafka.errors import KafkaError
from confluent_kafka import TopicPartition

from streams.runtime import Agent, Frame, kafka, partition
from streams.runtime import engine as engines
from streams.runtime.engine import Engine
from streams.runtime.frame import InputRecord
from streams.runtime.isolate import POISON_LIMIT
from streams.runtime.mark import MARK_KEY, Mark
from streams.runtime.offline import run
from tests.faults import logs
from tests.faults.counting import ZERO, step
from tests.faults.waiting import until
from tests.streams.runtime.conftest import Lab, eventually, figure, processed
from tests.streams.runtime.tally import FORGET, NOW, OUTPUT, POISON, REFUSE, STOP, TOPIC, records, sample, tally

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]


def mixed(count: int, start: int = 0) -> list[InputRecord]:
    """Samples with all that may be wrong among them."""
    orders = {20: (POISON,), 21: (POISON,), 50: (REFUSE,), 70: (FORGET,)}
    made = records(sample(number, *orders.get(number % 100, ())) for number in range(start, start + count))
    return [one._replace(value=b"?") if one.offset % 100 == 40 else one for one in made]


def clean(count: int, start: int = 0) -> list[InputRecord]:
    return records(sample(number) for number in range(start, start + count))


def partitions_are(engine: Engine, count: int) -> Callable[[], bool]:
    return lambda: figure(engine.metrics, "watchfloor_partitions") == count


def errors(engine: Engine, name: str) -> float:
    """How often an error made a partition open again."""
    return figure(engine.metrics, "watchfloor_errors_total", error=name)


def halted(engine: Engine) -> bool:
    return figure(engine.metrics, "watchfloor_halted_partitions") == 1


async def test_every_record_counts_once(lab: Lab) -> None:
    lab.partitions = 2
    lab.create_all()
    lab.write(TOPIC.name, mixed(400))
    async with lab.running() as engine:
        await processed(engine, 400)
        lab.write(TOPIC.name, mixed(200, start=400))
        await processed(engine, 600)
    lab.check()
    assert sum(map(len, lab.log("dead-letters"))) == 6 * 4


async def test_one_poison_record_costs_one_dead_letter(lab: Lab) -> None:
    lab.create_all()
    lab.write(TOPIC.name, records(sample(n, *[POISON] * (n == 77)) for n in range(150)))
    async with lab.running() as engine:
        await processed(engine, 150)
    lab.check()
    assert len(lab.rows("dead-letters")) == 1
    assert len(lab.rows(OUTPUT.name)) == 149
    assert figure(engine.metrics, "watchfloor_body_errors_total") >= 1
    assert not halted(engine)


async def test_a_bug_stops_the_partition_and_a_release_without_it_goes_on(lab: Lab) -> None:
    lab.create_all()
    lab.write(TOPIC.name, records(sample(n, POISON) for n in range(40)))
    for _ in range(2):
        # The second start does not give the dead letters ten records more.
        async with lab.running() as engine:
            await eventually(lambda: halted(engine), "the halt")
            assert errors(engine, "PoisonFloodError") >= 1
        assert len(lab.rows("dead-letters")) == POISON_LIMIT
    assert lab.state()[1].poison == POISON_LIMIT
    async with lab.running(mended()) as engine:
        await processed(engine, 30)
    assert len(lab.rows("dead-letters")) == POISON_LIMIT
    assert len(lab.rows(OUTPUT.name)) == 30


async def test_many_bad_records_in_a_row_stop_nothing_for_good(lab: Lab) -> None:
    """Good ones that come after them show that it is no bug."""
    lab.create_all()
    bad = POISON_LIMIT + 2
    lab.write(TOPIC.name, records(sample(n, POISON) for n in range(bad)))
    async with lab.running() as engine:
        await eventually(lambda: halted(engine), "the halt")
        lab.write(TOPIC.name, records(sample(n) for n in range(bad, bad + 5)))
        await processed(engine, bad + 5)
    lab.check()
    assert len(lab.rows("dead-letters")) == bad
    assert len(lab.rows(OUTPUT.name)) == 5


def mended() -> Agent:
    """The agent, for which no record is poison."""

    def process(frame: Frame) -> None:
        frame.send(OUTPUT, [step(ZERO, event)[1] for event in frame.decode()])

    return replace(tally(), process=process)


async def test_a_halt_is_shown_and_ends_with_its_cause(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(partition, "HALT_PAUSE_S", (0.1, 0.4))
    lab.create_all()
    broken = True
    agent = tally(halted=lambda: broken)
    lab.write(TOPIC.name, records(sample(n, *[STOP] * (n == 30)) for n in range(60)))
    async with lab.running(agent) as engine:
        await eventually(lambda: errors(engine, "Halt") >= 3, "the third halt")
        await eventually(lambda: halted(engine), "the figure")
        assert figure(engine.metrics, "watchfloor_events_total") <= 30
        broken = False
        await processed(engine, 60)
        assert not halted(engine)
        # Another halt, later, begins with the short pause again.
        broken, before = True, errors(engine, "Halt")
        lab.write(TOPIC.name, records([sample(60, STOP)]))
        caplog.clear()
        await eventually(lambda: errors(engine, "Halt") > before, "another halt")
        # In full, as the log rounds it.
        pauses = [one.args[-1] for one in caplog.records if isinstance(one.args, tuple) and "stopped" in one.msg]
        assert pauses[0] == 0.1
        broken = False
        await processed(engine, 61)
    lab.check()
    assert lab.rows("dead-letters") == []


async def test_a_fenced_partition_comes_back_once(lab: Lab) -> None:
    lab.create_all()
    lab.write(TOPIC.name, mixed(200))
    async with lab.running(session_timeout_ms=3000) as engine:
        await processed(engine, 200)
        for number in range(2):
            other = kafka.producer(lab.servers, f"{engine.group}-0", 3000)
            await other.start()
            lab.write(TOPIC.name, mixed(100, start=200 + 100 * number))
            await processed(engine, 300 + 100 * number)
            # The intruder has lost in turn, and nobody fenced anybody since.
            with pytest.raises(KafkaError):
                await kafka.transact(other, {(lab.prefix + OUTPUT.name, 0): [(b"alien", b"row")]}, 10.0)
            await other.stop()
            assert errors(engine, "ProducerFenced") == number + 1
    lab.check()


async def test_a_killed_worker_goes_on_at_mark(lab: Lab) -> None:
    lab.create_all()
    lab.write(TOPIC.name, mixed(200) + clean(4000, start=200))
    code = (
        "import sys, pathlib; from streams.app import build, serve; from tests.streams.runtime.tally import tally;"
        "servers, prefix, data = sys.argv[1:];"
        "serve(build([tally()], servers=servers, prefix=prefix, instance='w', data=pathlib.Path(data)))"
    )

    def worker() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code, lab.servers, lab.prefix, str(lab.data)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> int:
        return logs.end_offsets(lab.servers, lab.prefix + OUTPUT.name)[0]

    first = worker()
    try:
        until(lambda: end() > 0, 30, "the first output", every=0.01)
    finally:
        first.kill()
        first.wait(10)
    lab.write(TOPIC.name, clean(500, start=4200))
    # The same member in this process: it need not wait for the session to end.
    async with lab.running(instance="w") as engine:
        await eventually(lambda: engine_position(engine) == 4700, "the end of the input", 30)
    lab.check()
    positions = [mark.offsets[TOPIC.name] for mark in lab.marks()]
    assert positions == sorted(set(positions))
    assert figure(engine.metrics, "watchfloor_events_total") < 4700


def engine_position(engine: Engine) -> int:
    return max((at for part in engine.parts.values() for at in part.positions.values()), default=0)


async def test_partitions_move_between_workers(lab: Lab) -> None:
    lab.partitions = 2
    lab.create_all()
    lab.write(TOPIC.name, mixed(300))
    async with lab.running() as first:
        await processed(first, 300)
        async with lab.running() as second:
            await eventually(partitions_are(second, 1), "the second worker's partition")
            await eventually(partitions_are(first, 1), "the first worker's partition")
            lab.write(TOPIC.name, mixed(300, start=300))
            whole = (first.metrics, second.metrics)
            await eventually(
                lambda: sum(figure(one, "watchfloor_events_total") for one in whole) >= 600, "the last record"
            )
        await eventually(partitions_are(first, 2), "the partition back")
        lab.write(TOPIC.name, mixed(100, start=600))
        await eventually(lambda: sum(figure(one, "watchfloor_events_total") for one in whole) >= 700, "the last record")
    lab.check()
    assert sum(figure(one, "watchfloor_events_total") for one in whole) == 700


async def test_deleted_state_is_a_tombstone(lab: Lab) -> None:
    lab.create_all()
    lab.write(TOPIC.name, records([sample(1, host="a"), sample(2, host="b")]))
    async with lab.running() as engine:
        await processed(engine, 2)
        lab.write(TOPIC.name, records([sample(3, FORGET, host="a")]))
        await processed(engine, 3)
    rows = lab.rows("changelog.tally")
    assert {key for key, value in rows if value is None} == {b"acme|a\xffcount\xff", b"acme|a\xffseen\xff1"}
    lab.write(TOPIC.name, records([sample(4, host="a")]))
    async with lab.running() as engine:
        await processed(engine, 1)
    lab.check()


async def test_records_that_are_gone_stop_the_partition(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.create_all()
    lab.write(TOPIC.name, mixed(100))
    async with lab.running() as engine:
        await processed(engine, 100)
    lab.write(TOPIC.name, mixed(100, start=100))
    before = lab.rows(OUTPUT.name)
    for deleted in lab.admin.delete_records([TopicPartition(lab.source, 0, 150)]).values():
        deleted.result(20)
    async with lab.running() as engine:
        await eventually(lambda: halted(engine), "the halt")
        assert errors(engine, "PositionError") >= 1
        assert not engine.parts[0].open
    assert "the next record to read is 100" in caplog.text
    assert "holds 150 to 200: 50 records are gone" in caplog.text
    assert lab.rows(OUTPUT.name) == before


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ((MARK_KEY, b'{"v":2}'), "StateVersionError", "MARK is stored in format 2"),
        ((b"acme|a\xffcount\xff", b"\x01"), "PositionError", "has state but no MARK"),
        ((MARK_KEY, Mark({TOPIC.name: 900}).encode()), "PositionError", "the topic was made anew"),
    ],
)
async def test_a_changelog_that_cannot_be_gone_on_from_stops_the_partition(
    lab: Lab, caplog: pytest.LogCaptureFixture, row: tuple[bytes, bytes], error: str, message: str
) -> None:
    lab.create_all()
    lab.write(TOPIC.name, mixed(10))
    lab.write("changelog.tally", [InputRecord(*row, NOW, 0)])
    async with lab.running() as engine:
        await eventually(lambda: halted(engine), "the halt")
        assert errors(engine, error) >= 1
    assert message in caplog.text
    assert lab.rows(OUTPUT.name) == []


async def test_a_graceful_stop_commits_and_leaves(lab: Lab) -> None:
    lab.create_all()
    lab.write(TOPIC.name, clean(4000))
    async with lab.running() as engine:
        await eventually(lambda: figure(engine.metrics, "watchfloor_frames_total") >= 1, "the first frame")
        started = time.monotonic()
    assert time.monotonic() - started < 10
    _, mark = lab.state()
    stopped = mark.offsets[TOPIC.name]
    assert figure(engine.metrics, "watchfloor_events_total") == stopped
    assert errors(engine, "ProducerFenced") == 0
    # All of what was read, and nothing after MARK.
    source = [InputRecord(one.key, one.value, one.timestamp, one.offset) for one in lab.log(TOPIC.name)[0]]
    wanted = run(tally(), source[:stopped], counts=lab.counts, prefix=lab.prefix)
    assert lab.rows(OUTPUT.name) == wanted.topic(OUTPUT.name)
    group = lab.admin.describe_consumer_groups([engine.group])[engine.group].result(20)
    assert group.members == []


async def test_the_watchdog_opens_a_standing_partition_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "WATCH_INTERVAL_S", 0.2)
    monkeypatch.setattr(engines, "STUCK_AFTER_S", 1.5)
    lab.create_all()
    lab.write(TOPIC.name, mixed(50))
    async with lab.running() as engine:
        await processed(engine, 50)
        # As if the client had forgotten the partition.
        engine.consumer.pause(aiokafka.TopicPartition(lab.source, 0))
        lab.write(TOPIC.name, mixed(50, start=50))
        await processed(engine, 100)
        assert errors(engine, "Stuck") >= 1
    lab.check()


async def test_an_idle_partition_is_left_in_peace(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "WATCH_INTERVAL_S", 0.05)
    monkeypatch.setattr(engines, "STUCK_AFTER_S", 0.2)
    lab.create_all()
    lab.write(TOPIC.name, mixed(50))
    async with lab.running() as engine:
        await processed(engine, 50)
        (part,) = engine.parts.values()
        moved = part.moved
        # The watchdog has looked at it several times.
        await eventually(lambda: part.moved > moved + 0.5, "the watchdog")
        assert list(engine.parts.values()) == [part]
        assert errors(engine, "Stuck") == 0


async def test_a_changelog_with_other_partitions_is_refused(lab: Lab) -> None:
    lab.create(TOPIC.name, OUTPUT.name, "dead-letters")
    lab.create("changelog.tally", partitions=2)
    with pytest.raises(LookupError, match=r"changelog\.tally has 2 partitions, .* has 1: they must"):
        async with lab.running():
            pass


async def test_the_figures_after_a_run(lab: Lab) -> None:
    lab.create_all()
    events = [sample(n) for n in range(100)]
    made = records(events)
    lab.write(TOPIC.name, [one._replace(value=b"?") if one.offset < 3 else one for one in made])
    async with lab.running() as engine:
        await processed(engine, 100)
        await eventually(lambda: figure(engine.metrics, "watchfloor_state_entries", partition="0") == 20, "the figures")
        assert figure(engine.metrics, "watchfloor_partitions") == 1
        assert (
            engine.metrics.registry.get_sample_value("watchfloor_lag_records", {"agent": "tally", "partition": "0"})
            == 0
        )
    frames = len(lab.marks())
    changes = [(key, value) for key, value in lab.rows("changelog.tally") if key != MARK_KEY]
    found = {
        name: figure(engine.metrics, f"watchfloor_{name}", **labels)
        for name, labels in {
            "outputs_total": {"topic": OUTPUT.name},
            "dead_letters_total": {},
            "frames_total": {},
            "frame_records_count": {},
            "frame_records_sum": {},
            "process_seconds_count": {},
            "transaction_seconds_count": {},
            "restore_seconds_count": {},
            "body_errors_total": {},
            "halted_partitions": {},
            "partitions": {},
            "changelog_bytes_total": {},
        }.items()
    }
    assert found == {
        "outputs_total": 97,
        "dead_letters_total": 3,
        "frames_total": frames,
        "frame_records_count": frames,
        "frame_records_sum": 100,
        "process_seconds_count": frames,
        "transaction_seconds_count": frames,
        "restore_seconds_count": 1,
        "body_errors_total": 0,
        "halted_partitions": 0,
        "partitions": 0,
        "changelog_bytes_total": sum(len(key or b"") + len(value or b"") for key, value in changes),
    }
