"""`watchfloor upgrade` on a real broker: two releases of an agent, and the control agent."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.control import SETTINGS, STATE_LEVEL
from schemas.apply import Cluster
from streams.control import CONTROL
from streams.topology import AGENTS
from tests.streams.runtime.conftest import Lab, eventually, processed
from tests.streams.runtime.releases import NEW, OLD
from tests.streams.runtime.tally import TOPIC, records, sample
from watchfloor.cli import main
from watchfloor.commands import upgrade
from watchfloor.commands.topics import all_wanted
from watchfloor.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture
def lab(kafka: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab(kafka, prefix, tmp_path)
    lab.create_all()
    lab.create(*(topic.name for topic in CONTROL.outputs), "control.commands", "changelog.control")
    for name, value in {"KAFKA": kafka, "PREFIX": prefix, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(f"WATCHFLOOR_{name}", value)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setitem(SETTINGS, "state_level", replace(SETTINGS["state_level"], high=1))
    return lab


async def run(*arguments: str, code: int = 0, answer: str | None = None) -> str:
    done = await asyncio.to_thread(CliRunner().invoke, main, [*arguments], answer)
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


async def told() -> Any:
    return json.loads(await run("upgrade", "status", "--json"))


async def test_an_upgrade(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    finalize = ("upgrade", "finalize")
    async with lab.running(CONTROL):
        monkeypatch.setattr(upgrade, "AGENTS", (OLD,))
        async with lab.running(OLD, instance="worker-0") as engine:
            lab.write(TOPIC.name, records(sample(n) for n in range(20)))
            await processed(engine, 20)
            assert "This release changes no format of state: there is nothing to finalise" in await run(*finalize)

            monkeypatch.setattr(upgrade, "AGENTS", (NEW,))
            refused = await run(*finalize, "--yes", code=1)
            assert "workers of the release before are running: worker-0 at " in refused
            standing = await run("upgrade", "status")
            assert "Workers of the release before: worker-0 at " in standing
            assert "Not finalised: this release can be taken back." in standing
        async with lab.running(NEW, instance="worker-0") as engine:
            # Under the name of the one before: the broker takes it for the same member.
            await eventually(lambda: engine.parts and engine.parts[0].open, "the partition")
            assert "There is no way back. Workers that run, all of this release: worker-0." in await run(
                *finalize, code=1, answer="n\n"
            )
        found = await told()
        assert (found["level"], found["finalised"], found["done"]) == (1, 0, False)
        assert found["partitions"] == [
            {"agent": "tally", "partition": 0, "newest": 1, "level": 0, "old": 20,
             "values": {"count": {"1": 5}, "seen": {"1": 15}},
             "left": "tally[0] is at level 0 with 20 values in the format before"}
        ]  # fmt: skip

        # Nobody is there to store it anew.
        late = await run(*finalize, "--yes", "--wait", "1", "--by", "jane", code=3)
        assert "state_level of * is 1, version 1 by jane: upgrade" in late
        assert "Finalised at level 1, and not done yet." in late
        assert "tally[0] is at level 0 with 20 values in the format before" in late
        async with lab.running(NEW, instance="worker-0"):
            assert "Done: all state is stored at level 1" in await run(*finalize)
            (worker,) = (await told())["workers"]
            assert (worker["agent"], worker["name"], worker["level"]) == ("tally", "worker-0", 1)
        found = await told()
        assert found["done"]
        assert found["partitions"][0]["values"] == {"count": {"2": 5}, "seen": {"2": 15}}
        assert "Finalised at level 1: nothing is left in the format before." in await run("upgrade", "status")
        undo = ("control", "undo", "state_level", "--reason", "back")
        assert "state_level can only be raised" in await run(*undo, code=3)

    monkeypatch.setattr(upgrade, "AGENTS", (OLD,))
    assert "this is not the newest release: tally[0] is at level 1" in await run(*finalize, code=1)


async def test_the_agents_of_this_release(kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has begun, no worker was ever there."""
    monkeypatch.setenv("WATCHFLOOR_KAFKA", kafka)
    monkeypatch.setenv("WATCHFLOOR_PREFIX", f"{prefix}own.")
    Cluster(kafka).apply(all_wanted(Settings()))
    found = await told()
    assert found["level"] == STATE_LEVEL
    assert found["workers"] == []
    assert {each["agent"] for each in found["partitions"]} == {agent.name for agent in AGENTS}
    assert all(each["level"] is None and not each["left"] for each in found["partitions"])
