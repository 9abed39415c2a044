"""One topic partition on its way to the tables: what is buffered, what is planned, what is stored. No I/O."""

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from sinks.batch import Message
from sinks.progress import Position
from sinks.tables import Route

# An idle partition is at most this far behind: fetches wait half a second at the broker.
IDLE_MS = 2_000


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    bytes: int  # of their values


@dataclass(frozen=True, slots=True)
class Range:
    """Messages that are stored together; `position` holds the plan."""

    partition: "Partition"
    position: Position
    messages: list[Message]
    bytes: int

    @property
    def first(self) -> int:
        return self.position.next_offset

    @property
    def last(self) -> int:
        return self.position.planned_last


class Partition:
    """At most one range is under way. `clock` gives wall-clock seconds."""

    def __init__(self, route: Route, position: Position, clock: Callable[[], float] = time.time) -> None:
        self.route = route
        self.position = position
        self.messages: list[Message] = []
        self.bytes = 0
        self.under_way: Range | None = None
        self.unsaved = False
        self._waiting_since: float | None = None
        self._end: int | None = None  # the log's end, while everything up to it was read
        self._clock = clock

    def add(self, messages: list[Message]) -> None:
        """Messages in the order of their offsets."""
        if not self.messages:
            self._waiting_since = self._clock()
        self._end = None
        self.messages += messages
        self.bytes += sum(map(len, messages))

    def reached_end(self, offset: int) -> None:
        """Everything below `offset` was read, and there is no more now."""
        self._end = offset
        self.settle()

    @property
    def drained(self) -> bool:
        """Everything up to the log's end is stored, and so is the progress."""
        return self._end is not None and not self.messages and self.under_way is None and not self.unsaved

    @property
    def waiting_since(self) -> float:
        """When the first of the waiting messages was read, in the clock's seconds; 0 when there is none."""
        return self._waiting_since or 0.0

    def due(self, enough: Size, linger_s: float) -> bool:
        """Whether a range should be cut now: it is enough, or old enough, or was planned before a crash."""
        if self.under_way is not None:
            return False
        if self.position.planned:
            return self._read_up_to(self.position.planned_last)
        if not self.messages or self._waiting_since is None:
            return False
        if len(self.messages) >= enough.rows or self.bytes >= enough.bytes:
            return True
        return self._clock() - self._waiting_since >= linger_s

    def cut(self, most: Size) -> Range:
        """Take the range that was planned before a crash, or what is there up to `most`. Call when due."""
        if self.position.planned:
            last = self.position.planned_last
            count = sum(1 for message in self.messages if message.offset() <= last)
        else:
            sizes = list(accumulate(map(len, self.messages[: most.rows])))
            count = max(1, bisect_right(sizes, most.bytes))
            self.position = self.position.plan(self.messages[count - 1].offset())
        taken, self.messages = self.messages[:count], self.messages[count:]
        size = sum(map(len, taken))
        self.bytes -= size
        self._waiting_since = self._clock() if self.messages else None
        self.under_way = Range(self, self.position, taken, size)
        return self.under_way

    def stored(self) -> None:
        """The range under way is in every table."""
        done = self.under_way
        if done is None:
            raise RuntimeError("no range is under way")
        self.under_way = None
        until = done.messages[-1].timestamp()[1] if done.messages else 0
        self.position = done.position.stored(done.last + 1, until)
        self.unsaved = True
        self.settle()

    def settle(self) -> None:
        """Where nothing is left to store, the position is the log's end (markers and aborted records lie before it)."""
        if self._end is None or self.messages or self.under_way is not None or self.position.planned:
            return
        if self._end > self.position.next_offset:
            self.position = self.position.stored(self._end, self._now_ms() - IDLE_MS)
            self.unsaved = True

    def beat(self) -> None:
        """While idle at the end: note that the tables are still complete."""
        if self._end is not None and not self.messages and self.under_way is None and not self.position.planned:
            self.position = self.position.stored(self.position.next_offset, self._now_ms() - IDLE_MS)
            self.unsaved = True

    def lost_sight(self) -> None:
        """The broker is away: what was the end may no longer be it."""
        self._end = None

    def _read_up_to(self, offset: int) -> bool:
        if self.messages and self.messages[-1].offset() >= offset:
            return True
        return self._end is not None and self._end > offset

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
