"""A frame: the records waiting in one partition, the state they may change, and what goes out with them."""

import math
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from schemas import topics
from schemas.codec import DecodeError
from schemas.compiled import load
from schemas.topics import Topic
from streams.runtime.agent import Agent
from streams.runtime.control import Control
from streams.runtime.formats import level
from streams.runtime.state import State, Store
from streams.runtime.timers import Due, Timers

Row = tuple[bytes | None, bytes | None]
"""Key and value of one record to be written."""


class Record(Protocol):
    """A record as read from the input. `timestamp` is its publish time in epoch milliseconds."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class InputRecord(NamedTuple):
    """A record of one of several inputs, of a file or of a test. `topic` is the input's name without the prefix."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    offset: int
    headers: Sequence[tuple[str, bytes | None]] = ()
    topic: str = ""


class Event(NamedTuple):
    """A record that was decoded and is valid.

    Attributes:
        topic: name of its input, without the prefix.
        clock: the partition's clock with it, epoch milliseconds.
    """

    topic: str
    record: Record
    value: dict[str, Any]
    clock: int


RefusedTimers = Mapping[int, Exception]
"""Timers that make the agent raise, by their place in the frame's timeline: they go to the dead letters instead."""


def order(record: InputRecord) -> tuple[int, str, int]:
    """By which the records of an agent's inputs are merged."""
    return record.timestamp, record.topic, record.offset


def fault(record: Record, event: Mapping[str, Any], topic: Topic, ahead: float, age: float) -> tuple[str, str] | None:
    """What is wrong with the key or the time of a decoded record, class and words; None for a good one.

    Args:
        ahead, age: milliseconds that an event may be after its publish time, and before it.
    """
    expected = topic.key_of(event)
    if record.key != expected:
        return "KeyMismatch", f"the key is {record.key!r}, the record's own fields make {expected!r}"
    late = record.timestamp - event[topic.time]
    if -late > ahead:
        return "EventFromTheFuture", f"{topic.time} is {-late} ms after the publish time"
    if late > age:
        return "EventTooOld", f"{topic.time} is {late} ms before the publish time"
    return None


def believed(
    records: Sequence[Record],
    events: Sequence[Mapping[str, Any]],
    begin: int,
    end: int,
    topic: Topic,
    ahead: float,
    age: float,
    clock: int,
    clocks: list[int],
) -> tuple[int, int]:
    """How far from `begin` on records have no `fault`, at most up to `end`, and the partition's clock then.

    Adds the clock with each of them to `clocks`. streams.runtime._compiled has the same in C.
    """
    for number in range(begin, end):
        record, event = records[number], events[number]
        if fault(record, event, topic, ahead, age) is not None:
            return number, clock
        clock = max(clock, min(event[topic.time], record.timestamp))
        clocks.append(clock)
    return end, clock


_COMPILED = load("streams.runtime._compiled")
_BELIEVED = believed if _COMPILED is None else _COMPILED.believed


class Frame:
    """What an agent's function works on.

    Attributes:
        records: the records of this frame; after `decode()` only those that could be decoded and are valid.
        state: keyed state of the partition. Only what is under a record's own key may be read or written.
        control: all settings, as of one moment; a record sees what holds at its own timestamp.
        clock: the partition's clock before this frame, epoch milliseconds, -1 at the very start.
        tick: the partition's clock after this frame where nothing came but time; None otherwise.
        firing: the timer that the agent works on, None while it works on records.
        given: events and timers of the timeline so far, with the one at hand.
        level: at which state is written; the agent's own once the upgrade is finalised.
        outputs: rows to write, by (topic, partition).
        changes: state entries as stored, None for a deleted one; known once the frame has run.
        partition: the partition number.
    """

    __slots__ = (
        "_clocks",
        "_counts",
        "_keys",
        "_places",
        "_prefix",
        "_refused_timers",
        "_rejected",
        "_sources",
        "_whole",
        "agent",
        "changes",
        "clock",
        "control",
        "firing",
        "given",
        "level",
        "outputs",
        "partition",
        "records",
        "state",
        "tick",
    )

    def __init__(
        self,
        agent: Agent,
        partition: int,
        records: Sequence[Record],
        store: Store,
        clock: int,
        counts: Mapping[str, int],
        prefix: str = "",
        tick: int | None = None,
        refused_timers: RefusedTimers | None = None,
        control: Control | None = None,
    ) -> None:
        self.agent = agent
        self.partition = partition
        self.records = records
        self.clock = clock
        self.control = control or Control(agent.settings)
        self.level = level(agent, self.control)
        self.state = State(store, agent.formats, self.level == agent.level)
        self.outputs: dict[tuple[str, int], list[Row]] = {}
        self.changes: dict[bytes, bytes | None] = {}
        self.tick = tick
        self.firing: Due | None = None
        self.given = 0
        self._whole = records
        self._keys: set[bytes | None] = set()
        self._places: dict[int, float] = {}
        self._clocks: list[int] = []
        self._rejected: list[float] = []
        self._counts = counts
        self._prefix = prefix
        self._refused_timers = refused_timers or {}
        self._sources = {topic.name: topic for topic in agent.inputs}

    def run(self) -> None:
        """Let the agent work on this frame. What it raises leaves the frame without any effect."""
        try:
            self.agent.process(self)
            self.changes = self.state.changes()
        except BaseException:
            self.state.roll_back()
            raise

    def apply(self) -> None:
        """Make the state changes real, after the transaction was committed."""
        self.state.apply(self.changes)

    @property
    def timers(self) -> Timers:
        """The timers of the partition's keys; fired by `timeline()`."""
        return self.state.timers

    def timeline(self) -> Iterator[Event | Due]:
        """Decode every record, and give events and timers in the order of the partition's clock.

        Timers that are due come before the record that passes them, also those that were set a moment ago.
        """
        events = self.decode()
        for record, value, clock in zip(self.records, events, self._clocks, strict=True):
            yield from self._due(clock, record)
            self.given += 1
            yield Event(self._topic_of(record).name, record, value, clock)
        if self.tick is not None and self.tick > self.clock:
            yield from self._due(self.tick, None)
            self.clock = self.tick

    def _due(self, clock: int, before: Record | None) -> Iterator[Due]:
        while (due := self.timers.pop(clock)) is not None:
            error = self._refused_timers.get(self.given)
            self.given += 1
            if error is not None:
                self._refuse(due, error, before)
                continue
            self._own_keys().add(due.key)
            self.firing = due
            yield due
            self.firing = None

    @property
    def rejected(self) -> int:
        """How many records were put into the dead letters."""
        return len(self._rejected)

    def decode(self) -> list[dict[str, Any]]:
        """Decode every record; what cannot be decoded or is not valid goes to the dead letters.

        Afterwards `records` holds exactly the records of the returned events, in the same order, and `clock` is
        the partition's clock after them.
        """
        topic = self.agent.input
        good: list[Record] = []
        events: list[dict[str, Any]] = []
        for record, event in zip(self.records, self._read(), strict=True):
            if event is None:
                self.reject(record, "EmptyValue", "the record has no value")
            elif isinstance(event, DecodeError):
                self.reject(record, type(event).__name__, str(event))
            else:
                good.append(record)
                events.append(event)
        if topic.key is not None:
            good, events = self._valid(good, events)
        else:
            self._clocks = [self.clock] * len(good)
        self.records = good
        return events

    def columns(self) -> dict[str, list[Any]]:
        """The fields of all events, by name; as `decode`, for agents that work on whole frames.

        Empty when there are no events.
        """
        found = self._all_good()
        if found is None:
            events = self.decode()
            found = {name: [event[name] for event in events] for name in events[0]} if events else {}
        return found

    def _all_good(self) -> dict[str, list[Any]] | None:
        """The fields of all events, if every record is a good one of the only input."""
        topic = self.agent.input
        values = [record.value for record in self.records]
        if _COMPILED is None or len(self._sources) > 1 or topic.key is None or not values or None in values:
            return None
        found = topic.codec.decode_columns(values)  # type: ignore[arg-type]
        if found is None:
            return None
        records = list(self.records)
        clocks: list[int] = []
        fields = [found[name] for name in ("tenant_id", *topic.key)]
        clock = _COMPILED.believed_columns(records, fields, found[topic.time], *self._limits, self.clock, clocks)
        if len(clocks) < len(records):
            return None
        self.records, self.clock, self._clocks = records, clock, clocks
        return found

    @property
    def _limits(self) -> tuple[float, float]:
        """Milliseconds that an event may be after its publish time, and before it."""
        age = self.agent.max_age
        return self.agent.max_ahead.total_seconds() * 1000, age.total_seconds() * 1000 if age else math.inf

    def _read(self) -> list[Any]:
        """What each record says: the event, the error that says why there is none, or None without a value."""
        values = [record.value for record in self.records]
        if len(self._sources) == 1 and None not in values:
            return self.agent.input.codec.decode_many(values)  # type: ignore[arg-type]
        return [
            None if value is None else self._topic_of(record).codec.decode_many([value])[0]
            for record, value in zip(self.records, values, strict=True)
        ]

    def _topic_of(self, record: Record) -> Topic:
        return self._sources[record.topic] if isinstance(record, InputRecord) and record.topic else self.agent.input

    def _valid(self, records: list[Record], events: list[dict[str, Any]]) -> tuple[list[Record], list[dict[str, Any]]]:
        """Those whose key is the one that the record's fields make and whose time is believable."""
        several = len(self._sources) > 1
        ahead, age = self._limits
        good: list[Record] = []
        kept: list[dict[str, Any]] = []
        self._clocks = []
        begin = 0
        while begin < len(records):
            topic = self._topic_of(records[begin])
            until = begin + 1 if several else len(records)
            judge = believed if topic.key is None else _BELIEVED
            end, self.clock = judge(records, events, begin, until, topic, ahead, age, self.clock, self._clocks)
            good += records[begin:end]
            kept += events[begin:end]
            begin = end
            if end < until:
                wrong = fault(records[end], events[end], topic, ahead, age)
                assert wrong is not None, "it was not believed"
                self.reject(records[end], *wrong)
                begin += 1
        return good, kept

    def reject(self, record: Record, error_class: str, message: str) -> None:
        """Put a record into the dead letters, whole, with the reason; sealed where it may hold personal data."""
        letter = {
            "source_topic": self._prefix + self._topic_of(record).name,
            "source_offset": record.offset,
            "source_timestamp": record.timestamp,
            "value": record.value,
            "headers": [{"name": name, "value": value} for name, value in record.headers],
        }
        self._bury(record.key, letter, error_class, message, self._place(record))

    def _refuse(self, due: Due, error: Exception, before: Record | None) -> None:
        """Put a timer into the dead letters, over which the agent raises; it fires just before a record."""
        letter = {
            "source_topic": self._prefix + self.agent.changelog,
            "source_offset": due.number,
            "source_timestamp": due.deadline,
            "value": due.payload,
            "headers": [{"name": "timer", "value": due.name}],
        }
        place = len(self._whole) if before is None else self._place(before) - 0.5
        self._bury(due.key, letter, type(error).__name__, f"timer {due.name!r}: {error}", place)

    def _bury(self, key: bytes | None, letter: dict[str, Any], error_class: str, message: str, place: float) -> None:
        letter |= {
            "tenant_id": key.split(b"|", 1)[0].decode("utf-8", "replace") if key else None,
            "source_partition": self.partition,
            "agent": self.agent.name,
            "error_class": error_class,
            "message": message[:1000],
            "key": key,
        }
        if self.agent.personal:
            letter = self.agent.seal(letter)
        row = (letter["key"], topics.DEAD_LETTERS.codec.encode(letter))
        # Records are rejected in passes (bytes, key and time, the agent's own reasons): their order in the log must
        # not depend on which of them shared a frame.
        at = bisect(self._rejected, place)
        self._rejected.insert(at, place)
        count = self._counts[topics.DEAD_LETTERS.name]
        self._rows(topics.DEAD_LETTERS, self.partition % count).insert(at, row)

    def _place(self, record: Record) -> float:
        """Where a record stands in the frame."""
        if not self._places:
            self._places = {id(one): float(number) for number, one in enumerate(self._whole)}
        return self._places[id(record)]

    def send(self, topic: Topic, records: Iterable[dict[str, Any]]) -> None:
        """Encode records and write them with this frame, each to the partition of its key.

        Where topic and input have the same fields as a key, the keys of this frame stay in its partition: whoever wrote
        the input chose it.

        Raises EncodeError when a record does not fit the schema of its topic.
        """
        encode, key_of = topic.codec.encode, topic.key_of
        self.send_rows(topic, [(key_of(record), encode(record)) for record in records])

    def send_rows(self, topic: Topic, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Write encoded records as `send` does, each to the partition of its key."""
        count, partition_of = self._counts[topic.name], topic.partition_of
        alike = topic.key == self.agent.input.key and count == self._counts[self.agent.input.name]
        own = self._own_keys() if alike else set()
        given = list(rows)
        if given and alike and own.issuperset([key for key, _ in given]):
            self._rows(topic, self.partition).extend(given)
            return
        placed: dict[int, list[Row]] = {}
        for row in given:
            number = self.partition if row[0] in own else partition_of(row[0], count)
            if number not in placed:
                placed[number] = self._rows(topic, number)
            placed[number].append(row)

    def _own_keys(self) -> set[bytes | None]:
        """Of the records of this frame and of the timers that have fired in it."""
        if not self._keys:
            self._keys.update(record.key for record in self._whole)
        return self._keys

    def send_encoded(self, topic: Topic, rows: Iterable[Row]) -> None:
        """Write encoded rows to the input's own partition number: for outputs keyed as the input."""
        self._rows(topic, self.partition).extend(rows)

    def _rows(self, topic: Topic, partition: int) -> list[Row]:
        return self.outputs.setdefault((topic.name, partition), [])
