"""What the running system says about itself, from the real broker, the real engine and a real figures server."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client import start_http_server

from producers.sources import Database, Lag, Reading, SourceError, Sources, Workers
from schemas.topics import EVENTS_METRICS
from streams.runtime.metrics import Metrics
from tests.conftest import Access
from watchfloor.embedded.ports import free_port


def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


@pytest.mark.clickhouse
def test_the_database_answers(clickhouse: Access) -> None:
    reading = Database(clickhouse.url, clickhouse.user, clickhouse.password).read()
    took, connections = reading["db_query_ms"], reading["db_connections"]
    assert took is not None
    assert took > 0
    assert connections is None or connections >= 1


@pytest.mark.clickhouse
def test_a_refusal_of_the_database_is_said(clickhouse: Access) -> None:
    with pytest.raises(SourceError, match="Authentication failed"):
        Database(clickhouse.url, clickhouse.user, "wrong").read()


def test_a_database_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="refused"):
        Database(f"http://127.0.0.1:{free_port()}").read()


@pytest.mark.kafka
def test_lag_is_what_the_groups_have_not_read(kafka: str, topics: str) -> None:
    topic = topics + EVENTS_METRICS.name
    producer = Producer({"bootstrap.servers": kafka})
    for number in range(10):
        producer.produce(topic, b"x", partition=number % 2)
    assert producer.flush(20) == 0
    groups = [f"{topics}one", f"{topics}two"]
    lag = Lag(kafka, groups)
    until(lambda: lag.read()["queue_depth"] is None)  # no group has said where it stands
    for group, offset in zip(groups, (5, 3), strict=True):
        consumer = Consumer({"bootstrap.servers": kafka, "group.id": group, "log_level": 0})
        consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
        consumer.close()
    until(lambda: lag.read()["queue_depth"] == 2.0)


@pytest.mark.kafka
def test_the_topics_are_listed_once_for_all_groups(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lag = Lag(kafka, ["one", "two", "three"])
    listed, list_topics = [], lag._admin.list_topics
    monkeypatch.setattr(lag._admin, "list_topics", lambda **options: listed.append(options) or list_topics(**options))
    lag.read()
    assert len(listed) == 1


def test_lag_without_a_broker() -> None:
    with pytest.raises(SourceError):
        Lag(f"127.0.0.1:{free_port()}", ["one"]).read()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Metrics]:
    """The figures of a worker that wrote itself into the run folder `tmp_path`."""
    metrics = Metrics()
    server, thread = start_http_server(0, addr="127.0.0.1", registry=metrics.registry)
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    (tmp_path / "worker-0.json").write_text(f'{{"pid": 1, "kind": "worker", "metrics": "{url}"}}')
    yield metrics
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_figures_of_workers_are_those_since_the_last_reading(tmp_path: Path, worker: Metrics) -> None:
    worker.events.labels("metrics").inc(1000)
    worker.transaction_seconds.labels("metrics").observe(9.0)
    workers = Workers(tmp_path)
    assert workers.read() == {"request_latency_ms": None, "error_rate": None}
    for agent in ("metrics", "alerts"):
        worker.events.labels(agent).inc(10)
        worker.process_seconds.labels(agent).observe(0.002)
        worker.transaction_seconds.labels(agent).observe(0.008)
    worker.dead_letters.labels("metrics").inc(5)
    assert workers.read() == {"request_latency_ms": 10.0, "error_rate": 0.25}
    assert workers.read() == {"request_latency_ms": None, "error_rate": None}


def test_files_that_are_no_worker_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"pid": 1, "ki')
    (tmp_path / "endpoints.json").write_text('{"kafka": "127.0.0.1:1"}')
    (tmp_path / "sink-0.json").write_text('{"kind": "sink", "metrics": "http://127.0.0.1:1/metrics"}')
    assert Workers(tmp_path).read() == {"request_latency_ms": None, "error_rate": None}
    (tmp_path / "worker-0.json").write_text(
        f'{{"kind": "worker", "metrics": "http://127.0.0.1:{free_port()}/metrics"}}'
    )
    with pytest.raises(SourceError, match="refused"):
        Workers(tmp_path).read()


class Held:
    """A source that answers when it is let."""

    name = "held"

    def __init__(self) -> None:
        self.let = threading.Event()
        self.reads = 0

    def read(self) -> Reading:
        self.reads += 1
        assert self.let.wait(20)
        return {"queue_depth": float(self.reads)}


class Broken:
    name = "broken"

    def read(self) -> Reading:
        raise ZeroDivisionError("a programming error")


def test_a_late_source_is_null_and_its_old_answer_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    sources = Sources([held])
    sources.start()
    started = time.monotonic()
    assert sources.take() == {}
    sources.start()  # still busy: no second reading beside it
    assert sources.take() == {}
    assert time.monotonic() - started < 1
    assert held.reads == 1
    held.let.set()
    until(lambda: sources._under_way["held"].done())
    sources.start()
    until(lambda: sources._under_way["held"].done())
    with caplog.at_level(logging.INFO):
        assert sources.take() == {"queue_depth": 2.0}
    assert "held answers again" in caplog.text
    assert sources.failures["held"] == 2
    sources.close()


def test_a_source_that_fails_is_said_once_with_its_error(caplog: pytest.LogCaptureFixture) -> None:
    sources = Sources([Broken()])
    for _ in range(3):
        sources.start()
        until(lambda: sources._under_way["broken"].done())
        assert sources.take() == {}
    assert caplog.text.count("its metrics are left out") == 1
    assert "ZeroDivisionError" in caplog.text
    assert sources.failures["broken"] == 3
    sources.close()
