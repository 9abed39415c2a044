"""A frame: the records waiting in one partition, the state they may change, and what goes out with them."""

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from schemas import topics
from schemas.codec import DecodeError
from schemas.topics import Topic
from streams.runtime.agent import Agent
from streams.runtime.state import State, Store

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
    """A record of a file or a test, for the offline driver."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    offset: int
    headers: Sequence[tuple[str, bytes | None]] = ()


class Frame:
    """What an agent's function works on.

    Attributes:
        records: the records of this frame; after `decode()` only those that could be decoded and are valid.
        state: keyed state of the partition. Only what is under a record's own key may be read or written.
        clock: the partition's clock before this frame, epoch milliseconds, -1 at the very start.
        outputs: rows to write, by (topic, partition).
        changes: state entries as stored, None for a deleted one; known once the frame has run.
        partition: the partition number.
    """

    __slots__ = (
        "_counts",
        "_rejected",
        "_source",
        "agent",
        "changes",
        "clock",
        "outputs",
        "partition",
        "records",
        "state",
    )

    def __init__(
        self,
        agent: Agent,
        partition: int,
        records: Sequence[Record],
        store: Store,
        clock: int,
        counts: Mapping[str, int],
        source: str | None = None,
    ) -> None:
        self.agent = agent
        self.partition = partition
        self.records = records
        self.state = State(store)
        self.clock = clock
        self.outputs: dict[tuple[str, int], list[Row]] = {}
        self.changes: dict[bytes, bytes | None] = {}
        self._rejected: list[int] = []
        self._counts = counts
        self._source = source or agent.input.name

    def run(self) -> None:
        """Let the agent work on this frame. What it raises leaves the frame without any effect."""
        try:
            self.agent.process(self)
            self.changes = self.state.changes()
        except BaseException:
            self.state.roll_back()
            raise

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
        decode = topic.codec.decode
        good: list[Record] = []
        events: list[dict[str, Any]] = []
        for record in self.records:
            value = record.value
            if value is None:
                self.reject(record, "EmptyValue", "the record has no value")
                continue
            try:
                event = decode(value)
            except DecodeError as error:
                self.reject(record, type(error).__name__, str(error))
                continue
            good.append(record)
            events.append(event)
        if topic.key is not None:
            good, events = self._valid(topic, good, events)
        self.records = good
        return events

    def _valid(
        self, topic: Topic, records: list[Record], events: list[dict[str, Any]]
    ) -> tuple[list[Record], list[dict[str, Any]]]:
        """Those whose key is the one that the record's fields make and whose time is believable."""
        key_of, time = topic.key_of, topic.time
        ahead = self.agent.max_ahead.total_seconds() * 1000
        age = self.agent.max_age.total_seconds() * 1000 if self.agent.max_age else float("inf")
        clock = self.clock
        good: list[Record] = []
        kept: list[dict[str, Any]] = []
        for record, event in zip(records, events, strict=True):
            expected = key_of(event)
            if record.key != expected:
                self.reject(
                    record,
                    "KeyMismatch",
                    f"the key is {record.key!r}, the record's own fields make {expected!r}",
                )
                continue
            if time is not None:
                happened, published = event[time], record.timestamp
                if happened - published > ahead:
                    self.reject(
                        record,
                        "EventFromTheFuture",
                        f"{time} is {happened - published} ms after the publish time",
                    )
                    continue
                if published - happened > age:
                    self.reject(record, "EventTooOld", f"{time} is {published - happened} ms before the publish time")
                    continue
                clock = max(clock, min(happened, published))
            good.append(record)
            kept.append(event)
        self.clock = clock
        return good, kept

    def reject(self, record: Record, error_class: str, message: str) -> None:
        """Put a record into the dead letters, whole, with the reason."""
        tenant = record.key.split(b"|", 1)[0].decode("utf-8", "replace") if record.key else None
        letter = {
            "tenant_id": tenant,
            "source_topic": self._source,
            "source_partition": self.partition,
            "source_offset": record.offset,
            "source_timestamp": record.timestamp,
            "agent": self.agent.name,
            "error_class": error_class,
            "message": message[:1000],
            "key": record.key,
            "value": record.value,
            "headers": [{"name": name, "value": value} for name, value in record.headers],
        }
        row = (record.key, topics.DEAD_LETTERS.codec.encode(letter))
        # Records are rejected in passes (bytes, key and time, the agent's own reasons): their order in the log must
        # not depend on which of them shared a frame.
        place = bisect(self._rejected, record.offset)
        self._rejected.insert(place, record.offset)
        count = self._counts[topics.DEAD_LETTERS.name]
        self._rows(topics.DEAD_LETTERS, self.partition % count).insert(place, row)

    def send(self, topic: Topic, records: Iterable[dict[str, Any]]) -> None:
        """Encode records and write them with this frame, each to the partition of its key.

        Raises EncodeError when a record does not fit the schema of its topic.
        """
        encode, key_of = topic.codec.encode, topic.key_of
        rows = [(key_of(record), encode(record)) for record in records]
        count = self._counts[topic.name]
        if topic.key == self.agent.input.key and count == self._counts[self.agent.input.name]:
            self._rows(topic, self.partition).extend(rows)
            return
        for row in rows:
            self._rows(topic, topic.partition_of(row[0], count)).append(row)

    def send_encoded(self, topic: Topic, rows: Iterable[Row]) -> None:
        """Write encoded rows to the input's own partition number: for outputs keyed as the input."""
        self._rows(topic, self.partition).extend(rows)

    def _rows(self, topic: Topic, partition: int) -> list[Row]:
        return self.outputs.setdefault((topic.name, partition), [])
