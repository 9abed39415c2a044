"""Made syncs: the same bytes for the same seed, conflicts that are what the definition says, outcomes as they come."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from producers.simulator.sync import Scenario, Simulation
from producers.simulator.sync.places import ASSET, JOB, MEMO
from watchfloor.cli import main

SMALL = ["--tenants", "2", "--users", "18", "--days", "2", "--start", "2026-03-02"]
MERGES = {field.name for kind in (JOB, ASSET, MEMO) for field in kind.fields if field.merges}
HOUR_MS = 3_600_000


def simulate(out: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["simulate", "sync", "--out", str(out), *SMALL, *more])


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        result = simulate(tmp_path / folder, "--seed", seed)
        assert result.exit_code == 0, result.output
    names = ["events.sync.jsonl", "outcomes.sync.jsonl", "simulation.json", "truth.jsonl"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    for name in names:
        found = [(tmp_path / folder / name).read_bytes() for folder in "abc"]
        assert found[0] == found[1] != found[2]
    about = json.loads((tmp_path / "a" / "simulation.json").read_text())
    truth = (tmp_path / "a" / "truth.jsonl").read_text().splitlines()
    counts = Counter(json.loads(line)["tenant_id"] for line in truth)
    assert {tenant: each["conflicts"] for tenant, each in about["tenants"].items()} == counts


@pytest.fixture(scope="module")
def made() -> tuple[list[dict[str, Any]], list[dict[str, Any]], set[str]]:
    """Events, outcomes and conflicts of a world in which nothing is hidden."""
    days = list(Simulation(Scenario(tenants=1, users=24, days=10, seed=3, hidden=0.0)).days())
    conflicts = {each["event_id"] for day in days for each in day.truth}
    return [each for day in days for each in day.events], [each for day in days for each in day.outcomes], conflicts


def test_a_conflict_is_an_overlap_with_what_others_changed_since_the_base(made: Any) -> None:
    events, _, conflicts = made
    assert 0.02 < len(conflicts) / len(events) < 0.12
    assert [each["occurred_at"] for each in events] == sorted(each["occurred_at"] for each in events)
    assert len({each["event_id"] for each in events}) == len(events)
    by_entity: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_entity.setdefault(event["entity_id"], []).append(event)
    told = 0
    for event in events:
        mine, base = set(event["fields_changed"]) - MERGES, event["last_synced_at"]
        others = [
            each
            for each in by_entity[event["entity_id"]]
            if each["user_id"] != event["user_id"] and mine & set(each["fields_changed"])
        ]
        if event["event_id"] not in conflicts:
            continue
        # A merge may come an hour after it was asked for, when tries fail.
        assert any(each["occurred_at"] < event["occurred_at"] + HOUR_MS for each in others)
        if base is not None:
            told += 1
            assert any(base - HOUR_MS < each["occurred_at"] < event["occurred_at"] + HOUR_MS for each in others)
    assert told > 20


def test_some_users_are_offline_and_send_later_what_they_did(made: Any) -> None:
    events, _, _ = made
    waited = [each["occurred_at"] - each["last_synced_at"] for each in events if each["last_synced_at"] is not None]
    assert 0.3 < len(waited) / len(events) < 0.7
    assert min(waited) > 0
    assert sum(each > HOUR_MS for each in waited) / len(waited) > 0.05


def test_outcomes_are_late_missing_twice_and_reversed(made: Any) -> None:
    events, outcomes, conflicts = made
    asked = {each["event_id"]: each["occurred_at"] for each in events}
    last: dict[str, bool] = {}
    for each in outcomes:
        last[each["event_id"]] = each["conflict_occurred"]
        assert each["decided_at"] > asked[each["event_id"]]
    assert 0.6 < len(last) / len(events) < 0.95
    assert {event for event, conflict in last.items() if conflict} <= conflicts
    waits = [each["decided_at"] - asked[each["event_id"]] for each in outcomes]
    assert 0.003 < sum(each > 24 * HOUR_MS for each in waits) / len(waits) < 0.05
    ids = Counter(each["outcome_id"] for each in outcomes)
    assert any(count > 1 for count in ids.values())
    assert len(ids) > len(last)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"users": 5}, "too few"), ({"days": 0}, "days must be"), ({"hidden": 1.5}, "hidden must be 0 to 1")],
)
def test_what_cannot_be_made_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Scenario(**wrong)
