"""Made syncs and readings of the demonstration: what is known when the live days begin, and when it is published."""

import asyncio
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.ocr.features import NAMES, PLACE
from producers.simulator.tenants import midnight
from schemas.topics import DAY_MS, EVENTS_SYNC, OUTCOMES_SYNC, Topic
from sinks.store import Store
from streams.topology import AGENTS
from watchfloor.demo.act import STEP_MS
from watchfloor.demo.conflicts import Conflicts
from watchfloor.demo.readings import Readings, reviewed
from watchfloor.demo.terminal import Terminal
from watchfloor.demo.worlds import (
    CORRECTIONS,
    OCR_DAYS,
    OCR_LIVE,
    SYNC_DAYS,
    SYNC_OUTCOMES,
    World,
    readings,
    syncs,
)
from watchfloor.settings import Settings

TODAYS = [date(2026, 5, 18) + timedelta(number) for number in range(0, 7, 3)]
"""A Monday, a Thursday, a Sunday."""


def checked(world: World, today: date) -> None:
    """Nothing is of the future, of another event, or known before it came."""
    past, live, after = world.past, world.live, world.after
    begin, end = live.events[0]["occurred_at"], live.events[-1]["occurred_at"]
    assert past.events[-1]["occurred_at"] < begin
    assert past.outcomes[-1]["decided_at"] <= live.outcomes[0]["decided_at"]
    assert end < after.outcomes[-1]["decided_at"] < midnight(today)
    assert after.events == []
    for part in (past, live, after):
        assert part.events == sorted(part.events, key=lambda each: each["occurred_at"])
        assert part.outcomes == sorted(part.outcomes, key=lambda each: each["decided_at"])
    events = {each["event_id"]: each for each in (*past.events, *live.events)}
    assert len(events) == len(past.events) + len(live.events)
    for part in (past, live, after):
        assert world.judged(part) <= set(events)
        assert all(
            events[world.about[each["outcome_id"]]]["occurred_at"] < each["decided_at"] for each in part.outcomes
        )
    assert {each["tenant_id"] for each in events.values()} == {world.tenant}
    assert {each["event_id"] for each in live.events} & world.truth


@pytest.mark.parametrize("today", TODAYS)
def test_syncs_are_of_working_days_and_the_last_one_is_live(today: date) -> None:
    world = syncs(today, users=20, days=10)
    checked(world, today)
    days = {each["occurred_at"] // DAY_MS for each in world.live.events}
    assert len(days) == 1
    assert (date(1970, 1, 1) + timedelta(days.pop())).weekday() < 5


@pytest.mark.parametrize("today", TODAYS)
def test_readings_are_corrected_within_the_week_in_which_they_may_be(today: date) -> None:
    world = readings(today, meters=20, gates=1, days=12)
    checked(world, today)
    assert len({each["occurred_at"] // DAY_MS for each in world.live.events}) == OCR_LIVE
    events = {each["event_id"]: each["occurred_at"] for part in (world.past, world.live) for each in part.events}
    for part in (world.past, world.live, world.after):
        for each in part.outcomes:
            assert each["decided_at"] + STEP_MS - events[world.about[each["outcome_id"]]] < 7 * DAY_MS


def test_nothing_is_so_old_that_agents_refuse_it() -> None:
    """Events are published late, and today may be nearly over."""
    oldest = max(timedelta(SYNC_DAYS) + SYNC_OUTCOMES + timedelta(2), timedelta(OCR_DAYS) + CORRECTIONS)
    for agent in AGENTS:
        assert agent.max_age is None or oldest + timedelta(1) < agent.max_age


class Told(Conflicts):
    """Keeps what it would publish."""

    def __init__(self, home: Path) -> None:
        settings = Settings(home=home)
        store = Store(settings.clickhouse, "nobody", "", settings.database)
        super().__init__(settings, store, Terminal(), asyncio.Event())
        self.sent: list[tuple[Topic, list[dict[str, Any]]]] = []

    async def publish(self, topic: Topic, records: Any, time_field: str | None = None) -> None:
        self.sent.append((topic, list(records)))


@pytest.mark.parametrize("seconds", [0.0, 0.9])
def test_what_came_of_events_is_published_after_them_and_before_much_later_ones(tmp_path: Path, seconds: float) -> None:
    world, act = syncs(TODAYS[0], users=10, days=5), Told(tmp_path)
    part = world.live if seconds else world.past
    asyncio.run(act.play(part, seconds))
    sent = {
        topic.name: [each for of, some in act.sent if of is topic for each in some]
        for topic in (EVENTS_SYNC, OUTCOMES_SYNC)
    }
    assert sent == {EVENTS_SYNC.name: part.events, OUTCOMES_SYNC.name: part.outcomes}
    step = DAY_MS if seconds else STEP_MS
    newest = 0
    for topic, records in act.sent:
        for each in records:
            assert each[topic.time] > newest - step
            newest = max(newest, each[topic.time])


def test_a_sync_that_is_advised_is_shown_with_its_advice(tmp_path: Path) -> None:
    act = Told(tmp_path)
    prediction = {"subject": "u-1", "probability": 0.456, "risk_level": "HIGH", "advice": "sync before editing"}
    assert act.line(prediction) == ("SYNC", "u-1 (46%): sync before editing")
    assert act.line(prediction | {"advice": None}) is None


def scored(number: int, probability: float, wrong_by_rule: bool = False) -> dict[str, Any]:
    features: list[float | None] = [None] * len(NAMES)
    features[PLACE["confidence"]], features[PLACE["implausible"]] = 0.5, float(wrong_by_rule)
    return {"event_id": f"e-{number}", "probability": probability, "features": features, "model_version": "v1"}


def test_a_review_of_the_least_trusted_is_compared_with_one_by_confidence() -> None:
    rows = [scored(number, number / 100, number >= 98) for number in range(100)]
    found = reviewed(rows, frozenset({"e-99", "e-97", "e-10", "e-11"}))
    assert found["served"] == 0.5
    assert found["rule"] == pytest.approx((1 + 3 / 98) / 4 + 2 * 3 / 98 / 4)
    assert found["confidence"] == pytest.approx(0.05)


def test_readings_are_shown_where_a_model_doubts_them_and_something_can_be_said(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    act = Readings(settings, Store(settings.clickhouse, "nobody", "", settings.database), Terminal(), asyncio.Event())
    prediction = {"subject": "meter_reading|meter-1", "probability": 0.9, "risk_level": "CRITICAL", "advice": "odd"}
    assert act.line(prediction) == ("READING", "of meter-1 (90% wrong): odd")
    assert act.line(prediction | {"risk_level": "LOW"}) is None
    assert act.line(prediction | {"advice": None}) is None
