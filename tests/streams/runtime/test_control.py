"""The view of control and its follower, on a real broker."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from confluent_kafka import Producer

from models.control import DEFAULTS
from schemas import topics
from streams.control import CONTROL
from streams.runtime.control import NO_OFFSET, Control, Spans
from streams.runtime.errors import Halt, StateVersionError
from streams.runtime.follower import Follower
from streams.runtime.frame import InputRecord
from tests.streams.control import DAY, MINUTE, NOON, command, judged, records, rows, view
from tests.streams.runtime.conftest import Lab, eventually
from watchfloor.embedded.kafka import Broker

FLAGS = "control.flags"
FLAG, THRESHOLD = topics.CONTROL_FLAGS, topics.CONTROL_THRESHOLDS
NAMES = [topic.name for topic in topics.CONTROL]


def changes(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Commands that set a flag and a threshold in turn."""
    return [
        command(number, "true" if number % 4 == 0 else "false", number // 2)
        if number % 2 == 0
        else command(number, str(number), number // 2, name="alert_budget")
        for number in range(start, start + count)
    ]


def shown(control: Control) -> list[Any]:
    """A view as values, to compare with another."""
    times = range(NOON - MINUTE, NOON + 40 * MINUTE, MINUTE)
    return [
        control.offset,
        [control.get(FLAGS, "acme", "observe_only", time) for time in times],
        [control.get("control.thresholds", "acme", "alert_budget", time) for time in times],
        control.history(FLAGS, "acme", "observe_only"),
    ]


def test_an_empty_view_has_the_defaults() -> None:
    control = Control(DEFAULTS)
    assert control.offset == NO_OFFSET
    assert control.get(FLAGS, "acme", "tuning", NOON) is True
    assert control.find(FLAGS, "acme", "tuning", NOON) is None
    assert control.history(FLAGS, "acme", "tuning") == ()
    with pytest.raises(KeyError, match="nonsense"):
        control.get(FLAGS, "acme", "nonsense", NOON)


def test_a_setting_is_asked_for_once_as_long_as_none_changes() -> None:
    control = view(
        judged(
            [
                command(1, valid_from=NOON + 10 * MINUTE, expires_at=NOON + 20 * MINUTE),
                command(2, "true", tenant_id="globex"),
            ]
        )
    )
    asked: list[tuple[str, int]] = []

    def make(tenant: str, time: int) -> list[Any]:
        asked.append((tenant, time))
        return [tenant, control.get(FLAGS, tenant, "observe_only", time)]

    spans = Spans(control, [(FLAGS, "observe_only")], make)
    times = [NOON + minute * MINUTE for minute in (12, 0, 9, 10, 19, 20, 30)]
    split = {tuple(places): found for found, places in spans.split("acme", times)}
    assert split == {(0, 3, 4): ["acme", True], (1, 2): ["acme", False], (5, 6): ["acme", False]}
    for places, found in split.items():
        assert all(spans.of("acme", times[place]) is found for place in places)
    (alone,) = spans.split("acme", times[1:3])
    assert (alone[0], list(alone[1])) == (["acme", False], [0, 1])
    assert spans.of("globex", NOON + 15 * MINUTE) == ["globex", True]
    assert asked == [("acme", times[0]), ("acme", times[1]), ("acme", times[5]), ("globex", NOON + 15 * MINUTE)]


def test_a_view_never_changes() -> None:
    first = view(judged(changes(1)))
    before = shown(first)
    second = first.after(rows(judged(changes(5))))
    assert shown(first) == before
    assert second.offset == 4


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"acme|observe_only|1", b"\xc3\x01" + bytes(8), "control.flags cannot be read"),
        (b"acme|observe_only", None, "has the key b'acme|observe_only', not tenant|name|version"),
        (b"\xff|observe_only|1", None, "not tenant|name|version"),
    ],
)
def test_a_record_of_another_release_is_refused(key: bytes, value: bytes | None, reason: str) -> None:
    with pytest.raises(StateVersionError) as caught:
        Control(DEFAULTS).after([(FLAG, key, value)])
    assert reason in str(caught.value)


# -- on a broker ------------------------------------------------------------------------------------------


@pytest.fixture
def control(lab: Lab) -> Lab:
    """Topics of the control agent."""
    entered = [topic.name for topic in topics.REFERENCE]
    lab.create("control.commands", *NAMES, *entered, "control.audit", "dead-letters", "changelog.control")
    return lab


@asynccontextmanager
async def following(lab: Lab) -> AsyncIterator[Follower]:
    async with Follower(lab.servers, topics.CONTROL, prefix=lab.prefix, defaults=DEFAULTS) as follower:
        yield follower


def ask(lab: Lab, commands: list[dict[str, Any]]) -> None:
    lab.write("control.commands", records(commands))


async def answered(lab: Lab, count: int) -> None:
    await eventually(lambda: len(lab.rows("control.audit")) >= count, f"answer {count}")


@pytest.mark.kafka
async def test_two_writers_racing_get_one_success_and_one_refusal(control: Lab) -> None:
    async with control.running(CONTROL):
        both = [command(0, by="jane"), command(1, "false", by="joe")]
        await asyncio.gather(*(asyncio.to_thread(ask, control, [one]) for one in both))
        await answered(control, 2)
    said = [topics.CONTROL_AUDIT.codec.decode(value or b"") for _, value in control.rows("control.audit")]
    assert sorted(answer["outcome"] for answer in said) == ["accepted", "refused"]
    won = next(answer for answer in said if answer["outcome"] == "accepted")
    lost = next(answer for answer in said if answer["outcome"] == "refused")
    assert lost["code"] == "StaleVersion"
    assert lost["value"] == won["asked"]
    assert lost["message"].startswith("version 0 was expected; observe_only of acme is ")
    assert len(control.rows(FLAGS)) == 1


@pytest.mark.kafka
async def test_the_follower_reads_to_the_end_and_follows(control: Lab) -> None:
    everything = changes(12)
    async with control.running(CONTROL):
        ask(control, everything[:6])
        await answered(control, 6)
        async with following(control) as follower:
            assert shown(follower.control) == shown(view(judged(everything[:6])))
            ask(control, everything[6:])
            late = await follower.wait_until(11, 20)
            assert shown(late) == shown(view(judged(everything)))
            with pytest.raises(TimeoutError, match=r"control is at 11, not at 12, after 0\.2 s"):
                await follower.wait_until(12, 0.2)
    # In the agent's own log is what the offline driver says, byte for byte.
    source = [InputRecord(one.key, one.value, one.timestamp, one.offset) for one in control.log("control.commands")[0]]
    assert [one.value for one in source] == [one.value for one in records(everything)]
    for name in (*NAMES, "control.audit"):
        assert control.rows(name) == judged(everything).topic(name)
    async with following(control) as again:
        assert shown(again.control) == shown(view(judged(everything)))


@pytest.mark.kafka
async def test_a_follower_shows_no_change_without_those_before_it(control: Lab) -> None:
    """The topics are read one by one: here the earlier change lies in the one that is slow."""
    slow = TopicPartition(control.prefix + THRESHOLD.name, 0)
    async with control.running(CONTROL), following(control) as follower:
        assert follower._source is not None
        follower._source.pause(slow)
        await asyncio.sleep(0.3)  # until the fetch that is under way has ended
        ask(control, [command(0, "7", name="alert_budget"), command(1)])
        await answered(control, 2)
        with pytest.raises(TimeoutError):
            await follower.wait_until(0, 1)
        assert follower.control.history(FLAGS, "acme", "observe_only") == ()
        follower._source.resume(slow)
        found = await follower.wait_until(0, 20)
        assert found.offset == 1
        assert found.get(THRESHOLD.name, "acme", "alert_budget", NOON + DAY) == 7
        assert found.get(FLAGS, "acme", "observe_only", NOON + DAY) is True


@pytest.mark.kafka
async def test_a_transaction_that_is_open_holds_nothing_back_for_ever(control: Lab) -> None:
    """A control agent that died in the middle of its transaction: what it wrote is never seen."""
    dead = Producer({"bootstrap.servers": control.servers, "transactional.id": f"{control.prefix}dead", "log_level": 0})
    dead.init_transactions(20)
    dead.begin_transaction()
    (_, key, value), *_ = rows(judged(changes(1)))
    dead.produce(control.prefix + FLAGS, value, key)
    assert dead.flush(20) == 0
    starting = Follower(control.servers, topics.CONTROL, prefix=control.prefix, defaults=DEFAULTS)
    task = asyncio.create_task(starting.start(30))
    done, _ = await asyncio.wait([task], timeout=1)
    assert not done, "it must wait until the transaction is settled"
    await asyncio.to_thread(dead.abort_transaction, 20)
    await task
    assert starting.offset == NO_OFFSET
    await starting.stop()


@pytest.mark.kafka
async def test_a_follower_whose_clients_die_reads_again(control: Lab, caplog: pytest.LogCaptureFixture) -> None:
    everything = changes(8)
    async with control.running(CONTROL), following(control) as follower:
        ask(control, everything[:4])
        await follower.wait_until(3, 20)
        before = shown(follower.control)
        with caplog.at_level(logging.INFO, "streams.runtime.follower"):
            assert follower._source is not None
            follower._source._fetcher._fetch_task.cancel()
            await eventually(lambda: "control is read again, at 3" in caplog.text, "the second reading")
        assert shown(follower.control) == before
        ask(control, everything[4:])
        assert shown(await follower.wait_until(7, 20)) == shown(view(judged(everything)))


@pytest.mark.kafka
async def test_what_a_follower_cannot_read_leaves_the_last_view(control: Lab, caplog: pytest.LogCaptureFixture) -> None:
    async with control.running(CONTROL), following(control) as follower:
        ask(control, changes(2))
        await follower.wait_until(1, 20)
        control.write(FLAGS, [InputRecord(b"acme|observe_only|9", b"from a newer release", NOON, 0)])
        await eventually(lambda: "control stays at 1: a record of control.flags cannot be read" in caplog.text, "word")
        assert follower.offset == 1
    with pytest.raises(Halt, match="cannot be read"):
        async with following(control):
            pass


@pytest.mark.kafka
async def test_missing_and_wrong_topics_are_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.runtime.kafka.TOPIC_TIMEOUT_S", 0.5)
    with pytest.raises(LookupError, match=r"control\.flags' does not exist: create it with `watchfloor topics apply`"):
        async with following(lab):
            pass
    lab.create(*NAMES, partitions=2)
    with pytest.raises(LookupError, match=r"control\.flags has 2 partitions: a control topic must have one"):
        async with following(lab):
            pass


async def test_a_broker_that_is_away_is_an_error_in_time() -> None:
    follower = Follower("127.0.0.1:1", topics.CONTROL, defaults=DEFAULTS)
    with pytest.raises(TimeoutError, match=r"control at 127\.0\.0\.1:1 could not be read to its end within 1 s: Kafka"):
        await follower.start(1)


@pytest.mark.kafka
async def test_the_agent_starts_again_where_it_stood(control: Lab) -> None:
    everything = changes(10)
    async with control.running(CONTROL):
        ask(control, everything[:5])
        await answered(control, 5)
    ask(control, everything[5:])
    async with control.running(CONTROL):
        await answered(control, 10)
    for name in (*NAMES, "control.audit"):
        assert control.rows(name) == judged(everything).topic(name)


@pytest.mark.kafka
async def test_a_follower_outlives_the_broker(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    lab = Lab(broker.address, "", tmp_path)
    lab.create(*NAMES)
    entries = rows(judged(changes(4)))

    def write(some: list[tuple[topics.Topic, bytes, bytes | None]]) -> None:
        for topic, key, value in some:
            lab.write(topic.name, [InputRecord(key, value, NOON, 0)])

    try:
        write(entries[:2])
        async with following(lab) as follower:
            before = shown(follower.control)
            broker.stop()
            await asyncio.sleep(1.5)
            assert shown(follower.control) == before
            broker = Broker(tmp_path)
            await asyncio.to_thread(broker.start)
            assert broker.address == lab.servers
            await asyncio.to_thread(write, entries[2:])
            await follower.wait_until(3, 120)
            assert shown(follower.control) == shown(view(judged(changes(4))))
    finally:
        broker.stop()
