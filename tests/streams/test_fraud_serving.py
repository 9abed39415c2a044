"""A trained model of fraud in the stream: what it says, whom it serves, and what happens without it."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.calibration import ARRAYS, Calibration, calibrate, pack
from models.classifiers import Examples, artifact
from models.decisions import DECISIONS, RISKS, Policy, decide
from models.fraud import rules
from models.fraud.artifact import CALIBRATION, NAME, FraudModel, unpack, unpack_calibration
from models.fraud.features import FEATURES_V2
from models.fraud.heuristic import probability as heuristic
from models.fraud.replay import Replay
from models.fraud.training import learn
from models.registry import Place, Registry, Signer, Trust
from models.registry.activation import Post, value_of
from producers.simulator import LEVELS, Scenario, Simulation
from schemas import topics
from streams import attendance
from streams.alerts import ALERTS
from streams.runtime import Control
from streams.runtime.control import EVERYONE
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from streams.serving import Shelf
from tests.streams.control import command, judged, rows
from tests.streams.test_attendance import World, chained, entered, features, published, said

VERSION = "v20260401_060000"
SHARED = "v20260401_070000"
"""The same model, for all tenants."""
OWN, UNFIT = "v20260401_080000", "v20260401_090000"
"""Calibrations of the large tenant: of its own model, and of that of all tenants."""


@dataclass(frozen=True)
class Site:
    """A world whose large tenant has a trained model, stored and loaded; all tenants may have the same one."""

    world: World
    model: FraudModel
    registry: Registry
    shelf: Shelf
    large: str
    half: int
    """When half of the events are over, epoch milliseconds."""
    source: list[InputRecord]
    """The events as the last agent reads them."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    simulation = Simulation(Scenario(2, 60, 30, date(2026, 3, 10), 5, 0.1, LEVELS["easy"], 0.85))
    days = list(simulation.days())
    events = [each for day in days for each in day.events]
    names = [topic.name for topic in topics.REFERENCE]
    found = zip(names, (simulation.sites, simulation.calendars, simulation.rosters), strict=True)
    world = World(events, {name: list(records) for name, records in found})
    frauds = {(each["tenant_id"], each["event_id"]) for day in days for each in day.truth}
    large = simulation.tenants[0].tenant_id
    vectors, labels, times = [], [], []
    for batch in Replay(world.known).measure(events):
        for event, vector in zip(batch.events, batch.vectors, strict=True):
            if event["tenant_id"] == large:
                vectors.append(vector)
                labels.append((large, event["event_id"]) in frauds)
                times.append(event["occurred_at"])
    order = np.argsort(times, kind="stable")
    examples = Examples.of(np.array(times)[order], np.array(vectors)[order], np.array(labels)[order])
    result = learn(examples, "fraud_v2", "logistic")
    signer = Signer.generate("tests")
    registry = Registry(str(tmp_path_factory.mktemp("models")), Trust((signer.public,), "tests"))
    for owner, version in ((large, VERSION), (EVERYONE, SHARED)):
        registry.publish(result.manifest(owner, version, {}), artifact.pack(result.scorer), signer)
    for owner, version, made_for in (
        (large, OWN, result.manifest(large, VERSION, {})),
        (large, UNFIT, result.manifest(EVERYONE, SHARED, {})),
    ):
        own = recalibrated()
        about = artifact.describe_calibration(own, made_for, owner, version, {})
        registry.publish(about, {ARRAYS: pack(own)}, signer)
    shelf = Shelf(registry, {NAME: unpack, CALIBRATION: unpack_calibration}, most_bytes=10**9)
    model = unpack(registry.load(Place(NAME, large), VERSION))
    yield Site(world, model, registry, shelf, large, events[len(events) // 2]["occurred_at"], enriched(world))
    shelf.close()


def recalibrated() -> Calibration:
    """Of cases whose scores say the opposite of what they did in training."""
    scores = np.linspace(0, 1, 400)
    return calibrate(scores, np.arange(400) % 4 == 0)


def enriched(world: World) -> list[InputRecord]:
    codec = topics.ATTENDANCE_ENRICHED.codec
    made = chained(published(world.events), entered(world.references))[1][1].topic("attendance.enriched")
    return [
        InputRecord(key, value, codec.decode(value or b"")["published_at"], offset)
        for offset, (key, value) in enumerate(made)
    ]


def control(site: Site, *more: dict[str, Any]) -> Control:
    """The world's references, and what more is asked for."""
    return entered(site.world.references).after(rows(judged(more)))


def activated(site: Site) -> dict[str, Any]:
    """The large tenant's own model serves it from the middle on."""
    value = json.dumps(value_of(Place(NAME, site.large), VERSION))
    return command(
        0, value, name=Post(NAME).setting, tenant_id=site.large, valid_from=site.half, requested_at=site.half
    )


def scored(site: Site, under: Control, **options: Any) -> Outcome:
    """The last agent's outcome, with the model at hand."""
    asyncio.run(site.shelf.prepare(under))
    return run(attendance.agent(site.shelf), site.source, control=under, **options)


def predictions(outcome: Outcome) -> list[dict[str, Any]]:
    return said(outcome, topics.PREDICTIONS_FRAUD)


@pytest.fixture(scope="module")
def served(site: Site) -> Outcome:
    return scored(site, control(site, activated(site)))


def test_the_model_serves_its_tenant_from_its_activation_on(site: Site, served: Outcome) -> None:
    made = predictions(served)
    versions = {
        (each["tenant_id"] == site.large, each["event_time"] >= site.half, each["model_version"]) for each in made
    }
    assert versions == {
        (True, False, "heuristic_v1"),
        (True, True, VERSION),
        (False, False, "heuristic_v1"),
        (False, True, "heuristic_v1"),
    }
    for each in made:
        if each["model_version"] == "heuristic_v1":
            assert each["probability"] == heuristic(features(each))
            assert each["interval_low"] is each["label_set_90"] is None


def test_a_prediction_says_what_the_model_says(site: Site, served: Outcome) -> None:
    made = [each for each in predictions(served) if each["model_version"] == VERSION]
    table = np.array([features(each) for each in made])
    wanted = site.model.score(table)
    assert wanted.interval is not None
    assert wanted.label_sets is not None
    assert [each["probability"] for each in made] == wanted.probability.tolist()
    assert [(each["interval_low"], each["interval_high"]) for each in made] == list(
        zip(*(bound.tolist() for bound in wanted.interval), strict=True)
    )
    demanded = rules.demanded(rules.impossible_travel(table))
    decided = decide(Policy(site.model.scorer.cuts), wanted.probability, wanted.interval, demanded)
    assert [each["risk_level"] for each in made] == [RISKS[code] for code in decided.risk]
    assert [each["decision"] for each in made] == [DECISIONS[code] for code in decided.decision]
    assert {each["risk_level"] for each in made} == set(RISKS)
    for each, (genuine, fraud) in zip(made, wanted.label_sets[:, 0].tolist(), strict=True):
        assert each["label_set_90"] == ["genuine"] * genuine + ["fraud"] * fraud
    cuts = site.model.scorer.cuts
    made[0]["detail"].pop("audit_propensity", None)
    assert made[0]["detail"] == {"cut_medium": cuts.medium, "cut_high": cuts.high, "cut_critical": cuts.critical}
    assert {each["calibration_version"] for each in made} == {VERSION}
    # Contributions add up to the score before calibration; who asks for others computes them from the features.
    for each, raw in zip(made, wanted.raw.tolist(), strict=True):
        assert (each["contributions"] is not None) == (each["risk_level"] == "CRITICAL")
        if each["contributions"] is not None:
            assert list(each["contributions"]) == [*FEATURES_V2, "base"]
            assert sum(each["contributions"].values()) == pytest.approx(np.log(raw / (1 - raw)), abs=1e-6)


def test_whoever_is_to_be_looked_at_is_an_alert(site: Site, served: Outcome) -> None:
    told = said(served, topics.ALERTS_CANDIDATES)
    wanted = {each["event_id"]: each for each in predictions(served) if each["decision"] == "alert"}
    assert {each["event_id"] for each in told} == set(wanted)
    for each in told:
        made = wanted[each["event_id"]]
        assert (each["kind"], each["subject"]) == ("fraud_review", made["subject"])
        assert (each["severity"], each["score"]) == (made["risk_level"], made["probability"])
    source = [
        InputRecord(key, value, site.half, offset, (), topics.ALERTS_CANDIDATES.name)
        for offset, (key, value) in enumerate(served.topic(topics.ALERTS_CANDIDATES.name))
    ]
    outcome = run(ALERTS, [each._replace(timestamp=told[-1]["event_time"]) for each in source])
    assert said(outcome, topics.DEAD_LETTERS) == []
    opened = [each for each in said(outcome, topics.ALERTS) if each["reason"] == "opened"]
    assert {each["subject"] for each in opened} == {each["subject"] for each in told}
    # Nothing clears them; a fortnight after the last of it they end.
    last = max(each["event_time"] for each in told)
    over = run(ALERTS, (), start=outcome, tick=last + 15 * topics.DAY_MS)
    newest = {each["alert_id"]: each["state"] for each in said(over, topics.ALERTS)}
    assert set(newest.values()) == {"resolved"}


def test_who_only_observes_is_not_alerted(site: Site, served: Outcome) -> None:
    since = site.half - 20 * topics.DAY_MS
    watching = command(1, "true", name="observe_only", tenant_id=EVERYONE, valid_from=since, requested_at=site.half)
    outcome = scored(site, control(site, activated(site), watching))
    assert said(outcome, topics.ALERTS_CANDIDATES) == []
    kept = ("event_id", "probability", "risk_level", "decision")
    assert [[each[name] for name in kept] for each in predictions(outcome)] == [
        [each[name] for name in kept] for each in predictions(served)
    ]


@pytest.mark.parametrize("largest", [1, 13])
def test_where_frames_are_cut_does_not_show(site: Site, served: Outcome, largest: int) -> None:
    sizes = np.random.default_rng(largest)
    outcome = scored(site, control(site, activated(site)), cuts=lambda: int(sizes.integers(1, largest + 1)))
    assert outcome.outputs == served.outputs


def test_a_refused_model_leaves_the_heuristic_and_says_so(site: Site, tmp_path: Path) -> None:
    file = Path(site.registry.storage.url) / Place(NAME, site.large).path / VERSION / "model.json"
    whole = file.read_bytes()
    file.chmod(0o640)
    file.write_bytes(whole[:-1])
    shelf = Shelf(site.registry, {NAME: unpack}, most_bytes=10**9)
    try:
        broken = Site(site.world, site.model, site.registry, shelf, site.large, site.half, site.source)
        made = predictions(scored(broken, control(site, activated(site))))
    finally:
        file.write_bytes(whole)
        shelf.close()
    assert {each["model_version"] for each in made} == {"heuristic_v1"}
    reasons = {
        each["fallback_reason"] for each in made if each["event_time"] >= site.half and each["tenant_id"] == site.large
    }
    assert all("model.json was cut off" in reason for reason in reasons)
