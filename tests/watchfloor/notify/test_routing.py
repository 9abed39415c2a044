"""What is told where and when: pure."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.watchfloor.test_alerts import alert
from watchfloor.notify.config import Quiet, Route
from watchfloor.notify.routing import SKIP, TELL, Decision, decide
from watchfloor.notify.teller import packed, unpacked

NIGHT = Quiet.model_validate({"from": "22:00", "to": "07:00", "zone": "Europe/Warsaw"})
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 10, 0, tzinfo=UTC)
MORNING = datetime(2026, 3, 10, 6, tzinfo=UTC)  # 07:00 in Warsaw


def route(**other: Any) -> Route:
    return Route.model_validate({"channels": ["noc"], **other})


def decided(now: datetime, routes: list[Route], **fields: Any) -> Decision:
    return decide(alert(1, **fields), routes, now)


@pytest.mark.parametrize(
    ("fields", "rules", "expected"),
    [
        ({"reason": "opened"}, {}, TELL),
        ({"reason": "reopened"}, {}, TELL),
        ({"reason": "severity"}, {}, TELL),
        ({"reason": "more"}, {}, SKIP),
        ({"reason": "held_back", "state": "resolved"}, {}, SKIP),
        ({"reason": "resolved", "state": "resolved"}, {}, TELL),
        ({"reason": "resolved", "state": "resolved"}, {"resolved": False}, SKIP),
        ({"reason": "opened", "muted": True}, {}, SKIP),
        ({"reason": "opened", "muted": False}, {}, TELL),
        ({"severity": "WARNING"}, {"severity": "HIGH"}, SKIP),
        ({"severity": "HIGH"}, {"severity": "HIGH"}, TELL),
        ({}, {"tenants": ["umbrella"]}, SKIP),
        ({}, {"tenants": ["umbrella", "acme"]}, TELL),
        ({}, {"kinds": ["metric_static"]}, SKIP),
        ({}, {"kinds": ["metric_anomaly"]}, TELL),
    ],
)
def test_what_is_told(fields: dict[str, Any], rules: dict[str, Any], expected: Decision) -> None:
    assert decided(NOON, [route(**rules)], **fields) == expected


def test_quiet_hours_hold_all_but_what_breaks_through() -> None:
    quiet = route(quiet=NIGHT)
    assert decided(MIDNIGHT, [quiet]) == Decision("hold", MORNING)
    assert decided(MIDNIGHT, [quiet], severity="CRITICAL") == TELL
    assert decided(MORNING, [quiet]) == TELL
    assert decided(MORNING - timedelta(seconds=1), [quiet]).what == "hold"
    assert decided(MIDNIGHT, [quiet], reason="resolved", state="resolved") == SKIP
    # Another route leads there without quiet hours.
    assert decided(MIDNIGHT, [quiet, route(severity="HIGH")]) == TELL
    assert decided(MIDNIGHT, [quiet, route(severity="CRITICAL")]).what == "hold"


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.times().map(lambda one: one.replace(microsecond=0)),
    st.integers(1, 1439),
    st.sampled_from(["Europe/Warsaw", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]),
)
def test_quiet_hours_end_at_their_end(now: datetime, begin: Any, minutes: int, zone: str) -> None:
    end = (datetime.combine(now.date(), begin) + timedelta(minutes=minutes)).time()
    until = Quiet.model_validate({"from": begin, "to": end, "zone": zone}).until(now)
    if until is None:
        return
    # An hour that the clock skips or repeats in spring and autumn may lie between.
    assert now - timedelta(hours=1) < until <= now + timedelta(days=1, hours=1)
    there = until.astimezone(ZoneInfo(zone))
    skipped = there.replace(tzinfo=None) != datetime.combine(there.date(), end)
    assert not skipped or there.utcoffset() != (until - timedelta(hours=3)).astimezone(ZoneInfo(zone)).utcoffset()


@given(st.sets(st.integers(0, 10**15)))
def test_held_offsets_survive_as_text(offsets: set[int]) -> None:
    assert unpacked(packed(list(offsets))) == sorted(offsets)
