"""The publishing function: validate, encode, produce by key, and return once Kafka has acknowledged."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.records import Rejected, reader
from schemas.avro import EncodeError
from schemas.topics import Topic

log = logging.getLogger(__name__)

QUEUE_RECORDS = 20_000
QUEUE_KBYTES = 64 * 1024
POLL_S = 0.05
GRACE_S = 1.0  # what the client takes to report a record whose time is over

# The broker answered, or the client refused: the record is in no log.
REFUSALS = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.POLICY_VIOLATION,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The record is in the log, on every replica that is in sync."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """Kafka did not say in time that it has the record; it may. Send the same record again: its id makes one of two."""

    reason: str


Outcome = Accepted | Rejected | Unacknowledged


class Publisher:
    """Writes records to topics: idempotent, acks=all, by key and murmur2 as the Java client does.

    The queue is bounded and every call has a time limit. Calls from several threads are fine.
    """

    def __init__(self, kafka: str, *, prefix: str = "", client: str = "watchfloor", limit_s: float = 10.0) -> None:
        """`limit_s`: how long a record may wait for its acknowledgement."""
        self.prefix = prefix
        self.limit_s = limit_s
        self._broker_trouble = ""
        self._renew = threading.Event()
        self._renewing = threading.Lock()
        limit_ms = int(limit_s * 1000)
        self._settings: dict[str, Any] = {
            "bootstrap.servers": kafka,
            "client.id": client,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "linger.ms": 2,
            "queue.buffering.max.messages": QUEUE_RECORDS,
            "queue.buffering.max.kbytes": QUEUE_KBYTES,
            "message.max.bytes": 8 * 1024 * 1024,
            "message.timeout.ms": limit_ms,
            "request.timeout.ms": min(limit_ms, 10_000),
            "socket.timeout.ms": max(limit_ms, 1000),
            "topic.metadata.propagation.max.ms": min(limit_ms // 2, 5_000),
            "reconnect.backoff.max.ms": 1000,
            "log_level": 2,
            "error_cb": self._on_error,
        }
        self._producer = Producer(self._settings)

    def publish(
        self, topic: Topic, records: Sequence[Mapping[str, Any]], timestamps_ms: Sequence[int] | None = None
    ) -> list[Outcome]:
        """One outcome per record, in order, after at most `limit_s` and a second.

        `timestamps_ms` sets the records' Kafka timestamps: only for isolated prefixes whose topics keep everything,
        because elsewhere retention would delete old ones at once.
        """
        self._recover()
        outcomes: list[Outcome | None] = [None] * len(records)
        open_ = _Open(outcomes)
        deadline = time.monotonic() + self.limit_s
        for index, record in enumerate(records):
            try:
                valid = reader(topic).read(record)
                value, key = topic.codec.encode(valid), topic.key_of(valid)
            except Rejected as rejected:
                outcomes[index] = rejected
                continue
            except EncodeError as error:
                outcomes[index] = Rejected(None, str(error))
                continue
            timestamp_ms = timestamps_ms[index] if timestamps_ms is not None else 0
            outcomes[index] = self._produce(topic, key, value, timestamp_ms, open_.report(index), deadline)
            open_.count += outcomes[index] is None
        deadline = time.monotonic() + self.limit_s + GRACE_S
        while open_.count and time.monotonic() < deadline:
            self._producer.poll(POLL_S)
        late = Unacknowledged(self._trouble(f"no acknowledgement within {self.limit_s:g} s"))
        return [outcome or late for outcome in outcomes]

    def _produce(
        self, topic: Topic, key: bytes, value: bytes, timestamp_ms: int, report: Any, deadline: float
    ) -> Outcome | None:
        """None when the record is under way."""
        while True:
            try:
                self._producer.produce(self.prefix + topic.name, value, key, timestamp=timestamp_ms, on_delivery=report)
            except BufferError:
                if time.monotonic() > deadline:
                    return Unacknowledged(self._trouble(f"the queue stayed full for {self.limit_s:g} s"))
                self._producer.poll(POLL_S)
            except KafkaException as error:
                if error.args[0].code() == KafkaError._FATAL:
                    self._renew.set()
                return _outcome(error.args[0])
            else:
                return None

    def _recover(self) -> None:
        """After an error that ends a producer for good, go on with a new one."""
        with self._renewing:
            if self._renew.is_set():
                log.warning("Kafka: beginning again with a new producer")
                self._producer = Producer(self._settings)
                self._renew.clear()

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._FATAL:
            self._renew.set()
        text = error.str()
        if text != self._broker_trouble:
            log.warning("Kafka: %s", text)
        self._broker_trouble = text

    def _trouble(self, text: str) -> str:
        return f"{text} ({self._broker_trouble})" if self._broker_trouble else text

    def close(self) -> None:
        """Waits for what is under way, at most `limit_s`."""
        self._producer.flush(self.limit_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Open:
    """The records of one call that wait for their acknowledgement."""

    def __init__(self, outcomes: list[Outcome | None]) -> None:
        self.outcomes = outcomes
        self.count = 0

    def report(self, index: int) -> Any:
        def delivered(error: KafkaError | None, message: Message) -> None:
            self.count -= 1
            if error is None:
                self.outcomes[index] = Accepted(message.partition() or 0, message.offset() or 0)
            else:
                self.outcomes[index] = _outcome(error)

        return delivered


def _outcome(error: KafkaError) -> Outcome:
    if error.code() in REFUSALS:
        return Rejected(None, f"Kafka refused it: {error.str()}")
    return Unacknowledged(error.str())
