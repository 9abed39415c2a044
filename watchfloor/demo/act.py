"""An act of the demonstration: what all domains of made events share, from publishing to the books."""

import asyncio
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

from models.classifiers import Scorer, artifact
from models.registry import Manifest, Place, version_at
from models.registry.activation import Post, value_of
from producers.control import NoAnswer, ask_all, command
from producers.publish import Accepted, Publisher
from schemas.topics import DAY_MS, Topic
from sinks.store import Store, quoted
from watchfloor.demo.tally import scored, tally
from watchfloor.demo.terminal import Terminal
from watchfloor.demo.watch import Seen, Watch, event_ids
from watchfloor.demo.worlds import Part, Record
from watchfloor.registry import Shelf, in_words
from watchfloor.settings import Settings

AT_ONCE = 2000
STEP_MS = DAY_MS // 4
"""Of made time: so much of the past is published at once, events first, then what came of them."""

LIMIT_S = 300.0
"""For each step of the pipeline, on a busy machine."""

ANSWER_LIMIT_S = 60.0
POLL_S = 0.3

WHO, WHY = "demo", "demonstration"


class Stopped(Exception):
    """Somebody wants the demonstration to end."""


@dataclass(slots=True)
class Served:
    """What serves a tenant. `why`: in words; `version`: of its own model, if it has one."""

    tenant: str
    why: str
    version: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    certificate: Mapping[str, Any] | None = None


class Trained(Protocol):
    """A trained model of any domain."""

    @property
    def scorer(self) -> Scorer: ...

    def manifest(self, tenant: str, version: str, source: Mapping[str, Any]) -> Manifest: ...


class Act(ABC):
    """One run of it. `run` gives the figures for scripts.

    Args:
        settings: of the demonstration, with the servers' addresses.
        store: its database.
        stop: set when it is to end early.
    Attributes:
        name: what it is about, in words.
        model: whose predictions answer its events.
        events, outcomes: topics of what happens and of what came of it.
        view: of the outcomes' rows.
    """

    name: ClassVar[str]
    model: ClassVar[str]
    events: ClassVar[Topic]
    outcomes: ClassVar[Topic]
    view: ClassVar[str]

    def __init__(self, settings: Settings, store: Store, terminal: Terminal, stop: asyncio.Event) -> None:
        self.settings, self.store, self.terminal, self.stop = settings, store, terminal, stop
        self.publisher = Publisher(settings.kafka, prefix=settings.prefix, client="demo", limit_s=30)
        self.told: set[str] = set()
        """Ids of the outcomes that were published."""

    async def run(self) -> dict[str, Any]:
        """Everything until its figures are known; less where it was stopped.

        Raises KafkaException, TimeoutError, NoAnswer, Unavailable, Refused, Mismatch.
        """
        began = time.monotonic()
        found: dict[str, Any] = {"finished": False}
        with self.publisher:
            try:
                await self.story(found)
                found["finished"] = True
            except Stopped:
                self.terminal.note(f"Stopped: nothing more about {self.name}.")
        found["seconds"] = round(time.monotonic() - began, 1)
        with self.terminal.waiting(f"closing the books of {self.name}"):
            return found | await asyncio.to_thread(self.books)

    @abstractmethod
    async def story(self, found: dict[str, Any]) -> None:
        """Its steps; adds figures to `found`. Raises as `run`, and Stopped."""

    def books(self) -> dict[str, Any]:
        """Every event that is in Kafka against its prediction; every outcome against its row."""
        events = event_ids(self.settings.kafka, self.settings.prefix, self.events)
        ids = f"SELECT DISTINCT toString(outcome_id) AS id FROM {quoted(self.store.database)}.{self.view}"
        wanted, deadline = len(set(events)), time.monotonic() + LIMIT_S
        while True:
            stored = {row["id"] for row in self.store.query(ids)}
            if (scored(self.store, self.model) >= wanted and self.told <= stored) or time.monotonic() > deadline:
                break  # the books say what is missing
            time.sleep(POLL_S)
        found = tally(self.store, events, self.model)
        return {
            "events": found.events,
            "predictions": found.predictions,
            "lost": found.lost,
            "doubled": found.doubled,
            "verdicts": len(stored),
            "verdicts_lost": len(self.told - stored),
        }

    # -- what goes in ---------------------------------------------------------------------------------------

    async def publish(self, topic: Topic, records: Sequence[Record], time_field: str | None = None) -> None:
        """Publish records, with their own time as Kafka timestamp where a field is named."""

        def send(part: Sequence[Record]) -> None:
            times = None if time_field is None else [record[time_field] for record in part]
            for outcome in self.publisher.publish(topic, part, times):
                if not isinstance(outcome, Accepted):
                    raise TimeoutError(f"{topic.name}: {outcome}")
            if topic is self.outcomes:
                self.told.update(record["outcome_id"] for record in part)

        for first in range(0, len(records), AT_ONCE):
            await self.do(send, records[first : first + AT_ONCE])

    async def play(self, part: Part, seconds: float = 0.0) -> None:
        """Publish events and outcomes in the order in which they became known, evenly over some seconds; 0: at once."""
        if not part.events and not part.outcomes:
            return
        ways = [(self.events, part.events), (self.outcomes, part.outcomes)]
        times = [record[topic.time] for topic, records in ways for record in (*records[:1], *records[-1:])]
        first, span = min(times), max(times) - min(times)
        steps = max(1, round(seconds / POLL_S) or math.ceil(span / STEP_MS))
        begin, at = time.monotonic(), [0, 0]
        for step in range(1, steps + 1):
            until = first + span * step / steps
            for way, (topic, records) in enumerate(ways):
                due = at[way]
                while due < len(records) and records[due][topic.time] <= until:
                    due += 1
                await self.publish(topic, records[at[way] : due])
                at[way] = due
            if seconds:
                await self.pause(begin + seconds * step / steps - time.monotonic())

    async def control(self, commands: Sequence[Record]) -> None:
        """Have commands carried out. Raises NoAnswer, also where one was refused."""

        def answers() -> list[dict[str, Any]]:
            settings = self.settings
            return list(ask_all(settings.kafka, commands, prefix=settings.prefix, limit_s=ANSWER_LIMIT_S))

        found = await self.do(answers)
        refused = [each["message"] for each in found if each["outcome"] != "accepted"]
        if refused or len(found) < len(commands):
            raise NoAnswer(f"{len(found)} of {len(commands)} commands were answered; refused: {refused[:3]}")

    # -- models ---------------------------------------------------------------------------------------------

    def keep(self, tenant: str, trained: Trained) -> Manifest:
        """Sign and store a model of a tenant."""
        manifest = trained.manifest(tenant, version_at(datetime.now(UTC)), {"source": "clickhouse"})
        with in_words():
            Shelf.open(self.settings).publish(manifest, artifact.pack(trained.scorer))
        return manifest

    def activation(self, tenant: str, version: str) -> Record:
        """The command that lets a version serve a tenant."""
        return setting(tenant, Post(self.model).setting, value_of(Place(self.model, tenant), version))

    # -- what comes out -------------------------------------------------------------------------------------

    async def watched(self, topics: Sequence[Topic], see: Callable[[Seen], None], live: Part, seconds: float) -> None:
        """Play live, and hand what comes out to `see`, in another thread, until the last event is scored."""
        before = await self.do(scored, self.store, self.model)
        watch = await asyncio.to_thread(Watch, self.settings.kafka, self.settings.prefix, see, topics=topics)
        try:
            await self.play(live, seconds)
            await self.scored(before + len(live.events))
            await self.pause()
        finally:
            await asyncio.to_thread(watch.stop)

    async def scored(self, events: int) -> None:
        """Wait until so many events have their prediction in the database. Raises TimeoutError."""
        await self.until(lambda: scored(self.store, self.model) >= events, "the last score")

    async def labelled(self, events: Iterable[str]) -> None:
        """Wait until each of these events has its label, as far as it was published. Raises TimeoutError."""
        ids = f"SELECT DISTINCT event_id FROM {quoted(self.store.database)}.v_labelled_predictions "
        ids += "WHERE model = {model:String}"
        wanted = set(events)

        def joined() -> bool:
            return wanted <= {row["event_id"] for row in self.store.query(ids, {"model": self.model})}

        await self.until(joined, "the label of the last outcome")

    # -- waiting --------------------------------------------------------------------------------------------

    async def do(self, action: Callable[..., Any], *values: Any) -> Any:
        """Do it beside the story, unless it is to end."""
        if self.stop.is_set():
            raise Stopped
        return await asyncio.to_thread(action, *values)

    async def pause(self, seconds: float = POLL_S) -> None:
        if self.stop.is_set():
            raise Stopped
        await asyncio.sleep(max(0.0, seconds))

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what the database says. Raises TimeoutError."""
        deadline = time.monotonic() + LIMIT_S
        while not await self.do(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come within {LIMIT_S:.0f} s")
            await self.pause()


def setting(tenant: str, name: str, value: Any) -> Record:
    """The command that gives a setting its first value."""
    text = json.dumps(value)
    return command(action="set", tenant=tenant, name=name, value=text, expected_version=0, by=WHO, reason=WHY)
