"""Made syncs and OCR readings of a tenant each: what was known when the live days begin, those days, and what came."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol

from producers.simulator import ocr, sync
from producers.simulator.tenants import midnight

Record = dict[str, Any]

USERS, SYNC_DAYS = 60, 19
"""Users who sync, and the days of it, weekends among them; the last one is played live."""
SYNC_OUTCOMES = timedelta(3)
"""After it come the last outcomes."""

METERS, GATES, OCR_DAYS, OCR_LIVE = 180, 2, 24, 3
"""Meters and gates that are read, and the days of it, of which the last ones are played live."""
CORRECTIONS = timedelta(4)
"""After them come corrections."""


@dataclass(frozen=True, slots=True)
class Part:
    """Events and outcomes of some time, each in its order."""

    events: list[Record]
    outcomes: list[Record]


@dataclass(frozen=True, slots=True)
class World:
    """A tenant's events and what came of them.

    Attributes:
        past: what was known when the live days began.
        live: the live days.
        after: outcomes later than they, without events.
        about: the id of the event that an outcome is about, by the outcome's id.
        truth: ids of the events that conflict, or were read wrong.
    """

    tenant: str
    past: Part
    live: Part
    after: Part
    about: Mapping[str, str]
    truth: frozenset[str]

    def judged(self, *parts: Part) -> set[str]:
        """Ids of the events that the outcomes of these parts are about."""
        return {self.about[outcome["outcome_id"]] for part in parts for outcome in part.outcomes}


class Day(Protocol):
    """A day of either simulation."""

    events: list[Record]
    outcomes: list[Record]
    truth: list[Record]


def syncs(today: date, users: int = USERS, days: int = SYNC_DAYS) -> World:
    """Users of one tenant who sync, until a working day that is played live; all of it before today (midnight UTC)."""
    end = today - SYNC_OUTCOMES
    while (end - timedelta(1)).weekday() >= 5:
        end -= timedelta(1)
    simulation = sync.Simulation(sync.Scenario(1, users, days, end - timedelta(days), seed=1))
    return _world(simulation.days(), ("event_id",), end - timedelta(1), end)


def readings(today: date, meters: int = METERS, gates: int = GATES, days: int = OCR_DAYS) -> World:
    """Meters and gates of one tenant, and corrections until today (midnight UTC)."""
    start, end = today - CORRECTIONS - timedelta(days), today - CORRECTIONS
    scenario = ocr.Scenario(1, meters, gates, (today - start).days, start, seed=1)
    simulation = ocr.Simulation(scenario)
    return _world(simulation.days(), ("asset_id", "source_id"), end - timedelta(OCR_LIVE), end)


def _world(days: Iterable[Day], names: tuple[str, ...], since: date, until: date) -> World:
    """`names`: the fields by which an outcome names its event."""
    begin, end = midnight(since), midnight(until)
    events, outcomes, truth = list[Record](), list[Record](), set[str]()
    for day in days:
        events += [event for event in day.events if event["occurred_at"] < end]
        outcomes += day.outcomes
        truth |= {record["event_id"] for record in day.truth}
    known = {tuple(event[name] for name in names): event["event_id"] for event in events}
    said = [(known.get(tuple(outcome[name] for name in names)), outcome) for outcome in outcomes]
    about = {outcome["outcome_id"]: event for event, outcome in said if event is not None}
    outcomes = [outcome for outcome in outcomes if outcome["outcome_id"] in about]
    past, live = parted(events, "occurred_at", begin)
    before, rest = parted(outcomes, "decided_at", begin)
    during, after = parted(rest, "decided_at", end)
    tenant = events[0]["tenant_id"]
    return World(tenant, Part(past, before), Part(live, during), Part([], after), about, frozenset(truth))


def parted(records: Iterable[Record], time: str, since: int) -> tuple[list[Record], list[Record]]:
    """Records before a time and from it on, epoch milliseconds, each in order."""
    ordered = sorted(records, key=lambda record: record[time])
    place = sum(record[time] < since for record in ordered)
    return ordered[:place], ordered[place:]
