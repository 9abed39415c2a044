"""Activations on a real broker: a version serves soon after it was asked for, and a replay agrees with every frame."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.anomaly import forest_artifact
from models.anomaly.forest_trainer import train
from models.control import DEFAULTS
from models.metrics import NAMES
from models.registry import Place, Registry, Signer, Trust
from models.registry.activation import Post, value_of
from streams.control import CONTROL
from streams.runtime import Agent, Frame
from streams.serving import Models, Shelf, serving
from tests.faults.counting import ZERO, step
from tests.streams.control import command
from tests.streams.runtime.conftest import Lab, eventually
from tests.streams.runtime.tally import NOW, OUTPUT, TOPIC
from tests.streams.runtime.test_obey import ask, flowing, repeated, said

pytestmark = pytest.mark.kafka

MODEL = forest_artifact.NAME
POST = Post(MODEL)
PLACE = Place(MODEL, "acme")
FIRST, SECOND = "v20260921_120000", "v20260922_120000"
FOREST, TRAINING = train(np.arange(1200) * 60_000, np.random.default_rng(5).uniform(0, 1, (1200, len(NAMES))), seed=1)


def scoring(models: Models, meanwhile: Callable[[str, float], None] = lambda version, at: None) -> Agent:
    """An agent that says with each sample which version scores it."""

    def process(frame: Frame) -> None:
        out = []
        events = frame.decode()
        for record, event in zip(frame.records, events, strict=True):
            served = serving(frame.control, models, POST, event["tenant_id"], record.timestamp)
            score = 0.0 if served.model is None else served.model.score([event[name] for name in NAMES])
            meanwhile(served.version, time.monotonic())
            output = step(ZERO, event)[1] | {"model_version": served.version or "none", "probability": score}
            out.append(output | {"fallback_reason": served.refused, "control_offset": frame.control.offset})
        frame.send(OUTPUT, out)

    return Agent(name="tally", inputs=(TOPIC,), outputs=(OUTPUT,), process=process, settings=DEFAULTS)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    signer = Signer.generate("tests")
    found = Registry(str(tmp_path / "models"), Trust((signer.public,), "tests"))
    for version in (FIRST, SECOND):
        found.publish(forest_artifact.describe(FOREST, TRAINING, version, "acme"), forest_artifact.pack(FOREST), signer)
    return found


@pytest.fixture
def shelf(registry: Registry) -> Iterator[Shelf]:
    found = Shelf(registry, {MODEL: forest_artifact.unpack}, most_bytes=10**9)
    yield found
    found.close()


def activate(number: int, version: str, expected: int) -> dict[str, Any]:
    value = json.dumps(value_of(PLACE, version))
    return command(number, value, expected, name=POST.setting, valid_from=NOW, requested_at=NOW)


async def test_an_activation_is_in_force_soon_and_all_are_off_soon(
    lab: Lab, registry: Registry, shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.create_all()
    lab.create("control.commands", "changelog.control", *(topic.name for topic in CONTROL.outputs))
    # Whoever had this one before has made it his own meanwhile.
    tampered = Path(registry.storage.url) / PLACE.path / SECOND / forest_artifact.ARRAYS
    tampered.chmod(0o640)
    tampered.write_bytes(tampered.read_bytes()[:-1])
    off = partial(command, name="models_off", tenant_id="*", requested_at=NOW)
    steps = [
        ("activate", activate(0, FIRST, 0), FIRST),
        ("deactivate --all", off(1, "true", 0), ""),
        ("reactivate", off(2, "false", 1), FIRST),
    ]
    seen: list[tuple[str, float]] = []
    agent = scoring(shelf, lambda version, at: seen.append((version, at)))
    async with (
        lab.running(CONTROL),
        lab.running(agent, prepare=shelf.prepare) as engine,
        flowing(lab),
    ):
        await eventually(lambda: bool(seen), "the first sample")
        for name, asked, wanted in steps:
            begin = len(seen)
            await asyncio.to_thread(ask, lab, asked)
            stored = time.monotonic()
            await eventually(lambda b=begin, w=wanted: any(v == w for v, _ in seen[b:]), name)  # type: ignore[misc]
            seconds = next(at for version, at in seen[begin:] if version == wanted) - stored
            with capsys.disabled():
                print(f"\n{name} is in force {seconds:.2f} s after the command was stored")
            assert seconds < 5
        # The refused one never serves; what stood before it does, and says why.
        await asyncio.to_thread(ask, lab, activate(3, SECOND, 1))
        await eventually(lambda: engine.control.offset == 3, "the last command")
        count = len(seen)
        await eventually(lambda: len(seen) > count + 3, "samples under it")
        await eventually(lambda: bool(said(lab)) and said(lab)[-1]["control_offset"] == 3, "what was said")
    told = said(lab)
    assert [one for one in told if one["model_version"] == SECOND] == []
    assert told[-1]["model_version"] == FIRST
    assert "forest.npz was cut off" in told[-1]["fallback_reason"]
    assert {one["model_version"] for one in told} == {"none", FIRST}
    assert lab.rows(OUTPUT.name) == repeated(lab, scoring(shelf)).topic(OUTPUT.name)
