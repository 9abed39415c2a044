"""Public holidays of the countries in places.CITIES, as the law has them in 2026.

Those that follow the moon (Eid in Saudi Arabia) are left out: people work on them here.
"""

from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache

MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6


@lru_cache(256)
def public_holidays(country: str, year: int) -> frozenset[date]:
    """Days off by law in the country (for DE Berlin, for GB England, for AU New South Wales)."""
    return frozenset(RULES[country](year))


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher).

    >>> easter(2026).isoformat()
    '2026-04-05'
    """
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


def nth(year: int, month: int, weekday: int, number: int) -> date:
    """The number-th weekday of a month; -1: the last."""
    if number < 0:
        last = date(year + month // 12, month % 12 + 1, 1) - timedelta(1)
        return last - timedelta((last.weekday() - weekday) % 7)
    first = date(year, month, 1)
    return first + timedelta((weekday - first.weekday()) % 7 + 7 * (number - 1))


def from_easter(year: int, *days: int) -> set[date]:
    return {easter(year) + timedelta(each) for each in days}


def instead(*days: date) -> set[date]:
    """The days, and for each on a weekend the next weekday that is still free."""
    off = set(days)
    for day in sorted(days):
        if day.weekday() >= SATURDAY:
            while day.weekday() >= SATURDAY or day in off:
                day += timedelta(1)
            off.add(day)
    return off


def germany(year: int) -> set[date]:
    fixed = ((1, 1), (3, 8), (5, 1), (10, 3), (12, 25), (12, 26))
    return {date(year, *each) for each in fixed} | from_easter(year, -2, 1, 39, 50)


def england(year: int) -> set[date]:
    mondays = {nth(year, 5, MONDAY, 1), nth(year, 5, MONDAY, -1), nth(year, 8, MONDAY, -1)}
    new_year, christmas = instead(date(year, 1, 1)), instead(date(year, 12, 25), date(year, 12, 26))
    return mondays | new_year | christmas | from_easter(year, -2, 1)


def united_states(year: int) -> set[date]:
    off = {nth(year, 1, MONDAY, 3), nth(year, 2, MONDAY, 3), nth(year, 5, MONDAY, -1), nth(year, 9, MONDAY, 1)}
    off |= {nth(year, 10, MONDAY, 2), nth(year, 11, THURSDAY, 4)}
    for day in (date(year, 1, 1), date(year, 6, 19), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25)):
        off |= {day, day + timedelta({SATURDAY: -1, SUNDAY: 1}.get(day.weekday(), 0))}
    if date(year + 1, 1, 1).weekday() == SATURDAY:
        off.add(date(year, 12, 31))
    return off


def new_south_wales(year: int) -> set[date]:
    australia = date(year, 1, 26)
    if australia.weekday() >= SATURDAY:
        australia += timedelta(7 - australia.weekday())
    off = {australia, nth(year, 6, MONDAY, 2), nth(year, 10, MONDAY, 1)}
    off |= instead(date(year, 1, 1)) | instead(date(year, 4, 25)) | instead(date(year, 12, 25), date(year, 12, 26))
    return off | from_easter(year, -2, -1, 0, 1)


def saudi_arabia(year: int) -> set[date]:
    return {date(year, 2, 22), date(year, 9, 23)}


RULES: dict[str, Callable[[int], set[date]]] = {
    "AU": new_south_wales,
    "DE": germany,
    "GB": england,
    "SA": saudi_arabia,
    "US": united_states,
}
