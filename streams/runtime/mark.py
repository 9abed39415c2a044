"""MARK: where a partition stands. It is written with every frame and is the only start position."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from streams.runtime.errors import StateVersionError
from streams.runtime.layout import SEPARATOR

# No record key is empty, so no state entry can have this key.
MARK_KEY = SEPARATOR + b"mark"
NO_CLOCK = -1
VERSION = 1

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Before:
    """The format of MARK in the release before; `upgrade` makes this release's of it, `downgrade` is the inverse."""

    upgrade: Callable[[Body], Body]
    downgrade: Callable[[Body], Body]


BEFORE: Before | None = None
"""Where this release changes the format. It must raise the level of every agent then, because all have a MARK."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Position of a partition number.

    Attributes:
        offsets: next offset to read, by input topic.
        control: offset of the newest command that was in force, -1 before there is one; see `Control.offset`.
        clock: the largest min(event time, record timestamp) processed, epoch milliseconds, -1 at the start.
        poison: records just before this position, one after the other, that made the agent raise.
        paused: why the partition stands still until a person releases it; empty while it does not.
        level: at which state was written last; see `streams.runtime.formats`.
    """

    offsets: dict[str, int]
    control: int = -1
    clock: int = NO_CLOCK
    poison: int = 0
    paused: str = ""
    level: int = 0

    def encode(self, newest: int = 0) -> bytes:
        """In the format of this release, whose level is `newest`; in the one before where `level` is lower."""
        body: Body = {"v": VERSION, "offsets": self.offsets, "control": self.control, "clock": self.clock}
        if self.poison:
            body["poison"] = self.poison
        if self.paused:
            body["paused"] = self.paused
        if self.level:
            body["level"] = self.level
        if BEFORE is not None and self.level < newest:
            body = BEFORE.downgrade(body) | {"v": VERSION - 1}
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises StateVersionError for a format that this release does not read."""
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        version = body.get("v") if isinstance(body, dict) else raw[:20]
        if BEFORE is not None and version == VERSION - 1:
            body = BEFORE.upgrade(body)
        elif version != VERSION:
            reads = VERSION if BEFORE is None else f"{VERSION - 1} and {VERSION}"
            raise StateVersionError(
                f"MARK is stored in format {version!r}, this release reads {reads}: run the release that wrote it"
            )
        poison, paused, level = body.get("poison", 0), body.get("paused", ""), body.get("level", 0)
        return cls(body["offsets"], body["control"], body["clock"], poison, paused, level)
