"""The public topics read and written by clients that know nothing of Watchfloor: confluent-kafka and fastavro."""

import time
from io import BytesIO
from typing import Any

import fastavro
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas import versions
from schemas.apply import Cluster, wanted
from schemas.parse import stored
from schemas.topics import CATALOGUE, Topic
from tests.schemas.samples import SAMPLES

pytestmark = pytest.mark.kafka
PARTITIONS = 4
DEADLINE_S = 30.0
EACH_TOPIC = pytest.mark.parametrize("topic", CATALOGUE.values(), ids=lambda topic: str(topic.name))


@pytest.fixture(scope="module")
def topics(kafka: str, prefix: str) -> str:
    """Prefix of the topics of the catalogue, as `watchfloor topics apply` makes them."""
    catalogue = wanted(CATALOGUE.values(), {}, prefix=prefix, partitions=PARTITIONS, replication=1)
    Cluster(kafka).apply(catalogue)
    return prefix


def records(topic: Topic) -> list[dict[str, Any]]:
    """Records with different keys."""
    sample = SAMPLES[topic.name]
    if topic.key is None:
        return [{**sample, "key": f"one-{i}|x".encode()} for i in range(20)]
    field = topic.key[0] if topic.key else "tenant_id"
    return [{**sample, field: f"one-{i}"} for i in range(20)]


def partitions(topic: Topic) -> int:
    return topic.partitions or PARTITIONS


def read(servers: str, topic: str, count: int) -> list[tuple[bytes, bytes, int]]:
    """Key, value and partition of the first `count` records of a topic, read by librdkafka from the start."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "contract", "enable.auto.commit": False})
    numbers = consumer.list_topics(topic, timeout=DEADLINE_S).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    found: list[Message] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(found) < count and time.monotonic() < deadline:
        found += [message for message in consumer.consume(count, 0.5) if message.error() is None]
    consumer.close()
    return [(message.key() or b"", message.value() or b"", message.partition() or 0) for message in found]


def with_fastavro(schema: Any) -> Any:
    """The schema as another client has it: from the .avsc file, timestamps as numbers."""
    return fastavro.parse_schema(stored(schema))


@EACH_TOPIC
async def test_a_second_client_reads_what_watchfloor_writes(kafka: str, topics: str, topic: Topic) -> None:
    name, written = topics + topic.name, records(topic)
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer:
        for record in written:
            key = topic.key_of(record)
            await producer.send_and_wait(
                name, topic.codec.encode(record), key=key, partition=topic.partition_of(key, partitions(topic))
            )
    schema = with_fastavro(versions.current(topic.schema))
    found = {}
    for key, value, _ in read(kafka, name, len(written)):
        assert value[:2] == b"\xc3\x01"
        assert value[2:10].hex() == fastavro.schema.fingerprint(
            fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO"
        )
        found[key] = fastavro.schemaless_reader(BytesIO(value[10:]), schema, None)
    assert found == {topic.key_of(record): record for record in written}


@EACH_TOPIC
def test_watchfloor_reads_what_a_second_client_writes(kafka: str, topics: str, topic: Topic) -> None:
    name, written = topics + topic.name, records(topic)
    before = sum(_ends(kafka, name))
    schema = with_fastavro(versions.current(topic.schema))
    fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO")
    # The partitioner of the Java client, which librdkafka calls murmur2.
    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2", "enable.idempotence": True})
    for record in written:
        out = BytesIO()
        fastavro.schemaless_writer(out, schema, record)
        producer.produce(name, b"\xc3\x01" + bytes.fromhex(fingerprint) + out.getvalue(), topic.key_of(record))
    assert producer.flush(DEADLINE_S) == 0
    messages = read(kafka, name, before + len(written))
    assert len(messages) == before + len(written)
    for key, value, partition in messages:
        record = topic.codec.decode(value)
        assert key == topic.key_of(record)
        assert partition == topic.partition_of(key, partitions(topic))
        assert record in written


def _ends(servers: str, topic: str) -> list[int]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "contract"})
    numbers = consumer.list_topics(topic, timeout=DEADLINE_S).topics[topic].partitions
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, number), DEADLINE_S)[1] for number in numbers]
    consumer.close()
    return ends
