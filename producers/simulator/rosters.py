"""Rosters: who should work when and where, by the wall clock of the site."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from producers.simulator.chance import stream
from producers.simulator.holidays import public_holidays
from producers.simulator.places import CITIES, Site

if TYPE_CHECKING:
    from producers.simulator.people import Person
    from producers.simulator.tenants import Tenant

HOUR = 60
AT_OTHER_SITE = 0.1
"""Share of shifts at another of a person's sites."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """How somebody's weeks go.

    Attributes:
        share: of the people.
        shifts: begin and length in minutes by the wall clock; each week has the next of them.
        on, off: days of a rota that goes on over weekends and holidays; with `off` of 0 the person has the tenant's
            weekends and the holidays of the site.
        twice: a second shift at another site on the same day.
    """

    name: str
    share: float
    shifts: tuple[tuple[int, int], ...]
    on: int = 0
    off: int = 0
    twice: bool = False

    @property
    def rota(self) -> bool:
        return self.off > 0


PATTERNS = (
    Pattern("office", 0.38, ((8 * HOUR, 9 * HOUR),)),
    Pattern("early and late", 0.22, ((6 * HOUR, 8 * HOUR), (14 * HOUR, 8 * HOUR))),
    Pattern("guard", 0.16, ((7 * HOUR, 12 * HOUR), (19 * HOUR, 12 * HOUR)), on=4, off=4),
    Pattern("night", 0.08, ((22 * HOUR, 8 * HOUR),), on=5, off=2),
    Pattern("cleaner", 0.1, ((5 * HOUR + 30, 4 * HOUR),), twice=True),
    Pattern("weekend", 0.06, ((10 * HOUR, 6 * HOUR),), on=3, off=4),
)


@dataclass(frozen=True, slots=True)
class Shift:
    """One scheduled shift; times in UTC epoch milliseconds."""

    day: date
    site: Site
    start: int
    end: int


def wall_ms(day: date, minutes: int, zone: ZoneInfo) -> int:
    """UTC epoch milliseconds of a time on the wall, `minutes` after midnight, also of the next day.

    A time that comes twice is the first of the two; one that is skipped is as long after midnight as it would be.
    """
    return _midnight_of(day + timedelta(minutes // 1440), zone, minutes % 1440)


@lru_cache(1 << 14)
def _midnight_of(day: date, zone: ZoneInfo, minute: int) -> int:
    wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
    return round(wall.astimezone(UTC).timestamp()) * 1000


def off_work(tenant: "Tenant", site: Site, day: date) -> bool:
    """Whether it is a weekend or a holiday there."""
    country = CITIES[site.city].country
    return day.weekday() in tenant.weekend or day in tenant.holidays or day in public_holidays(country, day.year)


def shifts(tenant: "Tenant", person: "Person", day: date, r: Random) -> list[Shift]:
    """The shifts of a person on a day, in order; none on days off, holidays and when sick."""
    absent, elsewhere = r.random(), r.random()
    pattern = person.pattern
    place = person.site
    if elsewhere < AT_OTHER_SITE:
        place = person.allowed[int(elsewhere / AT_OTHER_SITE * len(person.allowed))]
    in_rota = day.toordinal() + person.phase
    if not person.works(day) or on_leave(tenant, person, day) or absent < 0.025:
        return []
    if pattern.rota and in_rota % (pattern.on + pattern.off) >= pattern.on:
        return []
    if not pattern.rota and off_work(tenant, place, day):
        return []
    begin, length = pattern.shifts[in_rota // 7 % len(pattern.shifts)]
    zone = place.zone
    made = [Shift(day, place, wall_ms(day, begin, zone), wall_ms(day, begin + length, zone))]
    other = next((site for site in person.allowed if site != place), None)
    if pattern.twice and other is not None:
        begin += length + 90
        made.append(Shift(day, other, wall_ms(day, begin, zone), wall_ms(day, begin + length, zone)))
    return made


@lru_cache(1 << 16)
def _leave(seed: int, tenant_id: str, person_id: str, year: int) -> tuple[tuple[date, date], ...]:
    r = stream(seed, tenant_id, person_id, "leave", year)
    blocks = []
    for first, last, longest in ((1, 180, 9), (181, 350, 18)):
        begin = date(year, 1, 1) + timedelta(r.randint(first, last))
        blocks.append((begin, begin + timedelta(r.randint(5, longest))))
    return tuple(blocks)


def on_leave(tenant: "Tenant", person: "Person", day: date) -> bool:
    """Whether the person is on holiday: two blocks a year."""
    blocks = _leave(tenant.seed, tenant.tenant_id, person.person_id, day.year)
    return any(begin <= day < end for begin, end in blocks)
