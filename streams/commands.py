"""What commands of people must say, whatever they are about."""

from collections.abc import Mapping
from typing import Any

Command = Mapping[str, Any]

WORDS_LIMIT = 400
"""Bytes of what a person may say in one command, in all its texts."""


class CommandRefused(ValueError):
    """A command that cannot be carried out, and what could be."""


def action_of(command: Command, needs: Mapping[str, tuple[str, ...]], thing: str) -> str:
    """The action of a command that has all that it needs.

    Args:
        needs: by action, what it must say beside who asks.
        thing: what the action is done to.
    Raises:
        CommandRefused: nobody knows the action, or something is missing.
    """
    action: str = command["action"]
    if action not in needs:
        raise CommandRefused(f"action must be one of {', '.join(needs)}, not {action[:100]!r}")
    missing = [name for name in ("command_id", "by", *needs[action]) if command[name] in (None, "", [])]
    if missing:
        raise CommandRefused(f"to {action} {thing} needs {', '.join(missing)}")
    return action


def limit_words(command: Command, free: str = "") -> None:
    """Raises CommandRefused for too many words. `free`: one that counts for nothing."""
    words = sum(len(value.encode()) for value in command.values() if isinstance(value, str))
    if words - len(free) > WORDS_LIMIT:
        raise CommandRefused(f"at most {WORDS_LIMIT} bytes of text are kept, this command has {words}")
