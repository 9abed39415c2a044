"""Reading whole topics, as a second client sees them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Logged:
    """One record as it lies in the log. timestamp: epoch milliseconds."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def consumer(servers: str, **options: Any) -> Consumer:
    """A read_committed consumer without a group of lasting meaning."""
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"faults-{uuid4().hex}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "log_level": 0,
            **options,
        }
    )


def logged(message: Message) -> Logged:
    partition, offset = message.partition(), message.offset()
    headers: Any = message.headers() or ()
    if partition is None or offset is None:
        raise ValueError("a fetched message has no position")
    return Logged(
        partition,
        offset,
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(headers),
    )


@lru_cache(1024)
def partitions(servers: str, topic: str) -> int:
    """Partition count, which does not change here; raises LookupError when the topic does not exist."""
    found = AdminClient({"bootstrap.servers": servers, "log_level": 0}).list_topics(topic, timeout=20).topics[topic]
    if not found.partitions:
        raise LookupError(f"topic {topic!r} does not exist: {found.error}")
    return len(found.partitions)


def end_offsets(servers: str, topic: str) -> list[int]:
    """read_committed end (last stable offset) of every partition."""
    client = consumer(servers)
    try:
        return [
            client.get_watermark_offsets(TopicPartition(topic, number), timeout=20)[1]
            for number in range(partitions(servers, topic))
        ]
    finally:
        client.close()


def read(
    servers: str,
    topic: str,
    isolation: str = "read_committed",
    within: float = 120.0,
    begin: Sequence[int] | None = None,
) -> list[list[Logged]]:
    """Every record of every partition from the first, or from the offsets in `begin`, to the present end.

    Raises TimeoutError when an end is not reached within the time (seconds), for example because a
    transaction was left open.
    """
    options = {"isolation.level": isolation, "enable.partition.eof": True, "fetch.wait.max.ms": 20}
    client = consumer(servers, **options)
    deadline = time.monotonic() + within
    try:
        count = partitions(servers, topic)
        found: list[list[Logged]] = [[] for _ in range(count)]
        unread = set(range(count))
        starts = begin or [0] * count
        client.assign([TopicPartition(topic, number, starts[number]) for number in range(count)])
        while unread:
            for message in client.consume(5_000, 0.05):
                number, error = message.partition(), message.error()
                if number not in unread:
                    continue
                if error is None:
                    found[number].append(logged(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.remove(number)
            if unread and time.monotonic() > deadline:
                raise TimeoutError(f"the end of {topic}, partitions {sorted(unread)}, not reached within {within:g} s")
        return found
    finally:
        client.close()
