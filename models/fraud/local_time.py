"""Clocks and calendars of sites: local time, weekends, holidays."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import holidays

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1)
_MOST_DAYS = 4096
"""Days remembered by a clock or a calendar before it starts over."""


class DayFacts(NamedTuple):
    """What a day is at a site, as features: 0 Monday to 6 Sunday; 0 or 1, NaN where it is not known."""

    day_of_week: float
    is_weekend: float
    is_holiday: float


class Zone:
    """A time zone's offsets from UTC, remembered by day, because finding one takes a microsecond.

    Attributes:
        days: offset in milliseconds by day of UTC since 1970, of those asked for; None where it changes within.
    """

    __slots__ = ("_zone", "days")

    def __init__(self, name: str) -> None:
        self._zone = ZoneInfo(name)
        self.days: dict[int, int | None] = {}

    def offset_ms(self, time: int) -> int:
        """Local time less UTC at a time in epoch milliseconds; milliseconds."""
        day = time // DAY_MS
        try:
            offset = self.days[day]
        except KeyError:
            offset = self._learn(day)
        return self._find(time) if offset is None else offset

    def _learn(self, day: int) -> int | None:
        """The offset of a whole day of UTC, None when it changes within."""
        start = day * DAY_MS
        offsets = {self._find(start + hour * HOUR_MS) for hour in range(25)}
        if len(self.days) >= _MOST_DAYS:
            self.days.clear()
        found = self.days[day] = offsets.pop() if len(offsets) == 1 else None
        return found

    def _find(self, time: int) -> int:
        offset = (_EPOCH + timedelta(milliseconds=time)).astimezone(self._zone).utcoffset()
        assert offset is not None
        return round(offset.total_seconds() * 1000)


@cache
def zone(name: str) -> Zone:
    """The zone of an IANA name; the same object each time. Raises as ZoneInfo."""
    return Zone(name)


@lru_cache(4096)
def public_holidays(country: str, subdivision: str | None, year: int) -> frozenset[int] | None:
    """Public holidays of a year as days since 1970; None for a country that is not known.

    Where the subdivision is not known those of the whole country are returned.
    """
    around = (year - 1, year, year + 1)  # New Year's Day is observed in the year before where it is a Saturday
    try:
        try:
            found = holidays.country_holidays(country, subdiv=subdivision, years=around)
        except NotImplementedError:
            if subdivision is None:
                raise
            found = holidays.country_holidays(country, years=around)
    except NotImplementedError:
        return None
    return frozenset((day - _FIRST_DAY).days for day in found if day.year == year)


@cache
def usual_weekend(country: str) -> frozenset[int]:
    """Weekend of a country, 0 Monday to 6 Sunday; Saturday and Sunday for one that is not known."""
    try:
        return frozenset(holidays.country_holidays(country).weekend)
    except NotImplementedError:
        return frozenset((5, 6))


class Calendar:
    """A tenant's weekend and own holidays, from the record of control.calendars."""

    __slots__ = ("holidays", "weekend")

    def __init__(self, weekend_days: Iterable[int], holidays: Iterable[str] = ()) -> None:
        self.weekend = frozenset(weekend_days)
        self.holidays = frozenset((date.fromisoformat(day) - _FIRST_DAY).days for day in holidays)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Calendar":
        return cls(record["weekend_days"], record["holidays"])


class Site:
    """A site under its tenant's calendar, made of the records of control.sites and control.calendars.

    Attributes:
        latitude, longitude: of its centre; degrees.
        radius_m: metres.
        zone: its clock.
        days: what local days are, by their number since 1970, of those that were asked for.
    """

    __slots__ = (
        "_calendar", "_country", "_subdivision", "days", "latitude", "longitude", "offset_ms", "radius_m", "zone",
    )  # fmt: skip

    def __init__(self, record: Mapping[str, Any], calendar: Calendar | None) -> None:
        self.latitude: float = record["latitude"]
        self.longitude: float = record["longitude"]
        self.radius_m: float = record["radius_m"]
        self.zone = zone(record["timezone"])
        self.offset_ms = self.zone.offset_ms
        self._country: str = record["country"]
        self._subdivision: str | None = record["subdivision"]
        self._calendar = calendar
        self.days: dict[int, DayFacts] = {}

    def facts(self, day: int) -> DayFacts:
        """What a local day is, by its number since 1970."""
        try:
            return self.days[day]
        except KeyError:
            if len(self.days) >= _MOST_DAYS:
                self.days.clear()
            found = self.days[day] = self._facts(day)
            return found

    def _facts(self, day: int) -> DayFacts:
        calendar = self._calendar
        weekend = usual_weekend(self._country) if calendar is None else calendar.weekend
        weekday = (day + 3) % 7  # 1 January 1970 was a Thursday
        public = public_holidays(self._country, self._subdivision, (_FIRST_DAY + timedelta(day)).year)
        if calendar is not None and day in calendar.holidays:
            holiday = 1.0
        else:
            holiday = math.nan if public is None else float(day in public)
        return DayFacts(float(weekday), float(weekday in weekend), holiday)
