"""The simulation, day by day."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from random import Random
from typing import Any

from models.ocr.redaction import plate
from models.readings import METER, VEHICLE
from producers.simulator.chance import stream
from producers.simulator.ocr.corrections import correction
from producers.simulator.ocr.engine import VERSIONS, Engine
from producers.simulator.ocr.gates import CHARACTERS, Gate
from producers.simulator.ocr.meters import DIGITS, Meter
from producers.simulator.ocr.scenario import Scenario

HOUR_MS = 3_600_000
UPGRADED = 0.55
"""Of the days: after so many the engines get their new version."""
SKIPPED = 0.06
"""Of a meter's days: nobody takes an image."""
SWAPPED = 0.0015
"""Of a meter's images: they show another meter."""

Record = dict[str, Any]


@dataclass(slots=True)
class Day:
    """What became known up to the end of a day, each in the order of time.

    `truth` has one record for each wrong reading among `events`: tenant_id, event_id, mechanism. It is for evaluation;
    no model may read it.
    """

    day: date
    events: list[Record] = field(default_factory=list)
    outcomes: list[Record] = field(default_factory=list)
    truth: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class _Asset:
    """A meter or a gate with its camera, and a chance of its own."""

    source_type: str
    name: str
    thing: Meter | Gate
    engine: Engine
    chance: Random
    count: int = 0


class Simulation:
    """A run of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.tenants = [f"tenant-{number + 1}" for number in range(scenario.tenants)]

    def days(self) -> Iterator[Day]:
        """Every day in turn, then one with what is left; corrections that would come later are unknown."""
        scenario = self.scenario
        tenants = {name: self._assets(name) for name in self.tenants}
        end = _midnight(scenario.end)
        waiting: list[Record] = []
        for number in range(scenario.days):
            day = Day(scenario.start + timedelta(number))
            for tenant, assets in tenants.items():
                for asset in assets:
                    waiting += self._live(tenant, asset, assets, number, day)
            for records in (day.events, day.truth):
                records.sort(key=itemgetter("occurred_at", "tenant_id", "event_id"))
            for record in day.truth:
                del record["occurred_at"]
            until = _midnight(day.day + timedelta(1))
            day.outcomes = _ordered([each for each in waiting if each["decided_at"] < until])
            waiting = [each for each in waiting if each["decided_at"] >= until]
            yield day
        yield Day(scenario.end, outcomes=_ordered([each for each in waiting if each["decided_at"] < end]))

    def _assets(self, tenant: str) -> list[_Asset]:
        scenario, made = self.scenario, []
        for number in range(scenario.meters + scenario.gates):
            is_meter = number < scenario.meters
            name = f"meter-{number + 1}" if is_meter else f"gate-{number + 1 - scenario.meters}"
            r = stream(scenario.seed, "ocr", tenant, name)
            thing: Meter | Gate = Meter.made(name, r) if is_meter else Gate.made(name, r)
            engine = Engine.made(DIGITS if is_meter else CHARACTERS, scenario.error_rate, r)
            made.append(_Asset(METER if is_meter else VEHICLE, name, thing, engine, r))
        return made

    def _live(self, tenant: str, asset: _Asset, all_of: list[_Asset], number: int, day: Day) -> Iterator[Record]:
        """A day of an asset; what people say of its readings."""
        r, weekend = asset.chance, day.day.weekday() >= 5
        asset.engine.next_day(r)
        shown: list[tuple[float, str]] = []
        if isinstance(asset.thing, Meter):
            asset.thing.next_day(weekend, r)
            if r.random() >= SKIPPED:
                shown = [(asset.thing.hour + r.uniform(-0.5, 0.5), asset.thing.shown)]
        else:
            shown = asset.thing.next_day(weekend, r)
        for hour, text in shown:
            yield from self._read(tenant, asset, all_of, number, day, _midnight(day.day) + int(hour * HOUR_MS), text)

    def _read(
        self, tenant: str, asset: _Asset, all_of: list[_Asset], number: int, day: Day, at: int, text: str
    ) -> Iterator[Record]:
        r, thing = asset.chance, asset.thing
        swapped, other = r.random() < SWAPPED and isinstance(thing, Meter), r.choice(all_of).thing
        there = other.shown if swapped and isinstance(other, Meter) else text
        newer = number >= UPGRADED * self.scenario.days
        read = asset.engine.read(there, r)
        asset.count += 1
        name = f"{asset.name}-{asset.count}"
        confidence = asset.engine.confidence(read == there, newer, r)
        unit = thing.unit if isinstance(thing, Meter) else None
        shows_unit = isinstance(thing, Meter) and thing.shows_unit
        event = {
            "tenant_id": tenant,
            "event_id": f"ocr-{name}",
            "source_type": asset.source_type,
            "source_id": f"img-{name}",
            "asset_id": asset.name,
            "raw_text": f"{read} {unit}" if shows_unit else read,
            "value": float(read) if unit is not None and read.isdigit() else None,
            "unit": unit,
            "confidence": confidence,
            "engine": "reader",
            "engine_version": VERSIONS[newer],
            "image_uri": f"file:///images/{tenant}/{name}.jpg",
            "occurred_at": at,
        }
        day.events.append(event)
        # A meter without its first zero shows the same, and so does a plate without its dash.
        wrong = plate(read) != plate(text) and not (unit is not None and read.isdigit() and int(read) == int(text))
        if wrong:
            mechanism = "other_asset" if there != text else "misread"
            names = {key: event[key] for key in ("tenant_id", "event_id", "occurred_at")}
            day.truth.append({**names, "mechanism": mechanism})
        said = correction(event, text, wrong, there != text, self.scenario.corrected, self.scenario.checked, r)
        if said is not None:
            yield said


def _ordered(records: list[Record]) -> list[Record]:
    return sorted(records, key=itemgetter("decided_at", "tenant_id", "outcome_id"))


def _midnight(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
