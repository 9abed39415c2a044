"""What was read of an agent's inputs and waits to be processed, for one partition number."""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

from streams.runtime import kafka
from streams.runtime.frame import InputRecord, Record, order

if TYPE_CHECKING:
    from streams.runtime.engine import Engine

MAX_RECORDS = 8000
MAX_FRAME_BYTES = 4 * 1024 * 1024
# What may wait here, in frames.
BUFFER_FRAMES = 3


class Input:
    """One partition of one input topic.

    Attributes:
        topic: its name without the prefix.
        expected: next offset to be read; None while the partition is closed.
        waiting: read and not yet taken.
    """

    def __init__(self, engine: "Engine", topic: str, number: int) -> None:
        self.engine = engine
        self.topic = topic
        self._named = len(engine.agent.inputs) > 1
        self.tp = TopicPartition(engine.topic(topic), number)
        self.expected: int | None = None
        self.waiting: list[Any] = []
        self._bytes = 0
        self._paused = False
        self._answer = kafka.NO_ANSWER
        # First offset and answer of what waits.
        self._arrivals: deque[tuple[int, int]] = deque()

    def open(self, offset: int) -> None:
        self.waiting, self._bytes, self._paused, self.expected = [], 0, False, offset
        self._arrivals.clear()
        # The end that is known may be as old as the partition was closed.
        kafka.forget_end(self.engine.consumer, self.tp)
        self.seek()

    def close(self) -> None:
        was_open = self.expected is not None
        self.waiting, self._bytes, self.expected = [], 0, None
        if was_open:
            self.seek()

    def push(self, records: list[Record]) -> bool:
        """Take what the consumer fetched just now; False when there is nothing new in it."""
        if self.expected is None:
            return False
        if records[0].offset < self.expected:
            records = [record for record in records if record.offset >= self.expected]
            if not records:
                return False
        if self._named:
            answer = kafka.last_answer(self.engine.consumer, self.tp)
            self._arrivals.append((records[0].offset, answer.came))
            records = [_named(self.topic, one) for one in records]
        self.waiting += records
        self._bytes += sum(len(record.value or b"") for record in records)
        self.expected = records[-1].offset + 1
        if not self._paused and self._full >= BUFFER_FRAMES:
            self._paused = True
            self.engine.consumer.pause(self.tp)
        return True

    def take(self, count: int) -> list[Record]:
        """The next `count` records, fewer of large ones."""
        # By their mean size, as no frame need be cut to the byte.
        size = min(count, max(1, len(self.waiting) * MAX_FRAME_BYTES // max(1, self._bytes)))
        records: list[Record] = self.waiting[:size]
        self.drop(size)
        return records

    def drop(self, count: int) -> None:
        """Let the next `count` records go: they were taken."""
        waiting = len(self.waiting)
        self.waiting = self.waiting[count:]
        self._bytes = self._bytes * len(self.waiting) // max(1, waiting)
        while len(self._arrivals) > 1 and (not self.waiting or self._arrivals[1][0] <= self.waiting[0].offset):
            self._arrivals.popleft()
        if self._paused and self._full < BUFFER_FRAMES / 2:
            self._paused = False
            try:
                self.engine.consumer.resume(self.tp)
            except IllegalStateError:
                self.engine.log.debug("%s: no resume during a rebalance", self.tp)

    def seek(self) -> None:
        """Let the consumer read from here on; a closed partition is not read."""
        consumer = self.engine.consumer
        try:
            consumer.seek(self.tp, self.expected or 0)
            if self._paused or self.expected is None:
                consumer.pause(self.tp)
            else:
                consumer.resume(self.tp)
        except IllegalStateError:
            # A rebalance took the assignment away for now; the next one calls this again.
            self.engine.log.debug("%s: no seek during a rebalance", self.tp)

    @property
    def read_to_end(self) -> bool:
        """Whether the log had nothing more than what was read when the broker answered last."""
        return kafka.read_to_end(self.engine.consumer, self.tp)

    @property
    def at_end(self) -> bool:
        """Whether all of it was taken, too."""
        return not self.waiting and self.read_to_end

    def answered(self) -> bool:
        """Whether the broker has answered since this was asked last."""
        before, self._answer = self._answer, kafka.last_answer(self.engine.consumer, self.tp)
        return self._answer != before

    def certain_until(self, others: Iterable["Input"]) -> float:
        """The first waiting offset before which a record of other inputs may still come, of which nothing waits here.

        The end of another log as the broker knew it before a record came is of no use: both may have grown since.
        """
        answers = [kafka.last_answer(each.engine.consumer, each.tp) for each in others]
        until = math.inf
        for first, came in reversed(self._arrivals):
            if all(came < answer.asked or came == answer.came for answer in answers):
                break
            until = first
        return until

    @property
    def _full(self) -> float:
        """How many full frames wait here."""
        return max(len(self.waiting) / MAX_RECORDS, self._bytes / MAX_FRAME_BYTES)


def merged(inputs: Sequence[Input], count: int) -> list[Record]:
    """The next records of an agent's inputs, at most `count`, by timestamp, topic and offset.

    Where an input has nothing waiting although its log has more, or may have got more before the records that wait,
    the others wait for it: their order is that of the records, not that of their arrival.
    """
    if len(inputs) == 1:
        return inputs[0].take(count)
    places = {each: 0 for each in inputs if each.waiting}
    heads = {each: order(each.waiting[0]) for each in places}
    until = _certain(inputs, heads)
    taken: list[Record] = []
    size = 0
    while heads and len(taken) < count and size < MAX_FRAME_BYTES:
        source = min(heads, key=heads.__getitem__)
        record = source.waiting[places[source]]
        if record.offset >= until[source]:
            break
        taken.append(record)
        size += len(record.value or b"")
        places[source] += 1
        if places[source] < len(source.waiting):
            heads[source] = order(source.waiting[places[source]])
        else:
            del heads[source]
            until = _certain(inputs, heads)
    for source, place in places.items():
        source.drop(place)
    return taken


def _certain(inputs: Sequence[Input], heads: Mapping[Input, object]) -> dict[Input, float]:
    """For each input that has records left, the offset up to which they may be taken as the others have none."""
    empty = [each for each in inputs if each not in heads]
    if not all(each.read_to_end for each in empty):
        return dict.fromkeys(heads, 0)
    return {each: each.certain_until(empty) for each in heads}


def _named(topic: str, record: Record) -> InputRecord:
    return InputRecord(record.key, record.value, record.timestamp, record.offset, record.headers, topic)
