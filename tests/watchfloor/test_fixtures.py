"""The fixtures that every other test stands on."""

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.conftest import Access


def test_broker_carries_a_record(kafka: str, prefix: str) -> None:
    topic = f"{prefix}round-trip"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(topic, key=b"k", value=b"v")
    assert producer.flush(30) == 0
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": f"{prefix}g", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    record = consumer.poll(30)
    consumer.close()
    assert record is not None
    assert record.value() == b"v"


def test_engine_keeps_a_row(clickhouse: Access, database: str) -> None:
    client = clickhouse.client(database)
    client.command("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.insert("t", [[7]], column_names=["n"])
    assert client.query("SELECT n FROM t").result_rows == [(7,)]
    client.close()
