"""The sink: reads the output topics and writes ClickHouse tables, each record once as read through FINAL."""

import gc
import logging
import threading
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from sinks import batch
from sinks.cluster import Cluster, check, log_range
from sinks.errors import LostTrack, Mismatch, SinkStopped, Unavailable
from sinks.figures import Figures
from sinks.flush import Flush, Interrupted
from sinks.letters import Letters
from sinks.partition import Partition, Range, Size
from sinks.preflight import preflight
from sinks.progress import Position, Progress, recreated
from sinks.store import Store
from sinks.tables import ROUTES, Route

log = logging.getLogger("watchfloor.sink")

INSERTS_PER_S = 15  # of all tables together, plans included; ClickHouse likes few and large ones
LONGEST_LINGER_S = 10.0
ENOUGH = Size(rows=25_000, bytes=16 << 20)  # a range is cut when so much waits,
MOST = Size(rows=50_000, bytes=48 << 20)  # and takes at most so much
FLUSHES = 3  # under way at a time: one plans and encodes while the others wait for their inserts,
FLUSH_BYTES = 32 << 20  # so one flush leaves further ranges to the next when it has so much
BUFFER_BYTES = 128 << 20
FETCH_KBYTES = 64 << 10  # read ahead by the client library
CONSUME = 5_000
PATIENCE_S = 1.0  # without reading, before the client is told to pause
BEAT_S = 10.0
TOPIC_CHECK_S = 5.0
FIGURES_S = 1.0
SAVE_S = 2.0  # what is stored is noted with the next plan, or alone after so long
HANDOVER_S = 5.0
SAY_S = 30.0  # between two lines about a broker that is away


@dataclass(frozen=True, slots=True)
class Options:
    """`sink`: processes of one sink share its partitions. `instance`: stable name of this process in the group."""

    servers: str
    prefix: str = ""
    sink: str = "clickhouse"
    instance: str | None = None
    session_timeout_ms: int = 10_000
    flush_s: float = 1.0
    once: bool = False
    accept: frozenset[str] = frozenset()
    refusals: int = 100


class Sink:
    """Reads in one thread, stores in others. `run` returns after `stop`, or with --once at the end of the topics."""

    def __init__(self, store: Store, options: Options, figures: Figures, routes: Collection[Route] = ROUTES) -> None:
        self._options = options
        self._store = store
        self._figures = figures
        self._routes = {options.prefix + route.topic.name: route for route in routes}
        self._progress = Progress(store, options.sink)
        self._cluster = Cluster(options.servers)
        self._letters = Letters(options.servers, options.prefix)
        self._stopping = threading.Event()
        self._flush = Flush(store, self._progress, self._letters, figures, self._stopping, options.refusals)
        self._flusher = ThreadPoolExecutor(FLUSHES, "flush")
        self._under_way: list[tuple[Future[int], list[Partition]]] = []
        self._next_flush = 0.0
        self._next_beat = 0.0
        self._next_topic_check = 0.0
        self._next_figures = 0.0
        self._last_save = 0.0
        self._last_read = time.monotonic()
        self._said = float("-inf")
        self._paused = False
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._assigned = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": options.servers,
                "group.id": f"{options.prefix}sink.{options.sink}",
                **({"group.instance.id": options.instance} if options.instance else {}),
                "session.timeout.ms": options.session_timeout_ms,
                "partition.assignment.strategy": "cooperative-sticky",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                # Progress lives in ClickHouse; an offset outside the log is an error, never a new start.
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": FETCH_KBYTES,
                "fetch.message.max.bytes": 4 << 20,
                # Lost connections come back as errors of consume(), too; the library itself would report every attempt.
                "log_level": 2,
            },
            logger=log.getChild("kafka"),
        )

    def stop(self) -> None:
        """Finish the ranges under way and return from run(). May be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Raises SinkStopped when a person is needed."""
        # Tens of thousands of messages wait at a time: looking through them for garbage costs a tenth of the CPU, so
        # that is done with each beat only.
        gc.freeze()
        gc.disable()
        try:
            self._flush.patiently(self._preflight)
            self._await_topics()
            self._consumer.subscribe(
                list(self._routes), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._stopping.is_set() and not self._finished():
                self._step()
            self._finish_flush(wait_s=HANDOVER_S)
            self._save(self._partitions.values())
        except Interrupted:
            log.info("stopped while waiting; the plan stays for the next start")
        finally:
            self._stopping.set()
            self._flusher.shutdown(wait=True)
            self._flush.close()
            self._consumer.close()
            gc.enable()
            gc.unfreeze()

    def _preflight(self) -> None:
        problems = preflight(self._store)
        if problems:
            raise Mismatch("ClickHouse is not what this release writes to:\n" + "\n".join(f"- {p}" for p in problems))

    def _await_topics(self) -> None:
        missing = set(self._routes) - set(self._flush.patiently(lambda: self._cluster.topic_ids(self._routes)))
        if missing:
            raise SinkStopped(
                f"These topics do not exist: {', '.join(sorted(missing))}. Make them: watchfloor topics apply"
            )

    def _finished(self) -> bool:
        if not self._options.once or not self._assigned or self._under_way:
            return False
        return all(partition.drained for partition in self._partitions.values())

    def _step(self) -> None:
        """Read, take note of what was stored, start to store more."""
        self._read()
        self._finish_flush(wait_s=0.0)
        now = time.monotonic()
        if now >= self._next_topic_check:
            self._next_topic_check = now + TOPIC_CHECK_S
            self._check_topics()
        if now >= self._next_beat:
            self._next_beat = now + BEAT_S
            gc.collect()
            for partition in self._partitions.values():
                partition.beat()
        if len(self._under_way) < FLUSHES and now >= self._next_flush:
            self._start_flush()
        if now >= self._next_figures:
            self._next_figures = now + FIGURES_S
            self._publish_figures()

    def _read(self) -> None:
        buffered = sum(partition.bytes for partition in self._partitions.values())
        self._figures.buffered.set(buffered)
        now = time.monotonic()
        if buffered > BUFFER_BYTES and self._under_way:
            if now - self._last_read < PATIENCE_S:
                self._finish_flush(wait_s=0.1, one=True)
                return
            self._pause()
        elif self._paused and buffered < BUFFER_BYTES // 2:
            self._resume()
        self._last_read = now
        last: tuple[str | None, int | None] = None, None
        run: list[Message] = []
        for message in self._consumer.consume(CONSUME, timeout=0.1):
            error = message.error()
            place = message.topic(), message.partition()
            if error is not None or place != last:
                self._take(last, run)
                last, run = place, []
            if error is None:
                run.append(message)
            else:
                self._on_error(message, error)
        self._take(last, run)

    def _take(self, place: tuple[str | None, int | None], run: list[Message]) -> None:
        """Messages that follow each other in one partition."""
        partition = self._partitions.get((place[0] or "", place[1] or 0))
        if run and partition is not None:
            partition.add(cast(list[batch.Message], run))

    def _on_error(self, message: Message, error: KafkaError) -> None:
        partition = self._partitions.get((message.topic() or "", message.partition() or 0))
        if error.code() == KafkaError._PARTITION_EOF:
            if partition is not None:
                partition.reached_end(message.offset() or 0)
            return
        if error.fatal():
            raise SinkStopped(f"Kafka ends this consumer: {error.str()}")
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self._check_topics()
            raise LostTrack(
                f"{message.topic()}[{message.partition()}] no longer holds the next record to store: {error.str()}. "
                f"To go on from what the log holds: watchfloor sink --accept {message.topic()}"
            )
        if time.monotonic() - self._said >= SAY_S:
            self._said = time.monotonic()
            log.warning("Kafka: %s; the client library goes on trying", error.str())
        for each in self._partitions.values():
            each.lost_sight()

    def _start_flush(self) -> None:
        linger = min(max(self._options.flush_s, self._streams() / INSERTS_PER_S), LONGEST_LINGER_S)
        due = sorted(
            (each for each in self._partitions.values() if each.due(ENOUGH, linger)),
            key=lambda each: each.waiting_since,
        )
        ranges: list[Range] = []
        for each in due:
            if sum(one.bytes for one in ranges) < FLUSH_BYTES:
                ranges.append(each.cut(MOST))
        cut = {id(each.partition) for each in ranges}
        others = [each for each in self._partitions.values() if each.unsaved and id(each) not in cut]
        waited = time.monotonic() - self._last_save >= SAVE_S or (self._options.once and not self._under_way)
        if not ranges and not (others and waited):
            return
        self._last_save = time.monotonic()
        for partition in (*others, *(each.partition for each in ranges)):
            partition.unsaved = False
        self._next_flush = max(self._next_flush, time.monotonic())
        stored = self._flusher.submit(self._flush.run, ranges, [each.position for each in others])
        self._under_way.append((stored, [each.partition for each in ranges]))

    def _streams(self) -> int:
        """Inserts that a flush of everything that waits would make."""
        return 1 + sum(len(each.route.tables) for each in self._partitions.values() if each.messages)

    def _finish_flush(self, wait_s: float, one: bool = False) -> None:
        """Take note of the flushes that are done within `wait_s`, or at the first that is when `one` is enough."""
        wait([flush for flush, _ in self._under_way], wait_s, FIRST_COMPLETED if one else ALL_COMPLETED)
        done = [each for each in self._under_way if each[0].done()]
        for each in done:
            self._under_way.remove(each)
            inserts = each[0].result()
            for partition in each[1]:
                partition.stored()
            # Plans without rows are not urgent: together with the rest they keep the rate.
            self._next_flush += inserts / INSERTS_PER_S

    def _save(self, partitions: Iterable[Partition]) -> None:
        """Note what is stored, if ClickHouse takes it now: it only spares the next owner some work."""
        positions = [each.position for each in partitions if each.unsaved]
        if positions:
            try:
                self._progress.save(positions)
            except Unavailable as error:
                log.info("the last progress was not noted: %s", error)

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._consumer.pause(self._consumer.assignment())

    def _resume(self) -> None:
        self._paused = False
        self._consumer.resume(self._consumer.assignment())

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self._assigned = True
        names = {each.topic for each in assigned}
        ids = self._flush.patiently(lambda: self._cluster.topic_ids(names)) if names else {}
        for each in assigned:
            open_it = partial(self._opening, each.topic, ids[each.topic], each.partition)
            position = self._flush.patiently(open_it)
            self._partitions[each.topic, each.partition] = Partition(self._routes[each.topic], position)
            each.offset = position.next_offset
        consumer.incremental_assign(assigned)
        self._paused = False
        self._figures.partitions.set(len(self._partitions))
        log.info("stores %d partitions", len(self._partitions))

    def _opening(self, topic: str, topic_id: str, partition: int) -> Position:
        """Where to go on. Raises LostTrack, Unavailable."""
        low, high = log_range(self._consumer, topic, partition)
        fresh = Position(topic, topic_id, partition, next_offset=low, planned_last=low - 1)
        found: Position | None = None
        try:
            found = self._progress.load(topic, topic_id, partition)
            if found is not None:
                check(found, low, high)
        except LostTrack as lost:
            if topic not in self._options.accept:
                raise
            log.warning("accepted: %s", lost)
            accepted = (found or fresh).stored(low, 0)
            self._progress.save([accepted])
            return accepted
        return found or fresh

    def _on_revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._finish_flush(wait_s=HANDOVER_S)
        self._save(self._part_with(revoked))
        consumer.incremental_unassign(revoked)

    def _on_lost(self, _: Consumer, lost: list[TopicPartition]) -> None:
        self._part_with(lost)

    def _part_with(self, gone: Iterable[TopicPartition]) -> list[Partition]:
        places = [(each.topic, each.partition) for each in gone]
        parted = [self._partitions.pop(place) for place in places if place in self._partitions]
        for topic, partition in places:
            self._figures.lag.remove(topic, str(partition))
        self._figures.partitions.set(len(self._partitions))
        return parted

    def _check_topics(self) -> None:
        """A topic that is made anew while we read it may have fitting offsets; only its UUID tells."""
        held = {each.position.topic: each.position.topic_id for each in self._partitions.values()}
        if not held:
            return
        try:
            ids = self._cluster.topic_ids(held)
        except Unavailable as error:
            log.info("%s", error)
            return
        for topic, topic_id in held.items():
            if ids.get(topic, topic_id) != topic_id:
                raise recreated(topic, ids[topic], [topic_id])

    def _publish_figures(self) -> None:
        for (topic, number), partition in self._partitions.items():
            try:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
            except KafkaException:
                continue
            if high >= 0:
                lag = max(0, high - partition.position.next_offset)
                self._figures.lag.labels(topic, str(number)).set(lag)
