"""A migrated database, and topics that a sink of this test alone reads."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas.topics import Topic
from sinks.figures import Figures
from sinks.migrate import migrate
from sinks.store import Store
from sinks.tables import ROUTES, Table
from sinks.writer import Options, Sink
from tests.conftest import Access
from tests.faults.waiting import until
from tests.sinks.records import keyed, row, selection

PARTITIONS = 2


@pytest.fixture
def store(clickhouse: Access, database: str) -> Iterator[Store]:
    """The module's database with its tables, empty for each test."""
    store = Store(clickhouse.url, clickhouse.user, clickhouse.password, database)
    migrate(store)
    yield store
    tables = ["sink_progress", *(table.name for route in ROUTES for table in route.tables)]
    for table in tables:
        store.command(f"TRUNCATE TABLE {database}.{table}")


class Bench:
    """The topics of one test, what was written to them, and sinks that read them."""

    def __init__(self, servers: str, prefix: str, store: Store) -> None:
        self.servers = servers
        self.store = store
        self.options = Options(servers=servers, prefix=prefix, once=True, flush_s=0.05)
        self.admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self.producer = Producer(
            {"bootstrap.servers": servers, "linger.ms": 5, "message.max.bytes": 32 << 20, "log_level": 0}
        )
        self.names = [prefix + route.topic.name for route in ROUTES]
        self.written: dict[str, list[tuple[dict[str, Any], int, int, int]]] = {}
        self.create()

    def create(self) -> None:
        new = [NewTopic(name, PARTITIONS, 1) for name in self.names]
        for future in self.admin.create_topics(new, operation_timeout=20).values():
            future.result(30)
        until(lambda: set(self.names) <= set(self.admin.list_topics(timeout=10).topics), 20, "the topics")

    def configure(self, topic: Topic, config: dict[str, str]) -> None:
        resource = ConfigResource(
            ResourceType.TOPIC,
            self.options.prefix + topic.name,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()
            ],
        )
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(30)

    def delete(self, topic: Topic) -> None:
        name = self.options.prefix + topic.name
        for future in self.admin.delete_topics([name], operation_timeout=20).values():
            future.result(30)
        until(lambda: name not in self.admin.list_topics(timeout=10).topics, 20, "the deletion")

    def create_again(self, topic: Topic) -> None:
        """Delete the topic and make a new one of the same name."""
        self.delete(topic)
        name = self.options.prefix + topic.name

        def created() -> bool:
            made = self.admin.create_topics([NewTopic(name, PARTITIONS, 1)], operation_timeout=20)[name]
            return made.exception(30) is None

        until(created, 20, "the new topic")
        until(lambda: name in self.admin.list_topics(timeout=10).topics, 20, "the new topic")
        self.written[topic.name] = []

    def write(self, topic: Topic, records: Sequence[dict[str, Any]], partition: int = -1) -> None:
        """Write records, and remember where they came to lie."""
        places = self.written.setdefault(topic.name, [])
        for record in records:
            key, value = keyed(topic, record)
            self.raw(topic, key, value, partition, partial(remember, places, record))
        assert self.producer.flush(30) == 0

    def raw(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes | None,
        partition: int = -1,
        then: Callable[[Any], None] = lambda _: None,
    ) -> None:
        """Write bytes as they are."""

        def delivered(error: Any, message: Any) -> None:
            assert error is None, error
            then(message)

        where = topic.partition_of(key or b"", PARTITIONS) if partition < 0 else partition
        self.producer.produce(self.options.prefix + topic.name, value, key, where, on_delivery=delivered)

    def flush(self) -> None:
        assert self.producer.flush(30) == 0

    def expected(self, topic: Topic, table: Table) -> list[dict[str, Any]]:
        """The rows of what was written."""
        return [row(table, *each) for each in self.written.get(topic.name, [])]

    def rows(self, table: Table, view: bool = True) -> list[dict[str, Any]]:
        name = f"v_{table.name}" if view else table.name
        return self.store.query(f"SELECT {selection(table)} FROM {self.store.database}.{name}")

    def sink(self, store: Store | None = None, **changes: Any) -> Sink:
        return Sink(store or self.store, replace(self.options, **changes), Figures())

    def drain(self, store: Store | None = None, **changes: Any) -> Sink:
        """Store what the topics hold. Raises what the sink raises."""
        sink = self.sink(store, **changes)
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(sink.run)
            try:
                run.result(60)
            finally:
                sink.stop()
        return sink

    def ends(self, topic: Topic) -> list[int]:
        """The end of each partition's log."""
        reader = Consumer({"bootstrap.servers": self.servers, "group.id": "ends", "log_level": 0})
        try:
            name = self.options.prefix + topic.name
            return [reader.get_watermark_offsets(TopicPartition(name, n), 20)[1] for n in range(PARTITIONS)]
        finally:
            reader.close()


def remember(places: list[Any], record: dict[str, Any], message: Any) -> None:
    places.append((record, message.partition(), message.offset(), message.timestamp()[1]))


class Running:
    """A sink in a thread until the block ends."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.pool = ThreadPoolExecutor(1)

    def __enter__(self) -> "Running":
        self.done: Future[None] = self.pool.submit(self.sink.run)
        return self

    def __exit__(self, *_: object) -> None:
        self.sink.stop()
        wait([self.done], timeout=60)
        assert self.done.done()
        self.pool.shutdown()


_numbers = itertools.count()


@pytest.fixture
def bench(kafka: str, prefix: str, store: Store) -> Bench:
    return Bench(kafka, f"{prefix}{next(_numbers)}.", store)
