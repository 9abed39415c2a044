"""Check-ins and verdicts of a simulated portfolio, which a trained model judges; some end as tickets."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.attendance import FRAUD, GENUINE
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
from tests.faults.simulated import DAYS, Kind, first_day

TENANTS, PEOPLE = 2, 300

LEARNED = 4_000
"""Events of which the model is trained."""

PLACE, VERSION = Place(NAME, EVERYONE), "v20260401_060000"
TICKETS_FROM = 0.5
ANSWER_LIMIT_S = 60.0
BY = {"by": "faults", "reason": "attendance"}


def simulation(seed: int) -> Simulation:
    return Simulation(Scenario(TENANTS, PEOPLE, DAYS, first_day(), seed, 0.1, LEVELS["easy"], 0.85))


ATTENDANCE = Kind(
    days=lambda seed: simulation(seed).days(),
    events=topics.EVENTS_ATTENDANCE,
    outcomes=topics.OUTCOMES_ATTENDANCE,
    link="event_id",
    other={"fix_age_s": 1234.5},
    reverse=lambda outcome: {"verdict": GENUINE if outcome["verdict"] == FRAUD else FRAUD},
    between=lambda event: topics.ATTENDANCE_BY_DEVICE.key_of(
        event | {"carrier": event["device_id"] or event["person_id"]}
    ),
)


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
