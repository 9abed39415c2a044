"""Cities, sites, and the light of day."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, cos, degrees, pi, radians, sin
from random import Random
from zoneinfo import ZoneInfo

from producers.simulator.people import Phone

METRES_PER_DEGREE = 111_195.0
DAY_MS = 86_400_000

Point = tuple[float, float]
"""Latitude and longitude in degrees."""


@dataclass(frozen=True, slots=True)
class City:
    latitude: float
    longitude: float
    timezone: str
    country: str
    subdivision: str | None


CITIES = {
    "berlin": City(52.52, 13.40, "Europe/Berlin", "DE", "BE"),
    "london": City(51.51, -0.12, "Europe/London", "GB", "ENG"),
    "new-york": City(40.75, -73.98, "America/New_York", "US", None),
    "riyadh": City(24.71, 46.68, "Asia/Riyadh", "SA", None),
    "sydney": City(-33.87, 151.21, "Australia/Sydney", "AU", "NSW"),
}


@dataclass(frozen=True, slots=True)
class Site:
    """A place of work.

    Attributes:
        canyon: factor on the error of fixes, from what stands around; about 1.
        lamps: how much of daylight the lamps at the entrance make up for; 0 to 1.
        terminal: a device at the entrance for whoever likes to use it.
    """

    site_id: str
    city: str
    centre: Point
    radius_m: float
    canyon: float
    lamps: float
    terminal: Phone | None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(CITIES[self.city].timezone)


def moved(point: Point, north_m: float, east_m: float) -> Point:
    """The point so many metres away."""
    latitude = point[0] + north_m / METRES_PER_DEGREE
    return latitude, point[1] + east_m / (METRES_PER_DEGREE * cos(radians(latitude)))


def nearby(point: Point, sd_m: float, r: Random) -> Point:
    """A point around another, normally distributed in each direction."""
    return moved(point, r.gauss(0, sd_m), r.gauss(0, sd_m))


def between(point: Point, other: Point, share: float) -> Point:
    """`share` of the way from one to the other."""
    return point[0] + share * (other[0] - point[0]), point[1] + share * (other[1] - point[1])


def daylight(point: Point, at: int) -> float:
    """0 in the dark to 1 by day, by the height of the sun (declination to half a degree); `at` in epoch milliseconds.

    >>> berlin, june_noon, december_dawn = (52.5, 13.4), 1_782_041_400_000, 1_766_556_000_000
    >>> daylight(berlin, june_noon), daylight(berlin, december_dawn)
    (1.0, 0.0)
    """
    day = at % (365.25 * DAY_MS) / DAY_MS
    declination = radians(-23.44 * cos(2 * pi * (day + 10) / 365.25))
    hour_angle = 2 * pi * (at % DAY_MS / DAY_MS + point[1] / 360 - 0.5)
    latitude = radians(point[0])
    height = sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(hour_angle)
    return min(1.0, max(0.0, (degrees(asin(height)) + 6) / 12))


def sites(cities: Sequence[str], count: int, r: Random) -> tuple[Site, ...]:
    """Sites of a tenant, in turn in its cities."""
    made = []
    for number in range(count):
        city = cities[number % len(cities)]
        centre = nearby((CITIES[city].latitude, CITIES[city].longitude), 6000, r)
        made.append(
            Site(
                site_id=f"{city}-{number // len(cities) + 1}",
                city=city,
                centre=(round(centre[0], 6), round(centre[1], 6)),
                radius_m=float(r.choice((80, 100, 120, 150, 200, 250))),
                canyon=r.lognormvariate(0, 0.35),
                lamps=r.uniform(0.3, 1.0),
                terminal=Phone.new(r) if r.random() < 0.25 else None,
            )
        )
    return tuple(made)
