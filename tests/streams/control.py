"""Commands for tests of control, what the agent makes of them offline, and a naive model to compare with."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from models.control import DEFAULTS, EVERYONE, SETTINGS
from schemas import topics
from streams.control import CONTROL
from streams.runtime.control import Control
from streams.runtime.control import Row as ControlRow
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run

NOON = 1_790_000_000_000
MINUTE = 60_000
DAY = 24 * 60 * MINUTE


def command(number: int, value: str | None = "true", expected: int = 0, **other: Any) -> dict[str, Any]:
    """A command of acme about observe_only, asked for `number` minutes after noon."""
    return {
        "tenant_id": "acme",
        "command_id": f"c-{number}",
        "action": "set",
        "name": "observe_only",
        "value": value,
        "expected_version": expected,
        "valid_from": None,
        "requested_at": NOON + number * MINUTE,
        "by": "jane",
        "reason": f"reason {number}",
        "expires_at": None,
    } | other


def records(commands: Iterable[dict[str, Any]]) -> list[InputRecord]:
    topic = topics.CONTROL_COMMANDS
    return [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each["requested_at"], offset)
        for offset, each in enumerate(commands)
    ]


def judged(commands: Sequence[dict[str, Any]], cuts: Callable[[], int] = lambda: 100) -> Outcome:
    return run(CONTROL, records(commands), cuts=cuts)


def answers(outcome: Outcome) -> list[dict[str, Any]]:
    """What the agent says, in order: the audit records."""
    codec = topics.CONTROL_AUDIT.codec
    return [codec.decode(value) for _, value in outcome.topic("control.audit") if value is not None]


def rows(outcome: Outcome) -> list[ControlRow]:
    """The records of the control topics."""
    return [(topic, key or b"", value) for topic in topics.CONTROL for key, value in outcome.topic(topic.name)]


def view(outcome: Outcome) -> Control:
    return Control(DEFAULTS).after(rows(outcome))


Version = tuple[int, int | None, str | None, bool]
"""From, until, value, and whether it is an undo."""


class Naive:
    """The rules of docs/control.md, written down without a thought of speed or storage.

    Commands are wrong in one way only: what they set would be over already.
    """

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], list[Version]] = {}
        self.last: dict[tuple[str, str], int] = {}

    def obey(self, asked: dict[str, Any]) -> bool:
        """Whether the command is accepted."""
        place = asked["tenant_id"], asked["name"]
        versions = self.versions.setdefault(place, [])
        undo = asked["action"] == "undo"
        if asked["expected_version"] != len(versions) or (undo and not versions):
            return False
        now = max(asked["requested_at"], self.last.get(place, asked["requested_at"]))
        start = now if asked["valid_from"] is None else asked["valid_from"]
        end = asked["expires_at"]
        if end is not None and end <= max(now, start):
            return False
        if SETTINGS[asked["name"]].at_once:
            start = 0
        value = asked["value"]
        if undo:
            before = self.own(versions[:-1], start)
            value, end = (before[2], before[1]) if before else (None, None)
        versions.append((start, end, value, undo))
        self.last[place] = now
        return True

    @staticmethod
    def own(versions: list[Version], time: int) -> Version | None:
        """The version that holds: the last one that has begun, or when it is over, what held before it was made."""
        for place in range(len(versions) - 1, -1, -1):
            start, end, _, undo = versions[place]
            if start <= time:
                if end is None or time < end:
                    return versions[place]
                return Naive.own(versions[: place - undo], time)
        return None

    def get(self, tenant: str, name: str, time: int) -> Any:
        for who in (tenant, EVERYONE):
            version = self.own(self.versions.get((who, name), []), time)
            if version is not None and version[2] is not None:
                return SETTINGS[name].read(version[2])
        return SETTINGS[name].default
