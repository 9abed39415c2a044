"""The owner of one partition number of an agent: its producer, its state, its position, and the frames' loop."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from streams.runtime import kafka
from streams.runtime.control import Control
from streams.runtime.errors import Halt, PositionError, StateVersionError
from streams.runtime.flood import LIMIT, Flood, released
from streams.runtime.formats import finalised, level
from streams.runtime.frame import Frame, InputRecord, Record, RefusedTimers, Row
from streams.runtime.idle import IdleClock
from streams.runtime.inputs import MAX_RECORDS, Input, merged
from streams.runtime.isolate import PoisonCounter, ahead, halves
from streams.runtime.mark import MARK_KEY, Mark
from streams.runtime.restore import Restored, restore
from streams.runtime.state import Store

if TYPE_CHECKING:
    from streams.runtime.engine import Engine

CLOSE_TIMEOUT_S = 3.0
COMMIT_TIMEOUT_S = 60.0
HALT_PAUSE_S = (1.0, 30.0)
MIN_RECORDS = 16
# The first frame after a restart meets the whole backlog before anything is known about the agent's speed.
FIRST_RECORDS = 250
# The event loop also sends heartbeats and the other partitions' transactions.
FRAME_SECONDS = 0.1
# Longer than a transaction of a control agent that died may keep the end of control from being read.
CONTROL_LIMIT_S = 30.0
# How often a paused partition looks whether it is released.
RELEASE_S = 0.2
# How often a partition that waits looks whether an input that held up the others has ended, or time has passed.
LOOK_S = 0.05
TICK_S = 1.0
# A tick that fires nothing is committed so often: a restart loses no more of a quiet partition's time.
KEEP_TICK_MS = 60_000
# Between two frames, when an upgrade was finalised: the input waits some milliseconds for it.
RENEWED_AT_ONCE = 500


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

    def __init__(self, engine: "Engine", number: int) -> None:
        self.engine = engine
        self.agent = engine.agent
        self.number = number
        self.name = f"{self.agent.name}[{number}]"
        self.inputs = {topic.name: Input(engine, topic.name, number) for topic in self.agent.inputs}
        self.store = Store()
        self.mark = Mark({})
        self.delivery: Delivery | None = None
        self.poison = PoisonCounter(quiet=self.agent.personal)
        self.flood = Flood()
        self.records_per_frame = FIRST_RECORDS
        self.moved = time.monotonic()
        self.clock = IdleClock(list(self.inputs.values()))
        self.open = False
        self._level = 0
        self._old: list[bytes] = []
        self._producer: AIOKafkaProducer | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._confirmed = asyncio.Event()
        for each in self.inputs.values():
            each.seek()
        self.task = asyncio.create_task(self._run(), name=self.name)

    # -- input --------------------------------------------------------------------------------------------

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to be committed, of every input."""
        return {each.tp: self.mark.offsets.get(each.topic, 0) for each in self.inputs.values()}

    @property
    def busy(self) -> bool:
        """Whether records wait here or are being processed."""
        return self.delivery is not None or any(each.waiting for each in self.inputs.values())

    def push(self, topic: str, records: list[Record]) -> None:
        """Take what the consumer fetched of an input."""
        if self.inputs[topic].push(records):
            self._wake.set()

    def assigned(self) -> None:
        """A new assignment still holds this partition; the client has forgotten its position and its pause."""
        self._confirmed.set()
        for each in self.inputs.values():
            each.seek()

    def stop(self) -> None:
        """Finish the frame in progress, then end."""
        self._stopping = True
        self._wake.set()
        self._confirmed.set()

    async def _take(self) -> list[Record]:
        """What is to be processed next; nothing when the partition stops, or when time alone has passed."""
        inputs = list(self.inputs.values())
        while not self._stopping:
            self._wake.clear()
            renewed = await self._renew()
            records = merged(inputs, self.records_per_frame)
            if records:
                return records
            if renewed:
                continue
            wait: float | None
            if any(each.waiting for each in inputs):
                wait = LOOK_S  # for an input whose records belong before these
            elif self.store.timers:
                if self.clock.advance(self.mark.clock) and self._tick_due():
                    return []
                wait = TICK_S
            else:
                # Nothing wakes it when the upgrade is finalised.
                wait = TICK_S if self.mark.level < self.agent.level else None
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue
        return []

    def _tick_due(self) -> bool:
        first = self.store.timers.first
        now = self.clock.now
        return (first is not None and first[0] <= now) or now - self.mark.clock >= KEEP_TICK_MS

    # -- life ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        engine, name = self.engine, self.agent.name
        pause = HALT_PAUSE_S[0]
        failures = 0
        stood: dict[str, int] = {}
        halted = engine.metrics.halted.labels(name)
        while not self._stopping:
            try:
                await self._open()
                await self._serve()
            except Halt as error:
                if self.mark.offsets != stood:
                    stood, pause = self.mark.offsets, HALT_PAUSE_S[0]  # it has gone on since the last time
                engine.log.error(
                    "%s stopped: %s: %s (tried again in %.0f s)", self.name, type(error).__name__, error, pause
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
                engine.log.info("%s: fenced, waiting for the group's word", self.name)
                engine.count_error(error)
                await self._close()
                await self._wait_until_owner()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - counted and logged; the log is the truth to start again from
                engine.log.warning("%s: %s: %s, opening again", self.name, type(error).__name__, error)
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
                    engine.log.debug("%s: the group does not answer: %r", self.name, error)

    async def _open(self) -> None:
        engine = self.engine
        started = time.monotonic()
        self._producer = kafka.producer(engine.servers, f"{engine.group}-{self.number}", engine.session_timeout_ms)
        # Fences whoever had the partition and settles his last transaction: from here on the log is final.
        await asyncio.wait_for(self._producer.start(), kafka.REQUEST_TIMEOUT_S)
        fenced = time.monotonic()
        if engine.follower is not None:
            # Whoever had the partition may have obeyed what this worker has not heard of yet.
            await engine.follower.read_to_end(CONTROL_LIMIT_S)
        restored = await restore(engine.servers, engine.changelog, self.number)
        mark = await self._start_at(restored)
        self.store, self.mark = Store(restored.entries, self.agent.timers), mark
        self._level, self._old = 0, []
        # Otherwise every restart of a worker with a bug would give the dead letters a few records more.
        self.poison.streak = mark.poison
        self.flood = Flood()
        self.moved = time.monotonic()
        self.clock.start()
        self.open = True
        for topic, each in self.inputs.items():
            each.open(mark.offsets[topic])
        engine.metrics.partitions.labels(engine.agent.name).inc()
        engine.metrics.restore_seconds.labels(engine.agent.name).observe(restored.seconds)
        engine.log.info(
            "%s open at %s: fencing %.2f s, %d entries restored in %.2f s",
            self.name, ", ".join(map(str, mark.offsets.values())), fenced - started, len(restored.entries),
            restored.seconds,
        )  # fmt: skip

    async def _start_at(self, restored: Restored) -> Mark:
        """The position to start from, held against what the inputs' logs have.

        Raises:
            PositionError: a person must decide how to go on.
            StateVersionError: another release must go on.
        """
        changelog = f"{self.engine.changelog}[{self.number}]"
        mark = restored.mark or Mark({})
        self._check_formats(changelog, restored)
        if restored.mark is None and restored.entries:
            raise PositionError(f"{changelog} has state but no MARK: was it restored in part?")
        unknown = mark.offsets.keys() - self.inputs.keys()
        if unknown:
            raise PositionError(
                f"{changelog} has positions of {', '.join(sorted(unknown))}, which this release does not read: "
                "run the release that wrote them"
            )
        if self.engine.follower is not None and mark.control > self.engine.control.offset:
            raise PositionError(
                f"{changelog} has obeyed control up to command {mark.control}, the control topics end with command "
                f"{self.engine.control.offset}: were they made anew?"
            )
        offsets: dict[str, int] = {}
        for topic, each in self.inputs.items():
            begin, end = await self.engine.bounds(each.tp)
            # An input that the agent did not have before is read from its beginning.
            offset = offsets[topic] = mark.offsets.get(topic, begin)
            if not begin <= offset <= end:
                raise PositionError(
                    f"the next record to read is {offset}, the log of {each.tp.topic}[{self.number}] holds {begin} to "
                    f"{end}: " + (f"{begin - offset} records are gone" if offset < begin else "the topic was made anew")
                )
        return replace(mark, offsets=offsets)

    def _check_formats(self, changelog: str, restored: Restored) -> None:
        agent, mark = self.agent, restored.mark
        if mark is not None and mark.level > agent.level:
            raise StateVersionError(
                f"{changelog} is finalised at level {mark.level}, this release knows levels up to {agent.level}: "
                "run the release that finalised it, there is no way back"
            )
        if mark is not None and agent.level and max(mark.level, finalised(self.engine.control)) < agent.level - 1:
            raise StateVersionError(
                f"{changelog} is at level {mark.level}, this release reads levels {agent.level - 1} and {agent.level}: "
                "run the release before it, and `watchfloor upgrade finalize` there"
            )
        agent.formats.old(restored.entries)

    async def _renew(self) -> bool:
        """Where the upgrade is finalised, store some of what is in the format before in the new one.

        Returns whether there was anything to do. What frames write meanwhile is in the new format already.
        """
        agent, control = self.agent, self.engine.control
        final = level(agent, control)
        if final != self._level:
            self._level = final
            self._old = agent.formats.old(self.store.committed) if final == agent.level else []
        if not self._old and self.mark.level >= final:
            return False
        keys, self._old = self._old[:RENEWED_AT_ONCE], self._old[RENEWED_AT_ONCE:]
        changes = agent.formats.renewed(keys, self.store.committed)
        mark = replace(self.mark, control=control.offset, level=final)
        rows: list[Row] = [*changes.items(), (MARK_KEY, mark.encode(agent.level))]
        await kafka.transact(self._producer, {(self.engine.changelog, self.number): rows}, COMMIT_TIMEOUT_S)
        self.store.apply(changes)
        self.mark = mark
        self.moved = time.monotonic()
        if not self._old:
            self.engine.log.info("%s is at level %d, with all that it stores", self.name, final)
        return True

    async def _close(self) -> None:
        if self.open:
            metrics, place = self.engine.metrics, (self.agent.name, str(self.number))
            metrics.partitions.labels(self.agent.name).dec()
            # Another worker tells them from now on.
            metrics.lag.remove(*place)
            metrics.state_entries.remove(*place)
            self.open = False
        for each in self.inputs.values():
            each.close()
        self.delivery = None
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
            if self.mark.paused:
                await self._pause()
            started = time.monotonic()
            records = await self._take()
            if self._stopping:
                return
            await self._process(records, self.engine.control, None if records else self.clock.now)
            rest = started + linger - time.monotonic()
            if rest > 0:
                await self._sleep(rest)

    async def _pause(self) -> None:
        """Stand still until a person lets the partition go on. Nothing is lost: what comes waits in the log."""
        engine, mark, place = self.engine, self.mark, (self.agent.name, str(self.number))
        engine.log.error(
            "%s pauses: %s. When the cause is mended, `watchfloor control set release %s --reason ...` lets it go on",
            self.name, mark.paused, "/".join(place),
        )  # fmt: skip
        engine.metrics.paused.labels(*place).set(1)
        try:
            while not self._stopping:
                entry = released(engine.control, self.agent.name, self.number, mark.control)
                if entry is not None:
                    engine.log.info("%s goes on: released by %s: %s", self.name, entry.by, entry.reason)
                    # Real with the next frame; until then the release is found again.
                    self.mark, self.flood = replace(mark, paused=""), Flood()
                    self.clock.start()
                    return
                self.moved = time.monotonic()
                await asyncio.sleep(RELEASE_S)
        finally:
            engine.metrics.paused.remove(*place)

    async def _process(
        self, records: Sequence[Record], control: Control, tick: int | None = None, after: Sequence[Record] = ()
    ) -> None:
        """Run a frame and commit it; without the timers that make the agent raise, or its halves one by one.

        `after`: the next records that wait behind it.
        """
        streak = self.poison.streak
        refused: dict[int, Exception] = {}
        while True:
            frame = self._frame(records, control, tick, refused)
            started = time.perf_counter()
            error = await self._deliver(frame)
            if error is None:
                break
            if isinstance(error, Halt):
                raise error
            self.engine.metrics.body_errors.labels(self.agent.name).inc()
            if frame.firing is None:
                break
            others_pass = self.poison.full and await self._pass(ahead(records, after), control)
            self.poison.timer_failed(frame.given - 1, refused, error, others_pass=others_pass)
        if error is None:
            self.poison.passed(frame.given - 1 in refused)
            self._adapt(len(records), time.perf_counter() - started)
        elif len(records) > 1:
            self.poison.streak = streak  # the halves meet the timers again
            first, second = halves(records)
            await self._process(first, control, after=ahead(second, after))
            await self._process(second, control, after=after)
            return
        elif records:
            others_pass = self.poison.full and await self._pass(after, control)
            self.poison.failed(error, others_pass=others_pass)
            frame = self._frame(records, control)
            frame.reject(records[0], type(error).__name__, str(error))
        else:
            raise error
        await self._commit(frame, records)

    async def _pass(self, records: Sequence[Record], control: Control) -> bool:
        """Whether the agent takes one of these records, each by itself; nothing of it is kept."""
        for record in records:
            refused: dict[int, Exception] = {}
            while True:
                frame = self._frame([record], control, None, refused)
                error = await self._deliver(frame)
                if isinstance(error, Halt):
                    raise error
                if error is None or frame.firing is None:
                    break
                refused[frame.given - 1] = error
            if error is None and frame.records:
                return True
        return False

    def _frame(
        self,
        records: Sequence[Record],
        control: Control,
        tick: int | None = None,
        refused: RefusedTimers | None = None,
    ) -> Frame:
        engine, clock = self.engine, self.mark.clock
        return Frame(
            self.agent, self.number, records, self.store, clock, engine.counts, engine.prefix, tick, refused, control
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

    async def _commit(self, frame: Frame, records: Sequence[Record]) -> None:
        engine = self.engine
        offsets = dict(self.mark.offsets)
        if len(self.inputs) == 1 and records:
            offsets[self.agent.input.name] = records[-1].offset + 1
        else:
            offsets.update((record.topic, record.offset + 1) for record in cast(Sequence[InputRecord], records))
        if LIMIT in self.agent.settings:
            self.flood.add(records[-1].timestamp if records else None, len(records), frame.rejected)
            paused = self.mark.paused or (frame.rejected and self.flood.found(frame.control)) or ""
        else:
            paused = ""
        mark = Mark(offsets, frame.control.offset, frame.clock, self.poison.streak, paused, frame.level)
        outputs = {(engine.topic(topic), number): rows for (topic, number), rows in frame.outputs.items()}
        outputs[engine.changelog, self.number] = [*frame.changes.items(), (MARK_KEY, mark.encode(self.agent.level))]
        started = time.perf_counter()
        await kafka.transact(self._producer, outputs, COMMIT_TIMEOUT_S)
        frame.apply()
        self.mark = mark
        self.moved = time.monotonic()
        self.clock.start()
        engine.committed(self, frame, len(records), time.perf_counter() - started)
