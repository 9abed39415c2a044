"""What comes out of the pipeline, as it comes: predictions and alerts, read committed."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from producers.offsets import bounds, partitions_of
from schemas.topics import ALERTS, EVENTS_METRICS, PREDICTIONS_ANOMALY, Topic

LIMIT_S = 20.0
BATCH = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """One record of a topic. `at`: its Kafka timestamp, epoch milliseconds."""

    topic: str
    record: dict[str, Any]
    at: int


def consumer(kafka: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "watchfloor-demo",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 100,
            "log_level": 0,
        }
    )


def places(reader: Consumer, name: str, end: bool = False) -> list[TopicPartition]:
    """All partitions of a topic, at their beginning or at their end. Raises KafkaException."""
    return [
        TopicPartition(name, number, bounds(reader, name, number)[1] if end else 0)
        for number in partitions_of(reader, name)
    ]


class Watch:
    """Reads topics from their end on, in a thread, and hands each record to `tell` until stop()."""

    def __init__(
        self,
        kafka: str,
        prefix: str,
        tell: Callable[[Seen], None],
        from_end: bool = True,
        topics: Sequence[Topic] = (PREDICTIONS_ANOMALY, ALERTS),
    ) -> None:
        self._topics: dict[str | None, Topic] = {prefix + topic.name: topic for topic in topics}
        self._tell = tell
        self._reader = consumer(kafka)
        self._reader.assign([place for name in self._topics if name for place in places(self._reader, name, from_end)])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._reader.consume(BATCH, 0.1):
                value = message.value()
                if message.error() is None and value is not None:
                    topic = self._topics[message.topic()]
                    self._tell(Seen(topic.name, topic.codec.decode(value), message.timestamp()[1]))
        self._reader.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(LIMIT_S)


def event_ids(kafka: str, prefix: str, topic: Topic = EVENTS_METRICS) -> list[str]:
    """The ids of all events in a topic, as often as they are there. Raises KafkaException, TimeoutError."""
    reader = consumer(kafka)
    name = prefix + topic.name
    begin, end = places(reader, name), {place.partition: place.offset for place in places(reader, name, end=True)}
    ids = []
    for place in begin:
        reader.assign([place])
        at, moved = bounds(reader, name, place.partition)[0], time.monotonic()
        while at < end[place.partition]:
            # Takes its whole time when fewer come than asked for.
            for message in reader.consume(BATCH, 0.1):
                ids.append(topic.codec.decode(message.value() or b"")["event_id"])
                at, moved = (message.offset() or 0) + 1, time.monotonic()
            if time.monotonic() - moved > LIMIT_S:
                raise TimeoutError(f"{name} was not read to its end: nothing came for {LIMIT_S:.0f} s")
    reader.close()
    return ids
