"""The embedded broker: its data and its port outlive it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from watchfloor.embedded import jars
from watchfloor.embedded.kafka import Broker
from watchfloor.embedded.server import ServerError

TEN_MB = 10 * 1024 * 1024


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


def produce(broker: Broker, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.address, "message.max.bytes": 2 * TEN_MB, "acks": "all"})
    failures: list[object] = []
    producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(60) == 0
    assert failures == [None]


def values(broker: Broker, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found = [record.value() for record in consumer.consume(count, timeout=60)]
    consumer.close()
    return [value for value in found if value is not None]


def test_acknowledged_records_survive_kill_and_restart(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic("kept", 1)])["kept"].result(30)
    address = broker.address
    produce(broker, "kept", b"before")
    broker.kill()
    assert not broker.alive
    broker.start()
    assert broker.address == address
    produce(broker, "kept", b"x" * TEN_MB)
    assert [len(value) for value in values(broker, "kept", 2)] == [6, TEN_MB]


def test_a_topic_is_never_made_by_a_misspelt_name(broker: Broker) -> None:
    producer = Producer({"bootstrap.servers": broker.address, "message.timeout.ms": 2000, "log_level": 0})
    failures: list[object] = []
    producer.produce("kepd", b"", on_delivery=lambda error, _: failures.append(error))
    producer.flush(30)
    assert failures[0] is not None
    assert "kepd" not in AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=10).topics


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"Port {port} is taken"):
            Broker(tmp_path, port=port).start()


def test_a_broker_that_cannot_run_shows_its_last_words(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.prepare()
    (tmp_path / "kafka" / "data" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")
    with pytest.raises(ServerError, match="ended with code 1") as error:
        broker.start()
    assert "node id matches" in str(error.value)


def test_without_java_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(jars.JavaError, match=r"needs Java.*deploy/setup\.sh.*JAVA_HOME"):
        Broker(tmp_path).start()


def test_jars_folder_without_jars_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_JARS", str(tmp_path))
    with pytest.raises(jars.JavaError, match="holds no Kafka jars"):
        jars.jars(tmp_path)


def test_jars_appear_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Maven that fails after the first jar leaves nothing that looks like a library."""
    maven = tmp_path / "mvn"
    maven.write_text(
        '#!/bin/sh\nfor a in "$@"; do case $a in -DoutputDirectory=*) d=${a#*=};; esac; done\n'
        '/bin/mkdir -p "$d"; : >"$d/kafka_2.13-4.1.1.jar"; echo "disk full"; exit 1\n'
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "lib" / "kafka-4.1.1"
    folder.parent.mkdir()
    with pytest.raises(jars.JavaError, match=r"(?s)could not fetch Kafka 4\.1\.1.*disk full"):
        jars.fetch(folder)
    assert list(folder.parent.iterdir()) == []


def test_the_pinned_version_is_one() -> None:
    assert f"<version>{jars.KAFKA_VERSION}</version>" in jars.POM.read_text()
