"""What an agent is: a name, inputs, outputs, and a pure function over frames."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from schemas.topics import Topic
from streams.runtime.formats import LEVEL, Change, Formats
from streams.runtime.letters import Letter, withhold

if TYPE_CHECKING:
    from streams.runtime.frame import Frame


@dataclass(frozen=True, slots=True)
class Agent:
    """Declaration of one agent.

    `process` reads records, state and settings from its frame, and puts outputs and state changes into it. It must
    be pure: what it does may depend on these only, never on a clock, on chance or on where one frame ends and the
    next begins, because frames are retried and their cut is an accident of timing.
    """

    name: str
    inputs: tuple[Topic, ...]
    """Topics with the same key, partitioner and number of partitions; read as one, by the records' timestamps.

    What may follow from records of one belongs behind it: see docs/runtime.md.
    """
    outputs: tuple[Topic, ...]
    process: Callable[["Frame"], None]
    linger_ms: int = 0
    """Least time between two frames of a partition; 25 trades a little latency for fewer transactions."""
    max_ahead: timedelta = timedelta(minutes=10)
    """An event whose time is further than this after its record's timestamp is a dead letter."""
    max_age: timedelta | None = timedelta(days=30)
    """An event older than this, by its record's timestamp, is a dead letter; None switches the check off."""
    timers: bool = False
    """Whether it sets timers; see `Frame.timeline`."""
    settings: Mapping[tuple[str, str], Any] = field(default_factory=dict, hash=False, repr=False)
    """Defaults of the settings that it may read in `Frame.control`, by control topic and name; without any it does not
    wait for control."""
    level: int = 0
    """Of the formats that it writes once the upgrade to its release is finalised; see `streams.runtime.formats`."""
    changes: tuple[Change, ...] = ()
    """The formats that differ from those of the level below."""
    seal: Callable[[Letter], Letter] = field(default=withhold, compare=False, repr=False)
    """What may be written of a dead letter where an input holds personal data. As pure as `process`."""
    formats: Formats = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError(f"{self.name} has no input")
        if len({len(topic.key or ()) for topic in self.inputs}) > 1 or len(set(self.inputs)) < len(self.inputs):
            raise ValueError(f"{self.name}: the inputs must be different topics with the same key")
        if self.changes and not self.level:
            raise ValueError(f"{self.name} changes formats, so it needs a level")
        if self.level and LEVEL not in self.settings:
            raise ValueError(f"{self.name} has level {self.level}, so it must read the setting {LEVEL[1]}")
        object.__setattr__(self, "formats", Formats(self.changes))

    @property
    def input(self) -> Topic:
        """The first input: what holds for the partitions and the key of one input holds for all."""
        return self.inputs[0]

    @property
    def personal(self) -> bool:
        """Whether its records may hold personal data: then neither dead letters nor logs say what is in them."""
        return any(topic.personal for topic in self.inputs)

    @property
    def changelog(self) -> str:
        """Name of the compacted topic of this agent's state, without the prefix."""
        return f"changelog.{self.name}"
