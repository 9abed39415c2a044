"""Doctor: what it says of a healthy instance, and of each trouble that it knows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import Access
from watchfloor import doctor
from watchfloor.commands.db import command as db
from watchfloor.commands.doctor import command
from watchfloor.commands.topics import command as topics
from watchfloor.embedded import jars
from watchfloor.settings import Settings
from watchfloor.supervisor import STATUS

NOWHERE = {"WATCHFLOOR_KAFKA": "127.0.0.1:1", "WATCHFLOOR_CLICKHOUSE": "http://127.0.0.1:1"}


def findings(*states: doctor.Finding) -> dict[str, doctor.Finding]:
    return {finding.check: finding for finding in states}


def test_a_healthy_instance(
    kafka: str, prefix: str, clickhouse: Access, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Topics and tables are missing at first, doctor says how to make them, and doing so heals it."""
    for name, value in {
        "WATCHFLOOR_HOME": str(tmp_path),
        "WATCHFLOOR_KAFKA": kafka,
        "WATCHFLOOR_PREFIX": prefix,
        **clickhouse.variables(database),
    }.items():
        monkeypatch.setenv(name, value)
    runner = CliRunner()
    sick = runner.invoke(command, ["--json"])
    assert sick.exit_code == 1
    found = {one["check"]: one for one in json.loads(sick.stdout)}
    assert found["topics"]["mend"] == "Run `watchfloor topics apply`."
    assert found["tables"]["mend"] == "Run `watchfloor db migrate`."
    assert found["kafka"]["state"] == found["clickhouse"]["state"] == found["clock"]["state"] == "ok"

    assert runner.invoke(topics, ["apply"]).exit_code == 0
    assert runner.invoke(db, ["migrate"]).exit_code == 0
    healthy = runner.invoke(command)
    assert healthy.exit_code == 0, healthy.output
    assert "All is well." in healthy.stdout


def test_nothing_answers(tmp_path: Path) -> None:
    """In a process of its own: nothing but the findings may be printed."""
    done = subprocess.run(
        [sys.executable, "-m", "watchfloor", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | NOWHERE | {"WATCHFLOOR_HOME": str(tmp_path), "WATCHFLOOR_KAFAK": "misspelt"},
    )
    assert done.returncode == 1
    assert done.stderr == ""
    assert "nothing answers at 127.0.0.1:1" in done.stdout
    assert "nothing answers at http://127.0.0.1:1: [Errno 111] Connection refused" in done.stdout
    assert "these variables mean nothing: WATCHFLOOR_KAFAK" in done.stdout
    assert "3 to mend." in done.stdout


def test_java_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(doctor, "library", lambda home: home / "lib")
    found = findings(*doctor.java_and_jars(Settings(home=tmp_path)))
    assert found["java"].state == found["jars"].state == "mend"
    assert found["java"].mend == jars.JAVA_HELP
    assert "no Maven" in found["jars"].text


def test_java_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_402\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = findings(*doctor.java_and_jars(Settings(home=tmp_path)))
    assert found["java"].state == "mend"
    assert found["java"].text == f"Java 8 at {java}"


def test_a_service_that_does_not_stay_up(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    services = [{"name": "sink-0", "state": "waiting to start again", "log": "sink-0.log"}]
    (tmp_path / STATUS).write_text(json.dumps({"pid": os.getpid(), "services": services}))
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / "run" / "worker-7.json").write_text(json.dumps({"pid": ended.pid, "kind": "worker"}))
    found = findings(*doctor.processes(Settings(home=tmp_path)))
    assert found["supervisor"].text == "sink-0 is waiting to start again (log: sink-0.log)"
    assert found["processes"].text == "ended without a word: worker-7"


@pytest.mark.parametrize(
    ("before", "there", "after", "least"),
    [(10.0, 10.4, 10.5, 0.0), (10.0, 7.0, 10.5, 3.0), (10.0, 15.0, 10.5, 4.5)],
)
def test_skew_counts_only_what_the_request_cannot_explain(
    before: float, there: float, after: float, least: float
) -> None:
    assert doctor.skew(before, there, after) == least


def test_clocks_that_differ_are_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(kafka="broker:9092")
    assert doctor.clock(settings, 0.0).state == "ok"
    assert "see to NTP on the brokers" in doctor.clock(settings, 0.0).text
    assert doctor.clock(settings, 3.0).state == "mend"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 10**18)
    assert doctor.disk(tmp_path / "not" / "yet").state == "mend"
