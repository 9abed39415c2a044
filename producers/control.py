"""Asking for a change of a setting, and waiting for what the control agent says to it."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from producers.offsets import bounds
from schemas import topics

REQUEST_TIMEOUT_S = 10.0
AT_ONCE = 10_000
"""Commands on their way to Kafka at a time."""


class NoAnswer(TimeoutError):
    """The command is in the log, and no worker has judged it in time. It will be, as soon as one runs."""


def command(
    *,
    action: str,
    tenant: str,
    name: str,
    value: str | None,
    expected_version: int,
    valid_from: int | None = None,
    expires_at: int | None = None,
    requested_at: int | None = None,
    by: str,
    reason: str,
) -> dict[str, Any]:
    """A command, made now if not `requested_at` another time. Arguments as in schemas/control.commands.avsc."""
    return {
        "tenant_id": tenant,
        "command_id": str(uuid.uuid4()),
        "action": action,
        "name": name,
        "value": value,
        "expected_version": expected_version,
        "valid_from": valid_from,
        "requested_at": int(time.time() * 1000) if requested_at is None else requested_at,
        "by": by,
        "reason": reason,
        "expires_at": expires_at,
    }


def ask(servers: str, asked: Mapping[str, Any], *, prefix: str = "", limit_s: float = 10.0) -> dict[str, Any]:
    """Send a command and return its record in control.audit.

    Args:
        limit_s: how long to wait for the answer after Kafka has the command, in seconds.
    Raises:
        KafkaException: Kafka does not have the command, or did not say that it has it: read the setting before
            asking again.
        NoAnswer: no worker judged it in time.
    """
    for answer in ask_all(servers, [asked], prefix=prefix, limit_s=limit_s):
        return answer
    raise NoAnswer(f"no worker answered command {asked['command_id']} within {limit_s:g} s")


def ask_all(
    servers: str, commands: Sequence[Mapping[str, Any]], *, prefix: str = "", limit_s: float = 10.0
) -> Iterator[dict[str, Any]]:
    """Send commands, in this order, and give their records in control.audit as they come.

    It ends when all are answered, or when no answer came for so long.

    Args:
        limit_s: how long to wait for the next answer, in seconds.
    Raises:
        KafkaException: Kafka does not have all of the commands, or did not say so.
    """
    if not commands:
        return
    audit = prefix + topics.CONTROL_AUDIT.name
    waiting = {each["command_id"] for each in commands}
    reader = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"{prefix}watchfloor-control-{commands[0]['command_id']}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )
    try:
        # The end before the commands are sent: their answers lie behind it.
        _, end = bounds(reader, audit, 0)
        reader.assign([TopicPartition(audit, 0, end)])
        _send(servers, prefix, commands)
        deadline = time.monotonic() + limit_s
        while waiting and (left := deadline - time.monotonic()) > 0:
            message = reader.poll(min(left, 0.5))
            if message is None:
                continue
            error, value = message.error(), message.value()
            if error is not None:
                raise KafkaException(error)
            answer: dict[str, Any] = topics.CONTROL_AUDIT.codec.decode(value or b"")
            if answer["command_id"] in waiting:
                waiting.remove(answer["command_id"])
                deadline = time.monotonic() + limit_s
                yield answer
    finally:
        reader.close()


def _send(servers: str, prefix: str, commands: Sequence[Mapping[str, Any]]) -> None:
    topic = topics.CONTROL_COMMANDS
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    limit_ms = int(REQUEST_TIMEOUT_S * 1000)
    producer = Producer(
        {"bootstrap.servers": servers, "enable.idempotence": True, "message.timeout.ms": limit_ms, "log_level": 0}
    )
    for start in range(0, len(commands), AT_ONCE):
        for each in commands[start : start + AT_ONCE]:
            value, key = topic.codec.encode(dict(each)), topic.key_of(each)
            producer.produce(prefix + topic.name, value, key, partition=0, on_delivery=delivered)
        if producer.flush(REQUEST_TIMEOUT_S + 1) or failed:
            raise KafkaException(failed[0] if failed else KafkaError(KafkaError._MSG_TIMED_OUT))
