"""Shifts by the wall clock: time zones, changes of the clock, weekends and holidays; and the light of day."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from producers.simulator import Scenario, Simulation
from producers.simulator.holidays import RULES, easter, public_holidays
from producers.simulator.places import CITIES, daylight
from producers.simulator.rosters import PATTERNS, Shift, off_work, shifts, wall_ms
from producers.simulator.tenants import Tenant

SIMULATION = Simulation(Scenario(tenants=4, people=400, start=date(2026, 1, 1), days=365, seed=2))
HOUR_MS = 3_600_000


def local(at: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at / 1000, zone)


def of_day(tenant: Tenant, day: date, pattern: str) -> list[Shift]:
    return [
        shift
        for person in tenant.people
        if person.pattern.name == pattern
        for shift in shifts(tenant, person, day, Random(f"{person.person_id}{day}"))
    ]


@pytest.mark.parametrize(
    ("city", "day", "hours"),
    [
        ("berlin", date(2026, 3, 28), 7),  # the clock goes forward in the night to the 29th
        ("berlin", date(2026, 10, 24), 9),  # and back
        ("berlin", date(2026, 3, 27), 8),
        ("new-york", date(2026, 3, 7), 7),
        ("new-york", date(2026, 10, 31), 9),
        ("sydney", date(2026, 4, 4), 9),
        ("sydney", date(2026, 10, 3), 7),
        ("riyadh", date(2026, 3, 28), 8),
    ],
)
def test_a_night_shift_is_as_long_as_the_wall_clock_makes_it(city: str, day: date, hours: int) -> None:
    zone = ZoneInfo(CITIES[city].timezone)
    start, end = wall_ms(day, 22 * 60, zone), wall_ms(day, 30 * 60, zone)
    assert (end - start) / HOUR_MS == hours
    assert local(start, zone).hour == 22
    assert local(end, zone).hour == 6
    assert local(end, zone).date() == day + timedelta(1)


def test_times_that_are_skipped_or_come_twice() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert local(wall_ms(date(2026, 3, 29), 150, berlin), berlin).hour == 3  # there is no 2:30
    twice = wall_ms(date(2026, 10, 25), 150, berlin)
    assert datetime.fromtimestamp(twice / 1000, UTC).hour == 0  # the first 2:30, in summer time


@pytest.mark.parametrize("tenant", SIMULATION.tenants, ids=lambda tenant: str(tenant.tenant_id))
def test_office_hours_keep_to_the_wall_clock_and_the_calendar(tenant: Tenant) -> None:
    begin = tenant.begins
    counts: Counter[bool] = Counter()
    for number in range(0, (date(2026, 12, 31) - begin).days, 1 + 2 * (tenant.begins.month == 1)):
        day = begin + timedelta(number)
        found = of_day(tenant, day, "office")
        assert all(local(shift.start, shift.site.zone).hour == 8 for shift in found)
        assert all(local(shift.start, shift.site.zone).date() == day for shift in found)
        for shift in found:
            assert not off_work(tenant, shift.site, day)
            assert day.weekday() not in tenant.weekend
            assert day not in tenant.holidays
        counts[bool(found)] += 1
    assert counts[True] > counts[False] > 0


def test_guards_work_through_weekends_and_holidays() -> None:
    tenant = SIMULATION.tenants[0]
    assert of_day(tenant, date(2026, 12, 25), "guard")
    assert not of_day(tenant, date(2026, 12, 25), "office")
    assert of_day(tenant, date(2026, 3, 7), "guard")


def test_a_cleaner_has_two_sites_on_a_day() -> None:
    tenant = SIMULATION.tenants[0]
    found = of_day(tenant, date(2026, 3, 10), "cleaner")
    assert Counter(local(shift.start, shift.site.zone).hour for shift in found).keys() == {5, 11}
    assert sum(pattern.share for pattern in PATTERNS) == pytest.approx(1)


@pytest.mark.parametrize(
    ("country", "days", "number"),
    [
        # As the governments publish them for 2026.
        ("DE", ("2026-03-08", "2026-04-03", "2026-04-06", "2026-05-14", "2026-05-25", "2026-10-03"), 10),
        ("GB", ("2026-04-03", "2026-05-04", "2026-05-25", "2026-08-31", "2026-12-28"), 9),
        ("US", ("2026-01-19", "2026-07-03", "2026-09-07", "2026-11-26"), 12),
        ("AU", ("2026-01-26", "2026-04-04", "2026-04-27", "2026-06-08", "2026-10-05", "2026-12-28"), 13),
        ("SA", ("2026-02-22", "2026-09-23"), 2),
    ],
)
def test_public_holidays(country: str, days: tuple[str, ...], number: int) -> None:
    found = public_holidays(country, 2026)
    assert {date.fromisoformat(day) for day in days} <= found
    assert len(found) == number


def test_every_city_has_rules_and_easter_is_right() -> None:
    assert RULES.keys() == {city.country for city in CITIES.values()}
    assert [easter(year).isoformat()[5:] for year in (2000, 2024, 2025, 2038)] == ["04-23", "03-31", "04-20", "04-25"]


def test_daylight_follows_the_sun() -> None:
    def light(city: str, text: str) -> float:
        place = CITIES[city]
        at = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(place.timezone))
        return daylight((place.latitude, place.longitude), round(at.timestamp() * 1000))

    assert light("berlin", "2026-06-21T13:00") == light("sydney", "2026-12-21T13:00") == 1.0
    assert light("berlin", "2026-06-21T05:30") > 0.7 > 0.1 > light("berlin", "2026-12-21T06:30")
    assert light("sydney", "2026-06-21T05:30") < 0.1
    assert light("new-york", "2026-03-20T23:00") == 0.0
