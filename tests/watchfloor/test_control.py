"""`watchfloor control` on a real broker, with a worker and without."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.control import SETTINGS
from schemas.apply import Cluster
from tests.worker import serving
from watchfloor.cli import main
from watchfloor.commands.topics import all_wanted
from watchfloor.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def environment(kafka: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables of an instance whose topics are there."""
    home = tmp_path_factory.mktemp("control")
    names = {"WATCHFLOOR_KAFKA": kafka, "WATCHFLOOR_PREFIX": prefix, "WATCHFLOOR_HOME": str(home), "COLUMNS": "200"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        settings = Settings()
        Cluster(settings.kafka).apply(all_wanted(settings))
        yield names


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["control", *arguments])
    assert result.exit_code == code, result.output
    return result


def told(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def test_a_day_of_control(environment: dict[str, str]) -> None:
    get = ("get", "observe_only", "--tenant", "acme")
    assert told(*get) == {
        "name": "observe_only", "tenant": "acme", "value": False, "unit": "", "source": "default", "version": 0,
        "since": None, "by": None, "reason": None, "coming": [],
    }  # fmt: skip

    # Nobody is there to answer: the command waits, and the next worker judges it.
    early = ("set", "observe_only", "on", "--by", "jane")
    queued = run(*early, "--reason", "too early", "--wait", "1", code=4)
    assert "unanswered: no worker answered command" in queued.stderr
    assert "stays queued and is judged when a worker runs the agent `control`" in queued.stderr
    with serving(environment, "control"):
        # This one was sent after it, with the same expected version.
        late = told(*early, "--reason", "repeated", "--wait", "60", code=3)
        assert (late["outcome"], late["code"], late["version"]) == ("refused", "StaleVersion", 1)
        inherited = told(*get)
        assert (inherited["value"], inherited["source"], inherited["by"]) == (True, "inherited from *", "jane")

        own = ("set", "observe_only", "off", "--tenant", "acme", "--reason", "acme first")
        assert "observe_only of acme is false from " in run(*own).output
        assert (told(*get)["value"], told(*get)["source"]) == (False, "own")
        refused = run(*own, "--expected-version", "0", code=3)
        assert refused.stdout == ""
        assert "refused: version 0 was expected; observe_only of acme is false" in refused.stderr

        undone = told("undo", "observe_only", "--tenant", "acme", "--reason", "a mistake")
        assert (undone["outcome"], undone["version"], undone["value"]) == ("accepted", 2, None)
        assert told(*get)["source"] == "inherited from *"
        versions = told("history", "observe_only", "--tenant", "acme")
        assert [(each["version"], each["value"], each["undoes"]) for each in versions] == [
            (2, None, 1),
            (1, False, None),
        ]
        assert "a mistake (undoes 1)" in run("history", "observe_only", "--tenant", "acme").output

        later = ("set", "alert_budget", "25", "--reason", "trial", "--valid-from")
        told(*later, "2020-01-01", code=3)
        run(*later, "15m")
        assert told("get", "alert_budget")["value"] == 25
        soon = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
        for days in (3, 2, 4):  # the second calls off the first
            run(*later, (soon + timedelta(days=days)).isoformat())
        found = told("get", "alert_budget")
        starts = [datetime.fromisoformat(each["from"]) for each in found["coming"]]
        assert starts == [soon + timedelta(days=days) for days in (2, 4)]
        assert told("set", "release", "metrics/0", "--reason", "mended")["asked"] == '"metrics/0"'
        assert told("get", "release")["value"] == "metrics/0"
        run("set", "stop_automatic", "on", "--reason", "stop")
        assert told("get", "stop_automatic")["value"] is True

        scope = "surprise_factor|novelty|web-1|cpu_percent|*"
        own = ("--tenant", "acme")
        assert told("get", "surprise_factor", *own) == []
        run("set", scope, "1.2", *own, "--reason", "noisy", "--for", "7d")
        (row,) = told("get", "surprise_factor", *own)
        assert (row["name"], row["value"], row["source"]) == (scope, 1.2, "own")
        assert [(each["version"], each["value"]) for each in row["coming"]] == [(0, None)]
        ends = datetime.fromisoformat(told("history", scope, *own)[0]["expires_at"])
        assert timedelta(days=6, hours=23) < ends - datetime.now(UTC) <= timedelta(days=7)
        assert f"{scope}: inherited from " in run("get", scope, *own).output
        later = datetime.now(UTC) + timedelta(days=3)
        run("set", scope, "1.3", *own, "--reason", "soon", "--for", "2d", "--valid-from", later.isoformat())
        assert [each["value"] for each in told("get", scope, *own)["coming"]] == [1.3, 1.2, None]
        run("set", scope, "1.2", "--reason", "all", code=3)


def test_every_setting_is_shown_with_what_it_means(environment: dict[str, str]) -> None:
    single = [name for name, setting in SETTINGS.items() if setting.scope is None and setting.record is None]
    assert [row["name"] for row in told("get")] == single
    table = run("get").output
    assert all(name in table for name in single)
    one = run("get", "anomaly_threshold").output
    assert SETTINGS["anomaly_threshold"].doc + " Takes a number from 0 to 1." in one
    assert "Nobody has set tuning of globex." in run("history", "tuning", "--tenant", "globex").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set", "observe", "on", "--reason", "x"), "there is no setting 'observe': is observe_only meant?"),
        (("set", "observe_only", "yes", "--reason", "x"), "observe_only must be true or false, not yes"),
        (("set", "alert_budget", "--reason", "x", "--", "-1"), "must be a whole number from 0 to 10000"),
        (("set", "release", "metrics/one", "--reason", "x"), "release must be a text of the form all|"),
        (("set", "observe_only", "on"), "Missing option '--reason'"),
        (("get", "--tenant", "A"), r"expected * or 1 to 63 of a-z, 0-9, _ and -, got 'A'"),
    ],
)
def test_mistakes_are_named_before_anything_is_sent(arguments: tuple[str, ...], message: str) -> None:
    assert message in run(*arguments, code=2).stderr


def test_no_broker_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_KAFKA", "127.0.0.1:1")
    monkeypatch.setattr("watchfloor.commands.control.READ_LIMIT_S", 0.5)
    result = run("get", code=1)
    assert "Kafka at 127.0.0.1:1: control at 127.0.0.1:1 could not be read to its end within 0.5 s" in result.stderr


def test_a_thousand_rosters_are_entered_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    rosters = [{"tenant_id": "acme", "person_id": f"p-{number}", "allowed_sites": ["a"]} for number in range(1000)]
    file = tmp_path / "rosters.jsonl"

    def load(*records: dict[str, Any], code: int = 0) -> Any:
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
        return told("load", "rosters", str(file), "--reason", "new year", "--wait", "30", code=code)

    run("load", "sites", str(file.with_suffix(".txt")), "--reason", "x", code=2)
    with serving(environment, "control"):
        load(rosters[0])
        began = time.monotonic()
        assert load(*rosters) == {
            "records": 1000, "unchanged": 1, "accepted": 999, "refused": 0, "unanswered": 0, "refusals": [],
        }  # fmt: skip
        assert time.monotonic() - began < 20
        assert load(*rosters)["unchanged"] == 1000
        file.write_text(json.dumps(rosters[0] | {"allowed_sites": ["b"]}))
        refused = run("load", "rosters", str(file), "--reason", " ", code=3)
        assert "roster|p-0 of acme: reason must have 1 to 1000 characters" in refused.stderr
    file.write_text(json.dumps(rosters[0] | {"person_id": "a|b"}))
    bad = run("load", "rosters", str(file), "--reason", "x", code=2)
    assert "line 1: person_id must be" in bad.stderr
