"""The silences that hold, or are planned: what commands.alerts asks for and alerts.answers says of it."""

from collections.abc import Iterator
from typing import Any

from schemas import topics
from schemas.codec import DecodeError
from schemas.topics import Topic
from watchfloor.log import messages


def silences(servers: str, prefix: str, now: int) -> list[dict[str, Any]]:
    """The commands of the silences that are not over, the next to end first.

    Args:
        now: epoch milliseconds.
    Raises:
        KafkaException: the broker does not answer, or a topic does not exist.
    """
    accepted = {
        (answer["tenant_id"], answer["command_id"])
        for answer in _records(servers, prefix, topics.ALERTS_ANSWERS)
        if answer["accepted"]
    }
    asked: dict[tuple[str, str], dict[str, Any]] = {}
    ended: set[tuple[str, str]] = set()
    for command in _records(servers, prefix, topics.COMMANDS_ALERTS):
        tenant, name = command["tenant_id"], command["command_id"]
        if (tenant, name) not in accepted:
            continue
        if command["action"] == "silence" and command["until"] > now:
            asked[tenant, name] = command
        elif command["action"] == "unsilence":
            ended.add((tenant, command["silence_id"]))
    found = [command for name, command in asked.items() if name not in ended]
    return sorted(found, key=lambda command: (command["until"], command["command_id"]))


def _records(servers: str, prefix: str, topic: Topic) -> Iterator[dict[str, Any]]:
    for message in messages(servers, prefix + topic.name, 0, follow=False, name="silences"):
        try:
            yield topic.codec.decode(message.value() or b"")
        except DecodeError:
            continue  # a dead letter of the alert agent
