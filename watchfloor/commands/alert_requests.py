"""Asking the alert agent: a command goes to commands.alerts, its answer comes from alerts.answers."""

import time
import uuid
from typing import Any

import click
from confluent_kafka import Consumer, TopicPartition

from producers.publish import Accepted, Publisher
from schemas import topics
from schemas.codec import DecodeError
from sinks.store import quoted
from watchfloor.commands.db import ask, open_store
from watchfloor.log import bounds, partitions_of
from watchfloor.settings import Settings

TIMEOUT_S = 10.0

FIND = """
SELECT tenant_id, toString(alert_id) AS alert_id FROM {database}.v_alerts
WHERE startsWith(toString(alert_id), {{start:String}}) AND ({{tenant:String}} = '' OR tenant_id = {{tenant:String}})
LIMIT 3
"""


def find(settings: Settings, start: str, tenant: str | None) -> tuple[str, str]:
    """(tenant, alert_id) of the alert whose id begins so. A whole id with its tenant is taken as it is.

    Raises ClickException when there is none or more than one, as ClickHouse has them.
    """
    if tenant is not None and len(start) == 36:
        return tenant, start
    store = open_store(settings)
    found = ask(
        settings,
        lambda: store.query(FIND.format(database=quoted(store.database)), {"start": start, "tenant": tenant or ""}),
    )
    if len(found) != 1:
        raise click.ClickException(
            f"no alert has an id that begins with {start!r}"
            if not found
            else f"more than one alert has an id that begins with {start!r}; give more of it, or --tenant"
        )
    return found[0]["tenant_id"], found[0]["alert_id"]


def request(settings: Settings, command: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """Send a command to the alert agent and wait for its answer.

    Args:
        command: fields of commands.alerts, without those that are null; identity and time are added.
        limit_s: how long to wait for the answer.
    Raises:
        ClickException: Kafka did not take it, or no answer came in time.
        KafkaException: the broker does not answer, or the topic of answers does not exist.
    """
    record = {**command, "command_id": str(uuid.uuid4()), "at": time.time_ns() // 1_000_000}
    consumer = _answers(settings, record)
    try:
        with Publisher(settings.kafka, prefix=settings.prefix, limit_s=TIMEOUT_S) as publisher:
            (outcome,) = publisher.publish(topics.COMMANDS_ALERTS, [record])
        if not isinstance(outcome, Accepted):
            raise click.ClickException(f"the command was not sent: {outcome.reason}")
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is None or message.error() is not None:
                continue
            try:
                answer: dict[str, Any] = topics.ALERTS_ANSWERS.codec.decode(message.value() or b"")
            except DecodeError:
                continue  # not ours
            if answer["command_id"] == record["command_id"]:
                return answer
    finally:
        consumer.close()
    raise click.ClickException(
        f"no answer within {limit_s:g} s; the command was sent and may still be carried out. Is a worker running?"
    )


def _answers(settings: Settings, record: dict[str, Any]) -> Consumer:
    """A consumer that stands at the end of the answers, as they are before the command is sent."""
    name = settings.prefix + topics.ALERTS_ANSWERS.name
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": f"watchfloor-alerts-ask-{record['command_id'][:8]}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )
    try:
        numbers = partitions_of(consumer, name)
        consumer.assign([TopicPartition(name, number, bounds(consumer, name, number)[1]) for number in numbers])
    except BaseException:
        consumer.close()
        raise
    return consumer
