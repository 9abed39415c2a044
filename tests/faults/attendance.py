"""Seeded check-ins and verdicts of a simulated portfolio, which a trained model judges; some end as tickets."""

import json
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np

from models.classifiers import Examples, artifact
from models.control import REFERENCES
from models.fraud.artifact import NAME, FraudModel, unpack
from models.fraud.features import LARGEST
from models.fraud.references import References
from models.fraud.replay import Replay
from models.fraud.training import Result, learn
from models.registry import Place, Registry, Signer, Trust
from models.registry.activation import Post, value_of
from producers.control import ask_all, command
from producers.references import NONE, changes
from producers.simulator import LEVELS, Scenario, Simulation
from schemas import topics
from streams.runtime.control import EVERYONE
from streams.serving import NotLoadedError
from tests.faults.cluster import Cluster
from tests.faults.recovery import birth_mark
from tests.faults.samples import Message

TENANTS, PEOPLE, DAYS = 2, 300, 26
"""The days end yesterday: the intake takes events of the last 30 days."""

LEARNED = 4_000
"""Events of which the model is trained."""

PLACE, VERSION = Place(NAME, EVERYONE), "v20260401_060000"
TICKETS_FROM = 0.5
ANSWER_LIMIT_S = 60.0
BY = {"by": "faults", "reason": "attendance"}


def simulation(seed: int) -> Simulation:
    start = (datetime.now(UTC) - timedelta(DAYS + 1)).date()
    return Simulation(Scenario(TENANTS, PEOPLE, DAYS, start, seed, 0.1, LEVELS["easy"], 0.85))


class Crowd:
    """An endless stream of check-ins, each day's verdicts behind them, one simulated month after the other.

    Event ids say when they were published, and through which partition of their device they go, so that every way
    through the three agents is watched.
    """

    def __init__(self, seed: int, partitions: int, odd: bool = True) -> None:
        """odd: whether repeats and conflicting repeats are mixed in."""
        self.random = random.Random(seed)
        self.seed, self.partitions, self.odd = seed, partitions, odd
        self._recent: deque[dict[str, Any]] = deque(maxlen=500)
        self._names: dict[str, str] = {}
        self._messages = self._stream()

    def next(self) -> Message:
        return next(self._messages)

    def _stream(self) -> Iterator[Message]:
        for month in count():
            self._names.clear()
            for day in simulation(self.seed + month).days():
                for event in day.events:
                    yield from self._odd()
                    yield self._good(event)
                for outcome in day.outcomes:
                    record = outcome | {"event_id": self._names[outcome["event_id"]]}
                    yield message("outcome", topics.OUTCOMES_ATTENDANCE, record)

    def _good(self, event: Mapping[str, Any]) -> Message:
        carrier = event["person_id"] if event["device_id"] is None else event["device_id"]
        key = f"{event['tenant_id']}|{carrier}".encode()
        way = topics.ATTENDANCE_BY_DEVICE.partition_of(key, self.partitions)
        name = f"{event['event_id']}{birth_mark(time.time())}{way}."
        self._names[event["event_id"]] = name
        record = {**event, "event_id": name}
        self._recent.append(record)
        return message("good", topics.EVENTS_ATTENDANCE, record)

    def _odd(self) -> Iterator[Message]:
        roll = self.random.random()
        if self.odd and self._recent and roll < 0.023:
            old = self.random.choice(self._recent)
            if roll < 0.02:
                yield message("repeat", topics.EVENTS_ATTENDANCE, old)
            else:
                yield message("conflict", topics.EVENTS_ATTENDANCE, old | {"fix_age_s": 1234.5})


def message(intent: str, topic: topics.Topic, record: Mapping[str, Any]) -> Message:
    return Message(intent, topic.key_of(record), topic.codec.encode(dict(record)), topic)


@dataclass(frozen=True, slots=True)
class Only:
    """The one model there is, for the oracle's agents."""

    model: FraudModel

    def get(self, place: Place, version: str) -> FraudModel:
        if (place, version) != (PLACE, VERSION):
            raise NotLoadedError(f"{place}, {version} was never activated")
        return self.model


def model(cluster: Cluster, seed: int) -> Only:
    """A model for everybody, learned from the truth about the first events, stored where workers look."""
    if not cluster.trusted.exists():
        signer = Signer.generate("faults")
        cluster.trusted.write_text(f"{signer.public.line}\n")
        result = learned(seed)
        registry = Registry(cluster.models, Trust.read(cluster.trusted))
        registry.publish(result.manifest(EVERYONE, VERSION, {}), artifact.pack(result.scorer), signer)
    return Only(unpack(Registry(cluster.models, Trust.read(cluster.trusted)).load(PLACE, VERSION)))


def learned(seed: int) -> Result:
    simulated = simulation(seed)
    events: list[dict[str, Any]] = []
    frauds: set[str] = set()
    for day in simulated.days():
        events += day.events
        frauds.update(each["event_id"] for each in day.truth)
        if len(events) > LEARNED:
            break
    events.sort(key=lambda event: event["occurred_at"])
    known = References.of(simulated.sites, simulated.calendars, simulated.rosters)
    vectors = np.concatenate([batch.vectors for batch in Replay(known).measure(events)])
    times = np.array([event["occurred_at"] for event in events], dtype=np.int64)
    labels = np.array([event["event_id"] in frauds for event in events])
    return learn(Examples.of(times, vectors, labels), LARGEST, "logistic", seed)


def enter(cluster: Cluster, seed: int) -> None:
    """Sites, calendars and rosters, and that the model serves and may open tickets. Raises AssertionError."""
    simulated = simulation(seed)
    records = {
        topics.CONTROL_SITES: simulated.sites,
        topics.CONTROL_CALENDARS: simulated.calendars,
        topics.CONTROL_ROSTERS: simulated.rosters,
    }
    commands = [
        each
        for topic, found in records.items()
        for each in changes(found, REFERENCES[topic.name], lambda tenant, name: NONE, **BY)
    ]
    value = value_of(PLACE, VERSION)
    settings = [
        (EVERYONE, Post(NAME).setting, value),
        (EVERYONE, "auto_ticket", True),
        *((each.tenant_id, "fraud_certificate", f"{value}@{TICKETS_FROM}") for each in simulated.tenants),
    ]
    commands += [
        command(action="set", tenant=tenant, name=name, value=json.dumps(wanted), expected_version=0, **BY)
        for tenant, name, wanted in settings
    ]
    answers = list(ask_all(cluster.servers, commands, prefix=cluster.prefix, limit_s=ANSWER_LIMIT_S))
    assert [each["outcome"] for each in answers] == ["accepted"] * len(commands), answers[-1:]
