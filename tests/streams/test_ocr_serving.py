"""A trained model of ocr_trust in the stream: from its activation on it scores, before it the heuristic does."""

import asyncio
import json
from datetime import date
from pathlib import Path

import numpy as np

from models.classifiers import artifact
from models.decisions import RISKS
from models.ocr.artifact import NAME, unpack
from models.ocr.evaluation import cases
from models.ocr.replay import replay
from models.ocr.training import learn
from models.registry import Place, Registry, Signer, Trust
from models.registry.activation import Post, value_of
from producers.simulator.ocr import Scenario, Simulation
from schemas import topics
from streams.ocr import agent
from streams.runtime.offline import run
from streams.serving import Shelf
from tests.streams.control import command, judged, view
from tests.streams.test_ocr import KEYS, records, said

VERSION = "v20260401_060000"


def test_the_model_serves_from_its_activation_on(tmp_path: Path) -> None:
    days = list(Simulation(Scenario(1, 12, 1, 25, date(2026, 9, 1), 5, 0.2, 0.9, 0.4)).days())
    events = [each for day in days for each in day.events]
    outcomes = [each for day in days for each in day.outcomes]
    found = cases(replay(events, outcomes, keys=KEYS), events[-1]["occurred_at"])["tenant-1"]
    result = learn(found.learned(events[-1]["occurred_at"]), "logistic")
    signer = Signer.generate("tests")
    registry = Registry(str(tmp_path), Trust((signer.public,), "tests"))
    registry.publish(result.manifest("tenant-1", VERSION, {}), artifact.pack(result.scorer), signer)
    half = events[len(events) // 2]["occurred_at"]
    value = json.dumps(value_of(Place(NAME, "tenant-1"), VERSION))
    wanted = command(0, value, name=Post(NAME).setting, tenant_id="tenant-1", valid_from=half, requested_at=half)
    control = view(judged([wanted]))
    shelf = Shelf(registry, {NAME: unpack}, most_bytes=10**9)
    asyncio.run(shelf.prepare(control))
    outcome = run(agent(shelf, KEYS), records([*events, *outcomes]), control=control, cuts=lambda: 77)
    shelf.close()

    # The features are those of the replay, to the last bit, and so are the scores.
    predictions = {each["event_id"]: each for each in said(outcome, topics.PREDICTIONS_OCR_TRUST)}
    scored = result.scorer.score(found.vectors)
    cuts = result.scorer.cuts
    served = 0
    for row, event in enumerate(events):
        made = predictions[event["event_id"]]
        given = [np.nan if each is None else each for each in made["features"]]
        assert list(map(repr, given)) == list(map(repr, found.vectors[row].tolist()))
        if event["occurred_at"] < half:
            assert (made["model_version"], made["contributions"]) == ("heuristic_v1", None)
            continue
        served += 1
        assert made["model_version"] == VERSION
        assert made["probability"] == scored.probability[row]
        assert made["risk_level"] == RISKS[cuts.risk(scored.probability[row : row + 1])[0]]
        assert (made["contributions"] is not None) == (made["risk_level"] == "CRITICAL")
        if scored.interval is not None:
            assert made["interval_low"] == scored.interval[0][row]
            assert made["calibration_version"] == VERSION
    assert served > 100
