"""The owner of one partition number of an agent: its producer, its state, its position, and the frames' loop."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, ProducerFenced

from streams.runtime import kafka
from streams.runtime.errors import Halt, PositionError
from streams.runtime.frame import Frame, Record
from streams.runtime.isolate import PoisonCounter, halves
from streams.runtime.mark import MARK_KEY, Mark
from streams.runtime.restore import restore
from streams.runtime.state import Store

if TYPE_CHECKING:
    from streams.runtime.engine import Engine

CLOSE_TIMEOUT_S = 3.0
COMMIT_TIMEOUT_S = 60.0
HALT_PAUSE_S = (1.0, 30.0)
MAX_RECORDS = 4000
MIN_RECORDS = 16
# The first frame after a restart meets the whole backlog before anything is known about the agent's speed.
FIRST_RECORDS = 250
MAX_FRAME_BYTES = 4 * 1024 * 1024
# What may wait here, in frames.
BUFFER_FRAMES = 3
# The event loop also sends heartbeats and the other partitions' transactions.
FRAME_SECONDS = 0.1


class Delivery:
    """A frame on its way through the agent; `done` holds what the agent's function raised, or None."""

    __slots__ = ("done", "frame", "owner", "taken")

    def __init__(self, owner: "Partition", frame: Frame) -> None:
        self.owner = owner
        self.frame = frame
        self.taken = False
        self.done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    @property
    def current(self) -> bool:
        """False once the partition was closed or opened again: nobody waits for this frame any more."""
        return self.owner.delivery is self and not self.taken

    def finish(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(error)


class Partition:
    """One partition number. Its task opens it, runs frames until it is stopped, and starts over after errors."""

    def __init__(self, engine: "Engine", tp: TopicPartition) -> None:
        self.engine = engine
        self.agent = engine.agent
        self.tp = tp
        self.store = Store()
        self.mark = Mark({})
        self.delivery: Delivery | None = None
        self.poison = PoisonCounter()
        self.records_per_frame = FIRST_RECORDS
        self.moved = time.monotonic()
        self._producer: AIOKafkaProducer | None = None
        self._buffer: list[Record] = []
        self._bytes = 0
        self._expected: int | None = None
        self._paused = False
        self._wake = asyncio.Event()
        self._stopping = False
        self._confirmed = asyncio.Event()
        self._seek()
        self.task = asyncio.create_task(self._run(), name=f"{self.agent.name}[{tp.partition}]")

    # -- input --------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        return self._expected is not None

    @property
    def position(self) -> int:
        """Next offset to be committed."""
        return self.mark.offsets.get(self.agent.input.name, 0)

    @property
    def busy(self) -> bool:
        """Whether records wait here or are being processed."""
        return bool(self._buffer) or self.delivery is not None

    def push(self, records: list[Record]) -> None:
        """Take what the consumer fetched."""
        if self._expected is None:
            return
        if records[0].offset < self._expected:
            records = [record for record in records if record.offset >= self._expected]
            if not records:
                return
        self._buffer += records
        self._bytes += sum(len(record.value or b"") for record in records)
        self._expected = records[-1].offset + 1
        self._wake.set()
        if not self._paused and self._waiting >= BUFFER_FRAMES:
            self._paused = True
            self.engine.consumer.pause(self.tp)

    @property
    def _waiting(self) -> float:
        """How many full frames wait here."""
        return max(len(self._buffer) / MAX_RECORDS, self._bytes / MAX_FRAME_BYTES)

    def assigned(self) -> None:
        """A new assignment still holds this partition; the client has forgotten its position and its pause."""
        self._confirmed.set()
        self._seek()

    def stop(self) -> None:
        """Finish the frame in progress, then end."""
        self._stopping = True
        self._wake.set()
        self._confirmed.set()

    def _seek(self) -> None:
        """Let the consumer read from here on; a closed partition is not read."""
        consumer = self.engine.consumer
        try:
            consumer.seek(self.tp, self._expected or 0)
            if self._paused or self._expected is None:
                consumer.pause(self.tp)
            else:
                consumer.resume(self.tp)
        except IllegalStateError:
            # A rebalance took the assignment away for now; the next one calls assigned().
            self.engine.log.debug("%s: no seek during a rebalance", self.tp)

    async def _take(self) -> list[Record]:
        while not self._buffer and not self._stopping:
            self._wake.clear()
            await self._wake.wait()
        if self._stopping:
            return []
        waiting = len(self._buffer)
        # Of large records fewer: by their mean size, as no frame need be cut to the byte.
        size = min(self.records_per_frame, max(1, waiting * MAX_FRAME_BYTES // max(1, self._bytes)))
        records, self._buffer = self._buffer[:size], self._buffer[size:]
        self._bytes = self._bytes * len(self._buffer) // waiting
        if self._paused and self._waiting < BUFFER_FRAMES / 2:
            self._paused = False
            try:
                self.engine.consumer.resume(self.tp)
            except IllegalStateError:
                self.engine.log.debug("%s: no resume during a rebalance", self.tp)
        return records

    # -- life ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        engine, name = self.engine, self.agent.name
        pause = HALT_PAUSE_S[0]
        failures = 0
        stood = -1
        halted = engine.metrics.halted.labels(name)
        while not self._stopping:
            try:
                await self._open()
                await self._serve()
            except Halt as error:
                if self.position > stood:
                    stood, pause = self.position, HALT_PAUSE_S[0]  # it has gone on since the last time
                engine.log.error(
                    "%s stopped: %s: %s (tried again in %.0f s)", self.tp, type(error).__name__, error, pause
                )
                engine.count_error(error)
                await self._close()
                halted.inc()
                try:
                    await self._sleep(pause)
                finally:
                    halted.dec()
                pause = min(2 * pause, HALT_PAUSE_S[1])
            except ProducerFenced as error:
                engine.log.info("%s: fenced, waiting for the group's word", self.tp)
                engine.count_error(error)
                await self._close()
                await self._wait_until_owner()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - counted and logged; the log is the truth to start again from
                engine.log.warning("%s: %s: %s, opening again", self.tp, type(error).__name__, error)
                engine.count_error(error)
                failures = 0 if self.open else failures + 1
                await self._close()
                await self._sleep(random.uniform(0.2, 1.0) * 2 ** min(failures, 2))
            finally:
                await self._close()

    async def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.2))

    async def _wait_until_owner(self) -> None:
        """After being fenced: open again only when the group says, later than that, that the partition is ours.

        Otherwise two workers that both believe to own it would fence each other for ever.
        """
        engine = self.engine
        self._confirmed.clear()
        while not self._stopping:
            try:
                await asyncio.wait_for(self._confirmed.wait(), engine.heartbeat_s)
                return
            except TimeoutError:
                try:
                    if await kafka.owns_assignment(engine.consumer):
                        return
                except (KafkaError, TimeoutError) as error:
                    engine.log.debug("%s: the group does not answer: %r", self.tp, error)

    async def _open(self) -> None:
        engine, tp = self.engine, self.tp
        started = time.monotonic()
        self._producer = kafka.producer(engine.servers, f"{engine.group}-{tp.partition}", engine.session_timeout_ms)
        # Fences whoever had the partition and settles his last transaction: from here on the log is final.
        await asyncio.wait_for(self._producer.start(), kafka.REQUEST_TIMEOUT_S)
        fenced = time.monotonic()
        restored = await restore(engine.servers, engine.changelog, tp.partition)
        begin, end = await engine.bounds(tp)
        name = self.agent.input.name
        if restored.mark is None:
            if restored.entries:
                raise PositionError(
                    f"{engine.changelog}[{tp.partition}] has state but no MARK: was it restored in part?"
                )
            mark = Mark({name: begin})
        else:
            mark = restored.mark
        offset = mark.offsets[name]
        if not begin <= offset <= end:
            raise PositionError(
                f"the next record to read is {offset}, the log of {tp.topic}[{tp.partition}] holds {begin} to {end}: "
                + (f"{begin - offset} records are gone" if offset < begin else "the topic was made anew")
            )
        self.store, self.mark = Store(restored.entries), mark
        # Otherwise every restart of a worker with a bug would give the dead letters a few records more.
        self.poison.streak = mark.poison
        self._buffer, self._bytes, self._paused, self._expected = [], 0, False, offset
        self.moved = time.monotonic()
        self._seek()
        engine.metrics.partitions.labels(engine.agent.name).inc()
        engine.metrics.restore_seconds.labels(engine.agent.name).observe(restored.seconds)
        engine.log.info(
            "%s open at %d: fencing %.2f s, %d entries restored in %.2f s",
            tp, offset, fenced - started, len(restored.entries), restored.seconds,
        )  # fmt: skip

    async def _close(self) -> None:
        if self._expected is not None:
            metrics, place = self.engine.metrics, (self.agent.name, str(self.tp.partition))
            metrics.partitions.labels(self.agent.name).dec()
            # Another worker tells them from now on.
            metrics.lag.remove(*place)
            metrics.state_entries.remove(*place)
            self._expected = None
            self._seek()
        self._buffer, self._bytes, self.delivery = [], 0, None
        producer, self._producer = self._producer, None
        if producer is not None:
            stop = asyncio.ensure_future(producer.stop())
            stop.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait([stop], timeout=CLOSE_TIMEOUT_S)
            stop.cancel()

    # -- frames -------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        linger = self.agent.linger_ms / 1000
        while True:
            started = time.monotonic()
            records = await self._take()
            if not records:
                return
            await self._process(records)
            rest = started + linger - time.monotonic()
            if rest > 0:
                await self._sleep(rest)

    async def _process(self, records: Sequence[Record]) -> None:
        """Run a frame and commit it; when the agent raises, its halves one after the other."""
        frame = self._frame(records)
        started = time.perf_counter()
        error = await self._deliver(frame)
        if error is None:
            self.poison.passed()
            self._adapt(len(records), time.perf_counter() - started)
        elif isinstance(error, Halt):
            raise error
        else:
            self.engine.metrics.body_errors.labels(self.agent.name).inc()
            if len(records) > 1:
                for half in halves(records):
                    await self._process(half)
                return
            self.poison.failed(error)
            frame = self._frame(records)
            frame.reject(records[0], type(error).__name__, str(error))
        await self._commit(frame, records[-1].offset + 1, len(records))

    def _frame(self, records: Sequence[Record]) -> Frame:
        return Frame(
            self.agent,
            self.tp.partition,
            records,
            self.store,
            self.mark.clock,
            self.engine.counts,
            self.tp.topic,
        )

    async def _deliver(self, frame: Frame) -> Exception | None:
        self.delivery = Delivery(self, frame)
        await self.engine.deliver(self.delivery)
        try:
            return await self.delivery.done
        finally:
            self.delivery = None

    def _adapt(self, records: int, seconds: float) -> None:
        """Keep a frame's time in the agent short; where frames are cut makes no difference to the result."""
        if seconds > FRAME_SECONDS and records <= self.records_per_frame:
            self.records_per_frame = max(MIN_RECORDS, int(records * FRAME_SECONDS / seconds))
        elif records == self.records_per_frame:
            self.records_per_frame = min(MAX_RECORDS, 2 * records)

    async def _commit(self, frame: Frame, offset: int, count: int) -> None:
        engine = self.engine
        mark = Mark({self.agent.input.name: offset}, self.mark.control, frame.clock, self.poison.streak)
        outputs = {(engine.topic(topic), number): rows for (topic, number), rows in frame.outputs.items()}
        outputs[engine.changelog, self.tp.partition] = [*frame.changes.items(), (MARK_KEY, mark.encode())]
        started = time.perf_counter()
        await kafka.transact(self._producer, outputs, COMMIT_TIMEOUT_S)
        self.store.apply(frame.changes)
        self.mark = mark
        self.moved = time.monotonic()
        engine.committed(self, frame, count, time.perf_counter() - started)
