"""Asking again while the leader of a new partition is not known."""

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from producers import offsets
from producers.offsets import bounds, partitions_of, settled


class Broker:
    """Gives these errors, one each time, then the answer."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)

    def ask(self) -> str:
        if self.errors:
            raise KafkaException(KafkaError(self.errors.pop(0)))
        return "here"


@pytest.mark.parametrize("code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE])
def test_a_leader_that_is_not_known_yet_is_waited_for(code: int) -> None:
    assert settled(Broker(code, code).ask) == "here"


def test_other_errors_are_raised_at_once() -> None:
    broker = Broker(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        settled(broker.ask)
    assert broker.errors == []


def test_the_wait_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "TIMEOUT_S", 0.25)
    with pytest.raises(KafkaException, match="LEADER_NOT_AVAILABLE"):
        settled(Broker(*[KafkaError.LEADER_NOT_AVAILABLE] * 1000).ask)


@pytest.mark.kafka
def test_bounds_of_topics_as_new_as_can_be(kafka: str, prefix: str) -> None:
    """The leaders of some of these partitions are not known when they are asked for."""
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": f"{prefix}bounds", "log_level": 0})
    try:
        for number in range(3):
            name = f"{prefix}new-{number}"
            admin.create_topics([NewTopic(name, 4, 1)])[name].result(30)
            assert [bounds(consumer, name, partition) for partition in range(4)] == [(0, 0)] * 4
            assert partitions_of(consumer, name) == [0, 1, 2, 3]
    finally:
        consumer.close()
