"""Load at a steady rate through an idempotent producer that outlives the broker."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from confluent_kafka import Producer

from tests.faults.bad_input import message, mixture
from tests.faults.domains import Source
from tests.faults.samples import Message

INTENT = "intent"
"""Header that says what the generator meant; the runtime must carry it into the dead letter."""


class Load:
    """A thread that publishes a source's messages until it is stopped; bad ones are a fleet's.

    rate: records per second. While the broker is away messages wait in the producer and then here; none is
    given up, and after its return they are sent in order.
    """

    def __init__(
        self,
        servers: str,
        prefix: str,
        rate: float,
        fleet: Source,
        bad: int = 0,
        bad_seconds: float = 60,
    ) -> None:
        self.prefix, self.rate, self.fleet = prefix, rate, fleet
        self.bad = iter(mixture(fleet.random.randrange(1 << 30), bad))
        self.bad_rate = bad / bad_seconds
        self.sent: Counter[str] = Counter()
        self.failed: list[str] = []
        self.stopping = threading.Event()
        self.paused = threading.Event()
        self.thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 2,
                "message.timeout.ms": 600_000,
                "message.max.bytes": 16_000_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def start(self) -> None:
        self.thread.start()

    def stop(self, within: float = 120.0) -> None:
        """Stop and wait until every record was acknowledged. Raises RuntimeError when one was not."""
        self.stopping.set()
        self.thread.join(within)
        self._settled(self.producer.flush(within) + self.thread.is_alive())

    def _settled(self, left: int) -> None:
        if left or self.failed:
            raise RuntimeError(f"{left} records unacknowledged, failed: {self.failed[:3]}")

    @property
    def total(self) -> int:
        return sum(self.sent.values())

    def publish(self, messages: Iterable[Message], within: float = 120.0) -> None:
        """Publish these at once and wait for them, from the caller's thread. Raises RuntimeError as `stop`."""
        for one in messages:
            self._send(one)
        self._settled(self.producer.flush(within))

    def _run(self) -> None:
        started, good, spoiled = time.monotonic(), 0, 0
        bad: Iterator[str] = self.bad
        while not self.stopping.is_set():
            if self.paused.is_set():
                started += self._idle()
                continue
            elapsed = time.monotonic() - started
            if good < elapsed * self.rate:
                self._send(self.fleet.next())
                good += 1
            elif spoiled < elapsed * self.bad_rate and (kind := next(bad, None)) is not None:
                self._send(message(kind, self.fleet))
                spoiled += 1
            else:
                self.producer.poll(0.002)
        for kind in bad:
            self._send(message(kind, self.fleet))

    def _idle(self) -> float:
        """Let some time pass; how many seconds it was."""
        began = time.monotonic()
        self.producer.poll(0.05)
        return time.monotonic() - began

    def _send(self, one: Message) -> None:
        while True:
            try:
                self.producer.produce(
                    self.prefix + one.topic.name,
                    one.value,
                    one.key,
                    headers=[(INTENT, one.intent.encode())],
                    on_delivery=self._delivered,
                )
                break
            except BufferError:
                self.producer.poll(0.1)
        self.sent[one.intent] += 1

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self.failed.append(str(error))
