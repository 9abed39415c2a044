"""What the fraud benchmark works on: simulated check-ins as the last agent reads them, and a trained model a tenant."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from models.classifiers import Examples, artifact
from models.control import DEFAULTS
from models.control import REFERENCES as BY_TOPIC
from models.fraud.artifact import NAME, FraudModel
from models.fraud.local_time import DAY_MS
from models.fraud.references import References
from models.fraud.replay import Replay
from models.fraud.training import Result, learn
from models.registry import Place, Registry, Signer, Trust
from models.registry.activation import Post, value_of
from models.registry.signing import trust
from producers.control import command
from producers.references import NONE, changes
from producers.simulator import LEVELS, Scenario, Simulation
from schemas import topics
from streams.attendance_devices import ATTENDANCE_DEVICES
from streams.attendance_intake import ATTENDANCE_INTAKE
from streams.control import CONTROL
from streams.runtime.control import Control
from streams.runtime.frame import InputRecord
from streams.runtime.offline import run

Record = dict[str, Any]

SCENARIO = Scenario(1, 400, 28, date(2026, 2, 2), 7, 0.01, LEVELS["medium"], 0.85)
HALF_MS = (SCENARIO.start - date(1970, 1, 1) + timedelta(SCENARIO.days) / 2) // timedelta(milliseconds=1)
"""When half of the time is over, epoch milliseconds."""
VERSION = "v20260301_000000"
MODELS = 2
"""Different ones; a tenant has a copy of one, which it shares with nobody."""
REFERENCES = ("control.sites", "control.calendars", "control.rosters")


@dataclass(frozen=True)
class World:
    """A simulated tenant.

    Attributes:
        events: of attendance.enriched, in their order.
        references: records of sites, calendars and rosters, by topic.
        trained: models of its past.
    """

    events: list[Record]
    references: dict[str, list[Record]]
    trained: list[Result]

    @property
    def past(self) -> list[Record]:
        """The events of the first half of the time."""
        return [each for each in self.events if each["occurred_at"] < HALF_MS]

    @property
    def days(self) -> list[list[Record]]:
        """The events of each working day after the first half."""
        found: dict[int, list[Record]] = {}
        for each in self.events:
            if each["occurred_at"] >= HALF_MS:
                found.setdefault(each["occurred_at"] // DAY_MS, []).append(each)
        most = max(map(len, found.values()))
        return [events for _, events in sorted(found.items()) if len(events) > most / 2]


def simulated() -> World:
    simulation = Simulation(SCENARIO)
    days = list(simulation.days())
    events = [each for day in days for each in day.events]
    references = dict(zip(REFERENCES, (simulation.sites, simulation.calendars, simulation.rosters), strict=True))
    found = {name: list(records) for name, records in references.items()}
    frauds = {each["event_id"] for day in days for each in day.truth}
    return World(enriched(events), found, trained(events, found, frauds))


def enriched(events: list[Record]) -> list[Record]:
    """Events after the agents of the intake and of devices."""
    topic = topics.EVENTS_ATTENDANCE
    source = [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each["occurred_at"], n)
        for n, each in enumerate(events)
    ]
    for agent in (ATTENDANCE_INTAKE, ATTENDANCE_DEVICES):
        topic = agent.outputs[0]
        rows = run(agent, source, control=Control(DEFAULTS)).topic(topic.name)
        decoded = [topic.codec.decode(value or b"") for _, value in rows]
        source = [
            InputRecord(key, value, each["published_at"], number)
            for number, ((key, value), each) in enumerate(zip(rows, decoded, strict=True))
        ]
    return decoded


def trained(events: list[Record], references: dict[str, list[Record]], frauds: set[str]) -> list[Result]:
    """Models of 200 trees, each of its own draw."""
    parts = [part.vectors for part in Replay(References.of(*references.values())).measure(events)]
    times = np.array([each["occurred_at"] for each in events])
    labels = np.array([each["event_id"] in frauds for each in events])
    order = np.argsort(times, kind="stable")
    examples = Examples.of(times[order], np.concatenate(parts)[order], labels[order])
    return [learn(examples, "fraud_v2", "xgboost", seed) for seed in range(MODELS)]


def tenants(count: int) -> list[str]:
    return [f"tenant-{number:03d}" for number in range(count)]


def copies(world: World, events: int, names: list[str]) -> Iterator[Record]:
    """So many events of people who do what the simulated ones did, all at the same times, dealt out to tenants.

    All came a moment ago: the frames of a backlog.
    """
    now, count = int(time.time() * 1000), _copies(world, events)
    made = (
        {
            **each,
            "tenant_id": names[_dealt(person, len(names))],
            "event_id": f"{each['event_id']}-{copy}",
            "person_id": person,
            "published_at": now,
        }
        for each in world.events
        for copy in range(count)
        for person in [f"{each['person_id']}-{copy}"]
    )
    return islice(made, events)


def _copies(world: World, events: int) -> int:
    return -(-events // len(world.events))


def copied(world: World, events: int, names: list[str]) -> dict[str, list[Record]]:
    """The records of the reference data that these people need."""
    found: dict[str, list[Record]] = {name: [] for name in REFERENCES}
    for name in ("control.sites", "control.calendars"):
        found[name] = [each | {"tenant_id": tenant} for tenant in names for each in world.references[name]]
    for copy in range(_copies(world, events)):
        for each in world.references["control.rosters"]:
            person = f"{each['person_id']}-{copy}"
            found["control.rosters"].append(
                each | {"tenant_id": names[_dealt(person, len(names))], "person_id": person}
            )
    return found


def _dealt(person: str, count: int) -> int:
    return sum(person.encode()) % count


def store(world: World, folder: Path, names: list[str]) -> None:
    """The models of these tenants, signed, in a registry in a folder, beside the key to trust."""
    signer = Signer.generate("benchmark")
    trust(folder / "trusted_keys", signer.public)
    registry = Registry(str(folder / "models"), Trust((signer.public,), "benchmark"))
    for number, tenant in enumerate(names):
        result = world.trained[number % MODELS]
        registry.publish(result.manifest(tenant, VERSION, {}), artifact.pack(result.scorer), signer)


def describe(folder: Path, names: list[str], references: dict[str, list[Record]], offset: int) -> None:
    """What a peer needs to know, as files."""
    for name, records in references.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    about = {
        "models": str(folder / "models"),
        "references": [f"{name}.jsonl" for name in references],
        "tenants": names,
        "version": VERSION,
        "control_offset": offset,
    }
    (folder / "world.json").write_text(json.dumps(about))


def commands(names: list[str], references: dict[str, list[Record]]) -> list[Record]:
    """What control is to hear: the reference data, and which version serves whom."""
    found = [
        each
        for name, records in references.items()
        for each in changes(records, BY_TOPIC[name], lambda tenant, name: NONE, by="benchmark", reason="benchmark")
    ]
    for tenant in names:
        value = json.dumps(value_of(Place(NAME, tenant), VERSION))
        found.append(
            command(
                action="set",
                tenant=tenant,
                name=Post(NAME).setting,
                value=value,
                expected_version=0,
                by="benchmark",
                reason="benchmark",
            )
        )
    return found


def view(world: World, tenant: str) -> Control:
    """Control after the reference data of the simulated people and the activation of a model, all for one tenant."""
    references = {
        name: [each | {"tenant_id": tenant} for each in records] for name, records in world.references.items()
    }
    return obeyed(commands([tenant], references))


def obeyed(commands: Iterable[Record]) -> Control:
    """Control after these commands, each at its `requested_at`."""
    topic = topics.CONTROL_COMMANDS
    asked = [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each["requested_at"], number)
        for number, each in enumerate(commands)
    ]
    judged = run(CONTROL, asked)
    rows = [(topic, key or b"", value) for topic in topics.CONTROL for key, value in judged.topic(topic.name)]
    return Control(DEFAULTS).after(rows)


def records(events: Iterable[Record], **fields: Any) -> list[InputRecord]:
    """Events as the last agent reads them, with these fields; published now, when a model serves."""
    topic, now = topics.ATTENDANCE_ENRICHED, int(time.time() * 1000) + 1
    made = ({**each, "published_at": now, **fields} for each in events)
    return [InputRecord(topic.key_of(each), topic.codec.encode(each), now, number) for number, each in enumerate(made)]


class Shelf:
    """One loaded model for every place."""

    def __init__(self, result: Result) -> None:
        self.model = FraudModel(result.scorer, result.feature_set)

    def get(self, place: Place, version: str) -> FraudModel:
        return self.model
