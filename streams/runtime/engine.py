"""An agent's engine under Faust: one consumer, one group, and a `Partition` for each partition it was given."""

import asyncio
import time
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from mode import Service

from schemas import topics
from streams.runtime import kafka
from streams.runtime.agent import Agent
from streams.runtime.channel import FrameChannel, Frames, register
from streams.runtime.control import Control
from streams.runtime.follower import Follower
from streams.runtime.formats import said
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


class Following(Service):
    """The follower of a worker as a part of its app: it begins before the engines and ends after them.

    It is not waited for here: the control agent, which may be in the same worker, could have to settle first what keeps
    control from being read.
    """

    def __init__(self, follower: Follower) -> None:
        super().__init__()
        self.follower = follower

    async def on_start(self) -> None:
        kafka.prepare()
        self.follower.begin()

    async def on_stop(self) -> None:
        await self.follower.stop()


class Engines(Service):
    """All engines of a worker, which begin and end at the same time: each mostly waits for the broker."""

    def __init__(self, engines: "list[Engine]") -> None:
        super().__init__()
        self.engines = engines

    def on_init_dependencies(self) -> "list[Engine]":
        return self.engines

    async def on_start(self) -> None:
        done = await asyncio.gather(*(engine.maybe_start() for engine in self.engines), return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result

    async def on_stop(self) -> None:
        await asyncio.gather(*(engine.stop() for engine in self.engines))


class Boot(BootStrategy):
    """Starts the engines beside the agents; Faust's own consumer, producer and tables are not used."""

    def __init__(self, app: faust.App, **options: Any) -> None:
        super().__init__(app, **options)
        self.followings: list[Following] = []
        self.engines: list[Engine] = []

    def agents(self) -> list[Any]:
        return [*self.followings, self.app.agents, Engines(self.engines)]


def boot(app: faust.App) -> Boot:
    """What starts an app's engines."""
    if not isinstance(app.boot_strategy, Boot):
        app.boot_strategy = Boot(app, enable_kafka=False)
    return app.boot_strategy


def follow(app: faust.App, follower: Follower) -> Follower:
    """Let a follower begin and end with the app, before and after its engines."""
    boot(app).followings.append(Following(follower))
    return follower


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
        follower: of the settings, for an agent that reads some; it must begin and end with the app, see `follow`.
    Raises (when started):
        LookupError: a topic does not exist, or changelog and inputs have not the same number of partitions.
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
        follower: Follower | None = None,
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
        self.follower = follower
        self._defaults = Control(agent.settings)
        self.counts: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.parts: dict[int, Partition] = {}
        self._stuck: dict[int, dict[TopicPartition, int]] = {}
        self.consumer: AIOKafkaConsumer = None
        self.channel = FrameChannel(app)
        register(app, self.channel, agent.name, self._body)
        boot(app).engines.append(self)

    async def _body(self, frames: Frames) -> None:
        seconds = self.metrics.process_seconds.labels(self.agent.name)
        async for frame in frames:
            started = time.perf_counter()
            frame.run()
            seconds.observe(time.perf_counter() - started)

    @property
    def control(self) -> Control:
        """What is in force as this worker knows it now."""
        return self._defaults if self.follower is None else self.follower.control

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
            partition_assignment_strategy=(kafka.assignor(said(self.agent.level)),),
            session_timeout_ms=self.session_timeout_ms,
            heartbeat_interval_ms=int(self.heartbeat_s * 1000),
            max_partition_fetch_bytes=kafka.FETCH_BYTES,
            fetch_max_wait_ms=100,
        )
        await asyncio.wait_for(self.consumer.start(), kafka.REQUEST_TIMEOUT_S)
        agent = self.agent
        # The last input first: what it says of the inputs before it was in their logs when those are read.
        kafka.attend(self.consumer, [self.topic(topic.name) for topic in reversed(agent.inputs)])
        for topic in (*agent.inputs, *agent.outputs, topics.DEAD_LETTERS):
            self.counts[topic.name] = await kafka.partitions_of(self.consumer, self.topic(topic.name))
        kept = await kafka.partitions_of(self.consumer, self.changelog)
        for topic in agent.inputs:
            if kept != self.counts[topic.name]:
                raise LookupError(
                    f"{self.changelog} has {kept} partitions, {self.topic(topic.name)} has "
                    f"{self.counts[topic.name]}: they must have the same number"
                )
        self.names = {self.topic(topic.name): topic.name for topic in agent.inputs}
        self.consumer.subscribe(list(self.names), listener=self)

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
        whole = self._whole(assigned)
        for number in self.parts.keys() - whole:
            self.parts.pop(number).task.cancel()
        for number in sorted(whole):
            if number in self.parts:
                self.parts[number].assigned()
            else:
                self.parts[number] = Partition(self, number)

    def _whole(self, assigned: list[TopicPartition]) -> set[int]:
        """The partition numbers of which all inputs are ours; one input without the others is not opened."""
        held: dict[int, set[str]] = {}
        for tp in assigned:
            held.setdefault(tp.partition, set()).add(tp.topic)
        for number, names in held.items():
            if missing := self.names.keys() - names:
                self.metrics.errors.labels(self.agent.name, "IncompleteAssignment").inc()
                self.log.error(
                    "%s[%d] stays closed: this worker was given %s without %s",
                    self.agent.name, number, ", ".join(sorted(names)), ", ".join(sorted(missing)),
                )  # fmt: skip
                self.consumer.pause(*(TopicPartition(name, number) for name in names))
        return {number for number, names in held.items() if names == self.names.keys()}

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
                part = self.parts.get(tp.partition)
                if part is not None:
                    part.push(self.names[tp.topic], records)
            if sum(map(len, fetched.values())) < FEW_RECORDS:
                await asyncio.sleep(FETCH_PAUSE_S)

    # -- watching -----------------------------------------------------------------------------------------

    @Service.task
    async def _watch(self) -> None:
        """Open a partition again that does not move although its input waits."""
        while not self.should_stop:
            await asyncio.sleep(WATCH_INTERVAL_S)
            for number, part in list(self.parts.items()):
                if part.task.done() and not self.should_stop:
                    error = None if part.task.cancelled() else part.task.exception()
                    self.log.error("%s: its task ended: %r", part.name, error)
                    self.parts[number] = Partition(self, number)
                elif part.open and time.monotonic() - part.moved > STUCK_AFTER_S:
                    await self._unstick(part)

    async def _unstick(self, part: Partition) -> None:
        """Open it again when something waits; when that was done at this very position, end the process."""
        positions = part.positions
        try:
            ends = {tp: (await self.bounds(tp))[1] for tp in positions}
        except (KafkaError, TimeoutError) as error:
            self.log.warning("%s: its end could not be read: %r", part.name, error)
            return
        read = {tp: kafka.read_position(self.consumer, tp) for tp in positions}
        if not part.busy and all((at := read[tp]) is not None and at >= end for tp, end in ends.items()):
            part.moved = time.monotonic()
            self._stuck.pop(part.number, None)
            return
        self.metrics.errors.labels(self.agent.name, "Stuck").inc()
        stands = ", ".join(f"{tp.topic} at {positions[tp]} of {end}" for tp, end in ends.items())
        if self._stuck.get(part.number) == positions:
            await self.crash(RuntimeError(f"{part.name} stands still although it was opened again: {stands}"))
            return
        self._stuck[part.number] = positions
        self.log.error("%s stands still for %.0f s, opening again: %s", part.name, STUCK_AFTER_S, stands)
        part.task.cancel()
        await asyncio.wait([part.task], timeout=5)
        if self.parts.get(part.number) is part:
            self.parts[part.number] = Partition(self, part.number)

    @Service.task
    async def _figures(self) -> None:
        """Lag and state for the dashboards; positions for the tools that show the lag of groups."""
        while not self.should_stop:
            await asyncio.sleep(FIGURES_INTERVAL_S)
            for number, part in list(self.parts.items()):
                if part.open:
                    lag = sum(
                        max(0, (kafka.highwater(self.consumer, tp) or position) - position)
                        for tp, position in part.positions.items()
                    )
                    self.metrics.lag.labels(self.agent.name, number).set(lag)
                    self.metrics.state_entries.labels(self.agent.name, number).set(len(part.store.committed))
            await self._publish_positions()

    async def _publish_positions(self) -> None:
        """The group's offsets are for displays only; nothing ever starts from them."""
        positions = {tp: at for part in self.parts.values() if part.open for tp, at in part.positions.items()}
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
        if records:
            metrics.frame_records.labels(name).observe(records)
        metrics.transaction_seconds.labels(name).observe(seconds)
        if frame.rejected:
            metrics.dead_letters.labels(name).inc(frame.rejected)
        for (topic, _), rows in frame.outputs.items():
            metrics.outputs.labels(name, topic).inc(len(rows))
        metrics.changelog_bytes.labels(name).inc(
            sum(map(len, frame.changes)) + sum(len(raw) for raw in frame.changes.values() if raw)
        )
