"""The dead letters as their topic has them: read, choose, and put back where they came from.

A replay is a Kafka transaction of the records and, for each, a dead letter of the class Replayed that names the letter:
so what was replayed is known for as long as the letter itself, and stands in v_dead_letters with who did it.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.records import FAULTS, Rejected, reader
from schemas.codec import DecodeError
from schemas.topics import CATALOGUE, DEAD_LETTERS, Topic
from streams.runtime.letters import WITHHELD
from streams.sealing import SealedError, Sealer
from watchfloor.log import message_at, messages

AGENT = "dlq"
REPLAYED = "Replayed"
# Letters that stand for something else than a record of their source.
NO_RECORDS = {REPLAYED, "RecordsLost"}
HEADER = "watchfloor-replayed"
LIMIT_S = 30.0
BATCH_RECORDS = 500
BATCH_BYTES = 8 << 20
NEWEST = 20

Position = tuple[int, int]
Edit = Callable[[dict[str, Any]], dict[str, Any]]


class NotReplayable(Exception):
    """A letter that would be a dead letter again, or that stands for no record; the text says why."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter and its place in the dead-letter topic. `timestamp`: when it was written, epoch milliseconds."""

    partition: int
    offset: int
    timestamp: int
    record: dict[str, Any]

    @property
    def position(self) -> Position:
        return self.partition, self.offset

    @property
    def id(self) -> str:
        """How people name it: PARTITION:OFFSET in the dead-letter topic."""
        return f"{self.partition}:{self.offset}"

    @property
    def group(self) -> tuple[str, str, str, str]:
        record = self.record
        return record["agent"], record["error_class"], record["source_topic"], record["tenant_id"] or ""

    def opened(self, sealer: Sealer) -> "Letter":
        """The letter with what was sealed in it. Raises SealedError."""
        return replace(self, record=sealer.open(self.record))

    @property
    def timer(self) -> bytes | None:
        """Name of the agent's timer that it stands for, which never lay in a topic; None where it holds a record."""
        if self.record["source_offset"] >= 0:
            return None
        return next((one["value"] for one in self.record["headers"] if one["name"] == "timer"), b"")

    @property
    def replays(self) -> Position | None:
        """The letter whose replay this one records."""
        if self.record["agent"] == AGENT and self.record["error_class"] == REPLAYED:
            return self.record["source_partition"], self.record["source_offset"]
        return None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant. `topic` is a name without the prefix; None and an empty set choose all."""

    agent: str | None = None
    error_class: str | None = None
    topic: str | None = None
    tenant: str | None = None
    since: int = 0
    positions: frozenset[Position] = frozenset()

    def takes(self, letter: Letter, prefix: str) -> bool:
        record = letter.record
        wanted = (
            (self.agent, record["agent"]),
            (self.error_class, record["error_class"]),
            (self.topic and prefix + self.topic, record["source_topic"]),
            (self.tenant, record["tenant_id"]),
        )
        return all(one is None or one == found for one, found in wanted) and (
            not self.positions or letter.position in self.positions
        )


@dataclass(slots=True)
class Group:
    """Letters of one agent, class, source topic and tenant. Times: epoch milliseconds."""

    count: int = 0
    replayed: int = 0
    oldest: int = 0
    newest: int = 0


@dataclass(slots=True)
class Survey:
    """What the topic holds of a choice. `ends`: the first offset of each partition that was not looked at."""

    groups: dict[tuple[str, str, str, str], Group] = field(default_factory=dict)
    chosen: dict[Position, Group] = field(default_factory=dict)
    newest: deque[Letter] = field(default_factory=lambda: deque(maxlen=NEWEST))
    replayed: set[Position] = field(default_factory=set)
    ends: dict[int, int] = field(default_factory=dict)

    @property
    def open(self) -> int:
        """How many of the chosen were not replayed yet."""
        return sum(position not in self.replayed for position in self.chosen)


@dataclass(slots=True)
class Summary:
    """What a replay did. `skipped`: letter and reason."""

    replayed: int = 0
    already: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def letters(servers: str, prefix: str, since: int = 0) -> Iterator[Letter]:
    """All of them, in order within each partition. Raises KafkaException."""
    for message in messages(servers, prefix + DEAD_LETTERS.name, since, follow=False, name=AGENT):
        yield _letter(message)


def letter_at(servers: str, prefix: str, position: Position) -> Letter | None:
    """One letter by its place; None when there is none (any more). Raises KafkaException."""
    message = message_at(servers, prefix + DEAD_LETTERS.name, *position)
    return None if message is None else _letter(message)


def _letter(message: Message) -> Letter:
    partition, offset, timestamp = message.partition() or 0, message.offset() or 0, message.timestamp()[1]
    raw = message.value() or b""
    try:
        record = DEAD_LETTERS.codec.decode(raw)
    except DecodeError as error:  # of a newer release, or of a stranger: still shown
        record = {
            "source_topic": message.topic(), "source_partition": partition, "source_offset": offset,
            "source_timestamp": timestamp, "agent": AGENT, "error_class": "Unreadable", "message": str(error),
            "key": message.key(), "value": raw, "headers": [], "tenant_id": None,
        }  # fmt: skip
    return Letter(partition, offset, timestamp, record)


def survey(
    servers: str, prefix: str, choice: Choice, newest: int = NEWEST, told: Callable[[int], None] = lambda _: None
) -> Survey:
    """Count the chosen letters and keep the newest. `told` hears how many letters were read. Raises KafkaException."""
    found = Survey(newest=deque(maxlen=newest))
    marks: list[Position] = []
    for read, letter in enumerate(letters(servers, prefix, choice.since), 1):
        told(read)
        found.ends[letter.partition] = letter.offset + 1
        replays = letter.replays
        if replays is not None:
            marks.append(replays)
            continue
        if not choice.takes(letter, prefix):
            continue
        group = found.groups.setdefault(letter.group, Group(oldest=letter.timestamp))
        group.count += 1
        group.oldest = min(group.oldest, letter.timestamp)
        group.newest = max(group.newest, letter.timestamp)
        found.chosen[letter.position] = group
        found.newest.append(letter)
    for position in marks:
        if position in found.chosen and position not in found.replayed:
            found.chosen[position].replayed += 1
        found.replayed.add(position)
    found.newest = deque(sorted(found.newest, key=lambda one: one.timestamp), maxlen=newest)
    return found


def source_of(letter: Letter, prefix: str) -> Topic | None:
    """The topic of the catalogue that it came from; None for another."""
    name: str = letter.record["source_topic"]
    return CATALOGUE.get(name.removeprefix(prefix)) if name.startswith(prefix) else None


def decoded(letter: Letter, prefix: str) -> dict[str, Any] | None:
    """Its record's value by the schema of its topic. None without value or topic. Raises DecodeError."""
    topic, value = source_of(letter, prefix), letter.record["value"]
    if topic is None or value is None:
        return None
    record: dict[str, Any] = topic.codec.decode(value)
    return record


def mended(letter: Letter, prefix: str, edit: Edit | None = None) -> bytes:
    """The value to send: as it came, or as `edit` changes it.

    Raises NotReplayable for what could only become a dead letter again, as far as can be told from outside.
    """
    topic, value = source_of(letter, prefix), letter.record["value"]
    if letter.timer is not None:
        raise NotReplayable(
            f"it stands for a timer of agent {letter.record['agent']}, and no record: nothing can be put back. Where "
            "the timer is still wanted, the agent sets it again with the next record of this key"
        )
    if letter.record["error_class"] in NO_RECORDS:
        raise NotReplayable(f"a letter of the class {letter.record['error_class']} stands for no record")
    if topic is None:
        raise NotReplayable(f"{letter.record['source_topic']} is no topic of prefix {prefix!r}")
    try:
        record = decoded(letter, prefix)
    except DecodeError as error:
        raise NotReplayable(f"still cannot be read: {error}") from error
    if letter.record["message"] == WITHHELD:
        raise NotReplayable(WITHHELD)
    if record is None or value is None:
        raise NotReplayable("the record has no value")
    if edit is not None:
        try:
            record = reader(topic).read(edit(record))
        except Rejected as error:
            raise NotReplayable(f"not a record of {topic.name} any more: {error}") from error
        value = topic.codec.encode(record)
    key = letter.record["key"]
    if topic.key is not None and topic.key_of(record) != key:
        raise NotReplayable(f"the key is {key!r}, which is kept; the record's own fields make {topic.key_of(record)!r}")
    fault = FAULTS.get(topic.name)
    wrong = fault(record) if fault else None
    if wrong:
        raise NotReplayable(wrong)
    sent: bytes = value
    return sent


class Replayer:
    """Puts letters back. Only one works at a time per prefix: a second one takes over, and the first one fails.

    Raises KafkaException from every method; what is not committed then never happened.
    """

    def __init__(self, servers: str, prefix: str, by: str, sealer: Sealer) -> None:
        self.servers, self.prefix, self.by, self.sealer = servers, prefix, by, sealer
        self._letters = prefix + DEAD_LETTERS.name
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "transactional.id": f"{prefix}{AGENT}",
                "transaction.timeout.ms": int(2 * LIMIT_S * 1000),
                "compression.type": "lz4",
                "message.max.bytes": DEAD_LETTERS.max_message_bytes or 32 << 20,
                "log_level": 0,
            }
        )

    def __enter__(self) -> Self:
        self._producer.init_transactions(LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.flush(LIMIT_S)

    def run(
        self,
        choice: Choice,
        ends: dict[int, int],
        *,
        again: bool = False,
        skip: bool = False,
        edit: Edit | None = None,
        told: Callable[[int], None] = lambda _: None,
    ) -> Summary:
        """Replay the chosen letters that lie before `ends`, in the order of the log.

        Args:
            again: also those that were replayed before.
            skip: go on after a letter that cannot be replayed; else raise NotReplayable, with all before it replayed.
            told: hears how many were replayed, after each transaction.
        """
        # Read after the lock was taken: nobody else can add to it.
        replayed = survey(self.servers, self.prefix, choice, newest=0).replayed
        summary = Summary()
        batch: list[tuple[Letter, Letter, bytes]] = []
        size = 0
        for letter in letters(self.servers, self.prefix, choice.since):
            before = letter.offset < ends.get(letter.partition, 0)
            if not before or letter.replays is not None or not choice.takes(letter, self.prefix):
                continue
            if letter.position in replayed and not again:
                summary.already += 1
                continue
            try:
                opened = letter.opened(self.sealer)
                value = mended(opened, self.prefix, edit)
            except (SealedError, NotReplayable) as error:
                if not skip:
                    self._send(batch, edit is not None)
                    summary.replayed += len(batch)
                    told(summary.replayed)
                    raise NotReplayable(f"{letter.id}: {error}; {summary.replayed} before it were replayed") from error
                summary.skipped.append((letter.id, str(error)))
                continue
            batch.append((letter, opened, value))
            size += len(value)
            if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
                self._send(batch, edit is not None)
                summary.replayed += len(batch)
                told(summary.replayed)
                batch, size = [], 0
        self._send(batch, edit is not None)
        summary.replayed += len(batch)
        told(summary.replayed)
        return summary

    def _send(self, batch: list[tuple[Letter, Letter, bytes]], edited: bool) -> None:
        """Records and marks in one transaction, of letters as they lie there and as they were opened."""
        if not batch:
            return
        failed: list[Any] = []

        def delivered(error: Any, _: Message) -> None:
            if error is not None:
                failed.append(error)

        counts = {name: self._partitions(name) for name in {letter.record["source_topic"] for letter, _, _ in batch}}
        self._producer.begin_transaction()
        try:
            for letter, opened, value in batch:
                record = opened.record
                topic, key, count = record["source_topic"], record["key"], counts[record["source_topic"]]
                kept = [(one["name"], one["value"]) for one in record["headers"] if one["name"] != HEADER]
                known = CATALOGUE[topic.removeprefix(self.prefix)]
                self._produce(
                    topic,
                    record["source_partition"] % count if key is None else known.partition_of(key, count),
                    key,
                    value,
                    [*kept, (HEADER, letter.id.encode())],
                    delivered,
                )
                mark = DEAD_LETTERS.codec.encode(self._mark(letter, edited))
                self._produce(self._letters, letter.partition, letter.record["key"], mark, [], delivered)
            self._producer.commit_transaction(LIMIT_S)
        except KafkaException as error:
            # Readers wait behind an open transaction. When it cannot be ended here, its time limit ends it.
            with suppress(KafkaException):
                self._producer.abort_transaction(LIMIT_S)
            if failed:
                raise KafkaException(failed[0]) from error
            raise

    def _produce(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: list[Any], delivered: Any
    ) -> None:
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers, on_delivery=delivered)
            except BufferError as error:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._QUEUE_FULL)) from error
                self._producer.poll(0.1)
            else:
                return

    def _mark(self, letter: Letter, edited: bool) -> dict[str, Any]:
        record = letter.record
        place = f"{record['source_topic']}[{record['source_partition']}] at {record['source_offset']}"
        return {
            "tenant_id": record["tenant_id"],
            "source_topic": self._letters,
            "source_partition": letter.partition,
            "source_offset": letter.offset,
            "source_timestamp": letter.timestamp,
            "agent": AGENT,
            "error_class": REPLAYED,
            "message": f"{record['error_class']} of {place} was replayed{' edited' if edited else ''} by {self.by}"[
                :1000
            ],
            "key": record["key"],
            "value": None,
            "headers": [],
        }

    def _partitions(self, topic: str) -> int:
        found = self._producer.list_topics(topic, timeout=LIMIT_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return len(found.partitions)
