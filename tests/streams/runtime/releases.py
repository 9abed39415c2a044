"""Two releases of the counting agent, the second of which stores both its kinds of state in another format."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Self

from schemas import topics
from streams.runtime import Agent, Change, Control, Part
from streams.runtime.formats import LEVEL
from tests.faults.counting import Count
from tests.streams.runtime.tally import COUNT, Seen, tally

DEFAULTS = {LEVEL: 0}


def _unpack(raw: bytes) -> Count:
    number, total, moving = json.loads(raw)
    return number, total, moving


NEW_COUNT: Part[Count] = Part("count", version=2, pack=lambda count: json.dumps(count).encode(), unpack=_unpack)


class NewSeen(Seen):
    """Its parts are stored the other way round."""

    version: ClassVar[int] = 2

    @classmethod
    def load(cls, key: bytes, read: Callable[[bytes], bytes | None]) -> Self:
        return super().load(key, lambda part: None if (raw := read(part)) is None else raw[::-1])

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        return [(part, None if raw is None else raw[::-1]) for part, raw in super().changes()]


CHANGES = (
    Change(
        NEW_COUNT,
        upgrade=lambda _, raw: NEW_COUNT.pack(COUNT.unpack(raw)),
        downgrade=lambda _, raw: COUNT.pack(NEW_COUNT.unpack(raw)),
    ),
    Change(NewSeen, upgrade=lambda _, raw: raw[::-1], downgrade=lambda _, raw: raw[::-1]),
)

OLD: Agent = replace(tally(), settings=DEFAULTS)
NEW: Agent = replace(tally(part=NEW_COUNT, kind=NewSeen), settings=DEFAULTS, level=1, changes=CHANGES)
AFTER: Agent = replace(tally(part=NEW_COUNT, kind=NewSeen), settings=DEFAULTS, level=2)
"""The release after the second: it changes nothing, and does not know the first one's formats any more."""


def setting(level: int) -> tuple[bytes, bytes]:
    """Key and value of the record that finalises up to that level."""
    entry = {
        "tenant_id": "*", "name": LEVEL[1], "version": 1, "value": str(level), "valid_from": 0, "command_offset": 1,
        "command_id": "c", "undoes": None, "by": "jane", "at": 1, "reason": "r", "expires_at": None,
    }  # fmt: skip
    return topics.CONTROL_FLAGS.key_of(entry), topics.CONTROL_FLAGS.codec.encode(entry)


def finalised(level: int) -> Control:
    """Control under which upgrades are finalised up to that level."""
    return Control(DEFAULTS).after([(topics.CONTROL_FLAGS, *setting(level))])
