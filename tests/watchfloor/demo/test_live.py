"""What is counted as the burst's alert, and from when."""

import asyncio
from typing import Any

import pytest

from schemas.topics import ALERTS
from watchfloor.demo.live import Live
from watchfloor.demo.terminal import Terminal
from watchfloor.demo.watch import Seen

BEGAN, BURST = 1_000_000, 1_020_000


def version(**more: Any) -> Seen:
    """A version of an alert, three seconds into the burst, as Kafka had it 200 ms later."""
    record = {
        "subject": "web1",
        "metric": "cpu_percent",
        "direction": "up",
        "seq": 1,
        "state": "open",
        "reason": "opened",
        "severity": "HIGH",
        "summary": "cpu_percent 99 % on web1",
        "opened_at": BURST + 3000,
        "updated_at": BURST + 3000,
        **more,
    }
    return Seen(ALERTS.name, record, record["updated_at"] + 200)


def watched(*seen: Seen) -> tuple[Live, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    live = Live("web1", Terminal(), asyncio.Queue(), told.append)
    live.outcome.began, live.outcome.burst_at = BEGAN, BURST
    for each in seen:
        live.see(each)
    return live, told


def test_seconds_count_from_the_begin_of_the_burst_to_kafka_s_timestamp() -> None:
    live, told = watched(version())
    assert live.outcome.burst_to_alert_s == 3.2
    assert len(told) == 1


def test_an_open_alert_that_becomes_severer_is_the_burst_s() -> None:
    live, _ = watched(version(seq=2, reason="severity", opened_at=BEGAN))
    assert live.outcome.burst_to_alert_s == 3.2


@pytest.mark.parametrize(
    "other",
    [
        {"subject": "web2"},
        {"metric": "memory_percent"},
        {"direction": "down"},
        {"seq": 2, "reason": "more"},
        {"seq": 2, "reason": "resolved", "state": "resolved"},
        {"opened_at": BEGAN - 1},
        {"opened_at": BURST - 1, "updated_at": BURST - 1},  # of a sample before the burst
    ],
)
def test_what_is_not_the_burst_s(other: dict[str, Any]) -> None:
    live, told = watched(version(**other))
    assert live.outcome.burst_alerts == []
    assert told == []


def test_what_opens_before_the_burst_is_counted_apart() -> None:
    live, _ = watched(version(opened_at=BURST - 1, updated_at=BURST - 1))
    assert len(live.outcome.calm_alerts) == 1
