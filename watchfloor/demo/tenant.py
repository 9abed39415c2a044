"""An act about one made tenant: a past that is learned from, live days, and what the model was worth in them."""

import asyncio
import time
from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.classifiers import TooFewLabels
from schemas.topics import Topic
from sinks.store import Store, quoted
from watchfloor.demo.act import Act, Served, Trained
from watchfloor.demo.terminal import Terminal
from watchfloor.demo.watch import Seen
from watchfloor.demo.worlds import Record, World
from watchfloor.settings import Settings

LIVE_S = 6.0
"""So long the live days take."""

SHOWN = 5
"""Of what is shown as it comes; the rest is counted."""

SCORED = """
SELECT event_id, probability, risk_level, model_version, features, advice, held_out FROM {database}.v_predictions
WHERE model = {{model:String}} AND event_time >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
ORDER BY event_time, event_id
"""


class TenantAct(Act):
    """The story of a tenant.

    Attributes:
        title, nouns: of the act; words for its events and for what comes of them.
        rule: version of what serves where there is no model.
        answers: topic of its predictions.
    """

    title: ClassVar[str]
    nouns: ClassVar[tuple[str, str]]
    rule: ClassVar[str]
    answers: ClassVar[Topic]

    def __init__(self, settings: Settings, store: Store, terminal: Terminal, stop: asyncio.Event) -> None:
        super().__init__(settings, store, terminal, stop)
        self.shown = 0

    @abstractmethod
    def world(self, today: date) -> World:
        """What is played."""

    @abstractmethod
    def learn(self, tenant: str) -> tuple[Trained, str]:
        """A model of what ClickHouse has, and in words what it learned from. Raises TooFewLabels."""

    @abstractmethod
    def line(self, prediction: Record) -> tuple[str, str] | None:
        """A kind and words for a live prediction that is worth showing; None for others."""

    @abstractmethod
    def worth(self, world: World, scored: Sequence[Record]) -> dict[str, Any]:
        """Show what came of the live predictions, as ClickHouse has them; gives figures."""

    async def story(self, found: dict[str, Any]) -> None:
        terminal, (noun, said) = self.terminal, self.nouns
        terminal.title(self.title)
        with terminal.waiting(f"simulating {noun}"):
            world: World = await self.do(self.world, datetime.now(UTC).date())
        await self._past(world)
        found["backfilled"] = len(world.past.events)
        served = await self._train(world.tenant)
        found["served_by"] = {served.tenant: served.version or self.rule}
        live = world.live
        terminal.title(f"Live, in {LIVE_S:.0f} seconds: {len(live.events):,} {noun}")
        await self.watched((self.answers,), self._see, live, LIVE_S)
        if self.shown > SHOWN:
            terminal.note(f"... {self.shown} in all")
        began = time.monotonic()
        with terminal.waiting(f"{len(world.after.outcomes):,} {said} come in"):
            await self.play(world.after)
            judged = world.judged(live, world.after)
            await self.labelled(judged)
        joined = len(judged & {event["event_id"] for event in live.events})
        terminal.done("Joined", f"{joined:,} live {noun} are labelled by {said}", time.monotonic() - began)
        found["live"] = {"events": len(live.events), "shown": self.shown, "labelled": joined}
        query = SCORED.format(database=quoted(self.store.database))
        values = {"model": self.model, "since": live.events[0]["occurred_at"]}
        scored = await self.do(self.store.query, query, values)
        terminal.title("What it did in that time, as ClickHouse has it")
        found["figures"] = await self.do(self.worth, world, scored)

    async def _past(self, world: World) -> None:
        began, past, (noun, said) = time.monotonic(), world.past, self.nouns
        days = round((past.events[-1]["occurred_at"] - past.events[0]["occurred_at"]) / 86_400_000)
        with self.terminal.waiting(f"{len(past.events):,} {noun} of the past, and {len(past.outcomes):,} {said}"):
            await self.play(past)
            await self.scored(len(past.events))
            await self.labelled(world.judged(past))
        what = f"{len(past.events):,} {noun} of {days} days of {world.tenant} scored by the rule, "
        what += f"{len(past.outcomes):,} {said} joined"
        self.terminal.done("Past", what, time.monotonic() - began)

    async def _train(self, tenant: str) -> Served:
        began = time.monotonic()
        try:
            with self.terminal.waiting(f"training for {tenant}"):
                trained, learned = await self.do(self.learn, tenant)
                manifest = await self.do(self.keep, tenant, trained)
                await self.control([self.activation(tenant, manifest.version)])
        except TooFewLabels as error:
            served = Served(tenant, f"the documented rule: {error}")
        else:
            why = f"a model of its own ({manifest.version}), active: {learned}"
            served = Served(tenant, why, manifest.version)
        self.terminal.done("Model", f"[bold]{tenant}[/bold]: {served.why}", time.monotonic() - began)
        return served

    def _see(self, seen: Seen) -> None:
        """Show the first ones that are worth it; in the thread that reads."""
        line = self.line(seen.record)
        if line is None:
            return
        self.shown += 1
        if self.shown <= SHOWN:
            kind, words = line
            self.terminal.case(kind, seen.record["tenant_id"], seen.record["risk_level"], words)


def table(scored: Sequence[Record]) -> NDArray[np.float64]:
    """Features of predictions, (rows, features), NaN for what is missing."""
    return np.array([row["features"] for row in scored], dtype=np.float64)
