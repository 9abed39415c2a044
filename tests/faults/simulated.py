"""Seeded messages of a simulated domain: events, and what comes of them early, late, twice, reversed or never."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, Protocol

from schemas.topics import Topic
from tests.faults.recovery import birth_mark
from tests.faults.samples import Message

DAYS = 22
"""Of a simulation. It ends four days ago: events of the last 30 days are taken, outcomes come three days later."""
EARLY, TWICE, REVERSED = 0.2, 0.03, 0.05
"""Of outcomes: before their events, where they are of the same day; again; with one that says the opposite."""
REPEATED, CONFLICTING = 0.02, 0.003
HOUR_MS = 3_600_000

Record = dict[str, Any]


class Day(Protocol):
    """A simulated day."""

    events: list[Record]
    outcomes: list[Record]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a domain's simulation gives.

    Attributes:
        days: the days of one, by its seed.
        events, outcomes: where its records go.
        link: the field by which an outcome names its event.
        other: what a conflicting repeat of an event says instead.
        reverse: what an outcome that says the opposite says instead.
        between: key of an event on its way between two agents; its own key where there is one agent.
    """

    days: Callable[[int], Iterable[Day]]
    events: Topic
    outcomes: Topic
    link: str
    other: Record
    reverse: Callable[[Record], Record]
    between: Callable[[Record], bytes]


def first_day() -> date:
    return (datetime.now(UTC) - timedelta(DAYS + 4)).date()


class Simulated:
    """An endless stream of messages, one simulation of `DAYS` after the other, each day's outcomes around its events.

    Event ids say when they were published, and through which partition they go between two agents, so that every way
    is watched. An event whose outcome comes early has the time of that.
    """

    def __init__(self, kind: Kind, seed: int, partitions: int, odd: bool = True) -> None:
        """odd: whether repeats, conflicting repeats and outcomes early, twice and reversed are mixed in."""
        self.random = random.Random(seed)
        self.kind, self.seed, self.partitions, self.odd = kind, seed, partitions, odd
        self._recent: deque[Record] = deque(maxlen=500)
        self._names: dict[tuple[str, str], str] = {}
        self._messages = self._stream()

    def next(self) -> Message:
        return next(self._messages)

    def _stream(self) -> Iterator[Message]:
        for number in count():
            self._names.clear()
            for day in self.kind.days(self.seed + number):
                events = {self._place(event): event for event in day.events}
                late = []
                for outcome in day.outcomes:
                    event = events.get(self._place(outcome))
                    if self.odd and event is not None and self.random.random() < EARLY:
                        self._name(event)
                        yield from self._told(outcome, "early")
                    else:
                        late.append(outcome)
                for event in day.events:
                    yield from self._repeated()
                    yield self._good(event)
                for outcome in late:
                    yield from self._told(outcome, "outcome")

    def _good(self, event: Record) -> Message:
        name = self._name(event)
        record = event | {"event_id": name, self.kind.link: name}
        self._recent.append(record)
        return message("good", self.kind.events, record)

    def _repeated(self) -> Iterator[Message]:
        roll = self.random.random()
        if self.odd and self._recent and roll < REPEATED + CONFLICTING:
            old = self.random.choice(self._recent)
            if roll < REPEATED:
                yield message("repeat", self.kind.events, old)
            else:
                yield message("conflict", self.kind.events, old | self.kind.other)

    def _told(self, outcome: Record, intent: str) -> Iterator[Message]:
        """An outcome, again, or with a newer one that says the opposite, which comes before it or after it."""
        topic, roll = self.kind.outcomes, self.random.random()
        first = outcome | {self.kind.link: self._names[self._place(outcome)]}
        told = [message(intent, topic, first)]
        if self.odd and roll < TWICE:
            told *= 2
        elif self.odd and roll < TWICE + REVERSED:
            newer = {"outcome_id": f"{first['outcome_id']}r", "decided_at": first["decided_at"] + HOUR_MS}
            told.append(message("reversed", topic, first | self.kind.reverse(first) | newer))
            self.random.shuffle(told)
        yield from told

    def _place(self, record: Record) -> tuple[str, str]:
        return record["tenant_id"], record[self.kind.link]

    def _name(self, event: Record) -> str:
        place = self._place(event)
        if place not in self._names:
            way = self.kind.events.partition_of(self.kind.between(event), self.partitions)
            self._names[place] = f"{event['event_id']}{birth_mark(time.time())}{way}."
        return self._names[place]


def message(intent: str, topic: Topic, record: Record) -> Message:
    return Message(intent, topic.key_of(record), topic.codec.encode(record), topic)
