"""The demonstration's portfolio: who is in it, and what is known when the live days begin."""

from datetime import date, timedelta

import pytest

from producers.simulator.tenants import midnight
from watchfloor.demo.portfolio import LIVE_DAYS, VERDICT_DAYS, Portfolio, portfolio

TODAY = date(2026, 5, 20)


@pytest.fixture(scope="module")
def made() -> Portfolio:
    return portfolio(TODAY, days=90, large=16, others=65)


def test_one_is_large_one_small_one_new(made: Portfolio) -> None:
    large, small, new = made.people
    assert made.people[large] > made.people[small] > made.people[new]
    assert made.days[large] == made.days[small] == 83
    assert 0 < made.days[new] < LIVE_DAYS
    events = [*made.past.events, *made.live.events]
    assert {each["tenant_id"] for each in events} == set(made.people)
    for name, records in made.references.items():
        assert {each["tenant_id"] for each in records} == set(made.people), name
    assert len({(each["tenant_id"], each["event_id"]) for each in events}) == len(events)


def test_the_past_knows_nothing_of_the_live_days(made: Portfolio) -> None:
    end = TODAY - timedelta(VERDICT_DAYS)
    begin = midnight(end - timedelta(LIVE_DAYS))
    assert made.past.events[-1]["occurred_at"] < begin <= made.live.events[0]["occurred_at"]
    assert made.live.events[-1]["occurred_at"] < midnight(end)
    assert made.past.outcomes[-1]["decided_at"] < begin <= made.live.outcomes[0]["decided_at"]
    for part in (made.past, made.live):
        times = [each["occurred_at"] for each in part.events]
        assert times == sorted(times)
    known = {each["event_id"] for each in made.past.events}
    assert {each["event_id"] for each in made.past.outcomes} <= known
    live = {each["event_id"] for each in made.live.events}
    judged = {each["event_id"] for each in made.live.outcomes}
    assert judged <= known | live
    assert len(judged & live) > len(live) / 2
