"""The contract with aiokafka's insides, held against a real broker and a second, ordinary client.

`streams.runtime.kafka` reads whole record batches and fills batches itself. Whoever raises the pinned version of
aiokafka finds here what must still be true.
"""

import asyncio
import importlib.metadata
import random
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiokafka.producer.sender
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, UnsupportedCodecError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from confluent_kafka import Producer

from schemas.apply import BROKER_TIME
from schemas.compiled import load
from streams.runtime import kafka
from streams.runtime.frame import InputRecord, Record, Row
from tests.streams.runtime.conftest import Lab, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]

NAME = "things"
Fact = tuple[int, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


def row(number: int, size: int = 20) -> InputRecord:
    return InputRecord(b"k%d" % number, b"%d" % number * size, 1_790_000_000_000 + number, number)


def rows(count: int, start: int = 0, size: int = 20) -> list[InputRecord]:
    return [row(number, size) for number in range(start, start + count)]


@asynccontextmanager
async def reading(lab: Lab, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    source = kafka.consumer(lab.servers, auto_offset_reset="none", fetch_max_wait_ms=50, **options)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


async def read(source: AIOKafkaConsumer, tp: TopicPartition, until: int) -> list[Record]:
    """Everything up to an offset, by the runtime's own fetch."""
    found: list[Record] = []
    async with asyncio.timeout(30):
        while await source.position(tp) < until:
            found += (await kafka.fetch(source, 0.1)).get(tp, [])
    return found


async def end(source: AIOKafkaConsumer, tp: TopicPartition) -> int:
    return int((await source.end_offsets([tp]))[tp])


async def all_of(lab: Lab, start: int = 0, **options: Any) -> list[Fact]:
    """What the runtime reads of partition 0 from an offset to the end."""
    tp = TopicPartition(lab.prefix + NAME, 0)
    async with reading(lab, **options) as source:
        source.assign([tp])
        source.seek(tp, start)
        last = await end(source, tp)
        found = await read(source, tp, last)
        assert kafka.read_position(source, tp) == last
    return [(one.offset, one.timestamp, one.key, one.value, tuple(one.headers)) for one in found]


def ordinary(lab: Lab, start: int = 0) -> list[Fact]:
    """What an ordinary client reads of it."""
    return [
        (one.offset, one.timestamp, one.key, one.value, one.headers) for one in lab.log(NAME)[0] if one.offset >= start
    ]


async def transaction(lab: Lab, name: str, batches: Iterable[Iterable[InputRecord]], *, commit: bool) -> None:
    """One transaction with its rows in several batches."""
    target = AIOKafkaProducer(bootstrap_servers=lab.servers, transactional_id=lab.prefix + name)
    await target.start()
    try:
        await target.begin_transaction()
        for batch in batches:
            sent: list[Awaitable[Any]] = [
                await target.send(lab.prefix + NAME, each.value, each.key, 0, each.timestamp, list(each.headers))
                for each in batch
            ]
            await asyncio.gather(*sent)
        await (target.commit_transaction() if commit else target.abort_transaction())
    finally:
        await target.stop()


def test_the_version_is_the_one_that_was_looked_at() -> None:
    assert importlib.metadata.version("aiokafka") == "0.14.0", (
        "Another aiokafka. Before raising the pin in pyproject.toml and here, compare with 0.14.0:\n"
        "- consumer/fetcher.py: PartitionRecords._unpack_records (streams.runtime.kafka._batches does the same, batch "
        "by batch), FetchResult.getall and check_assignment, Fetcher.fetched_records, Fetcher._create_fetch_waiter;\n"
        "- consumer/subscription_state.py: position, has_valid_position, reassignment_in_progress;\n"
        "- consumer/group_coordinator.py: need_rejoin, _do_heartbeat, _do_commit_offsets;\n"
        "- record: MemoryRecords, _DefaultRecordBatchPy._buffer, ._maybe_uncompress;\n"
        "- producer/message_accumulator.py: BatchBuilder._builder, ._relative_offset, _batch_size, and all that "
        "streams.runtime.kafka.Packed overrides; record/default_records.py: the format of a batch;\n"
        "- producer/sender.py: BACKOFF_OVERRIDE, and the transaction protocol version;\n"
        "then run tests/streams/runtime, `make faults` and `make bench`."
    )


def test_a_transaction_does_not_wait_for_the_last_ones_markers() -> None:
    assert aiokafka.producer.sender.BACKOFF_OVERRIDE > 0
    kafka.prepare()
    assert aiokafka.producer.sender.BACKOFF_OVERRIDE == 0.002


async def test_it_reads_what_an_ordinary_client_reads(lab: Lab) -> None:
    """Plain, headers, nulls, gzip, committed, aborted and interleaved; each end in a control batch."""
    lab.create(NAME)
    odd = [
        InputRecord(None, b"no key", 1_790_000_000_000, 0),
        InputRecord(b"no value", None, 1_790_000_000_001, 0),
        InputRecord(None, None, 1_790_000_000_002, 0),
        InputRecord(b"", b"", 1_790_000_000_003, 0),
        InputRecord(b"h", b"v", 1_790_000_000_004, 0, [("a", b"1"), ("a", None), ("", b"\xff\x00"), ("ä", b"")]),
    ]
    lab.write(NAME, odd)
    lab.write(NAME, rows(300), **{"compression.type": "gzip"})
    await transaction(lab, "a", [rows(20), rows(20)], commit=False)
    await transaction(lab, "a", [rows(20, 100), [*odd[:2], *odd[3:]]], commit=True)
    # Two open at the same time: the aborted one begins before and ends after the committed one.
    first = AIOKafkaProducer(bootstrap_servers=lab.servers, transactional_id=lab.prefix + "b")
    await first.start()
    await first.begin_transaction()
    await first.send_and_wait(lab.prefix + NAME, b"never", b"b", 0)
    await transaction(lab, "c", [rows(10, 200)], commit=True)
    await first.send_and_wait(lab.prefix + NAME, b"never", b"b", 0)
    lab.write(NAME, rows(5, 500))
    await first.abort_transaction()
    await first.begin_transaction()
    await first.send_and_wait(lab.prefix + NAME, b"after", b"b", 0)
    await first.commit_transaction()
    await first.stop()
    found = await all_of(lab)
    assert found == await asyncio.to_thread(ordinary, lab)
    assert len(found) == 5 + 300 + 20 + 4 + 10 + 5 + 1
    assert not [one for one in found if one[3] == b"never"]
    assert [one[2:] for one in found[:5]] == [(one.key, one.value, tuple(one.headers)) for one in odd]


async def test_it_starts_in_the_middle_of_a_batch(lab: Lab) -> None:
    lab.create(NAME)
    for codec in ("none", "gzip"):
        # The whole in one batch.
        lab.write(NAME, rows(200), **{"compression.type": codec, "linger.ms": 500})
    whole = await asyncio.to_thread(ordinary, lab)
    assert [one[0] for one in whole] == list(range(400))
    for start in (1, 199, 200, 333, 399, 400):
        assert await all_of(lab, start) == whole[start:]


async def test_records_beyond_the_fetch_size_come_one_after_the_other(lab: Lab) -> None:
    lab.create(NAME, config={"max.message.bytes": "16000000"})
    big = [
        InputRecord(b"big", bytes([n]) * size, 1_790_000_000_000, 0)
        for n, size in enumerate((10, 2_000_000, 10, 9_000_000, 10))
    ]
    lab.write(NAME, big, **{"batch.size": 1})
    found = await all_of(lab, max_partition_fetch_bytes=kafka.FETCH_BYTES)
    assert [one[3] for one in found] == [one.value for one in big]


async def test_an_open_transaction_holds_readers_up_and_is_not_seen(lab: Lab) -> None:
    lab.create(NAME)
    lab.write(NAME, rows(3))
    target = AIOKafkaProducer(bootstrap_servers=lab.servers, transactional_id=lab.prefix + "open")
    await target.start()
    await target.begin_transaction()
    await target.send_and_wait(lab.prefix + NAME, b"later", b"x", 0)
    lab.write(NAME, rows(3, 10))
    tp = TopicPartition(lab.prefix + NAME, 0)
    try:
        async with reading(lab) as source:
            source.assign([tp])
            source.seek(tp, 0)
            assert await end(source, tp) == 3
            assert len(await read(source, tp, 3)) == 3
            assert await kafka.fetch(source, 0.3) == {}
            assert kafka.read_position(source, tp) == 3
            await target.commit_transaction()
            assert [one.value for one in await read(source, tp, 7)] == [
                b"later",
                *(one.value for one in rows(3, 10)),
            ]
    finally:
        await target.stop()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_is_read(lab: Lab, codec: str) -> None:
    lab.create(NAME)
    lab.write(NAME, rows(100), **{"compression.type": codec})
    assert await all_of(lab) == await asyncio.to_thread(ordinary, lab)


class NotUtf8(str):
    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff" + super().encode(encoding, errors)


@pytest.mark.parametrize("codec", [0, 1])
async def test_a_header_name_that_is_no_text_is_read_as_its_bytes(lab: Lab, codec: int) -> None:
    """The client refuses the batch that has it, so that one such record would stop its partition for ever."""
    kafka.prepare()
    lab.create(NAME)
    lab.write(NAME, rows(10))
    tp = TopicPartition(lab.prefix + NAME, 0)
    builder = BatchBuilder(100_000, codec, is_transactional=0)
    builder._builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 100_000)
    for number in range(3):
        builder.append(timestamp=1_790_000_000_000, key=b"k", value=b"%d" % number, headers=[(NotUtf8("a"), b"1")])
    target = AIOKafkaProducer(bootstrap_servers=lab.servers)
    await target.start()
    await (await target.send_batch(builder, tp.topic, partition=0))
    await target.stop()
    lab.write(NAME, rows(10, 100))
    found = await all_of(lab)
    assert [one[0] for one in found] == list(range(23))
    assert [one[2:] for one in found[10:13]] == [(b"k", b"%d" % number, (("\\xffa", b"1"),)) for number in range(3)]


async def test_what_was_taken_is_delivered_although_another_partition_fails(lab: Lab) -> None:
    """Its position has moved: what is not returned now is never read again."""
    lab.create(NAME, partitions=2)
    lab.partitions = 2
    plain, broken = (TopicPartition(lab.prefix + NAME, number) for number in range(2))
    write(lab, plain, rows(50))
    write(lab, broken, rows(10))
    async with reading(lab) as source:
        source.assign([plain, broken])
        source.seek(plain, 0)
        source.seek(broken, 0)
        fetcher = source._fetcher
        async with asyncio.timeout(20):
            while set(fetcher._records) != {plain, broken}:
                await asyncio.sleep(0.02)
        # In this order, so that the good one is taken before the other fails.
        fetcher._records = {plain: fetcher._records[plain], broken: fetcher._records[broken]}
        damage(fetcher._records[broken])
        found: list[Record] = []
        async with asyncio.timeout(20):
            while len(found) < 60:
                for taken in (await kafka.fetch(source, 0.2)).values():
                    found += taken
    assert sorted(one.offset for one in found) == sorted([*range(50), *range(10)])


def write(lab: Lab, tp: TopicPartition, made: Iterable[InputRecord]) -> None:
    writer = Producer({"bootstrap.servers": lab.servers, "log_level": 0})
    for each in made:
        writer.produce(tp.topic, each.value, each.key, tp.partition, timestamp=each.timestamp)
    assert writer.flush(20) == 0


def damage(result: Any) -> None:
    """Let a fetched partition fail once when its batches are opened."""

    class Broken:
        def has_next(self) -> bool:
            return True

        def next_batch(self) -> Any:
            raise UnsupportedCodecError("a codec that is not there")

    result._partition_records._records = Broken()


async def test_a_waiting_fetch_ends_in_time_and_wakes_up_for_records(lab: Lab) -> None:
    lab.create(NAME)
    tp = TopicPartition(lab.prefix + NAME, 0)
    loop = asyncio.get_running_loop()
    async with reading(lab) as source:
        source.assign([tp])
        source.seek(tp, 0)
        started = loop.time()
        assert await kafka.fetch(source, 0.2) == {}
        assert loop.time() - started >= 0.19
        waiting = asyncio.ensure_future(kafka.fetch(source, 25.0))
        await asyncio.to_thread(lab.write, NAME, rows(1))
        async with asyncio.timeout(20):
            assert [one.value for one in (await waiting)[tp]] == [row(0).value]


async def test_answers_tell_when_they_were_asked_for(lab: Lab) -> None:
    other = "others"
    lab.create(NAME, other)
    first, second = (TopicPartition(lab.prefix + name, 0) for name in (NAME, other))
    lab.write(NAME, rows(3))
    lab.write(other, rows(3))
    async with reading(lab) as source:
        kafka.attend(source, [second.topic, first.topic])
        asked: list[list[str]] = []
        failed = 0
        send = source._client.send

        async def sent(node: int, request: Any, **options: Any) -> Any:
            if isinstance(request, FetchRequest):
                asked.append([topic for topic, _ in request.topics])
            return await send(node, request, **options)

        async def failing(node: int, request: Any, **options: Any) -> Any:
            nonlocal failed
            failed += 1
            raise KafkaConnectionError

        source._client.send = sent
        assert kafka.last_answer(source, first) == kafka.NO_ANSWER
        source.assign([first, second])
        for tp in (first, second):
            assert kafka.last_answer(source, tp) == kafka.NO_ANSWER
            source.seek(tp, 0)
        await read(source, first, 3)
        await read(source, second, 3)
        before = await eventually(lambda: _same_answer(source, first, second), "both in one answer")
        assert 0 < before.asked < before.came
        source.pause(first)
        await eventually(
            lambda: kafka.last_answer(source, second).asked > kafka.last_answer(source, first).came, "a later answer"
        )
        source.resume(first)
        later = await eventually(lambda: _same_answer(source, first, second), "both in one answer again")
        assert later.asked > before.came
        # No answer: the end that was known is as old as before.
        source._client.send = failing
        await eventually(lambda: failed, "a fetch that fails, after the one under way")
        known, before_that = kafka.last_answer(source, first), failed
        await eventually(lambda: failed > before_that + 1, "more of them")
        assert kafka.last_answer(source, first) == known
        source._client.send = send
        await eventually(lambda: kafka.last_answer(source, first) != known, "an answer after all")
    # The client shuffles.
    both = [each for each in asked if len(each) == 2]
    assert len(both) > 1
    assert {*map(tuple, both)} == {(second.topic, first.topic)}


def _same_answer(source: AIOKafkaConsumer, one: TopicPartition, other: TopicPartition) -> kafka.Answer | None:
    """The last answer about both partitions where it was the same, None where it was not."""
    answer = kafka.last_answer(source, one)
    return answer if answer == kafka.last_answer(source, other) else None


async def test_a_fetch_loop_that_has_ended_is_an_error(lab: Lab) -> None:
    lab.create(NAME)
    async with reading(lab) as source:
        source.assign([TopicPartition(lab.prefix + NAME, 0)])
        source._fetcher.error_future.cancel()
        await asyncio.wait([source._fetcher.error_future], timeout=5)
        with pytest.raises(RuntimeError, match="fetch loop has ended"):
            await kafka.fetch(source, 0.1)


@pytest.mark.skipif(load("streams.runtime._compiled") is None, reason="streams.runtime._compiled was not built")
async def test_batches_are_those_of_the_client_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_790_000_000.5)
    target = kafka.producer("localhost:9", "writer", 10_000)
    draw = random.Random(1)

    def text(size: int) -> bytes | None:
        return None if size == 1 else draw.randbytes(size)

    sizes = (0, 1, 7, 62, 63, 64, 65, 120, 300, 8_190, 9_000)
    for many in ([draw.choice(sizes) for _ in range(4_000)], [], [0], [kafka.BATCH_BYTES, 5], [63] * 20_000):
        written: list[Row] = [(text(draw.choice((0, 1, 5, 64))), text(size)) for size in many]
        found, wanted = kafka.build_batches(target, written), kafka.build_slowly(target, written)
        assert [each.record_count() for each in found] == [each.record_count() for each in wanted]
        for one, other in zip(found, wanted, strict=True):
            for batch in (one, other):
                batch._set_producer_state(4711, 3, 17)
            assert one.size() == other.size()
            assert one._build() == other._build()
    with pytest.raises(TypeError, match="not str"):
        kafka.build_batches(target, [(b"a", "b")])  # type: ignore[list-item]
    await target.stop()


async def test_a_transaction_carries_rows_of_every_size_in_order(lab: Lab) -> None:
    lab.create(NAME, "others", partitions=2, config={"max.message.bytes": "16000000"})
    outputs: dict[tuple[str, int], list[Row]] = {
        (lab.prefix + NAME, 0): [(b"k%d" % n, b"v" * (n % 700)) for n in range(9000)],
        (lab.prefix + NAME, 1): [(None, b"a"), (b"b", None), (b"", b""), (b"big", b"x" * 5_000_000), (b"c", b"d")],
        (lab.prefix + "others", 1): [(b"one", b"row")],
    }
    target = kafka.producer(lab.servers, lab.prefix + "writer", 10_000)
    await target.start()
    try:
        await kafka.transact(target, outputs, 30.0)
        await kafka.transact(target, {(lab.prefix + "others", 0): [(b"next", b"one")]}, 30.0)
    finally:
        await target.stop()
    for (topic, number), wanted in outputs.items():
        found = await asyncio.to_thread(lab.rows, topic.removeprefix(lab.prefix), number)
        assert found == wanted
    assert lab.rows("others", 0) == [(b"next", b"one")]


async def test_a_transaction_that_fails_is_never_seen(lab: Lab) -> None:
    lab.create(NAME, "small", config={"max.message.bytes": "1000"})
    target = kafka.producer(lab.servers, lab.prefix + "writer", 10_000)
    await target.start()
    both: dict[tuple[str, int], list[Row]] = {
        (lab.prefix + NAME, 0): [(b"a", b"b")],
        (lab.prefix + "small", 0): [(b"big", b"x" * 5000)],
    }
    with pytest.raises(Exception, match=r"(?i)large|size"):
        await kafka.transact(target, both, 30.0)
    await target.stop()
    after = kafka.producer(lab.servers, lab.prefix + "writer", 10_000)
    await after.start()
    await kafka.transact(after, {(lab.prefix + NAME, 0): [(b"c", b"d")]}, 30.0)
    await after.stop()
    assert lab.rows(NAME) == [(b"c", b"d")]


@pytest.mark.parametrize("days", [-30, 30])
async def test_a_workers_wrong_clock_is_seen_by_nobody(lab: Lab, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    lab.create(NAME, config=BROKER_TIME)
    began, real = time.time(), time.time
    target = kafka.producer(lab.servers, f"{lab.prefix}tx", 60_000)
    await target.start()
    try:
        with monkeypatch.context() as bent:
            bent.setattr(time, "time", lambda: real() + days * 86_400)
            await kafka.transact(target, {(lab.prefix + NAME, 0): [(b"a", b"b"), (b"c", b"d")]}, 30.0)
    finally:
        await target.stop()
    async with reading(lab) as source:
        tp = TopicPartition(lab.prefix + NAME, 0)
        source.assign([tp])
        source.seek(tp, 0)
        found = await read(source, tp, 3)  # two records and the commit
    assert [one.key for one in found] == [b"a", b"c"]
    assert [one.timestamp for one in found] == [one.timestamp for one in lab.log(NAME)[0]]
    assert all(began - 60 < one.timestamp / 1000 < real() + 60 for one in found)


async def test_partitions_are_counted_and_a_missing_topic_is_said(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "TOPIC_TIMEOUT_S", 0.5)
    lab.create(NAME, partitions=3)
    async with reading(lab) as source:
        assert await kafka.partitions_of(source, lab.prefix + NAME) == 3
        with pytest.raises(LookupError, match=r"nowhere' does not exist: create it with `watchfloor topics apply`"):
            await kafka.partitions_of(source, lab.prefix + "nowhere")
