"""The edge to aiokafka: every use of its insides is here and held by tests/streams/runtime/test_kafka.py.

Two paths of the client are too slow per record for frames and are taken at a lower level: reading (whole record
batches instead of one ConsumerRecord at a time) and writing (one tight loop into the batch's builder).
"""

import asyncio
import itertools
import logging
import struct
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import aiokafka.consumer.fetcher
import aiokafka.producer.sender
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import CorruptRecordException, KafkaConnectionError, KafkaError, for_code
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBase, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import OffsetAndMetadata

from schemas.compiled import load
from streams.runtime.frame import Record, Row

C = TypeVar("C", AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient)

REQUEST_TIMEOUT_S = 30.0
TOPIC_TIMEOUT_S = 10.0
AWAY_TIMEOUT_S = 60.0
FETCH_BYTES = 512 * 1024
BATCH_BYTES = 900_000
# Around a record that does not fit an ordinary batch: headers of record and batch.
RECORD_OVERHEAD = 1024
_BATCH_START = struct.Struct(">qi")  # base offset, length of what follows
_CRC = struct.Struct(">I")
_COMPILED = load("streams.runtime._compiled")


def prepare() -> None:
    """Settings of the client that hold for the whole process."""
    # Waiting while the markers of the previous transaction are written: 20 ms by default, which would be most of
    # the time of a transaction.
    aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002
    aiokafka.consumer.fetcher.MemoryRecords = KeptRecords
    # With the broker away the client logs hundreds of lines a second; at DEBUG it builds one per request.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KeptRecords(MemoryRecords):  # type: ignore[misc]
    """Fetched batches that can be read once more, from their bytes."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw

    def batch(self, base_offset: int) -> bytes:
        """The bytes of the batch that begins there. Raises LookupError."""
        at = 0
        while at + _BATCH_START.size <= len(self.raw):
            offset, length = _BATCH_START.unpack_from(self.raw, at)
            until = at + _BATCH_START.size + length
            if offset == base_offset:
                return self.raw[at:until]
            at = until
        raise LookupError(f"no batch begins at {base_offset}")


class _Lenient(bytearray):
    """Bytes in which what is no UTF-8 is read as \\xNN instead of refused."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Lenient(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


def _read_leniently(raw: bytes) -> list[Record]:
    """Records of a batch in which a header's name is not UTF-8: the client refuses the whole batch, for ever."""
    batch = _DefaultRecordBatchPy(raw)
    batch._maybe_uncompress()
    batch._buffer = _Lenient(batch._buffer)
    return list(batch)


def consumer(servers: str, **options: object) -> AIOKafkaConsumer:
    """A consumer of committed records that never commits or resets by itself."""
    return AIOKafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        isolation_level="read_committed",
        retry_backoff_ms=50,
        **options,
    )


def producer(servers: str, transactional_id: str, transaction_timeout_ms: int) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=servers,
        transactional_id=transactional_id,
        transaction_timeout_ms=transaction_timeout_ms,
        max_batch_size=BATCH_BYTES,
        # A dead letter carries its record whole, however large the broker let it be.
        max_request_size=64 * 1024 * 1024,
        linger_ms=0,
        retry_backoff_ms=10,
        metadata_max_age_ms=60_000,
    )


def _state(source: AIOKafkaConsumer, tp: TopicPartition) -> Any:
    """What the client knows of a partition; None when it is not assigned."""
    subscription = source._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    return None if assignment is None else assignment.state_value(tp)


def read_position(source: AIOKafkaConsumer, tp: TopicPartition) -> int | None:
    """Next offset that the client would fetch: behind control records, which it never returns. None without one."""
    state = _state(source, tp)
    return state.position if state is not None and state.has_valid_position else None


def highwater(source: AIOKafkaConsumer, tp: TopicPartition) -> int | None:
    """End of the log as the broker last said it; None before its first answer or without an assignment."""
    state = _state(source, tp)
    return None if state is None else state.highwater


def read_to_end(source: AIOKafkaConsumer, tp: TopicPartition) -> bool:
    """Whether everything committed was read when the broker last answered a fetch."""
    state, position = _state(source, tp), read_position(source, tp)
    return position is not None and state.lso is not None and position >= state.lso


def forget_end(source: AIOKafkaConsumer, tp: TopicPartition) -> None:
    """Let `read_to_end` wait for the broker's next answer: the last one may be as old as the partition was closed."""
    state = _state(source, tp)
    if state is not None:
        state.lso = None


class Answer(NamedTuple):
    """When the broker's last answer about a partition was asked for and when it came, by a count of its consumer's own.

    Partitions of the same answer have the same.
    """

    asked: int
    came: int


NO_ANSWER = Answer(0, 0)


def attend(source: AIOKafkaConsumer, names: Sequence[str]) -> None:
    """From here on, know of each answer when it was asked for, for a consumer that has started.

    Each fetch has the broker read its topics in this order.
    """
    fetcher, count = source._fetcher, itertools.count(1)
    places = {name: place for place, name in enumerate(names)}
    ask = fetcher._proc_fetch_request

    async def attended(assignment: Any, node: int, request: Any) -> Any:
        request.topics.sort(key=lambda each: places[each[0]])
        asked_for = [TopicPartition(name, each[0]) for name, partitions in request.topics for each in partitions]
        states = [assignment.state_value(tp) for tp in asked_for]
        for state in states:
            state.timestamp = None  # until the client has taken an answer
        asked = next(count)
        done = await ask(assignment, node, request)
        answer = Answer(asked, next(count))
        for state in states:
            if state.timestamp is not None:
                state.answer = answer
        return done

    fetcher._proc_fetch_request = attended


def last_answer(source: AIOKafkaConsumer, tp: TopicPartition) -> Answer:
    """Of an attended consumer; NO_ANSWER before the first one about this partition, or without an assignment."""
    found: Answer = getattr(_state(source, tp), "answer", NO_ANSWER)
    return found


async def fetch(source: AIOKafkaConsumer, timeout_s: float) -> dict[TopicPartition, list[Record]]:
    """Everything that the consumer has read by now, or waits for the first of it.

    The same as `getmany`, but batch by batch; the consumer's positions move as they do there.
    """
    source._coordinator.check_errors()
    if source._fetcher.error_future.done():
        # The client only logs it; getmany() would wait for ever.
        raise RuntimeError("the consumer's fetch loop has ended")
    fetcher, subscription = source._fetcher, source._subscription
    deadline = asyncio.get_running_loop().time() + timeout_s
    with subscription.fetch_context():
        while True:
            if subscription.reassignment_in_progress:
                await asyncio.wait_for(asyncio.shield(subscription.wait_for_assignment()), timeout_s)
            drained: dict[TopicPartition, list[Record]] = {}
            for tp, result in list(fetcher._records.items()):
                if not isinstance(result, FetchResult):
                    if drained:
                        break  # raised by the next call, after these records were taken
                    del fetcher._records[tp]
                    fetcher._notify(fetcher._wait_consume_future)
                    result.check_raise()
                    continue
                try:
                    rows = _drain(result, tp)
                except Exception:
                    if drained:
                        break  # those have moved their positions and would be lost; the next call reads this again
                    raise
                finally:
                    del fetcher._records[tp]
                    fetcher._notify(fetcher._wait_consume_future)
                if rows:
                    drained[tp] = rows
            left = deadline - asyncio.get_running_loop().time()
            if drained or left <= 0:
                return drained
            waiter = fetcher._create_fetch_waiter()
            done, _ = await asyncio.wait([waiter], timeout=left)
            if not done:
                waiter.cancel()
                return {}
            waiter.result()


def _drain(result: FetchResult, tp: TopicPartition) -> list[Record]:
    if not result.has_more() or not result.check_assignment(tp):
        return []
    source = result._partition_records
    rows: list[Record] = []
    for batch_rows in _batches(source):
        rows += batch_rows
    result._update_position()
    result._partition_records = None
    return rows


def _batches(source: PartitionRecords) -> Iterator[list[Record]]:
    """The committed records of a fetched partition, batch by batch; the position moves along."""
    records = source._records
    while records.has_next():
        batch = records.next_batch()
        if source._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"a record batch of {source._tp} has a wrong checksum")
        if source._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            source._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and source._contains_abort_marker(batch):
                source._aborted_producers.discard(batch.producer_id)
            elif batch.is_transactional and batch.producer_id in source._aborted_producers:
                source.next_fetch_offset = batch.next_offset
                continue
        if not batch.is_control_batch:
            try:
                rows: list[Record] = list(batch)
            except UnicodeDecodeError:
                rows = _read_leniently(records.batch(batch.base_offset))
            if rows and rows[0].offset < source.next_fetch_offset:
                rows = [row for row in rows if row.offset >= source.next_fetch_offset]
            yield rows
        source.next_fetch_offset = batch.next_offset


class Packed(BatchBuilder):  # type: ignore[misc]
    """A full batch whose records were written at once, in C.

    Args:
        raw: the records, behind the room for the batch's header.
        count: how many they are.
        time: of all of them, epoch milliseconds.
        transactional: whether they are part of a transaction.
    """

    def __init__(self, raw: bytearray, count: int, time: int, transactional: bool) -> None:
        self._raw, self._relative_offset, self._time = raw, count, time
        self._attributes = DefaultRecordBase.TRANSACTIONAL_MASK if transactional else 0
        self._producer = (-1, -1, 0)
        self._closed = True
        self._built = False

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytearray:
        if not self._built:
            self._built = True
            last = self._relative_offset - 1
            DefaultRecordBase.HEADER_STRUCT.pack_into(
                self._raw, 0, 0, len(self._raw) - DefaultRecordBase.AFTER_LEN_OFFSET,
                DefaultRecordBase.NO_PARTITION_LEADER_EPOCH, 2, 0, self._attributes, last, self._time, self._time,
                *self._producer, last + 1,
            )  # fmt: skip
            crc = calc_crc32c(memoryview(self._raw)[DefaultRecordBase.ATTRIBUTES_OFFSET :])
            _CRC.pack_into(self._raw, DefaultRecordBase.CRC_OFFSET, crc)
        return self._raw

    def size(self) -> int:
        return len(self._raw)


def build_batches(target: AIOKafkaProducer, rows: list[Row]) -> list[BatchBuilder]:
    """Rows as record batches, as many as they need."""
    if _COMPILED is None:
        return build_slowly(target, rows)
    out: list[BatchBuilder] = []
    now, head, begin = int(time.time() * 1000), DefaultRecordBase.HEADER_STRUCT.size, 0
    limit, transactional = target._message_accumulator._batch_size, target._txn_manager is not None
    while begin < len(rows):
        raw, end = _COMPILED.packed(rows, begin, head, limit)
        out.append(Packed(raw, end - begin, now, transactional))
        begin = end
    return out


def build_slowly(target: AIOKafkaProducer, rows: Iterable[Row]) -> list[BatchBuilder]:
    """As `build_batches`, by the client."""
    out: list[BatchBuilder] = []
    builder = append = None
    count = 0
    now = int(time.time() * 1000)
    none: list[tuple[str, bytes | None]] = []
    for key, value in rows:
        if append is not None and append(count, now, key, value, none) is not None:
            count += 1
            continue
        if builder is not None:
            builder._relative_offset = count
        builder = target.create_batch()
        if builder._builder.append(0, now, key, value, none) is None:
            builder = _oversized(target, len(key or b"") + len(value or b""))
            builder._builder.append(0, now, key, value, none)
        out.append(builder)
        append, count = builder._builder.append, 1
    if builder is not None:
        builder._relative_offset = count
    return out


def _oversized(target: AIOKafkaProducer, size: int) -> BatchBuilder:
    """An empty batch for a record that is larger than batches are."""
    accumulator = target._message_accumulator
    usual = accumulator._batch_size
    accumulator._batch_size = size + RECORD_OVERHEAD
    try:
        return target.create_batch()
    finally:
        accumulator._batch_size = usual


async def transact(target: AIOKafkaProducer, outputs: dict[tuple[str, int], list[Row]], timeout_s: float) -> None:
    """Write everything in one transaction. Raises on any failure, after which the producer is of no more use."""
    batches = [
        (topic, partition, batch)
        for (topic, partition), rows in outputs.items()
        for batch in build_batches(target, rows)
    ]
    async with asyncio.timeout(timeout_s):
        await target.begin_transaction()
        sent = []
        for topic, number, batch in batches:
            future = await target.send_batch(batch, topic, partition=number)
            # One failure is raised below; the others' are not worth a line each.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            sent.append(future)
        # All must have arrived before the commit: the client commits even when one of them failed.
        await asyncio.gather(*sent)
        await target.commit_transaction()


async def partitions_of(source: AIOKafkaConsumer, topic: str) -> int:
    """Number of partitions of a topic.

    Writing to a missing topic would wait for ever, so every topic is asked for at the start.

    Raises:
        LookupError: it does not exist.
        KafkaConnectionError: no broker has answered for AWAY_TIMEOUT_S.
    """
    client, clock = source._client, asyncio.get_running_loop().time
    deadline, away = clock() + TOPIC_TIMEOUT_S, clock() + AWAY_TIMEOUT_S
    client.add_topic(topic)
    while True:
        found = source.partitions_for_topic(topic)
        if found:
            if found != set(range(len(found))):
                raise LookupError(f"topic {topic!r} has the partitions {sorted(found)}, expected 0 to {len(found) - 1}")
            return len(found)
        if clock() > deadline:
            raise LookupError(f"topic {topic!r} does not exist: create it with `watchfloor topics apply`")
        if not await asyncio.wait_for(client.force_metadata_update(), REQUEST_TIMEOUT_S):
            if clock() > away:
                raise KafkaConnectionError(f"no broker has said for {AWAY_TIMEOUT_S:g} s whether there is {topic!r}")
            deadline = clock() + TOPIC_TIMEOUT_S  # who does not answer does not say that there is none
        await asyncio.sleep(0.1)


def assignor(says: bytes) -> type[RangePartitionAssignor]:
    """The range assignor, of a member that says this in its subscription.

    Not as the client's id: the broker keeps that of a static member's first life.
    """

    class Saying(RangePartitionAssignor):  # type: ignore[misc]
        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), says)

    return Saying


@asynccontextmanager
async def started(client: C) -> AsyncIterator[C]:
    """A client as long as it is needed; one whose start was cancelled is closed, too."""
    try:
        await asyncio.wait_for(client.start(), REQUEST_TIMEOUT_S)
        yield client
    finally:
        stop = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
        await asyncio.wait_for(stop(), REQUEST_TIMEOUT_S)


async def members_of(servers: str, group: str) -> list[tuple[str, str, bytes]]:
    """Id, host and what its subscription says, of every member of a group; the last is empty during a rebalance."""
    async with started(AIOKafkaAdminClient(bootstrap_servers=servers)) as admin:
        deadline = asyncio.get_running_loop().time() + TOPIC_TIMEOUT_S
        while True:
            try:
                (answer,) = await asyncio.wait_for(admin.describe_consumer_groups([group]), REQUEST_TIMEOUT_S)
                break
            except KafkaError as error:
                # The first who asks for any group lets the broker make the topic of all groups.
                if not error.retriable or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.2)
    code, _, _, _, _, members, *_ = answer.groups[0]
    if code:
        raise for_code(code)(f"group {group}")
    return [
        (name, host, ConsumerProtocolMemberMetadata.decode(metadata).user_data if metadata else b"")
        for name, _, host, metadata, _ in members
    ]


async def bounds(source: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
    """First and next offset of a partition's log."""
    begin = (await asyncio.wait_for(source.beginning_offsets([tp]), REQUEST_TIMEOUT_S))[tp]
    end = (await asyncio.wait_for(source.end_offsets([tp]), REQUEST_TIMEOUT_S))[tp]
    return begin, end


async def publish_positions(source: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
    """Commit the group's offsets once, if the member is settled in its group; raises KafkaError.

    Not `commit()`: while a JoinGroup waits at the broker, a commit queues up behind it with the old generation. The
    client takes its refusal for a reason to join once more, so that a commit every second kept the group
    rebalancing for ever.
    """
    coordinator, subscription = source._coordinator, source._subscription.subscription
    if subscription is None or subscription._reassignment_in_progress or coordinator.need_rejoin(subscription):
        return
    offsets = {tp: OffsetAndMetadata(position, "") for tp, position in positions.items()}
    await coordinator._do_commit_offsets(subscription.assignment, offsets)


async def owns_assignment(source: AIOKafkaConsumer) -> bool:
    """Whether the group's coordinator confirms, now, that this member's assignment is the current one."""
    coordinator, subscription = source._coordinator, source._subscription.subscription
    if subscription is None or coordinator.need_rejoin(subscription):
        return False
    confirmed: bool = await asyncio.wait_for(coordinator._do_heartbeat(), REQUEST_TIMEOUT_S)
    return confirmed and not coordinator.need_rejoin(subscription)
