"""`watchfloor up` as a person starts it: the whole product in processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.faults.waiting import until
from tests.watchfloor.instance import Instance


def test_the_whole_of_it(tmp_path: Path) -> None:
    """Everything comes up and is found well; what is killed comes back; the end is orderly and leaves nothing."""
    home = tmp_path / "home"
    channels = tmp_path / "notify.toml"
    channels.write_text(
        '[channels.noc]\ntype = "webhook"\nurl = "http://127.0.0.1:9/"\n[[routes]]\nchannels = ["noc"]\n'
    )
    environment = {
        "WATCHFLOOR_HOME": str(home),
        "WATCHFLOOR_SESSION_TIMEOUT_MS": "6000",
        "WATCHFLOOR_NOTIFY": str(channels),
    }
    instance = Instance(home, "watchfloor", "up", "--quiet", **environment)
    try:
        instance.ready(180)
        names = [service["name"] for service in instance.status()["services"]]
        assert names == ["kafka", "clickhouse", "worker-0", "sink-0", "notify", "collect"]
        table = instance.text()
        for name in names:
            where = instance.service(name)["where"]
            assert where
            assert where in table
        assert said_by("doctor", environment) == 0
        assert said_by("health", environment) == 0

        killed = {name: instance.service(name) for name in ("kafka", "worker-0", "notify")}
        for service in killed.values():
            os.kill(service["pid"], signal.SIGKILL)
        for service in killed.values():
            until(lambda service=service: runs_again(instance, service), 120, service["name"])  # type: ignore[misc]
        assert instance.service("kafka")["where"] == killed["kafka"]["where"]

        children = instance.children()
        assert instance.stop() == 0
        assert not [child for child in children if child.is_running()]
        assert "had to be killed" not in instance.text()
        assert not list((home / "run").glob("*.json"))
    finally:
        instance.end()


def runs_again(instance: Instance, before: dict[str, Any]) -> bool:
    now = instance.service(before["name"])
    return bool(now["state"] == "running" and now["pid"] != before["pid"])


def said_by(name: str, environment: dict[str, str]) -> int:
    """What the command says of it, as its exit code; lag and tables included."""
    command = [sys.executable, "-m", "watchfloor", name, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    to_mend = [finding for finding in json.loads(done.stdout) if finding["state"] == "mend"]
    assert to_mend == []
    return done.returncode


def test_production_starts_no_server(tmp_path: Path) -> None:
    """With servers of its own named, only clients run; without them it says what to set."""
    environment = os.environ | {"WATCHFLOOR_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "watchfloor", "up", "--profile", "prod"]
    bare = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert bare.returncode == 1
    assert "set WATCHFLOOR_KAFKA and WATCHFLOOR_CLICKHOUSE" in bare.stderr

    nowhere = {"WATCHFLOOR_KAFKA": "127.0.0.1:1", "WATCHFLOOR_CLICKHOUSE": "http://127.0.0.1:1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment | nowhere)
    assert done.returncode == 1
    assert "starting kafka" not in done.stderr
    assert "failed (exit code 1)" in done.stderr
    assert "127.0.0.1:1" in done.stderr
