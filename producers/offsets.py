"""Where partitions begin and end, asked with patience: who answers for something new is not known at once."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

TIMEOUT_S = 10.0
MOVING = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._UNKNOWN_PARTITION,
)

T = TypeVar("T")


def settled(ask: Callable[[], T], limit_s: float = TIMEOUT_S) -> T:
    """The broker's answer; it is asked again while who leads a partition or a group is new or moves.

    Raises KafkaException: at once for another error, for this one after `limit_s`.
    """
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in MOVING or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def bounds(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First and next offset of a partition. Raises KafkaException."""

    def ask() -> tuple[int, int]:
        try:
            found: tuple[int, int] = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError._UNKNOWN_PARTITION:
                # What the client knows of the cluster is older than the topic, and stays so for minutes.
                consumer.list_topics(topic, timeout=TIMEOUT_S)
            raise
        return found

    return settled(ask)


def partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """Partition numbers of a topic. Raises KafkaException when it does not exist or the broker does not answer."""
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return sorted(found.partitions)
