"""Tenants: their sites, calendars and people."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from producers.simulator.chance import stream
from producers.simulator.people import Person, Phone
from producers.simulator.places import CITIES, Site, nearby, sites
from producers.simulator.rosters import PATTERNS
from producers.simulator.scenario import Scenario

KINDS: tuple[tuple[str, tuple[str, ...], tuple[int, ...]], ...] = (
    ("northgate", ("berlin", "london"), (5, 6)),
    ("harbour", ("new-york",), (5, 6)),
    ("meridian", ("riyadh",), (4, 5)),
    ("southbank", ("sydney",), (5, 6)),
    ("kestrel", ("london", "new-york"), (6,)),
)
"""Name, cities, and days of the weekend."""
PEOPLE_PER_SITE = 40
TENURE_DAYS = 1100
PHONE_DAYS = 550


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant.

    Attributes:
        weekend: days of the week, 0 Monday.
        holidays: its own.
        people: everybody who is with it at any time of the simulation.
        sends_rosters: its events carry the sites at which the person may work.
        face_threshold: confidence from which its app takes two faces for the same.
    """

    seed: int
    tenant_id: str
    sites: tuple[Site, ...]
    weekend: frozenset[int]
    holidays: frozenset[date]
    people: tuple[Person, ...]
    begins: date
    sends_rosters: bool
    face_threshold: float


def tenants(scenario: Scenario) -> list[Tenant]:
    """All tenants of a scenario, the largest first."""
    return [_tenant(scenario, number, size) for number, size in enumerate(scenario.sizes)]


def _tenant(scenario: Scenario, number: int, size: int) -> Tenant:
    name, cities, weekend = KINDS[number % len(KINDS)]
    tenant_id = name if number < len(KINDS) else f"{name}-{number // len(KINDS) + 1}"
    r = stream(scenario.seed, tenant_id, "tenant")
    places = sites(cities, max(2 * len(cities), size // PEOPLE_PER_SITE), r)
    begins = scenario.begins(number)
    years = range(scenario.start.year, scenario.end.year + 1)
    own = frozenset(
        date(year, *day) for year in years for day in ((12, 24), (12, 31), (r.randint(6, 8), r.randint(1, 28)))
    )
    people: list[Person] = []
    for _ in range(size):
        joined = begins
        while joined < scenario.end:
            # Whoever is there at the begin came at some time before it.
            left = joined + timedelta(1 + int(r.expovariate(1 / TENURE_DAYS)))
            people.append(_person(f"p-{len(people) + 1:05d}", places, joined, left, scenario.end, r))
            joined = left + timedelta(r.randint(1, 14))
    return Tenant(
        seed=scenario.seed,
        tenant_id=tenant_id,
        sites=places,
        weekend=frozenset(weekend),
        holidays=own,
        people=tuple(people),
        begins=begins,
        sends_rosters=number % 2 == 0,
        face_threshold=(0.5, 0.55, 0.45)[number % 3],
    )


def _person(person_id: str, places: tuple[Site, ...], joined: date, left: date, end: date, r: Random) -> Person:
    site = r.choice(places)
    near = [other for other in places if other.city == site.city and other != site]
    pattern = r.choices(PATTERNS, [each.share for each in PATTERNS])[0]
    others = 1 if pattern.twice else r.choices((0, 1, 2), (0.55, 0.3, 0.15))[0]
    phones = [(joined, Phone.new(r))]
    while (since := phones[-1][0] + timedelta(1 + int(r.expovariate(1 / PHONE_DAYS)))) < end:
        phones.append((since, Phone.new(r)))
    return Person(
        person_id=person_id,
        home=nearby(site.centre, 7000, r),
        site=site,
        allowed=(site, *r.sample(near, min(others, len(near)))),
        pattern=pattern,
        phase=r.randrange(56),
        joined=joined,
        left=left,
        phones=tuple(phones),
        late_min=r.gauss(-4, 4),
        spread_min=r.lognormvariate(1.6, 0.4),
        clarity=max(1.2, r.gauss(3.2, 0.7)),
        terminal_share=r.choice((0.0, 0.0, 0.2, 0.9)),
    )


def site_records(tenant: Tenant) -> list[dict[str, Any]]:
    """Records of control.sites."""
    return [
        {
            "tenant_id": tenant.tenant_id,
            "site_id": site.site_id,
            "latitude": site.centre[0],
            "longitude": site.centre[1],
            "radius_m": site.radius_m,
            "timezone": CITIES[site.city].timezone,
            "country": CITIES[site.city].country,
            "subdivision": CITIES[site.city].subdivision,
            "updated_at": midnight(tenant.begins),
        }
        for site in tenant.sites
    ]


def calendar_record(tenant: Tenant) -> dict[str, Any]:
    """The record of control.calendars."""
    return {
        "tenant_id": tenant.tenant_id,
        "weekend_days": sorted(tenant.weekend),
        "holidays": sorted(day.isoformat() for day in tenant.holidays),
        "updated_at": midnight(tenant.begins),
    }


def roster_records(tenant: Tenant) -> list[dict[str, Any]]:
    """Records of control.rosters, in the order in which people join."""
    return [
        {
            "tenant_id": tenant.tenant_id,
            "person_id": person.person_id,
            "allowed_sites": [site.site_id for site in person.allowed],
            "updated_at": midnight(person.joined),
        }
        for person in sorted(tenant.people, key=lambda person: (person.joined, person.person_id))
    ]


def midnight(day: date) -> int:
    """UTC epoch milliseconds of its begin."""
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
