"""A laboratory for one test: its own topics on the run's broker, and engines that read them."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas import topics
from streams.app import build
from streams.runtime import Agent
from streams.runtime.engine import Boot, Engine
from streams.runtime.frame import InputRecord
from streams.runtime.mark import MARK_KEY, Mark
from streams.runtime.metrics import Metrics
from streams.runtime.offline import Outcome, run
from tests.faults import logs
from tests.faults.waiting import until
from tests.streams.runtime.tally import OUTPUT, TOPIC, tally

T = TypeVar("T")


async def eventually(condition: Callable[[], T | Awaitable[T]], what: str, seconds: float = 20.0) -> T:
    """Wait for a condition while the loop runs. TimeoutError says `what` never came."""
    deadline = time.monotonic() + seconds
    while True:
        found: Any = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found  # type: ignore[no-any-return]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        await asyncio.sleep(0.03)


class Lab:
    """Topics of one test. `partitions` is that of the input, the output and the changelog."""

    def __init__(self, servers: str, prefix: str, data: Path, partitions: int = 1) -> None:
        self.servers, self.prefix, self.data, self.partitions = servers, prefix, data, partitions
        self.admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self.source = prefix + TOPIC.name

    def create(self, *names: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Topics by their name without the prefix."""
        # The records' times are long past: the broker would delete them in the middle of a test.
        forever = {"retention.ms": "-1"}
        new = [NewTopic(self.prefix + name, partitions, 1, config=forever | (config or {})) for name in names]
        for made in self.admin.create_topics(new, operation_timeout=20).values():
            made.result(30)
        wanted = {self.prefix + name for name in names}
        until(lambda: wanted <= set(self.admin.list_topics(timeout=10).topics), 20, "the topics")

    def create_all(self, agent: str = "tally") -> None:
        """What the agent needs. The changelog keeps every record, so that its MARKs are the log of the frames."""
        self.create(TOPIC.name, OUTPUT.name, topics.DEAD_LETTERS.name, f"changelog.{agent}", partitions=self.partitions)

    def write(self, name: str, rows: Iterable[InputRecord], **options: Any) -> None:
        """Append records in their order, each to the partition of its key; their offsets are the log's own."""
        self.writer(**options)(name, rows)

    def writer(self, **options: Any) -> Callable[[str, Iterable[InputRecord]], None]:
        """What appends to one topic after the other, and returns when the broker has the records."""
        settings = {"bootstrap.servers": self.servers, "enable.idempotence": True, "log_level": 0, "linger.ms": 5}
        producer = Producer(settings | {"message.max.bytes": 16_000_000} | options)
        refused: list[object] = []

        def write(name: str, rows: Iterable[InputRecord]) -> None:
            for row in rows:
                producer.produce(
                    self.prefix + name,
                    row.value,
                    row.key,
                    TOPIC.partition_of(row.key or b"", self.partitions),
                    on_delivery=lambda error, _: refused.append(error) if error else None,
                    timestamp=row.timestamp,
                    headers=list(row.headers),
                )
            assert producer.flush(30) == 0
            assert refused == []

        return write

    def log(self, name: str, isolation: str = "read_committed") -> list[list[logs.Logged]]:
        """Every record of a topic, by partition."""
        return logs.read(self.servers, self.prefix + name, isolation, within=20)

    def rows(self, name: str, partition: int = 0) -> list[tuple[bytes | None, bytes | None]]:
        return [(one.key, one.value) for one in self.log(name)[partition]]

    def state(self, partition: int = 0, agent: str = "tally") -> tuple[dict[bytes, bytes], Mark]:
        """What a restore would find."""
        entries: dict[bytes, bytes] = {}
        for key, value in self.rows(f"changelog.{agent}", partition):
            assert key is not None
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value
        return entries, Mark.decode(entries.pop(MARK_KEY))

    def marks(self, agent: str = "tally") -> list[Mark]:
        """MARK of every frame of partition 0, in order."""
        return [Mark.decode(value or b"") for key, value in self.rows(f"changelog.{agent}") if key == MARK_KEY]

    def expected(self, agent: Agent | None = None, partition: int = 0, start: Outcome | None = None) -> Outcome:
        """What the offline driver makes of the input as it lies in the log now."""
        source = [
            InputRecord(one.key, one.value, one.timestamp, one.offset, one.headers)
            for one in self.log(TOPIC.name)[partition]
        ]
        return run(agent or tally(), source, partition=partition, counts=self.counts, start=start, prefix=self.prefix)

    @property
    def counts(self) -> dict[str, int]:
        return dict.fromkeys(topics.CATALOGUE, self.partitions)

    def check(self, agent: Agent | None = None) -> None:
        """Outputs, dead letters, state and MARK must be what the offline driver makes of the input."""
        for partition in range(self.partitions):
            wanted = self.expected(agent, partition)
            for name in (OUTPUT.name, topics.DEAD_LETTERS.name):
                assert self.rows(name, partition) == wanted.outputs.get((name, partition), [])
            entries, mark = self.state(partition)
            assert entries == wanted.state
            assert (mark.clock, mark.poison) == (wanted.clock, wanted.poison.streak)

    @asynccontextmanager
    async def running(self, agent: Agent | None = None, **options: Any) -> AsyncIterator[Engine]:
        """The agent under Faust in this process, stopped gracefully at the end."""
        app = build([agent or tally()], servers=self.servers, prefix=self.prefix, data=self.data, **options)
        app.finalize()
        assert isinstance(app.boot_strategy, Boot)
        (engine,) = app.boot_strategy.engines
        try:
            await app.start()
            yield engine
        finally:
            await app.stop()


def figure(metrics: Metrics, name: str, **labels: str) -> float:
    """A figure of the agent as Prometheus would read it, 0 when it has none yet."""
    return metrics.registry.get_sample_value(name, {"agent": "tally", **labels}) or 0.0


async def processed(engine: Engine, records: int, seconds: float = 30.0) -> None:
    """Wait until the engine has committed so many records, dead letters included."""
    what = f"record {records}"
    await eventually(lambda: figure(engine.metrics, "watchfloor_events_total") >= records, what, seconds)
    assert figure(engine.metrics, "watchfloor_events_total") == records


_numbers = itertools.count()


@pytest.fixture
def lab(kafka: str, prefix: str, tmp_path: Path) -> Lab:
    return Lab(kafka, f"{prefix}{next(_numbers)}.", tmp_path)
