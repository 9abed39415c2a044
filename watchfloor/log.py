"""Reading a topic of ours from a time to its end, or on and on."""

import uuid
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.offsets import TIMEOUT_S, bounds, partitions_of, settled


def reading(servers: str, name: str, wait_ms: int = 20) -> Consumer:
    """A read_committed consumer that reads what it is assigned and commits nothing. `name` begins its group's name.

    `wait_ms`: how long the broker waits for more, which is also how late the end of a partition is noticed.
    """
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"watchfloor-{name}-{uuid.uuid4().hex[:8]}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": wait_ms,
            "log_level": 0,
        }
    )


def messages(servers: str, topic: str, since: int | None, *, follow: bool, name: str = "read") -> Iterator[Message]:
    """Committed records of a topic, in order within each partition.

    Args:
        since: publish time to begin with, epoch milliseconds; 0 begins with the first, None begins at the end.
        follow: go on for ever; else stop at the end that the topic has now.
    Raises:
        KafkaException: the broker does not answer, or the topic does not exist.
    """
    consumer = reading(servers, name, 500 if follow else 20)
    try:
        numbers = partitions_of(consumer, topic)
        starts = []
        for number in numbers:
            low, high = bounds(consumer, topic, number)
            starts.append(TopicPartition(topic, number, high if since is None else low))
        if since:
            asked = [TopicPartition(topic, number, since) for number in numbers]
            # A partition without anything that new is answered with -1, its end.
            starts = settled(lambda: consumer.offsets_for_times(asked, timeout=TIMEOUT_S))
        consumer.assign(starts)
        at_end: set[int | None] = set()
        while follow or len(at_end) < len(starts):
            message = consumer.poll(0.5)
            if message is None:
                continue
            error = message.error()
            if error is None:
                # The end that the broker gave may lie before a transaction that was being committed.
                if message.timestamp()[1] >= (since or 0):
                    yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
            else:
                raise KafkaException(error)
    finally:
        consumer.close()


def message_at(servers: str, topic: str, partition: int, offset: int) -> Message | None:
    """The committed record at one offset; None when there is none (any more). Raises KafkaException."""
    consumer = reading(servers, "read")
    try:
        if partition not in partitions_of(consumer, topic):
            return None
        low, high = bounds(consumer, topic, partition)
        if not low <= offset < high:
            return None
        consumer.assign([TopicPartition(topic, partition, offset)])
        message = consumer.poll(TIMEOUT_S)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        return message if error is None and message.offset() == offset else None
    finally:
        consumer.close()
