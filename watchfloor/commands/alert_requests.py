"""Asking the alert agent, or the ticket agent: a command goes to its topic, the answer comes from another one."""

import getpass
import json
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import click
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from producers.offsets import bounds, partitions_of
from producers.publish import Accepted, Publisher
from schemas import topics
from schemas.codec import DecodeError
from schemas.topics import Topic
from sinks import queries
from sinks.tables import ALERTS, INCIDENTS, TICKETS, Table
from watchfloor.commands.db import ask, open_store
from watchfloor.settings import Settings

TIMEOUT_S = 10.0


class Desk(NamedTuple):
    """Where an agent takes commands, and where it answers."""

    commands: Topic
    answers: Topic


ALERT_DESK = Desk(topics.COMMANDS_ALERTS, topics.ALERTS_ANSWERS)
TICKET_DESK = Desk(topics.COMMANDS_TICKETS, topics.TICKETS_ANSWERS)

IDS = {ALERTS.name: "alert_id", INCIDENTS.name: "incident_id", TICKETS.name: "ticket_id"}
"""The column that names a thing, by its table."""

REASON = click.option("--text", help="Why.")
TENANT = click.option("--tenant", help="Its tenant; with whole IDs, ClickHouse is not asked.")


def find(settings: Settings, start: str, tenant: str | None, table: Table = ALERTS) -> tuple[str, str]:
    """(tenant, id) of the alert, incident or ticket whose id begins so. A whole id with its tenant is taken as it is.

    Raises ClickException when there is none or more than one, as ClickHouse has them.
    """
    if tenant is not None and len(start) == 36:
        return tenant, start
    name = IDS[table.name]
    thing = name.removesuffix("_id")
    rows = records(
        settings,
        table,
        f"startsWith(toString(t.{name}), {{start:String}}) "
        "AND ({tenant:String} = '' OR t.tenant_id = {tenant:String})",
        order="t.opened_at DESC LIMIT 2",
        start=start.lower(),
        tenant=tenant or "",
    )
    if len(rows) != 1:
        raise click.ClickException(
            f"no {thing} has an id that begins with {start!r}"
            if not rows
            else f"more than one {thing} has an id that begins with {start!r}; give more of it, or --tenant"
        )
    return rows[0]["tenant_id"], rows[0][name]


def records(settings: Settings, table: Table, where: str, order: str, **parameters: str | int) -> list[dict[str, Any]]:
    """As sinks.queries.records, with ClickHouse's trouble in plain words. Raises ClickException."""
    store = open_store(settings)
    return ask(settings, lambda: queries.records(store, table, where, order, **parameters))


def asking(action: Callable[..., None]) -> Callable[..., None]:
    """Options of every command that asks an agent for something."""
    for option in (
        click.option("--by", default=getpass.getuser, show_default="your user name", help="Who asks."),
        click.option(
            "--wait", type=click.FloatRange(min=0.1), default=15.0, show_default=True, help="Seconds to wait for it."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON, for scripts."),
    ):
        action = option(action)
    return action


def ask_agent(by: str, wait: float, as_json: bool, desk: Desk = ALERT_DESK, **fields: Any) -> None:
    """Send a command and print its answer; exit code 1 when it was refused."""
    settings = Settings()
    try:
        answer = request(settings, {"by": by} | {name: value for name, value in fields.items() if value}, wait, desk)
    except KafkaException as error:
        raise kafka_trouble(settings, error, desk.answers.name) from error
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
    elif answer["accepted"]:
        click.echo(answer["message"])
    else:
        raise click.ClickException(answer["message"])
    if not answer["accepted"]:
        raise click.exceptions.Exit(1)


def kafka_trouble(settings: Settings, error: KafkaException, topic: str) -> click.ClickException:
    reason: KafkaError = error.args[0]
    if reason.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        name = settings.prefix + topic
        said = f"there is no topic {name} at {settings.kafka}; make it with `watchfloor topics apply`"
    else:
        said = f"cannot read from Kafka at {settings.kafka}: {reason.str()}. Is it running (`watchfloor up`)?"
    return click.ClickException(said)


def request(settings: Settings, command: dict[str, Any], limit_s: float, desk: Desk = ALERT_DESK) -> dict[str, Any]:
    """Send a command to an agent and wait for its answer.

    Args:
        command: fields of the desk's topic of commands, without those that are null; identity and time are added.
        limit_s: how long to wait for the answer.
    Raises:
        ClickException: Kafka did not take it, or no answer came in time.
        KafkaException: the broker does not answer, or the topic of answers does not exist.
    """
    record = {**command, "command_id": str(uuid.uuid4()), "at": time.time_ns() // 1_000_000}
    consumer = _answers(settings, record, desk.answers)
    try:
        with Publisher(settings.kafka, prefix=settings.prefix, limit_s=TIMEOUT_S) as publisher:
            (outcome,) = publisher.publish(desk.commands, [record])
        if not isinstance(outcome, Accepted):
            raise click.ClickException(f"the command was not sent: {outcome.reason}")
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is None or message.error() is not None:
                continue
            try:
                answer: dict[str, Any] = desk.answers.codec.decode(message.value() or b"")
            except DecodeError:
                continue  # not ours
            if answer["command_id"] == record["command_id"]:
                return answer
    finally:
        consumer.close()
    raise click.ClickException(
        f"no answer within {limit_s:g} s; the command was sent and may still be carried out. Is a worker running?"
    )


def _answers(settings: Settings, record: dict[str, Any], topic: Topic) -> Consumer:
    """A consumer that stands at the end of the answers, as they are before the command is sent."""
    name = settings.prefix + topic.name
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": f"watchfloor-ask-{record['command_id'][:8]}",
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
