"""Records that got no row, kept whole in the dead-letter topic."""

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import topics
from sinks.batch import Rejected
from sinks.errors import Unavailable

AGENT = "sink"


class Letters:
    """Writes dead letters. A record may be written twice (after a crash); the table keeps one per source offset."""

    def __init__(self, servers: str, prefix: str) -> None:
        self._topic = prefix + topics.DEAD_LETTERS.name
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "compression.type": "lz4",
                # A record of the largest size that the broker takes must still fit, whole, into its dead letter.
                "message.max.bytes": topics.DEAD_LETTERS.max_message_bytes or 32 << 20,
                "log_level": 0,  # what goes wrong comes back with the delivery
            }
        )
        self._failed: list[KafkaError] = []
        self._lock = threading.Lock()

    def write(self, topic: str, rejected: Iterable[Rejected]) -> int:
        """Write them and wait until the broker has them; how many. Raises Unavailable: then none may be counted."""
        return self.bury(_letter(topic, each) for each in rejected)

    def bury(self, letters: Iterable[Mapping[str, Any]]) -> int:
        """As `write`, of records of dead-letters."""
        with self._lock:
            self._failed.clear()
            count = 0
            for letter in letters:
                try:
                    self._producer.produce(
                        self._topic,
                        key=letter["key"],
                        value=topics.DEAD_LETTERS.codec.encode(letter),
                        on_delivery=self._delivered,
                    )
                except (BufferError, KafkaException) as error:
                    raise Unavailable(f"dead letters cannot be written: {error}") from error
                count += 1
            unsent = self._producer.flush(30) if count else 0
            if unsent or self._failed:
                reason = self._failed[0].str() if self._failed else "no answer within 30 s"
                raise Unavailable(f"dead letters cannot be written: {reason}")
            return count

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed.append(error)


def _letter(topic: str, rejected: Rejected) -> dict[str, Any]:
    message = rejected.message
    return {
        "source_topic": topic,
        "source_partition": message.partition(),
        "source_offset": message.offset(),
        "source_timestamp": message.timestamp()[1],
        "agent": AGENT,
        "error_class": rejected.error_class,
        "message": rejected.reason[:2000],
        "key": message.key(),
        "value": message.value(),
        "headers": [{"name": name, "value": value} for name, value in message.headers() or ()],
        "tenant_id": None,
    }
