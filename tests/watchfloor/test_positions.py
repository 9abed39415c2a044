"""`watchfloor positions` on a real broker."""

import json

import pytest
from click.testing import CliRunner

from schemas.apply import Cluster
from watchfloor.cli import main
from watchfloor.commands.topics import all_wanted
from watchfloor.settings import Settings

pytestmark = pytest.mark.kafka
run = CliRunner().invoke


@pytest.fixture
def settings(kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("WATCHFLOOR_KAFKA", kafka)
    monkeypatch.setenv("WATCHFLOOR_PREFIX", prefix)
    return Settings()


def test_positions(settings: Settings) -> None:
    missing = run(main, ["positions", "show"])
    assert missing.exit_code == 1
    assert (
        f"'{settings.prefix}events.metrics' does not exist: create it with `watchfloor topics apply`" in missing.output
    )
    Cluster(settings.kafka).apply(all_wanted(settings))
    shown = run(main, ["positions", "show", "--json"])
    assert shown.exit_code == 0, shown.output
    rows = json.loads(shown.stdout)
    inputs = {"metrics": 1, "attendance-intake": 1, "attendance-devices": 1, "attendance": 1}
    inputs |= {"sync-users": 2, "sync": 1, "ocr": 2, "ocr-outcomes": 2, "ocr-health": 1, "alerts": 3}
    expected = [
        (agent, partition)
        for agent, count in (inputs | {"tickets": 2, "fraud-outcomes": 2, "sync-outcomes": 2}).items()
        for _ in range(count)
        for partition in (0, 1)
    ]
    assert [(row["agent"], row["partition"]) for row in rows] == [*expected, ("control", 0)]
    assert all((row["position"], row["end"], row["lost"]) == (0, 0, None) for row in rows)
    assert "not begun" in run(main, ["positions", "show"]).output
    skip = ["positions", "skip", "metrics", "--reason", "test"]
    refused = run(main, [*skip, "0"])
    assert refused.exit_code == 1
    assert "nothing is lost" in refused.output
    assert "metrics has the partitions 0 to 1" in run(main, [*skip, "2"]).output
