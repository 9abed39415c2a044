"""The agents of attendance: judged once, measured by device and by person, scored; offline and on a real broker."""

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from models.control import DEFAULTS, REFERENCES
from models.fraud.features import FEATURES_V2
from models.fraud.heuristic import probability
from models.fraud.references import References
from models.fraud.replay import Replay
from producers.references import NONE, changes
from producers.simulator import LEVELS, Scenario, Simulation
from schemas import topics
from schemas.topics import Topic
from streams.attendance import ATTENDANCE
from streams.attendance_devices import ATTENDANCE_DEVICES
from streams.attendance_intake import ATTENDANCE_INTAKE
from streams.runtime import Agent
from streams.runtime.control import Control
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from tests.faults import logs
from tests.faults.processes import Process
from tests.faults.waiting import until
from tests.models.fraud.world import SITES, at, event
from tests.streams.control import judged, rows
from tests.worker import serving
from watchfloor.cli import main

CHAIN = ATTENDANCE_INTAKE, ATTENDANCE_DEVICES, ATTENDANCE
MINUTE = 60_000


@dataclass(frozen=True)
class World:
    """Events of two tenants, three weeks long, and their sites, calendars and rosters."""

    events: list[dict[str, Any]]
    references: dict[str, list[dict[str, Any]]]

    @property
    def known(self) -> References:
        return References.of(*self.references.values())

    @property
    def control(self) -> Control:
        return entered(self.references)


def entered(references: dict[str, list[dict[str, Any]]]) -> Control:
    """Control after all of these have been entered."""
    commands = [
        command
        for name, records in references.items()
        for command in changes(records, REFERENCES[name], lambda tenant, name: NONE, by="jane", reason="made")
    ]
    return Control(DEFAULTS).after(rows(judged(commands)))


@pytest.fixture(scope="module")
def world() -> World:
    simulation = Simulation(Scenario(2, 26, 40, date(2026, 3, 10), 5, 0.05, LEVELS["medium"], 0.85))
    events = [each for day in simulation.days() for each in day.events]
    names = [topic.name for topic in topics.REFERENCE]
    found = zip(names, (simulation.sites, simulation.calendars, simulation.rosters), strict=True)
    return World(events, {name: list(records) for name, records in found})


def published(events: list[dict[str, Any]], delay: int = 0) -> list[InputRecord]:
    topic = topics.EVENTS_ATTENDANCE
    return [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each["occurred_at"] + delay, offset)
        for offset, each in enumerate(events)
    ]


def chained(
    source: list[InputRecord], control: Control, cuts: Callable[[], int] = lambda: 300
) -> list[tuple[Agent, Outcome]]:
    """What each agent makes of the output of the one before; as if written at once."""
    found = []
    for agent in CHAIN:
        outcome = run(agent, source, control=control, cuts=cuts)
        found.append((agent, outcome))
        topic = agent.outputs[0]
        source = [
            InputRecord(key, value, topic.codec.decode(value or b"")["published_at"], offset)
            for offset, (key, value) in enumerate(outcome.topic(topic.name))
            if agent is not ATTENDANCE
        ]
    return found


def said(outcome: Outcome, topic: Topic) -> list[dict[str, Any]]:
    return [topic.codec.decode(value or b"") for _, value in outcome.topic(topic.name)]


def letters(outcome: Outcome) -> list[tuple[str, str]]:
    return [(each["error_class"], each["message"]) for each in said(outcome, topics.DEAD_LETTERS)]


def features(prediction: dict[str, Any]) -> list[float]:
    return [math.nan if value is None else value for value in prediction["features"]]


def assert_equal_to_replay(predictions: list[dict[str, Any]], events: list[dict[str, Any]], known: References) -> None:
    """Value by value, to the last bit."""
    found = {(each["tenant_id"], each["event_id"]): each for each in predictions}
    assert len(found) == len(predictions) == len(events)
    for batch in Replay(known).measure(events):
        for each, row in zip(batch.events, batch.vectors.tolist(), strict=True):
            prediction = found[each["tenant_id"], each["event_id"]]
            assert list(map(repr, features(prediction))) == list(map(repr, row)), each
            assert prediction["probability"] == probability(row)
            assert prediction["event_time"] == each["occurred_at"]
            assert prediction["subject"] == each["person_id"]


def test_the_agents_serve_the_features_of_the_replay(world: World) -> None:
    outcomes = chained(published(world.events), world.control)
    predictions = said(outcomes[-1][1], topics.PREDICTIONS_FRAUD)
    assert_equal_to_replay(predictions, world.events, world.known)
    assert {each["model_version"] for each in predictions} == {"heuristic_v1"}
    assert {len(each["features"]) for each in predictions} == {len(FEATURES_V2)}
    assert {each["control_offset"] for each in predictions} == {world.control.offset}
    assert not any(letters(outcome) for _, outcome in outcomes)


def test_where_frames_are_cut_does_not_show(world: World) -> None:
    draw = random.Random(3)
    events = world.events[:700]
    # Some come twice, some late, some are wrong, some have a name that was used before.
    events += [draw.choice(events) | {"face_confidence": 1.5, "event_id": f"bad-{n}"} for n in range(30)]
    events += [draw.choice(events[:700]) for _ in range(60)]
    events += [draw.choice(events[:700]) | {"fix_age_s": 99.0} for _ in range(30)]
    draw.shuffle(events)
    then = world.events[700]["occurred_at"]
    source = [each._replace(timestamp=then) for each in published(events)]
    whole = chained(source, world.control)
    assert {name for name, _ in letters(whole[0][1])} == {"InvalidEvent", "ConflictingEvent"}
    for largest in (1, 7, 90):
        cut = chained(source, world.control, lambda largest=largest: draw.randint(1, largest))  # type: ignore[misc]
        for (_, one), (_, other) in zip(whole, cut, strict=True):
            assert other.outputs == one.outputs
            assert other.state == one.state


def test_one_tenant_never_changes_another(world: World) -> None:
    def of(tenant: str, events: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
        """Prediction rows of a tenant."""
        found = chained(published(events), world.control)[-1][1].topic("predictions.fraud")
        return [row for row in found if (row[0] or b"").startswith(tenant.encode() + b"|")]

    one, other = sorted({each["tenant_id"] for each in world.events})
    # They use the same names for people and devices.
    twisted = [each | {"device_id": "d-1", "person_id": "p-1"} for each in world.events[:400]]
    for tenant in (one, other):
        assert of(tenant, twisted) == of(tenant, [each for each in twisted if each["tenant_id"] == tenant])


def test_the_intake_judges_each_event_once() -> None:
    first = event("2026-03-02T08:00", device_id="d-1")
    source = [
        first,
        first,
        first | {"fix_age_s": 3.0},
        first | {"person_id": "p-2", "device_id": None},
        event("2026-03-02T08:01", kind="LUNCH"),
    ]
    outcome = run(ATTENDANCE_INTAKE, published(source, delay=5))
    passed = said(outcome, topics.ATTENDANCE_BY_DEVICE)
    assert [(each["person_id"], each["carrier"]) for each in passed] == [("p-1", "d-1"), ("p-2", "p-2")]
    assert {each["published_at"] - each["occurred_at"] for each in passed} == {5}
    assert letters(outcome) == [
        ("ConflictingEvent", f"event_id '{first['event_id']}' came before with other content"),
        ("InvalidEvent", "kind must be CHECK_IN or CHECK_OUT, not 'LUNCH'"),
    ]


@pytest.mark.parametrize(("days", "passed"), [(6.9, 2), (7.1, 3)])
def test_an_id_is_remembered_for_seven_days(days: float, passed: int) -> None:
    first = event("2026-03-02T08:00")
    source = published([first, event(first["occurred_at"] + round(days * topics.DAY_MS), person_id="p-2"), first])
    # The first one again, sent later.
    source[2] = source[2]._replace(timestamp=source[1].timestamp)
    outcome = run(ATTENDANCE_INTAKE, source)
    assert len(outcome.topic("attendance.by-device")) == passed
    waiting = [key for key in outcome.state if b"~timer" in key]
    assert len(waiting) == 2


def test_people_leave_a_device_after_thirty_days_and_its_state_does_not_stay() -> None:
    start = at("2026-03-02T08:00")
    days = (0, 1, 20, 32, 70, 140)
    events = [
        event(start + day * topics.DAY_MS, person_id=f"p-{number % 3}", device_id="d-1")
        for number, day in enumerate(days)
    ]
    outcomes = chained(published(events), entered({"control.sites": SITES}))
    found = said(outcomes[1][1], topics.ATTENDANCE_ENRICHED)
    assert [each["accounts_per_device_30d"] for each in found] == [1, 2, 3, 2, 1, 1]
    timers = [key for key in outcomes[1][1].state if b"~timer" in key]
    assert len(timers) == 1, "two have not been there for 61 days"


def test_a_device_whose_partition_is_months_ahead_still_knows_its_person() -> None:
    start = at("2026-03-02T08:00")
    ahead = event(start + 80 * topics.DAY_MS, person_id="p-9", device_id="d-9")
    late = [event(start + day * topics.DAY_MS, device_id="d-1") for day in range(5)]
    source = [each._replace(timestamp=ahead["occurred_at"]) for each in published([ahead, *late])]
    intake = replace(ATTENDANCE_INTAKE, max_age=None)
    heard = [
        InputRecord(key, value, ahead["occurred_at"], offset)
        for offset, (key, value) in enumerate(run(intake, source).topic("attendance.by-device"))
    ]
    found = said(run(ATTENDANCE_DEVICES, heard), topics.ATTENDANCE_ENRICHED)
    assert [each["accounts_per_device_30d"] for each in found] == [1] * 6


def test_an_event_of_an_unknown_site_is_scored_and_says_so() -> None:
    odd = event(at("2026-03-02T09:00"), site_id="nowhere", face_matched=False)
    source = [event("2026-03-02T08:00"), odd]
    good, odd = said(chained(published(source), entered({"control.sites": SITES}))[-1][1], topics.PREDICTIONS_FRAUD)
    assert good["fallback_reason"] is None
    assert odd["fallback_reason"] == "site nowhere is not known: nothing about place and local time could be computed"
    assert odd["probability"] == pytest.approx(1 / (1 + math.exp(2.5)))
    assert odd["features"][0] is None


@pytest.mark.parametrize(
    ("wrong", "risk", "decision"),
    [
        ({}, "LOW", "clear"),
        ({"face_matched": False, "face_confidence": 0.1, "device_id": "d-1"}, "MEDIUM", "clear"),
        ({"face_matched": False, "face_confidence": 0.1, "place": (52.6, 13.4)}, "HIGH", "alert"),
        (
            {"face_matched": False, "face_confidence": 0.1, "place": (52.6, 13.4), "device_id": "d-1"},
            "CRITICAL",
            "alert",
        ),
    ],
)
def test_risk_and_decision(wrong: dict[str, Any], risk: str, decision: str) -> None:
    source = [event("2026-03-02T08:00", person_id="p-2", device_id="d-1"), event("2026-03-02T09:00", **wrong)]
    _, found = said(chained(published(source), entered({"control.sites": SITES}))[-1][1], topics.PREDICTIONS_FRAUD)
    assert (found["risk_level"], found["decision"]) == (risk, decision)


def test_state_per_person_and_event_stays_small(world: World) -> None:
    outcomes = chained(published(world.events), world.control, lambda: 1)
    written = sum(outcome.written for _, outcome in outcomes) / len(world.events)
    assert written < 1000, "bytes to the changelogs for an event, all agents, each event in a frame of its own"
    people = len({(each["tenant_id"], each["person_id"]) for each in world.events})
    _, last = outcomes[-1]
    assert sum(len(key) + len(value) for key, value in last.state.items()) / people < 1000


@pytest.fixture
def environment(kafka: str, prefix: str, tmp_path: Path) -> dict[str, str]:
    """Variables of an instance whose topics are there, with one partition each: so its order is that of the events."""
    names = {
        "WATCHFLOOR_HOME": str(tmp_path),
        "WATCHFLOOR_KAFKA": kafka,
        "WATCHFLOOR_PREFIX": prefix,
        "WATCHFLOOR_PARTITIONS": "1",
    }
    made = CliRunner().invoke(main, ["topics", "apply", "--retention-forever"], env=names)
    assert made.exit_code == 0, made.output
    return names


@pytest.fixture
def worker(environment: dict[str, str]) -> Iterator[Process]:
    with serving(environment, "control", *(agent.name for agent in CHAIN)) as process:
        yield process


@pytest.mark.kafka
def test_a_worker_serves_the_features_of_the_replay(
    world: World, environment: dict[str, str], worker: Process, tmp_path: Path
) -> None:
    kafka, prefix = environment["WATCHFLOOR_KAFKA"], environment["WATCHFLOOR_PREFIX"]
    for name, records in world.references.items():
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
        kind = name.removeprefix("control.")
        load = ["control", "load", kind, str(file), "--reason", "made", "--wait", "60"]
        loaded = CliRunner().invoke(main, load, env=environment)
        assert loaded.exit_code == 0, loaded.output
    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True, "log_level": 0})
    for record in published(world.events):
        name = prefix + topics.EVENTS_ATTENDANCE.name
        producer.produce(name, record.value, record.key, partition=0, timestamp=record.timestamp)
    assert producer.flush(30) == 0

    def log(topic: Topic) -> list[logs.Logged]:
        return [each for part in logs.read(kafka, prefix + topic.name) for each in part]

    def done() -> bool:
        return not worker.alive or len(log(topics.PREDICTIONS_FRAUD)) >= len(world.events)

    until(done, 90, "the last prediction", every=1.0)
    served = [topics.PREDICTIONS_FRAUD.codec.decode(each.value or b"") for each in log(topics.PREDICTIONS_FRAUD)]
    assert_equal_to_replay(served, world.events, world.known)
    # Each agent alone: the bytes that the offline driver makes of the log that it has read.
    control = Control(DEFAULTS).after(
        [(topic, each.key or b"", each.value) for topic in topics.CONTROL for each in log(topic)]
    )
    for agent in CHAIN:
        heard = [InputRecord(each.key, each.value, each.timestamp, each.offset) for each in log(agent.input)]
        expected = run(agent, heard, control=control, prefix=prefix).topic(agent.outputs[0].name)
        assert [(each.key, each.value) for each in log(agent.outputs[0])] == expected, agent.name
    assert log(topics.DEAD_LETTERS) == []
