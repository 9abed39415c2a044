"""A detector that cries wolf in one place is tuned there, and back again: real broker, real worker, real commands."""

import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from models.tuning import KEEP_MS, Scope, threshold
from schemas import topics
from streams.alerts import ALERTS
from streams.metrics import METRICS
from streams.runtime import Control
from streams.runtime.frame import InputRecord
from streams.runtime.offline import run
from tests.faults.waiting import until
from tests.jobs.site import Instance, decoded, worker
from tests.streams.test_metrics import MINUTE, NOON, sample
from watchfloor.cli import main

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

DAY = 24 * 60 * MINUTE
# Value of three samples, by minute. The second and the sixth are only just new enough for an alert.
BURSTS = {200: 59.2, 275: 40.5, 350: 64.9, 425: 34.3, 500: 72.0, 575: 28.9, 650: 81.2, 725: 20.5}
FALSE = (275, 575)
# Beside the noisy one: another metric, another host, another tenant.
HOSTS = {
    ("acme", "web-1"): ("cpu_percent", "db_connections"),
    ("acme", "web-2"): ("cpu_percent",),
    ("globex", "web-1"): ("cpu_percent",),
}
NOISY = ("acme", "web-1", "cpu_percent")
SCOPE = Scope("novelty", "web-1", "cpu_percent", None)
COUNT = 750

Place = tuple[str, str, str, int]
"""Tenant, host, metric and the minute of the burst."""


def played(start: int) -> list[dict[str, Any]]:
    """The same series for every metric of every host."""
    out = []
    for minute in range(COUNT):
        burst = next((at for at in BURSTS if at <= minute < at + 3), None)
        value = 50 + random.Random(minute).gauss(0, 2) if burst is None else BURSTS[burst]
        for (tenant, host), names in HOSTS.items():
            at = start + minute * MINUTE
            out.append(sample(minute, occurred_at=at, tenant_id=tenant, host=host, **dict.fromkeys(names, value)))
    return out


class Site(Instance):
    """A running instance, and the samples that it is given."""

    def __init__(self, kafka: str, prefix: str) -> None:
        super().__init__(kafka, prefix)
        now = int(time.time() * 1000)
        # The hour of the day that the bursts were chosen for, and all of it over.
        self.start = NOON + (now - COUNT * MINUTE - NOON) // DAY * DAY

    def tune(self, *arguments: str) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = json.loads(self.watchfloor("jobs", "run", "tune-alerts", "--json", *arguments))[
            "steps"
        ]
        return steps

    def place(self, alert: dict[str, Any]) -> Place:
        minute = (alert["opened_at"] - self.start) // MINUTE
        burst = next(at for at in BURSTS if at <= minute < at + 3)
        return alert["tenant_id"], alert["subject"], alert["metric"], burst

    def play_again(self, control: Control | None, time: int) -> tuple[set[Place], list[Any]]:
        """The alerts that the same samples open when they are published at that time, and their candidates."""
        source = [
            InputRecord(topics.EVENTS_METRICS.key_of(each), topics.EVENTS_METRICS.codec.encode(each), time, offset)
            for offset, each in enumerate(played(self.start))
        ]
        told = run(METRICS, source, control=control).topic(topics.ALERTS_CANDIDATES.name)
        heard = [InputRecord(key, value, time, offset) for offset, (key, value) in enumerate(told)]
        opened = decoded(topics.ALERTS, (value for _, value in run(ALERTS, heard).topic(topics.ALERTS.name)))
        return {self.place(each) for each in opened if each["reason"] == "opened"}, told


@pytest.fixture(scope="module")
def site(kafka: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with worker(kafka, prefix, tmp_path_factory.mktemp("tuning")):
        yield Site(kafka, prefix)


def live_and_judge(site: Site) -> dict[int, dict[str, Any]]:
    """Publish the samples burst by burst, and judge each alert of the noisy series as a system upstream does.

    Returns:
        The alerts of that series as they stand at the end, by the minute of their burst.
    """
    samples = played(site.start)
    sent = 0
    for number, burst in enumerate(BURSTS, 1):
        end = (burst + 20) * len(HOSTS)
        site.publish(topics.EVENTS_METRICS, samples[sent:end])
        sent = end

        def opened(burst: int = burst) -> dict[str, Any] | None:
            found = [each for each in site.log(topics.ALERTS) if site.place(each) == (*NOISY, burst)]
            return found[-1] if found else None

        alert = until(opened, 60, f"the alert of minute {burst}", every=0.4)
        verdict = {
            "tenant_id": "acme",
            "outcome_id": f"ticket-{number}",
            "alert_id": alert["alert_id"],
            "verdict": "false_positive" if burst in FALSE else "true_positive",
            "by": "tickets",
            "decided_at": alert["updated_at"] + MINUTE,
        }
        site.publish(topics.OUTCOMES_ALERTS, [verdict])
        until(lambda count=number: len(site.log(topics.LABELLED_ANOMALY)) == count, 30, "the label", every=0.4)
    assert site.log(topics.DEAD_LETTERS) == []
    versions = [each for each in site.log(topics.ALERTS) if site.place(each)[:3] == NOISY]
    return {site.place(each)[3]: each for each in sorted(versions, key=lambda each: each["seq"])}


def test_a_noisy_detector_is_tuned_where_it_is_noisy_and_back_again(site: Site) -> None:
    alerts = live_and_judge(site)
    assert [alerts[burst]["verdict"] for burst in BURSTS] == [
        "false_positive" if burst in FALSE else "true_positive" for burst in BURSTS
    ]
    now = int(time.time() * 1000)
    plain, told = site.play_again(None, now)
    assert plain == {(*host, name, burst) for host, names in HOSTS.items() for name in names for burst in BURSTS}

    # The one stop holds it; a dry run only says what it would do.
    stop = ("control", "set", "stop_automatic")
    site.watchfloor(*stop, "on", "--reason", "stop")
    (held,) = site.tune()
    assert held["outcome"] == "held"
    assert held["message"].startswith("stop_automatic of * is on, by ")
    site.watchfloor(*stop, "off", "--reason", "go on")
    (proposed,) = site.tune("--dry-run")
    assert proposed["outcome"] == "proposed"
    assert site.control().history("control.thresholds", "acme", SCOPE.setting) == ()

    # A quarter is false: one step, in this scope.
    (step,) = site.tune()
    vanished = {burst for burst, alert in alerts.items() if alert["score"] < threshold("novelty", 1.1)}
    assert vanished == set(FALSE)
    assert step | {"message": ""} == {
        "tenant": "acme",
        "setting": "surprise_factor|novelty|web-1|cpu_percent|*",
        "reviewed": 8,
        "false": 2,
        "false_alert_share": 0.25,
        "old": 1.0,
        "new": 1.1,
        "vanished": [alerts[burst]["alert_id"] for burst in FALSE],
        "lost": [],
        "outcome": "accepted",
        "message": "",
    }
    assert site.tune() == [], "one step a day"

    # What would vanish vanishes when the same samples are played again, and nothing else does.
    tuned = site.control()
    (entry,) = tuned.history("control.thresholds", "acme", SCOPE.setting)
    later = entry.valid_from
    opened, candidates = site.play_again(tuned, later)
    assert plain - opened == {(*NOISY, burst) for burst in FALSE}
    assert opened <= plain

    def others(rows: list[Any]) -> list[dict[str, Any]]:
        found = decoded(topics.ALERTS_CANDIDATES, (value for _, value in rows))
        return [each for each in found if (each["tenant_id"], each["subject"], each["metric"]) != NOISY]

    assert others(candidates) == others(told)
    # It expires.
    assert entry.expires_at == later + KEEP_MS
    assert site.play_again(tuned, entry.expires_at)[1] == told

    # One command undoes it, for good: what was judged before is settled.
    site.watchfloor("control", "undo", SCOPE.setting, "--tenant", "acme", "--reason", "too deaf", "--by", "jane")
    assert site.play_again(site.control(), int(time.time() * 1000))[1] == told
    assert site.tune() == []

    audit = [each for each in site.log(topics.CONTROL_AUDIT) if each["name"] == SCOPE.setting]
    assert [(each["action"], each["outcome"], each["by"], each["value"]) for each in audit] == [
        ("set", "accepted", "job:tuning", "1.1"),
        ("undo", "accepted", "jane", None),
    ]
    ids = ", ".join(alerts[burst]["alert_id"][:8] for burst in FALSE)
    assert audit[0]["reason"] == (
        "2 of 8 judged alerts were false (25%) in 14 days; factor 1 to 1.1; "
        f"would vanish: 2 ({ids}); of these true and lost: none"
    )
    assert audit[0]["expires_at"] == entry.expires_at


def test_the_job_for_people(site: Site) -> None:
    listed = site.watchfloor("jobs", "list").splitlines()
    names = ["active-learning", "alert-budget", "join-outcomes", "parity", "tune-alerts"]
    assert [line.split("  ")[0] for line in listed] == names
    assert listed[-1].startswith("tune-alerts  Daily: raise what detectors need to fire")
    shown = site.watchfloor("jobs", "run", "tune-alerts", "--dry-run", "--tenant", "globex")
    assert shown == "Nothing is to be tuned.\n"
    result = CliRunner().invoke(main, ["jobs", "run", "tune-alerts", "--now", "2099-01-01"])
    assert result.exit_code == 2
    assert "that time is still to come" in result.output


def test_a_missing_topic_is_a_clear_error(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_KAFKA", kafka)
    monkeypatch.setenv("WATCHFLOOR_PREFIX", "nowhere.")
    result = CliRunner().invoke(main, ["jobs", "run", "tune-alerts"])
    assert result.exit_code == 1
    assert f"Error: Kafka at {kafka}: " in result.output
