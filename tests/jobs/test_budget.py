"""A noisy tenant is cut to its alert budget: offline over samples, and as a job with a real broker and worker."""

import json
import random
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from jobs.budget import BY, KEEP_MS, WINDOW_MS, Plan, plan, without_cuts
from models.anomaly.budget import NOTHING, Anomaly, Budget
from schemas import topics
from streams.alerts import ALERTS
from streams.metrics import METRICS
from streams.runtime import Control
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from tests.faults.waiting import until
from tests.jobs.site import Instance, decoded, worker
from tests.streams.control import DAY, command, judged, view
from tests.streams.noc import candidate
from tests.streams.test_metrics import MINUTE, NOON, records, sample

HOSTS = {"acme": 4, "globex": 1}
COUNT = 1000
BUDGET = 1
ROOM = 21
"""What one alert a shift makes in a week."""
NOW = NOON + COUNT * MINUTE


def noisy() -> list[dict[str, Any]]:
    """Every 75 minutes each host has a burst, up or down, rather further than those before it."""
    out = []
    for minute in range(COUNT):
        for tenant, hosts in HOSTS.items():
            for host in range(hosts):
                number, since = divmod(minute - 200, 75)
                value = 150 + random.Random(minute * 10 + host).gauss(0, 2)
                if number >= 0 and since < 3:
                    height = 9 * 1.5 ** (number // 2) * random.Random(f"{number} {host}").uniform(0.9, 1.1)
                    value = 150 + (height if number % 2 else -height)
                out.append(sample(minute, tenant_id=tenant, host=f"web-{host}", db_connections=value))
    return out


SOURCE = records(noisy())


def says(*asked: dict[str, Any]) -> Control:
    control = view(judged(asked))
    assert control.offset == len(asked) - 1
    return control


def setting(number: int, name: str, value: float, expected: int = 0, **other: Any) -> dict[str, Any]:
    return command(number, str(value), expected, name=name, **{"valid_from": NOON} | other)


WANTED = setting(0, "alert_budget", BUDGET)


def heard(outcome: Outcome) -> list[InputRecord]:
    """What the metrics agent has told, as the alert agent reads it."""
    out = []
    for offset, (key, value) in enumerate(outcome.topic(topics.ALERTS_CANDIDATES.name)):
        at = topics.ALERTS_CANDIDATES.codec.decode(value or b"")["event_time"]
        out.append(InputRecord(key, value, at, offset))
    return out


@cache
def lived(*asked: float) -> tuple[list[InputRecord], dict[str, list[str]]]:
    """Candidates under cuts (of novelty), and the alerts that open, by tenant."""
    cuts = [setting(1 + number, "novelty_cut", cut, number) for number, cut in enumerate(asked)]
    candidates = heard(run(METRICS, SOURCE, control=says(WANTED, *cuts)))
    opened: dict[str, list[str]] = {tenant: [] for tenant in HOSTS}
    for each in decoded(topics.ALERTS, (value for _, value in run(ALERTS, candidates).topic(topics.ALERTS.name))):
        if each["reason"] == "opened":
            opened[each["tenant_id"]].append(each["alert_id"])
    return candidates, opened


def would_be(candidates: list[InputRecord]) -> dict[str, list[Anomaly]]:
    return without_cuts(((0, each) for each in candidates), NOW - WINDOW_MS)


def test_a_noisy_tenant_is_cut_to_its_budget_and_another_is_untouched() -> None:
    candidates, plain = lived()
    anomalies = would_be(candidates)
    assert {tenant: len(found) for tenant, found in anomalies.items()} == {
        tenant: len(opened) for tenant, opened in plain.items()
    }
    assert len(plain["acme"]) > 1.5 * ROOM
    assert len(plain["globex"]) > 5
    made = {tenant: plan(tenant, anomalies[tenant], says(WANTED), NOW) for tenant in HOSTS}
    assert made["globex"].changes == []
    (change,) = made["acme"].changes
    assert change.setting == "novelty_cut"
    assert 0.5 < change.value < 0.8

    cut, opened = lived(change.value)
    assert 0 < len(opened["acme"]) <= ROOM
    assert len(opened["acme"]) == made["acme"].budget.told
    assert opened["globex"] == plain["globex"]
    # What was held back counts tomorrow as if it had been told: the cut does not wear itself out.
    again = would_be(cut)
    assert {tenant: sorted(map(repr, found)) for tenant, found in again.items()} == {
        tenant: sorted(map(repr, found)) for tenant, found in anomalies.items()
    }


def test_alerts_of_before_the_window_do_not_count() -> None:
    candidates, _ = lived()
    late = without_cuts(((0, each) for each in candidates), NOON + 500 * MINUTE)
    assert 0 < len(late["acme"]) < len(would_be(candidates)["acme"])


def test_partitions_are_replayed_each_by_itself() -> None:
    candidates, _ = lived()
    of = [int(topics.ALERTS_CANDIDATES.codec.decode(each.value or b"")["tenant_id"] == "acme") for each in candidates]
    split = sorted(zip(of, candidates, strict=True), key=lambda each: each[0])
    assert without_cuts(split, NOW - WINDOW_MS) == would_be(candidates)


MANY = [Anomaly("standing", 0.5 + n / 1000) for n in range(42)]


def planned(*asked: dict[str, Any], now: int = NOW) -> Plan:
    return plan("acme", MANY, says(*asked), now)


def test_what_is_set_is_not_set_again_the_same_day_and_renewed_the_next() -> None:
    first = planned(WANTED)
    assert [(each.setting, each.value) for each in first.changes] == [
        ("standing_cut", 0.521),
        ("novelty_cut", NOTHING),
    ]
    assert first.budget == Budget({"standing": 0.521, "novelty": NOTHING}, 21, 21)
    assert first.changes[0].reason == (
        "budget of 1 per 8 hours: of 42 anomalies in 7 days 21 would be told, 21 held back; "
        "standing tells from 0.521 on"
    )
    taken = [
        setting(1 + n, each.setting, each.value, by=BY, valid_from=NOW, requested_at=NOW, expires_at=NOW + KEEP_MS)
        for n, each in enumerate(first.changes)
    ]
    assert planned(WANTED, *taken).changes == []
    assert planned(WANTED, *taken, now=NOW + DAY - 1).changes == []
    assert planned(WANTED, *taken, now=NOW + DAY).changes == first.changes
    # Room again: the cuts are taken back, and only once.
    freed = plan("acme", [], says(WANTED, *taken), NOW + 1)
    assert [(each.setting, each.value) for each in freed.changes] == [("standing_cut", 0.0), ("novelty_cut", 0.0)]
    back = [
        setting(3 + n, each.setting, 0.0, 1, by=BY, valid_from=NOW + 1, requested_at=NOW + 1)
        for n, each in enumerate(freed.changes)
    ]
    assert plan("acme", [], says(WANTED, *taken, *back), NOW + DAY).changes == []


def test_what_a_person_decided_is_left_for_a_week() -> None:
    by_hand = setting(1, "standing_cut", 0.9, requested_at=NOW)
    found = planned(WANTED, by_hand, now=NOW + KEEP_MS - 1)
    assert [each.setting for each in found.changes] == ["novelty_cut"]
    assert found.left == ["standing_cut is left as jane wanted it: reason 1"]
    assert len(planned(WANTED, by_hand, now=NOW + KEEP_MS).changes) == 2
    undone = [
        setting(1, "standing_cut", 0.521, by=BY, requested_at=NOW),
        command(2, None, 1, name="standing_cut", action="undo", requested_at=NOW + 1),
    ]
    assert [each.setting for each in planned(WANTED, *undone, now=NOW + DAY).changes] == ["novelty_cut"]
    everyone = setting(1, "novelty_cut", 0.6, tenant_id="*")
    assert planned(WANTED, everyone, now=NOW + 2 * KEEP_MS).left == [
        "novelty_cut is left as jane wanted it for all: reason 1"
    ]


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        ({"name": "stop_automatic", "tenant_id": "*"}, "stop_automatic of * is on, by jane: reason 1"),
        ({"name": "observe_only"}, "observe_only of acme is on, by jane: reason 1"),
        ({"name": "observe_only", "tenant_id": "globex"}, None),
        ({"name": "tuning", "value": "false"}, None),
    ],
)
def test_flags_hold_it(flag: dict[str, Any], why: str | None) -> None:
    found = planned(WANTED, command(1) | flag)
    assert found.held == why
    assert found.changes, "what it would do is shown nevertheless"


@pytest.fixture(scope="module")
def site(kafka: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with worker(kafka, prefix, tmp_path_factory.mktemp("budget")):
        yield Instance(kafka, prefix)


def anomaly(number: int, now: int, **other: Any) -> dict[str, Any]:
    """A candidate of a host of its own, within the last hours."""
    subject = f"web-{number}"
    fields = {"subject": subject, "event_time": now - (number + 60) * MINUTE, "candidate_id": f"c-{number}"}
    fingerprint = f"acme|metric_anomaly|{subject}|cpu_percent|up"
    evidence = {"stands": 40.0, "usual_low": 12.0, "usual_high": 35.0}
    return candidate(0, score=0.5 + number / 100, **fields | {"fingerprint": fingerprint, "evidence": evidence} | other)


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_the_job_sets_the_cut_which_is_audited_and_undone_and_shows_what_is_held_back(site: Instance) -> None:
    now = int(time.time() * 1000)
    site.publish(topics.ALERTS_CANDIDATES, [anomaly(number, now) for number in range(ROOM + 9)])
    budget = ("control", "set", "alert_budget", str(BUDGET), "--tenant", "acme")
    until(lambda: site.watchfloor(*budget, "--reason", "few people"), 60, "the worker")

    def job(*arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(site.watchfloor("jobs", "run", "alert-budget", "--json", *arguments))
        return found

    done = job()
    (told,) = done["tenants"]
    assert (told["per_shift"], told["told"], told["held_back"]) == (BUDGET, ROOM, 9)
    assert [(each["setting"], each["value"], each["outcome"]) for each in done["steps"]] == [
        ("standing_cut", 0.59, "accepted"),
        ("novelty_cut", NOTHING, "accepted"),
    ]
    assert job()["steps"] == [], "safe to repeat"
    (entry,) = site.control().history("control.thresholds", "acme", "standing_cut")
    assert (entry.by, entry.value, entry.expires_at) == (BY, 0.59, entry.valid_from + KEEP_MS)

    # What is held back from now on is shown, and counts for the next cut.
    short = {"phase": "held_back", "evidence": {"stands": 40.0, "cut": 0.59}}
    site.publish(topics.ALERTS_CANDIDATES, [anomaly(3, now, subject="web-99", candidate_id="c-99", **short) | {
        "fingerprint": "acme|metric_anomaly|web-99|cpu_percent|up"}])  # fmt: skip
    shown = site.watchfloor("alerts", "held-back")
    assert "cpu_percent 97 % on web-99  (1 sample, score 0.53, needs 0.59)" in shown
    assert shown.splitlines()[-1] == "1 anomaly was held back."

    site.watchfloor("control", "undo", "standing_cut", "--tenant", "acme", "--reason", "too few", "--by", "jane")
    found = job()
    assert found["steps"] == []
    assert found["tenants"][0]["held_back"] == 10
    assert found["tenants"][0]["left"] == ["standing_cut is left as jane wanted it: too few"]
    audit = [each for each in site.log(topics.CONTROL_AUDIT) if each["name"] == "standing_cut"]
    assert [(each["action"], each["outcome"], each["by"]) for each in audit] == [
        ("set", "accepted", BY),
        ("undo", "accepted", "jane"),
    ]
