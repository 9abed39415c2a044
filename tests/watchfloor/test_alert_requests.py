"""`watchfloor alerts ack` and the like, answered by a real worker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from models.alerts import alert_id
from schemas import topics
from tests.streams.noc import candidate
from watchfloor.cli import main

CPU = "acme|metric_anomaly|web-1|cpu_percent|up"
ALERT = alert_id(CPU, "e-0")


@pytest.fixture(scope="module")
def environment(kafka: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A worker that knows one open alert."""
    home: Path = tmp_path_factory.mktemp("worker")
    found = {
        "WATCHFLOOR_HOME": str(home),
        "WATCHFLOOR_KAFKA": kafka,
        "WATCHFLOOR_PREFIX": prefix,
        "WATCHFLOOR_PARTITIONS": "1",
    }
    made = CliRunner().invoke(main, ["topics", "apply"], env=found)
    assert made.exit_code == 0, made.output
    opening = candidate(0, event_time=time.time_ns() // 1_000_000)
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    producer.produce(prefix + "alerts.candidates", topics.ALERTS_CANDIDATES.codec.encode(opening), b"acme")
    assert producer.flush(30) == 0
    with (home / "worker.out").open("wb") as stream:
        worker = subprocess.Popen(
            [sys.executable, "-m", "watchfloor", "worker"],
            env=os.environ | found,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield found
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)


def alerts(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["alerts", *arguments], env=environment)


@pytest.mark.kafka
def test_a_person_acts_on_an_alert(environment: dict[str, str]) -> None:
    known = [ALERT, "--tenant", "acme", "--by", "ines", "--wait", "60"]
    taken = alerts(environment, "ack", *known)
    assert (taken.exit_code, taken.output) == (0, "the alert is acknowledged, version 2 says: acknowledged\n")
    again = alerts(environment, "ack", *known)
    assert again.exit_code == 1
    assert "cannot acknowledge an alert that is acknowledged; possible: resolve, comment" in again.stderr
    for arguments in (["comment", "looking"], ["assign", "omar"], ["snooze", "1h"], ["verdict", "false_positive"]):
        assert alerts(environment, arguments[0], *known, arguments[1]).exit_code == 0, arguments
    silenced = alerts(environment, "silence", "acme", "1h", "patching", "--subject", "web-1", "--json")
    assert silenced.exit_code == 0, silenced.output
    found = json.loads(silenced.stdout)["command_id"]
    ended = alerts(environment, "unsilence", "acme", found, "--json")
    assert json.loads(ended.stdout)["message"] == f"silence {found} has ended"
    resolved = json.loads(alerts(environment, "resolve", *known, "--text", "export", "--json").stdout)
    assert (resolved["accepted"], resolved["alert_id"], resolved["by"]) == (True, ALERT, "ines")
    refused = alerts(environment, "resolve", *known, "--json")
    assert refused.exit_code == 1
    assert not json.loads(refused.stdout)["accepted"]


@pytest.mark.kafka
def test_without_topics_it_says_what_to_do(kafka: str) -> None:
    said = alerts(
        {"WATCHFLOOR_KAFKA": kafka, "WATCHFLOOR_PREFIX": "nowhere."}, "ack", ALERT, "--tenant", "acme", "--wait", "1"
    )
    assert said.exit_code == 1
    assert "there is no topic nowhere.alerts.answers" in said.stderr


def test_a_wrong_duration_is_said() -> None:
    said = alerts({}, "snooze", ALERT, "for ever", "--tenant", "acme")
    assert said.exit_code == 2
    assert "expected 90s, 15m, 2h or 7d, got 'for ever'" in said.stderr
