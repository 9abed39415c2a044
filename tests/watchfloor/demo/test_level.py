"""The recorded week at this machine's level: what stays as it was recorded, and what must not become news."""

from itertools import pairwise
from statistics import median, quantiles
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.metrics import NAMES
from producers.records import reader
from producers.tables import lines
from schemas.topics import EVENTS_METRICS
from watchfloor.demo.history import WEEK
from watchfloor.demo.level import CPU_MOST, Level, Scale, level, levels, rescaled, scales

PERCENT = st.floats(0, 100)
SAMPLES = st.lists(PERCENT, min_size=2, max_size=30)


@pytest.fixture(scope="module")
def week() -> list[dict[str, Any]]:
    return [line.record for line in lines(WEEK, reader(EVENTS_METRICS)) if isinstance(line.record, dict)]


@given(SAMPLES)
def test_a_recorded_incident_leaves_room_for_a_real_one(values: list[float]) -> None:
    here = level("cpu_percent", values)
    assert 0 <= here.middle <= here.high <= here.top <= CPU_MOST < 95


def test_a_calm_machine_s_incidents_end_half_way_to_the_top() -> None:
    here = level("cpu_percent", [4.0, 5.0, 6.0, 90.0, 7.0, 8.0, 9.0, 10.0, 10.0, 10.0, 10.0])
    assert here.high == 10.0
    assert here.top == 55.0


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=200), SAMPLES)
@example(recorded=[50.0, 49.5], values=[0.0, 0.0])  # the usual high is as good as the largest value
def test_order_is_kept_and_the_ceiling_holds(recorded: list[float], values: list[float]) -> None:
    here = level("cpu_percent", values)
    scale = Scale(recorded, here)
    moved = [scale(value) for value in sorted(recorded)]
    assert all(a <= b + 1e-9 for a, b in pairwise(moved))
    assert all(0 <= value <= here.top + 1e-9 for value in moved)


def test_a_loud_disk_leaves_room_for_the_burst() -> None:
    here = level("disk_write_bytes_per_s", [80e6] * 12)
    assert (here.high, here.top) == (12e6, 18e6)


def test_median_on_median_and_usual_high_on_usual_high(week: list[dict[str, Any]]) -> None:
    values = [record["cpu_percent"] for record in week if record["cpu_percent"] is not None]
    scale = Scale(values, Level(20.0, 40.0, 70.0))
    moved = [scale(value) for value in values]
    assert median(moved) == pytest.approx(20.0)
    assert quantiles(moved, n=10, method="inclusive")[8] == pytest.approx(40.0, abs=0.01)
    assert max(moved) == pytest.approx(70.0)


def test_an_idle_recording_stays_idle_beside_its_jobs(week: list[dict[str, Any]]) -> None:
    here = Level(16_384.0, 100_000.0, 12e6)
    values = [record["disk_write_bytes_per_s"] for record in week if record["disk_write_bytes_per_s"] is not None]
    scale = Scale(values, here)
    assert scale(0.0) == here.middle
    assert scale(max(values)) == here.top


def test_what_this_machine_does_not_have_is_null(week: list[dict[str, Any]]) -> None:
    samples = [dict.fromkeys(NAMES) | {"cpu_percent": 5.0 + number} for number in range(5)]
    here = levels(samples)
    assert set(here) == {"cpu_percent"}
    by = scales(week, here)
    record = rescaled(week[0], by)
    assert record["cpu_percent"] is not None
    assert record["disk_write_bytes_per_s"] is None
    assert record["event_id"] == week[0]["event_id"]
    assert week[0]["disk_write_bytes_per_s"] is not None
