"""`watchfloor explain` of conflicts and of OCR readings: by trained models, a shadow and the heuristics."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.classifiers import Examples, artifact
from models.conflict import training as sync_training
from models.conflict.artifact import unpack as sync_unpack
from models.conflict.evaluation import NO, YES, weights
from models.ocr.artifact import NAME as OCR_TRUST
from models.ocr.artifact import unpack
from models.ocr.training import learn
from models.registry import EVERYONE, Place, Registry, Signer, Trust
from models.registry.activation import Post, value_of
from producers.simulator.ocr import Scenario, Simulation
from schemas import topics
from sinks.migrate import migrate
from sinks.store import Store
from streams import ocr, sync
from streams.runtime import Control
from streams.runtime.offline import run
from streams.serving import Serving, Shelf
from streams.sync_users import SYNC_USERS
from tests.conftest import Access
from tests.streams import test_ocr
from tests.streams.control import answers, command, judged, view
from tests.streams.test_sync import NAME, OWN, SHADOW, active, between, said, source, world
from tests.watchfloor.test_explain import explain, receipt, write
from watchfloor.explained import EXPLAINED
from watchfloor.receipt import flagged

__all__ = ["world"]

pytestmark = pytest.mark.clickhouse

Record = dict[str, Any]
READS = "v20260401_090000"
HOUR_MS = 3_600_000
SHADOWED = sync.SHADOWS.post.slot


@dataclass(frozen=True)
class Stored:
    """Predictions in the database, by model, and where the versions are that made them."""

    made: dict[str, list[Record]]
    registry: Registry

    def of(self, model: str, version: str, high: bool) -> Record:
        """One by a version, that is HIGH or is not."""
        return next(each for each in self.made[model] if each["model_version"] == version and flagged(each) == high)


@pytest.fixture(scope="module")
def stored(
    world: tuple[list[Record], list[Record]],
    tmp_path_factory: pytest.TempPathFactory,
    clickhouse: Access,
    database: str,
) -> Stored:
    signer = Signer.generate("tests")
    registry = Registry(str(tmp_path_factory.mktemp("models")), Trust((signer.public,), "tests"))
    syncs, asked = conflicts(world, registry, signer)
    read, events, more = readings(registry, signer)
    store = Store(clickhouse.url, clickhouse.user, clickhouse.password, database)
    migrate(store)
    for table in ("predictions", "events_sync", "events_ocr", "control_audit"):
        store.command(f"ALTER TABLE {database}.{table} REMOVE TTL")
    write(store, topics.PREDICTIONS_CONFLICT, syncs)
    write(store, topics.PREDICTIONS_OCR_TRUST, read)
    write(store, topics.EVENTS_SYNC, world[0], world[0][-1]["occurred_at"])
    write(store, topics.OCR_READINGS, events)
    write(store, topics.CONTROL_AUDIT, [*answers(judged(asked)), *answers(judged(more))])
    return Stored({NAME: syncs, OCR_TRUST: read}, registry)


def conflicts(
    world: tuple[list[Record], list[Record]], registry: Registry, signer: Signer
) -> tuple[list[Record], list[Record]]:
    """Predictions of syncs, by a model of one tenant's and a shadow of all, and the commands that let these serve."""
    entities = between(run(SYNC_USERS, source(*world)))
    ruled = said(run(sync.SYNC, entities), topics.PREDICTIONS_CONFLICT)
    table = np.array([each["features"] for each in ruled])
    labels = np.where(unlikely(ruled), YES, NO).astype(np.int8)
    times = np.arange(len(ruled)) * HOUR_MS
    for owner, version, kind in (("northgate", OWN, "logistic"), (EVERYONE, SHADOW, "boosted")):
        result = sync_training.learn(times, table, labels, weights(labels), "conflict_v2", kind)
        registry.publish(result.manifest(owner, version, {}), artifact.pack(result.scorer), signer)
    asked = [active(0, "northgate", "northgate", OWN), active(1, EVERYONE, EVERYONE, SHADOW, SHADOWED)]
    with served(registry, asked) as (models, control):
        last = run(sync.agent(models), entities, control=control)
    return said(last, topics.PREDICTIONS_CONFLICT), asked


def readings(registry: Registry, signer: Signer) -> tuple[list[Record], list[Record], list[Record]]:
    """Predictions of readings, half of them by a model, the readings, and the command that lets it serve."""
    days = Simulation(Scenario(1, 6, 1, 12, date(2026, 9, 1), 5, 0.2, 0.9, 0.3)).days()
    given = test_ocr.records([each for day in days for each in (*day.events, *day.outcomes)])
    ruled = said(run(test_ocr.OCR, given), topics.PREDICTIONS_OCR_TRUST)
    table = np.array([[np.nan if one is None else one for one in each["features"]] for each in ruled])
    times = np.arange(len(ruled)) * HOUR_MS
    result = learn(Examples.of(times, table, unlikely(ruled)), "logistic")
    registry.publish(result.manifest("tenant-1", READS, {}), artifact.pack(result.scorer), signer)
    half = given[len(given) // 2].timestamp
    value = json.dumps(value_of(Place(OCR_TRUST, "tenant-1"), READS))
    wanted = command(9, value, name=Post(OCR_TRUST).setting, tenant_id="tenant-1", valid_from=half, requested_at=half)
    with served(registry, [wanted]) as (models, control):
        last = run(ocr.agent(models, test_ocr.KEYS), given, control=control)
    return said(last, topics.PREDICTIONS_OCR_TRUST), said(last, topics.OCR_READINGS), [wanted]


def unlikely(ruled: list[Record]) -> NDArray[np.bool_]:
    """The sixth that the heuristic thinks worst of, but for some by chance: something to learn from."""
    scores = np.array([each["probability"] for each in ruled])
    noise = np.random.default_rng(3).normal(size=len(ruled)) / 20
    labels: NDArray[np.bool_] = scores + noise > np.quantile(scores + noise, 5 / 6)
    return labels


@contextmanager
def served(registry: Registry, asked: list[Record]) -> Iterator[tuple[Shelf, Control]]:
    """The models that the commands let serve, loaded."""
    control = view(judged(asked))
    models = Shelf(registry, {NAME: sync_unpack, OCR_TRUST: unpack}, most_bytes=10**9)
    asyncio.run(models.prepare(control))
    yield models, control
    models.close()


@pytest.fixture
def ready(stored: Stored, clickhouse: Access, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """With the settings of a machine that may load the models."""
    trusted = tmp_path / "trusted"
    trusted.write_text("".join(f"{key.line}\n" for key in stored.registry.trust.keys.values()))
    for name, value in {
        "WATCHFLOOR_HOME": tmp_path / "home",
        "WATCHFLOOR_MODELS": stored.registry.storage.url,
        "WATCHFLOOR_TRUSTED_KEYS": trusted,
        **clickhouse.variables(database),
    }.items():
        monkeypatch.setenv(name, str(value))
    return stored


CASES = [(NAME, OWN), (NAME, SHADOW), (NAME, "heuristic_v1"), (OCR_TRUST, READS), (OCR_TRUST, "heuristic_v1")]


@pytest.mark.parametrize(("model", "version"), CASES)
def test_the_receipt(ready: Stored, model: str, version: str) -> None:
    one = ready.of(model, version, high=True)
    found = receipt(one)
    assert found["replay"] == {"state": "same", "why": None, "differing": {}}
    assert found["event"]["event_id"] == one["event_id"]
    assert found["cuts"] == {name.removeprefix("cut_"): value for name, value in one["detail"].items()}
    assert (found["activated"] is None) == (version == "heuristic_v1")
    about = EXPLAINED[model]
    names = [feature.name for feature in about.features]
    assert [each["name"] for each in found["features"]] == names
    shares = found["contributions"]
    assert shares["unit"] == ("probability" if version == "heuristic_v1" else "log_odds")
    if version == "heuristic_v1":
        whole = shares["base"] + sum(shares["shares"].values())
        assert one["probability"] == pytest.approx(min(whole, 0.95 if model == NAME else 1.0))
    # What is said to clear it, does, and no feature that makes another event of it was changed.
    change = found["counterfactual"]
    assert change["found"]
    vector = [np.nan if each is None else each for each in one["features"]]
    for name, each in change["values"].items():
        assert name in about.space.groups[change["group"]]
        vector[names.index(name)] = np.nan if each["would_be"] is None else each["would_be"]
    place = Place(model, EVERYONE if version == SHADOW else one["tenant_id"])
    loaded = Serving()
    if version != "heuristic_v1":
        reader = unpack if model == OCR_TRUST else sync_unpack
        loaded = Serving(reader(ready.registry.load(place, version)), version, place)
    (again,) = about.scoring.said(loaded, np.array([vector]))
    assert again["probability"] == change["probability"] < found["cuts"]["high"]
    assert again["risk_level"] == change["risk_level"]


def test_all_that_was_scored_is_scored_again(ready: Stored) -> None:
    some = ready.made[NAME][::151] + ready.made[OCR_TRUST][::151]
    assert {each["model_version"] for each in some} == {OWN, SHADOW, READS, "heuristic_v1"}
    assert {receipt(each)["replay"]["state"] for each in some} == {"same"}


def test_in_words(ready: Stored) -> None:
    one = ready.of(NAME, OWN, high=True)
    text = explain(one["prediction_id"][:12]).stdout
    for words in (
        f"{one['risk_level']} probability of a conflict",
        "task job",
        "for northgate by jane",
        "as usual for this",
        "gives the same score of the logged features, to the last bit",
    ):
        assert words in text
    low = ready.of(OCR_TRUST, "heuristic_v1", high=False)
    text = explain(low["prediction_id"]).stdout
    for words in ("probability of a wrong reading", "What counted, in probability", "It was less than HIGH."):
        assert words in text
