"""Verdicts come late, not on everything, sometimes wrong, and are changed now and then."""

from statistics import mean, median, quantiles
from typing import Any

from producers.simulator.chance import stream
from producers.simulator.verdicts import ACCUSED, CAUGHT, DAY_MS, Claim, verdicts
from tests.producers.simulator.conftest import SMALL, World

AT = 1_770_000_000_000


def judged(fraud: bool, count: int, reviewed: float = 1.0) -> list[list[dict[str, Any]]]:
    """Verdicts on shifts of two events each."""
    made = []
    for number in range(count):
        names = {"tenant_id": "acme", "person_id": "p-1", "site_id": "s-1"}
        claims = [Claim({**names, "event_id": f"{number}-{k}", "occurred_at": AT + k * 1000}, fraud) for k in (0, 1)]
        made.append(verdicts(claims, reviewed, stream("test", number)))
    return made


def first_of(shift: list[dict[str, Any]]) -> str:
    return str(min(shift, key=lambda outcome: outcome["decided_at"])["verdict"])


def test_they_come_late() -> None:
    delays = [(outcome["decided_at"] - AT) / DAY_MS for shift in judged(False, 2000) for outcome in shift]
    assert min(delays) > 0
    assert 2 < median(delays) < 3.2
    assert 9 < quantiles(delays, n=20)[-1] < 22


def test_they_are_incomplete() -> None:
    assert 0.55 < mean(bool(shift) for shift in judged(False, 2000, reviewed=0.6)) < 0.65
    assert not any(judged(False, 50, reviewed=0.0))


def test_they_are_sometimes_wrong_and_some_are_changed() -> None:
    frauds = judged(True, 3000)
    verdict = [first_of(shift) for shift in frauds]
    assert abs(mean(each == "fraud" for each in verdict) - CAUGHT) < 0.02
    assert 0.02 < mean(each == "genuine" for each in verdict) < 0.08
    changed = [shift for shift in frauds if len(shift) == 4]
    assert 0.015 < len(changed) / len(frauds) < 0.07
    for shift in changed:
        last = max(shift, key=lambda outcome: outcome["decided_at"])
        assert last["verdict"] == "fraud"
        assert last["decided_at"] - min(outcome["decided_at"] for outcome in shift) > 13 * DAY_MS
    accused = mean(first_of(shift) == "fraud" for shift in judged(False, 6000))
    assert 0 < accused < 5 * ACCUSED


def test_only_what_was_decided_by_the_end_is_known(small: World) -> None:
    last = max(outcome["decided_at"] for outcome in small.outcomes)
    days = (last - small.events[0]["occurred_at"]) / DAY_MS
    assert days <= SMALL.days
    by_id = {event["event_id"]: event for event in small.events}
    assert all(outcome["decided_at"] > by_id[outcome["event_id"]]["occurred_at"] for outcome in small.outcomes)
    assert all(outcome["person_id"] == by_id[outcome["event_id"]]["person_id"] for outcome in small.outcomes)
    judged = {outcome["event_id"] for outcome in small.outcomes}
    old = [event for event in small.events if event["occurred_at"] < last - 20 * DAY_MS]
    assert 0.75 < mean(event["event_id"] in judged for event in old) < 0.9
