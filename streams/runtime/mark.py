"""MARK: where a partition stands. It is written with every frame and is the only start position."""

import json
from dataclasses import dataclass
from typing import Any, Self

from streams.runtime.errors import StateVersionError
from streams.runtime.layout import SEPARATOR

# No record key is empty, so no state entry can have this key.
MARK_KEY = SEPARATOR + b"mark"
NO_CLOCK = -1


@dataclass(frozen=True, slots=True)
class Mark:
    """Position of a partition number.

    Attributes:
        offsets: next offset to read, by input topic.
        control: offset of the newest command that was in force, -1 before there is one; see `Control.offset`.
        clock: the largest min(event time, record timestamp) processed, epoch milliseconds, -1 at the start.
        poison: records just before this position, one after the other, that made the agent raise.
        paused: why the partition stands still until a person releases it; empty while it does not.
    """

    offsets: dict[str, int]
    control: int = -1
    clock: int = NO_CLOCK
    poison: int = 0
    paused: str = ""

    def encode(self) -> bytes:
        body: dict[str, Any] = {"v": 1, "offsets": self.offsets, "control": self.control, "clock": self.clock}
        if self.poison:
            body["poison"] = self.poison
        if self.paused:
            body["paused"] = self.paused
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises StateVersionError for a format that this release does not read."""
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        version = body.get("v") if isinstance(body, dict) else raw[:20]
        if version != 1:
            raise StateVersionError(
                f"MARK is stored in format {version!r}, this release reads 1: run the release that wrote it"
            )
        return cls(body["offsets"], body["control"], body["clock"], body.get("poison", 0), body.get("paused", ""))
