"""An agent's engine under Faust: one consumer, one group, and a `Partition` for each partition it was given."""

import asyncio
import time
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from mode import Service

from schemas import topics
from streams.runtime import kafka
from streams.runtime.agent import Agent
from streams.runtime.channel import FrameChannel, Frames, register
from streams.runtime.frame import Frame
from streams.runtime.metrics import Metrics
from streams.runtime.partition import Delivery, Partition

POLL_S = 0.5
# The client fetches again as soon as records were taken: at a thousand single records a second the broker would be
# busy with fetches. What comes meanwhile comes together.
FETCH_PAUSE_S = 0.005
FEW_RECORDS = 500
STOP_TIMEOUT_S = 8.0
WATCH_INTERVAL_S = 5.0
STUCK_AFTER_S = 60.0
FIGURES_INTERVAL_S = 1.0


class Boot(BootStrategy):
    """Starts the engines beside the agents; Faust's own consumer, producer and tables are not used."""

    def __init__(self, app: faust.App, **options: Any) -> None:
        super().__init__(app, **options)
        self.engines: list[Engine] = []

    def agents(self) -> list[Any]:
        return [self.app.agents, *self.engines]


class Engine(Service, ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs one agent.

    Args:
        app: the Faust app; the engine starts and stops with it.
        agent: what to run.
        servers: bootstrap servers.
        prefix: before every topic and group name.
        instance: name of this worker, unique and stable, for static membership; None for a dynamic member.
        session_timeout_ms: a silent worker loses its partitions after this; also the transactions' time limit.
        metrics: where figures go.
    Raises (when started):
        LookupError: a topic does not exist, or the changelog has not the partitions of the input.
    """

    def __init__(
        self,
        app: faust.App,
        agent: Agent,
        *,
        servers: str,
        prefix: str = "",
        instance: str | None = None,
        session_timeout_ms: int = 10_000,
        metrics: Metrics | None = None,
    ) -> None:
        super().__init__()
        self.app, self.agent = app, agent
        self.servers, self.prefix = servers, prefix
        self.group = f"{prefix}{agent.name}"
        self.changelog = f"{prefix}{agent.changelog}"
        self.instance = f"{self.group}-{instance}" if instance else None
        self.session_timeout_ms = session_timeout_ms
        self.heartbeat_s = session_timeout_ms / 5000
        self.metrics = metrics or Metrics()
        self.counts: dict[str, int] = {}
        self.parts: dict[TopicPartition, Partition] = {}
        self._stuck: dict[TopicPartition, int] = {}
        self.consumer: AIOKafkaConsumer = None
        self.channel = FrameChannel(app)
        register(app, self.channel, agent.name, self._body)
        if not isinstance(app.boot_strategy, Boot):
            app.boot_strategy = Boot(app, enable_kafka=False)
        app.boot_strategy.engines.append(self)

    async def _body(self, frames: Frames) -> None:
        seconds = self.metrics.process_seconds.labels(self.agent.name)
        async for frame in frames:
            started = time.perf_counter()
            frame.run()
            seconds.observe(time.perf_counter() - started)

    def topic(self, name: str) -> str:
        """A topic's name in the cluster."""
        return self.prefix + name

    async def deliver(self, delivery: Delivery) -> None:
        await self.channel.queue.put(delivery)

    # -- life ---------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        kafka.prepare()
        self.consumer = kafka.consumer(
            self.servers,
            group_id=self.group,
            group_instance_id=self.instance,
            auto_offset_reset="none",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=self.session_timeout_ms,
            heartbeat_interval_ms=int(self.heartbeat_s * 1000),
            max_partition_fetch_bytes=kafka.FETCH_BYTES,
            fetch_max_wait_ms=100,
        )
        await asyncio.wait_for(self.consumer.start(), kafka.REQUEST_TIMEOUT_S)
        agent = self.agent
        for topic in (agent.input, *agent.outputs, topics.DEAD_LETTERS):
            self.counts[topic.name] = await kafka.partitions_of(self.consumer, self.topic(topic.name))
        kept = await kafka.partitions_of(self.consumer, self.changelog)
        if kept != self.counts[agent.input.name]:
            raise LookupError(
                f"{self.changelog} has {kept} partitions, {self.topic(agent.input.name)} has "
                f"{self.counts[agent.input.name]}: they must have the same number"
            )
        self.consumer.subscribe([self.topic(agent.input.name)], listener=self)

    async def on_stop(self) -> None:
        tasks = [part.task for part in self.parts.values()]
        for part in self.parts.values():
            part.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)
        if self.consumer is not None:
            await self._publish_positions()
            stop = asyncio.ensure_future(self.consumer.stop())
            stop.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait([stop], timeout=3)
            stop.cancel()
        # Faust makes a consumer of its own at start, with an event loop for a thread that is never started.
        thread = getattr(self.app._consumer, "_thread", None)
        if thread is not None and not thread.thread_loop.is_running():
            thread.thread_loop.close()

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Nothing: a frame in progress may still commit, and the producer's epoch decides who owns what."""

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Open what is new, let go what is gone, keep the rest as it is.

        No restore in here: the client sends no heartbeats meanwhile.
        """
        for tp in set(self.parts) - set(assigned):
            self.parts.pop(tp).task.cancel()
        for tp in assigned:
            if tp in self.parts:
                self.parts[tp].assigned()
            else:
                self.parts[tp] = Partition(self, tp)

    @Service.task
    async def _poll(self) -> None:
        failed = 0
        while not self.should_stop:
            try:
                fetched = await kafka.fetch(self.consumer, POLL_S)
            except TimeoutError:
                continue  # a rebalance is under way
            except KafkaError as error:
                failed += 1
                self.count_error(error)
                self.log.warning("fetch: %s: %s", type(error).__name__, error)
                await asyncio.sleep(min(0.1 * 2 ** min(failed, 10), 5.0))
                continue
            failed = 0
            for tp, records in fetched.items():
                part = self.parts.get(tp)
                if part is not None:
                    part.push(records)
            if sum(map(len, fetched.values())) < FEW_RECORDS:
                await asyncio.sleep(FETCH_PAUSE_S)

    # -- watching -----------------------------------------------------------------------------------------

    @Service.task
    async def _watch(self) -> None:
        """Open a partition again that does not move although its input waits."""
        while not self.should_stop:
            await asyncio.sleep(WATCH_INTERVAL_S)
            for tp, part in list(self.parts.items()):
                if part.task.done() and not self.should_stop:
                    error = None if part.task.cancelled() else part.task.exception()
                    self.log.error("%s: its task ended: %r", tp, error)
                    self.parts[tp] = Partition(self, tp)
                elif part.open and time.monotonic() - part.moved > STUCK_AFTER_S:
                    await self._unstick(tp, part)

    async def _unstick(self, tp: TopicPartition, part: Partition) -> None:
        """Open it again when something waits; when that was done at this very position, end the process."""
        try:
            _, end = await self.bounds(tp)
        except (KafkaError, TimeoutError) as error:
            self.log.warning("%s: its end could not be read: %r", tp, error)
            return
        read = kafka.read_position(self.consumer, tp)
        if read is not None and read >= end and not part.busy:
            part.moved = time.monotonic()
            self._stuck.pop(tp, None)
            return
        self.metrics.errors.labels(self.agent.name, "Stuck").inc()
        if self._stuck.get(tp) == part.position:
            await self.crash(RuntimeError(f"{tp} stands at {part.position} of {end} although it was opened again"))
            return
        self._stuck[tp] = part.position
        self.log.error("%s stands at %d of %d for %.0f s, opening again", tp, part.position, end, STUCK_AFTER_S)
        part.task.cancel()
        await asyncio.wait([part.task], timeout=5)
        if self.parts.get(tp) is part:
            self.parts[tp] = Partition(self, tp)

    @Service.task
    async def _figures(self) -> None:
        """Lag and state for the dashboards; positions for the tools that show the lag of groups."""
        while not self.should_stop:
            await asyncio.sleep(FIGURES_INTERVAL_S)
            for tp, part in list(self.parts.items()):
                if part.open:
                    end = self.consumer.highwater(tp) or part.position
                    self.metrics.lag.labels(self.agent.name, tp.partition).set(max(0, end - part.position))
                    self.metrics.state_entries.labels(self.agent.name, tp.partition).set(len(part.store.committed))
            await self._publish_positions()

    async def _publish_positions(self) -> None:
        """The group's offsets are for displays only; nothing ever starts from them."""
        positions = {tp: part.position for tp, part in self.parts.items() if part.open}
        if not positions:
            return
        try:
            await asyncio.wait_for(kafka.publish_positions(self.consumer, positions), FIGURES_INTERVAL_S * 5)
        except (KafkaError, TimeoutError) as error:
            self.log.debug("positions not published: %r", error)

    async def bounds(self, tp: TopicPartition) -> tuple[int, int]:
        """First and next offset of an input partition."""
        return await kafka.bounds(self.consumer, tp)

    def count_error(self, error: BaseException) -> None:
        self.metrics.errors.labels(self.agent.name, type(error).__name__).inc()

    def committed(self, part: Partition, frame: Frame, records: int, seconds: float) -> None:
        """Figures of a frame whose transaction was committed."""
        name, metrics = self.agent.name, self.metrics
        metrics.events.labels(name).inc(records)
        metrics.frames.labels(name).inc()
        metrics.frame_records.labels(name).observe(records)
        metrics.transaction_seconds.labels(name).observe(seconds)
        if frame.rejected:
            metrics.dead_letters.labels(name).inc(frame.rejected)
        for (topic, _), rows in frame.outputs.items():
            metrics.outputs.labels(name, topic).inc(len(rows))
        metrics.changelog_bytes.labels(name).inc(
            sum(map(len, frame.changes)) + sum(len(raw) for raw in frame.changes.values() if raw)
        )
