"""What an agent is: a name, an input, outputs, and a pure function over frames."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from schemas.topics import Topic

if TYPE_CHECKING:
    from streams.runtime.frame import Frame


@dataclass(frozen=True, slots=True)
class Agent:
    """Declaration of one agent.

    `process` reads records and state from its frame, and puts outputs and state changes into it. It must be
    pure: what it does may depend on the records and the state only, never on a clock, on chance or on where one
    frame ends and the next begins, because frames are retried and their cut is an accident of timing.
    """

    name: str
    input: Topic
    outputs: tuple[Topic, ...]
    process: Callable[["Frame"], None]
    linger_ms: int = 0
    """Least time between two frames of a partition; 25 trades a little latency for fewer transactions."""
    max_ahead: timedelta = timedelta(minutes=10)
    """An event whose time is further than this after its record's timestamp is a dead letter."""
    max_age: timedelta | None = timedelta(days=30)
    """An event older than this, by its record's timestamp, is a dead letter; None switches the check off."""

    @property
    def changelog(self) -> str:
        """Name of the compacted topic of this agent's state, without the prefix."""
        return f"changelog.{self.name}"
