"""Where a topic's partitions begin and end, asked with patience: of a new partition the leader is not known at once."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

TIMEOUT_S = 10.0
MOVING = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)

T = TypeVar("T")


def settled(ask: Callable[[], T]) -> T:
    """The broker's answer; it is asked again while a partition's leader is not known, because it is new or moves.

    Raises KafkaException: at once for another error, for this one after 10 s.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in MOVING or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def bounds(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First and next offset of a partition. Raises KafkaException."""
    return settled(lambda: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S))


def partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """Partition numbers of a topic. Raises KafkaException when it does not exist or the broker does not answer."""
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return sorted(found.partitions)
