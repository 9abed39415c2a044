"""Replay: the events of a file, published at their own pace, faster, or as fast as Kafka takes them."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.identity import derived_id
from producers.publish import Accepted, Publisher, Unacknowledged
from producers.records import Rejected
from producers.tables import Line
from schemas.topics import Topic

BATCH = 1000
PATIENCE_S = 120.0
"""How long records are sent again while Kafka does not acknowledge them."""
RETRY_S = 1.0
PACE_S = 0.2  # at a given speed, what is due within so much time goes together

Record = dict[str, Any]


class BadLine(ValueError):
    """A line that is no event of the topic, in a replay that was not told to skip such lines."""


class NotAcknowledged(RuntimeError):
    """Kafka stayed away for too long. Replaying the file again is safe: what came twice is dropped by its id."""


@dataclass(slots=True)
class Summary:
    """What a replay did. `first` and `last`: event times of the published records, epoch milliseconds."""

    read: int = 0
    published: int = 0
    skipped: int = 0
    first: int | None = None
    last: int | None = None
    seconds: float = 0.0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a file's records before they are published.

    An event that gets another time or host is another event: its id is derived from the old one, the host and the
    time, so that the same replay gives the same ids and another one gives others.
    """

    shift_ms: int = 0
    tenant: str | None = None
    host: str | None = None

    def __call__(self, topic: Topic, record: Record) -> Record:
        changed = dict(record)
        if self.tenant is not None:
            changed["tenant_id"] = self.tenant
        if self.host is not None:
            changed["host"] = self.host
        changed[topic.time] += self.shift_ms
        if topic.id is not None and (self.shift_ms or changed.get("host") != record.get("host")):
            changed[topic.id] = derived_id(record[topic.id], str(changed.get("host", "")), str(changed[topic.time]))
        return changed


@dataclass(slots=True)
class Replay:
    """One run over a file's lines.

    Attributes:
        speed: seconds of event time per second; None: as fast as Kafka acknowledges.
        original_timestamps: event times as Kafka timestamps; only for prefixes whose topics keep everything.
        rejects: file for the lines that are no events, with the reason; without it such a line ends the replay.
        told: called after every batch with the summary so far and the share of the file that is read.
        stop: ends the replay after the batch under way.
    """

    topic: Topic
    publisher: Publisher
    change: Callable[[Topic, Record], Record] = field(default_factory=Change)
    speed: float | None = None
    original_timestamps: bool = False
    rejects: Path | None = None
    told: Callable[[Summary, float], None] = lambda summary, share: None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, lines: Iterable[Line]) -> Summary:
        """Publish all; every record of the summary's `published` is acknowledged.

        Raises BadLine at the first bad line without `rejects`, after what stood before it was published, and
        NotAcknowledged.
        """
        summary, began = Summary(), time.monotonic()
        batch: list[tuple[Line, Record]] = []
        start: tuple[float, int] | None = None
        try:
            for line in lines:
                record = self._record(line)
                if isinstance(record, Rejected):
                    self._publish(batch, summary)
                    summary.read += 1
                    self._reject(line, record, summary)
                    continue
                at = record[self.topic.time]
                if self.speed is not None:
                    start = start or (time.monotonic(), at)
                    wait = start[0] + (at - start[1]) / 1000 / self.speed - time.monotonic()
                    if wait > PACE_S:
                        self._publish(batch, summary)
                        self.stop.wait(wait)
                if self.stop.is_set():
                    summary.stopped = True
                    break
                batch.append((line, record))
                if len(batch) == BATCH:
                    self._publish(batch, summary)
            self._publish(batch, summary)
        finally:
            summary.seconds = time.monotonic() - began
        return summary

    def _record(self, line: Line) -> Record | Rejected:
        if isinstance(line.record, Rejected):
            return line.record
        return self.change(self.topic, line.record)

    def _publish(self, batch: list[tuple[Line, Record]], summary: Summary) -> None:
        """Publishes the batch, again where Kafka did not acknowledge, and empties it."""
        deadline = time.monotonic() + PATIENCE_S
        waiting = list(batch)
        batch.clear()
        summary.read += len(waiting)
        while waiting:
            share = waiting[-1][0].share
            records = [record for _, record in waiting]
            times = [record[self.topic.time] for record in records] if self.original_timestamps else None
            again = []
            for (line, record), outcome in zip(
                waiting, self.publisher.publish(self.topic, records, times), strict=True
            ):
                if isinstance(outcome, Accepted):
                    self._count(record[self.topic.time], summary)
                elif isinstance(outcome, Rejected):
                    self._reject(line, outcome, summary)
                else:
                    again.append((line, record))
                    trouble = outcome
            self.told(summary, share)
            if again:
                self._hope(again, trouble, deadline)
            waiting = again

    def _hope(self, again: list[tuple[Line, Record]], trouble: Unacknowledged, deadline: float) -> None:
        if time.monotonic() > deadline or self.stop.is_set():
            raise NotAcknowledged(
                f"{len(again)} records from line {again[0][0].number} on are not acknowledged: {trouble.reason}. "
                "Replay the file again when Kafka is back; what came twice is dropped by its id."
            )
        self.stop.wait(RETRY_S)

    def _count(self, at: int, summary: Summary) -> None:
        summary.published += 1
        summary.first = at if summary.first is None else min(summary.first, at)
        summary.last = at if summary.last is None else max(summary.last, at)

    def _reject(self, line: Line, rejected: Rejected, summary: Summary) -> None:
        if self.rejects is None:
            raise BadLine(f"line {line.number}: {rejected}")
        summary.skipped += 1
        with self.rejects.open("a") as file:
            said = {"line": line.number, "field": rejected.field, "reason": rejected.reason, "record": line.raw}
            file.write(json.dumps(said, default=str) + "\n")


def latest(lines: Iterable[Line], topic: Topic) -> int | None:
    """The latest event time among the good lines, epoch milliseconds."""
    return max((line.record[topic.time] for line in lines if not isinstance(line.record, Rejected)), default=None)
