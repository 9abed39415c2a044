"""From ranges to stored rows: plan, blocks, inserts, and the isolation of rows that ClickHouse refuses.

The order is the whole point. 1. The plan is stored. 2. Each block (one topic partition, table and month) is inserted
under a token made of the plan. 3. Rejected records are in the dead-letter topic. Only then does the range count.
"""

import logging
import random
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from schemas import topics
from sinks.batch import Batch, Rejected
from sinks.errors import Mismatch, Refused, Unavailable
from sinks.figures import Figures
from sinks.letters import Letters
from sinks.partition import Range
from sinks.progress import Position, Progress
from sinks.store import Store
from sinks.tables import Table

log = logging.getLogger("watchfloor.sink")

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
THREADS = 4

T = TypeVar("T")


class Interrupted(Exception):
    """The sink is told to stop while it waits. The plan stays; the next start goes on with it."""


class Flush:
    """Stores ranges. `refusals`: so many rejected records of one range stop the sink instead of draining it."""

    def __init__(
        self, store: Store, progress: Progress, letters: Letters, figures: Figures, stop: threading.Event, refusals: int
    ) -> None:
        self._store = store
        self._progress = progress
        self._letters = letters
        self._figures = figures
        self._stop = stop
        self._refusals = refusals
        self._pool = ThreadPoolExecutor(THREADS, "insert")

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, ranges: Sequence[Range], positions: Iterable[Position]) -> int:
        """Store the ranges, and `positions` along with their plans. Returns the number of inserts.

        Raises Interrupted, or SinkStopped when a person is needed.
        """
        started = time.monotonic()
        plans = [*positions, *(each.position for each in ranges)]
        if plans:
            self.patiently(lambda: self._progress.save(plans))
        jobs: list[tuple[Range, Batch, list[Future[list[Rejected]]]]] = []
        for each in ranges:
            batch = Batch(each.partition.route, each.messages)
            inserts = [
                self._pool.submit(self._insert, each, batch, table, month, rows)
                for month, rows in batch.months.items()
                for table in batch.route.tables
            ]
            jobs.append((each, batch, inserts))
        for each, batch, inserts in jobs:
            refused = {one.message.offset(): one for insert in inserts for one in insert.result()}
            self._reject(each, [*batch.rejected, *refused.values()])
        if ranges:
            self._figures.flush_seconds.observe(time.monotonic() - started)
        return bool(plans) + sum(len(inserts) for _, _, inserts in jobs)

    def patiently(self, action: Callable[[], T]) -> T:
        """Do it, and again with growing pauses while ClickHouse (or Kafka) is away."""
        pause = FIRST_PAUSE_S
        said = 0.0
        while True:
            try:
                done = action()
            except Unavailable as error:
                self._figures.retries.inc()
                self._figures.clickhouse_up.set(0)
                if time.monotonic() - said > 30:
                    said = time.monotonic()
                    log.warning("waiting: %s", error)
                if self._stop.wait(pause * random.uniform(0.5, 1.5)):
                    raise Interrupted from error
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                if said:
                    log.info("going on")
                self._figures.clickhouse_up.set(1)
                return done

    def _insert(self, range_: Range, batch: Batch, table: Table, month: str, rows: "array[int]") -> list[Rejected]:
        """Store these rows of one month, all but those that are refused even alone, which are returned."""
        position = range_.position
        place = f"{table.name}:{position.topic_id}:{position.partition}:{range_.first}-{range_.last}:{month}"
        refused: list[Rejected] = []
        parts = [rows]
        while parts:
            part = parts.pop()
            # The whole block has the plan's token; a part of it says which rows it has.
            token = place if part is rows else f"{place}:{part[0]}-{part[-1]}:{len(part)}"
            try:
                native = batch.native(table, part)
                started = time.monotonic()
                self.patiently(partial(self._store.insert, table.name, table.names, native, token))
            except (Refused, ValueError, TypeError, OverflowError) as error:
                if len(part) > 1:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                    continue
                name = f"clickhouse_{error.code}" if isinstance(error, Refused) else type(error).__name__
                refused.append(Rejected(batch.messages[part[0]], name, f"table {table.name}: {error}"))
                if len(refused) > self._refusals:
                    raise self._too_many(range_, refused[-1]) from error
                continue
            self._figures.insert_seconds.labels(table.name).observe(time.monotonic() - started)
            self._figures.inserts.labels(table.name).inc()
            self._figures.block_rows.labels(table.name).observe(len(part))
            self._figures.rows.labels(table.name).inc(len(part))
        return refused

    def _reject(self, range_: Range, rejected: list[Rejected]) -> None:
        if not rejected:
            return
        route = range_.partition.route
        if route.judged_elsewhere:
            self._figures.skipped.labels(route.topic.name).inc(len(rejected))
            return
        if len(rejected) > self._refusals:
            raise self._too_many(range_, rejected[0])
        for each in rejected:
            log.warning(
                "%s[%d]@%d gets no row: %s",
                range_.position.topic,
                range_.position.partition,
                each.message.offset(),
                each.reason,
            )
        self._figures.dead_letters.labels(route.topic.name).inc(len(rejected))
        # A dead letter about a dead letter could go round for ever; the record itself stays in its topic.
        if route.topic is topics.DEAD_LETTERS:
            return
        self.patiently(lambda: self._letters.write(range_.position.topic, rejected))

    def _too_many(self, range_: Range, example: Rejected) -> Mismatch:
        position = range_.position
        return Mismatch(
            f"More than {self._refusals} records of {position.topic}[{position.partition}] offsets {range_.first} to "
            f"{range_.last} get no row, which looks like a wrong release or table rather than bad records. "
            f"One of them: offset {example.message.offset()}: {example.reason}. Mend the cause, or let more of them "
            "become dead letters with --refusals."
        )
