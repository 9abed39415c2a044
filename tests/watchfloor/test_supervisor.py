"""The supervisor over real processes: what dies comes back, what stops leaves nothing behind."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.waiting import until
from tests.watchfloor.instance import Instance
from watchfloor.settings import ENDPOINTS, Settings
from watchfloor.supervisor import STATUS

Start = Callable[[str], Instance]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an instance in a folder of that name; what a test leaves running is killed."""
    instances: list[Instance] = []

    def begin(name: str) -> Instance:
        (tmp_path / name).mkdir(exist_ok=True)
        instances.append(Instance(tmp_path / name))
        return instances[-1]

    yield begin
    for instance in instances:
        instance.end()


def next_life(instance: Instance, before: dict[str, Any]) -> dict[str, Any]:
    """The service once it runs again under another pid; nothing until then."""
    now = instance.service(before["name"])
    return now if now["state"] == "running" and now["pid"] != before["pid"] else {}


def test_one_life(start: Start) -> None:
    """From start to orderly end: a killed child and a killed database come back, a second instance is refused."""
    instance = start("home")
    instance.ready()
    endpoints = instance.home / ENDPOINTS
    assert endpoints.stat().st_mode & 0o777 == 0o600
    settings = Settings(home=instance.home)
    assert settings.clickhouse == instance.service("clickhouse")["where"]
    assert len(settings.clickhouse_password.get_secret_value()) >= 24

    for name in ("one", "clickhouse"):
        old = instance.service(name)
        os.kill(old["pid"], signal.SIGKILL)
        new = until(lambda old=old: next_life(instance, old), 60, f"{name} again")  # type: ignore[misc]
        assert new["where"] == old["where"]
        assert new["restarts"] == 1
    assert "!! one ended (killed by SIGKILL); starting it again in" in instance.text()

    second = start("home")
    assert second.process.wait(30) == 1
    assert f"in use by `watchfloor up` with pid {instance.process.pid}" in second.text()

    children = instance.children()
    assert len(children) == 3
    assert instance.stop() == 0
    assert not [child for child in children if child.is_running()]
    assert "one says goodbye" in (instance.home / "logs" / "one.log").read_text()
    assert not endpoints.exists()
    assert not (instance.home / STATUS).exists()


def test_killed_by_force_it_leaves_nothing_and_starts_again(start: Start) -> None:
    instance = start("home")
    instance.ready()
    where = instance.service("clickhouse")["where"]
    children = instance.children()
    instance.process.kill()
    gone, left = psutil.wait_procs(children, timeout=10)
    assert len(gone) == 3
    assert not left
    assert (instance.home / ENDPOINTS).exists(), "nobody was left to remove it"

    successor = start("home")
    successor.ready()
    assert successor.service("clickhouse")["where"] == where
    assert successor.stop() == 0


def test_instances_run_side_by_side(start: Start) -> None:
    instances = [start("first"), start("second")]
    for instance in instances:
        instance.ready()
    places = {Settings(home=instance.home).clickhouse for instance in instances}
    assert len(places) == 2
    assert instances[0].stop() == 0
    assert len(instances[1].children()) == 3
    assert instances[1].stop() == 0
