"""What the tests of the producers share: topics that exist, and a second look at what is in them."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from schemas.topics import EVENTS_METRICS

PARTITIONS = 3


@pytest.fixture(scope="module")
def topics(kafka: str, prefix: str) -> str:
    """The prefix, with events.metrics under it."""
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    config = {"retention.ms": "-1"}
    for made in admin.create_topics(
        [NewTopic(prefix + EVENTS_METRICS.name, PARTITIONS, 1, config=config)], operation_timeout=20
    ).values():
        made.result(30)
    deadline = time.monotonic() + 30
    while not all(has_leader(admin, prefix + EVENTS_METRICS.name, number) for number in range(PARTITIONS)):
        assert time.monotonic() < deadline
    return prefix


def has_leader(admin: AdminClient, topic: str, partition: int) -> bool:
    """Whether the partition can be read: its leader knows by now that it is the one."""
    asked = admin.list_offsets({TopicPartition(topic, partition): OffsetSpec.latest()})  # type: ignore[no-untyped-call]
    try:
        return int(next(iter(asked.values())).result(10).offset) >= 0
    except KafkaException:
        return False


@pytest.fixture
def written(kafka: str, topics: str) -> Callable[[], list[Message]]:
    """Everything in events.metrics, partition by partition, in order."""

    def read() -> list[Message]:
        consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": f"{topics}test",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )
        messages: list[Message] = []
        for number in range(PARTITIONS):
            partition = TopicPartition(topics + EVENTS_METRICS.name, number, 0)
            _, end = consumer.get_watermark_offsets(partition, timeout=20)
            consumer.assign([partition])
            while consumer.position([partition])[0].offset < end and end > 0:
                message = consumer.poll(20)
                assert message is not None
                assert message.error() is None
                messages.append(message)
        consumer.close()
        return messages

    return read


def decoded(messages: list[Message]) -> list[dict[str, Any]]:
    return [EVENTS_METRICS.codec.decode(message.value() or b"") for message in messages]
