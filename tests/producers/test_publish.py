"""The publishing function against a real broker."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message
from confluent_kafka.admin import AdminClient, NewTopic

from producers.publish import Accepted, Publisher, Unacknowledged
from producers.records import Rejected
from schemas.topics import EVENTS_METRICS
from tests.producers.conftest import PARTITIONS, decoded
from watchfloor.embedded.ports import free_port

pytestmark = pytest.mark.kafka


def event(number: int, **more: Any) -> dict[str, Any]:
    host = f"host-{number % 7}"
    record = {"tenant_id": "acme", "event_id": f"e{number}", "host": host, "occurred_at": 1_772_366_400_000 + number}
    return record | more


def test_records_are_acknowledged_in_their_partition(
    kafka: str, topics: str, written: Callable[[], list[Message]]
) -> None:
    records = [event(number, cpu_percent=number % 100.0) for number in range(3_000)]
    with Publisher(kafka, prefix=topics) as publisher:
        outcomes = publisher.publish(EVENTS_METRICS, records, [record["occurred_at"] for record in records])
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    messages = written()
    by_place = {(message.partition(), message.offset()): message for message in messages}
    for record, outcome in zip(records, outcomes, strict=True):
        assert isinstance(outcome, Accepted)
        message = by_place[outcome.partition, outcome.offset]
        assert decoded([message])[0]["event_id"] == record["event_id"]
        assert message.key() == f"acme|{record['host']}".encode()
        assert message.timestamp()[1] == record["occurred_at"]
        assert message.partition() == EVENTS_METRICS.partition_of(message.key() or b"", PARTITIONS)
    order = [record["event_id"] for record in decoded(messages) if record["host"] == "host-3"]
    assert order == [record["event_id"] for record in records if record["host"] == "host-3"]


def test_bad_records_are_named_and_the_others_go_on(
    kafka: str, topics: str, written: Callable[[], list[Message]]
) -> None:
    before = len(written())
    batch = [
        event(1),
        event(2, cpu_percent="high"),
        event(3, extra={f"{n:060}": 1.0 for n in range(130_000)}),
        event(4),
        event(5, host="h" * 201),
    ]
    with Publisher(kafka, prefix=topics) as publisher:
        first, second, third, fourth, fifth = publisher.publish(EVENTS_METRICS, batch)
    assert isinstance(first, Accepted)
    assert isinstance(second, Rejected)
    assert second.field == "cpu_percent"
    assert isinstance(third, Rejected)
    assert "too large" in third.reason
    assert isinstance(fourth, Accepted)
    assert isinstance(fifth, Rejected)
    assert fifth.field == "host"
    assert "200 bytes" in fifth.reason
    assert len(written()) == before + 2


def test_a_topic_that_is_not_there_is_a_refusal(kafka: str, topics: str) -> None:
    with Publisher(kafka, prefix=f"{topics}no.", limit_s=4) as publisher:
        (outcome,) = publisher.publish(EVENTS_METRICS, [event(1)])
    assert isinstance(outcome, Rejected)
    assert "Unknown topic" in outcome.reason


def test_without_a_broker_the_call_ends_in_time_and_says_so() -> None:
    started = time.monotonic()
    with Publisher(f"127.0.0.1:{free_port()}", limit_s=1.0) as publisher:
        (outcome,) = publisher.publish(EVENTS_METRICS, [event(1)])
    assert isinstance(outcome, Unacknowledged)
    assert time.monotonic() - started < 5


def test_a_producer_that_ended_for_good_is_replaced(kafka: str, topics: str, caplog: pytest.LogCaptureFixture) -> None:
    with Publisher(kafka, prefix=topics) as publisher:
        assert isinstance(publisher.publish(EVENTS_METRICS, [event(1)])[0], Accepted)
        publisher._on_error(KafkaError(KafkaError._FATAL, "as the client reports it"))
        assert isinstance(publisher.publish(EVENTS_METRICS, [event(2)])[0], Accepted)
    assert "a new producer" in caplog.text


def test_several_threads_publish_side_by_side(kafka: str, topics: str) -> None:
    with Publisher(kafka, prefix=topics, limit_s=30) as publisher, ThreadPoolExecutor(4) as pool:

        def publish(number: int) -> list[Any]:
            batch = [event(number * 1000 + place) for place in range(200)]
            outcomes = publisher.publish(EVENTS_METRICS, batch)
            if any(isinstance(outcome, Unacknowledged) for outcome in outcomes):
                outcomes = publisher.publish(EVENTS_METRICS, batch)  # as it asks for
            return outcomes

        for outcomes in pool.map(publish, range(8)):
            assert len(outcomes) == 200
            assert [outcome for outcome in outcomes if not isinstance(outcome, Accepted)] == []


def test_a_topic_made_anew_is_written_like_any_other(kafka: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    name = f"{prefix}again.{EVENTS_METRICS.name}"
    with Publisher(kafka, prefix=f"{prefix}again.", limit_s=30) as publisher:
        for _ in range(2):
            admin.create_topics([NewTopic(name, 1, 1)], operation_timeout=20)[name].result(30)
            outcomes = publisher.publish(EVENTS_METRICS, [event(n) for n in range(5)])
            while any(isinstance(outcome, Unacknowledged | Rejected) for outcome in outcomes):
                outcomes = publisher.publish(EVENTS_METRICS, [event(n) for n in range(5)])
            admin.delete_topics([name], operation_timeout=20)[name].result(30)
            deadline = time.monotonic() + 30
            while name in admin.list_topics(timeout=20).topics:
                assert time.monotonic() < deadline
