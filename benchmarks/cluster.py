"""The broker of a benchmark, its topics, the events in them, and a look at what contenders committed."""

import hashlib
import random
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import fastavro
import psutil
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.peers import work
from watchfloor.embedded.kafka import Broker

PARTITIONS = 4
PERSONS = 5_000
EPOCH_US = 1_760_000_000_000_000
ATTENDANCE = fastavro.parse_schema(work.ATTENDANCE)


class Cluster:
    """A broker that lives as long as the benchmark; `folder` and all in it goes with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = Broker(folder, heap_mb=1024)
        self.broker.start()
        self.address = self.broker.address
        self.admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        self.process = psutil.Process(self.broker.pid)
        self.create("dead-letters")

    def cpu(self) -> float:
        """CPU seconds that the broker has used since its start."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def create(self, *names: str, compacted: Sequence[str] = ()) -> None:
        plain = [NewTopic(name, PARTITIONS, 1) for name in names]
        logs = [NewTopic(name, PARTITIONS, 1, config={"cleanup.policy": "compact"}) for name in compacted]
        for future in self.admin.create_topics([*plain, *logs]).values():
            future.result(30)

    def prepare(self, name: str, changelog: str) -> None:
        """Creates what a run needs: NAME-out and, if the contender wants it, its changelog."""
        self.create(f"{name}-out", compacted=[changelog.format(name=name)] if changelog else [])

    def topics(self) -> list[str]:
        return list(self.admin.list_topics(timeout=30).topics)

    def delete(self, prefix: str) -> None:
        """Deletes every topic that has `prefix` in its name: contenders name changelogs in their own ways."""
        names = [name for name in self.topics() if prefix in name]
        if names:
            for future in self.admin.delete_topics(names).values():
                future.result(30)

    def counts(self, topic: str) -> list[int]:
        """Records in each partition of a topic that was written without transactions."""
        reader = Consumer({"bootstrap.servers": self.address, "group.id": "bench-counts"})
        try:
            marks = [reader.get_watermark_offsets(TopicPartition(topic, n), 30) for n in range(PARTITIONS)]
        finally:
            reader.close()
        return [high - low for low, high in marks]

    def stop(self) -> None:
        self.broker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def cluster(home: Path) -> Iterator[Cluster]:
    """A cluster in HOME/bench/run, which is emptied before and after."""
    folder = home / "bench" / "run"
    shutil.rmtree(folder, ignore_errors=True)
    running = Cluster(folder)
    try:
        yield running
    finally:
        running.stop()


def event(number: int, person: int, ts: int) -> bytes:
    """One attendance event: 72 bytes with `ts` in microseconds since 1970."""
    out = BytesIO()
    record = {
        "event_id": f"{number:032d}",
        "tenant": f"t{number % 10}",
        "person": person,
        "ts": ts,
        "lat": 12.9,
        "lon": 77.5,
        "face": (number % 97) / 97,
        "kind": "in",
    }
    fastavro.schemaless_writer(out, ATTENDANCE, record)
    return out.getvalue()


def event_time(raw: bytes) -> int:
    """The `ts` of an encoded prediction."""
    record: Any = fastavro.schemaless_reader(BytesIO(raw), PREDICTION, None)
    return int(record["ts"])


PREDICTION = fastavro.parse_schema(work.PREDICTION)


def load(address: str, topic: str, events: int) -> None:
    """Writes `events` events of 5,000 persons. The same call writes the same bytes: a shorter topic is a prefix,
    partition by partition, of a longer one."""
    people = random.Random(1)
    rows = (
        (b"%d" % (person := people.randrange(PERSONS)), event(n, person, EPOCH_US + 1000 * n)) for n in range(events)
    )
    write(address, topic, rows)


def write(address: str, topic: str, rows: Iterable[tuple[bytes, bytes] | tuple[bytes, bytes, int]]) -> None:
    """Writes (key, value) rows as fast as they come, placed by key as the Java client does unless they say where."""
    writer = Producer(
        {
            "bootstrap.servers": address,
            "linger.ms": 20,
            "queue.buffering.max.messages": 500_000,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
        }
    )
    for number, (key, value, *partition) in enumerate(rows):
        while True:
            try:
                writer.produce(topic, value, key, *partition)
                break
            except BufferError:
                writer.poll(0.1)
        if number % 5000 == 0:
            writer.poll(0)
    if writer.flush(120):
        raise RuntimeError(f"the broker did not take all events of {topic}")


@dataclass(frozen=True, slots=True)
class Checksum:
    """Of the outputs of one partition: `ordered` depends on their order, `total` does not."""

    ordered: str
    total: int


class Outputs:
    """Reads what was committed to a topic and keeps checksums of each partition.

    `prefixes` names counts per partition at which the checksums are noted, to compare with contenders that were given
    fewer events.
    """

    def __init__(self, address: str, topic: str, prefixes: Mapping[int, Sequence[int]]) -> None:
        self.reader = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "bench-outputs",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
            }
        )
        self.topic = topic
        self.read = [0] * PARTITIONS
        self.next = [0] * PARTITIONS
        self.hashes = [hashlib.blake2b(digest_size=8) for _ in range(PARTITIONS)]
        self.totals = [0] * PARTITIONS
        self.wanted = [{counts[n]: size for size, counts in prefixes.items()} for n in range(PARTITIONS)]
        self.checksums: dict[int, dict[int, Checksum]] = {size: {} for size in prefixes}

    def until(self, events: int, limit_s: float) -> bool:
        """Reads until `events` were read in all; whether that happened within the limit."""
        deadline = time.monotonic() + limit_s
        self._assign()
        while sum(self.read) < events and time.monotonic() < deadline:
            for message in self.reader.consume(10_000, 0.2):
                self._take(message)
        return sum(self.read) >= events

    def rest(self) -> None:
        """Reads what is left, up to the present end of each partition."""
        self._assign()
        at_end: set[int] = set()
        while len(at_end) < PARTITIONS:
            for message in self.reader.consume(10_000, 0.2):
                if self._take(message):
                    at_end.add(message.partition() or 0)

    def close(self) -> None:
        self.reader.close()

    def _assign(self) -> None:
        self.reader.assign([TopicPartition(self.topic, n, self.next[n]) for n in range(PARTITIONS)])

    def _take(self, message: Message) -> bool:
        """Takes one message; whether it says that the end of its partition was reached."""
        number = message.partition() or 0
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                return True
            raise RuntimeError(f"reading {self.topic}: {error}")
        key, value = message.key() or b"", message.value() or b""
        self.hashes[number].update(b"%d %d " % (len(key), len(value)) + key + value)
        self.totals[number] += crc32(value, crc32(key))
        self.read[number] += 1
        self.next[number] = (message.offset() or 0) + 1
        size = self.wanted[number].get(self.read[number])
        if size is not None:
            self.checksums[size][number] = Checksum(self.hashes[number].hexdigest(), self.totals[number])
        return False
