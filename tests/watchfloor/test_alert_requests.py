"""`watchfloor alerts ack` and the like, answered by a real worker."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from models.alerts import alert_id
from models.incidents import incident_id
from models.tickets import ticket_id
from schemas import topics
from tests.streams.noc import candidate
from tests.streams.test_tickets import fraud
from tests.worker import serving
from watchfloor.cli import main

CPU = "acme|metric_anomaly|web-1|cpu_percent|up"
ALERT = alert_id(CPU, "e-0")
HOSTS = ("web-2", "db-1")
THEIRS = {
    host: [alert_id(f"acme|metric_anomaly|{host}|{metric}|up", "e-0") for metric in ("m0", "m1")] for host in HOSTS
}
INCIDENTS = {host: incident_id(*alerts) for host, alerts in THEIRS.items()}


@pytest.fixture(scope="module")
def environment(kafka: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A worker that knows an open alert, and two incidents of two alerts each."""
    home: Path = tmp_path_factory.mktemp("worker")
    found = {
        "WATCHFLOOR_HOME": str(home),
        "WATCHFLOOR_KAFKA": kafka,
        "WATCHFLOOR_PREFIX": prefix,
        "WATCHFLOOR_PARTITIONS": "1",
    }
    made = CliRunner().invoke(main, ["topics", "apply"], env=found)
    assert made.exit_code == 0, made.output
    now = {"event_time": time.time_ns() // 1_000_000}
    openings = [candidate(0, **now)]
    openings += [candidate(0, subject=host, metric=metric, **now) for host in HOSTS for metric in ("m0", "m1")]
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    suspect = fraud("e-1", event_time=now["event_time"])
    producer.produce(prefix + "tickets.candidates", topics.TICKETS_CANDIDATES.codec.encode(suspect), b"acme")
    for opening in openings:
        producer.produce(prefix + "alerts.candidates", topics.ALERTS_CANDIDATES.codec.encode(opening), b"acme")
    assert producer.flush(30) == 0
    with serving(found):
        yield found


def alerts(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["alerts", *arguments], env=environment)


@pytest.mark.kafka
def test_a_person_acts_on_an_alert(environment: dict[str, str]) -> None:
    known = [ALERT, "--tenant", "acme", "--by", "ines", "--wait", "60"]
    taken = alerts(environment, "ack", *known)
    assert (taken.exit_code, taken.output) == (0, "acknowledged: the alert is acknowledged (version 2)\n")
    again = alerts(environment, "ack", *known)
    assert again.exit_code == 1
    assert "cannot acknowledge an alert that is acknowledged; possible: resolve, comment" in again.stderr
    for arguments in (["comment", "looking"], ["assign", "omar"], ["snooze", "1h"], ["verdict", "false_positive"]):
        assert alerts(environment, arguments[0], *known, arguments[1]).exit_code == 0, arguments
    silenced = alerts(environment, "silence", "acme", "1h", "patching", "--subject", "web-1", "--json")
    assert silenced.exit_code == 0, silenced.output
    found = json.loads(silenced.stdout)["command_id"]
    refused = alerts(environment, "silence", "acme", "31d", "too long", "--metric", "m0")
    assert "until must be after the beginning, by at most 30 days" in refused.stderr
    shown = alerts(environment, "silences").stdout
    assert re.fullmatch(rf"\S+ \S+ until \S+ \S+ acme subject web-1, by \S+: patching  {found}\n", shown), shown
    assert json.loads(alerts(environment, "silences", "--json").stdout)["command_id"] == found
    assert alerts(environment, "silences", "--tenant", "umbrella").stdout == "There is no silence of umbrella.\n"
    unknown = alerts(environment, "unsilence", "acme", "zzz")
    assert "no silence of acme has an id that begins with 'zzz'" in unknown.stderr
    ended = alerts(environment, "unsilence", "acme", found[:6], "--json")
    assert json.loads(ended.stdout)["message"] == f"silence {found} has ended"
    assert alerts(environment, "silences").stdout == "There is no silence.\n"
    resolved = json.loads(alerts(environment, "resolve", *known, "--text", "export", "--json").stdout)
    assert (resolved["accepted"], resolved["alert_id"], resolved["by"]) == (True, ALERT, "ines")
    refused = alerts(environment, "resolve", *known, "--json")
    assert refused.exit_code == 1
    assert not json.loads(refused.stdout)["accepted"]


@pytest.mark.kafka
def test_a_person_acts_on_incidents(environment: dict[str, str]) -> None:
    def incidents(*arguments: str) -> Result:
        known = ["--tenant", "acme", "--by", "ines", "--wait", "60"]
        return CliRunner().invoke(main, ["incidents", *arguments, *known], env=environment)

    web, db = INCIDENTS["web-2"], INCIDENTS["db-1"]
    confirmed = incidents("confirm", web, "--text", "the switch")
    assert (confirmed.exit_code, confirmed.output) == (0, "the incident is confirmed\n")
    again = incidents("confirm", web)
    assert again.exit_code == 1
    assert "cannot confirm an incident that is confirmed; possible: merge, split" in again.stderr
    merged = incidents("merge", db, web)
    assert (merged.exit_code, merged.output) == (0, f"incident {db} is closed, {web} has its alerts: 4 in all\n")
    parted = json.loads(incidents("split", web, *THEIRS["db-1"], "--json").stdout)
    assert parted["accepted"]
    assert parted["message"] == f"incident {parted['incident_id']} has 2 of the alerts, {web} keeps 2"
    gone = incidents("merge", web, db)
    assert gone.exit_code == 1
    assert f"there is no incident {db} that is not closed" in gone.stderr


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


@pytest.mark.kafka
def test_a_person_works_on_a_ticket(environment: dict[str, str]) -> None:
    def tickets(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["tickets", *arguments], env=environment)

    known = [ticket_id("acme", "fraud", "p-1", "e-1"), "--tenant", "acme", "--by", "ines", "--wait", "60"]
    early = tickets("close", *known, "confirmed")
    assert early.exit_code == 1
    assert "cannot close a ticket that is open; possible: start, comment, assign" in early.stderr
    begun = tickets("start", *known)
    assert (begun.exit_code, begun.output) == (0, "started: the ticket is in_progress (version 2)\n")
    for arguments in (["comment", "looking"], ["assign", "omar"]):
        assert tickets(arguments[0], *known, arguments[1]).exit_code == 0, arguments
    closed = tickets("close", *known, "confirmed", "--text", "seen on camera", "--json")
    assert closed.exit_code == 0, closed.output
    assert (json.loads(closed.stdout)["accepted"], json.loads(closed.stdout)["seq"]) == (True, 5)
    assert tickets("close", *known, "gone").exit_code == 2
