"""Sites, calendars and rosters, as they stood at the time of an event."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from models.fraud.local_time import Calendar, Site

Record = Mapping[str, Any]

SITE, CALENDAR, ROSTER = "site", "calendar", "roster"


class Timeline(NamedTuple):
    """The versions of one record: from when on each holds (epoch milliseconds, ascending); None where none does."""

    starts: Sequence[int]
    values: Sequence[Any]

    def at(self, time: int) -> Any:
        if self.starts and time >= self.starts[-1]:  # as a rule
            return self.values[-1]
        place = bisect_right(self.starts, time)
        return self.values[place - 1] if place else None


NEVER = Timeline((), ())

History = Callable[[str, str, str], Timeline]
"""Versions of a record by its kind (SITE, CALENDAR or ROSTER), tenant, and site's or person's id ("" for calendars)."""


class References:
    """Answers for one state of the reference data; what it makes of sites it keeps.

    Args:
        history: of the records; those of sites, calendars and rosters as in the schemas of control.sites,
            control.calendars and control.rosters.

    Attributes:
        sites: under their tenants' calendars, by tenant and site, of those that were asked for.
    """

    __slots__ = ("_history", "sites")

    def __init__(self, history: History) -> None:
        self._history = history
        self.sites: dict[tuple[str, str], Timeline] = {}

    @classmethod
    def of(cls, sites: Iterable[Record] = (), calendars: Iterable[Record] = (), rosters: Iterable[Record] = ()) -> Self:
        """Made of records as people hand them in. One holds from its `updated_at` on, the oldest from the beginning."""
        versions: dict[tuple[str, str, str], dict[int, Record]] = {}
        for kind, name, records in (
            (SITE, "site_id", sites),
            (CALENDAR, None, calendars),
            (ROSTER, "person_id", rosters),
        ):
            for record in records:
                place = kind, record["tenant_id"], "" if name is None else record[name]
                versions.setdefault(place, {})[record["updated_at"]] = record
        found = {}
        for place, by_time in versions.items():
            times = sorted(by_time)
            found[place] = Timeline((-(1 << 63), *times[1:]), [by_time[time] for time in times])
        return cls(lambda kind, tenant, name: found.get((kind, tenant, name), NEVER))

    def site(self, tenant: str, site_id: str, time: int) -> Site | None:
        """The site under its tenant's calendar at a time, epoch milliseconds; None where it is not known."""
        timeline = self.sites.get((tenant, site_id))
        if timeline is None:
            timeline = self._made(tenant, site_id)
            if timeline is NEVER:
                return None
            self.sites[tenant, site_id] = timeline
        found: Site | None = timeline.at(time)
        return found

    def allowed(self, tenant: str, person_id: str, site_id: str, time: int) -> bool | None:
        """Whether the roster lets the person work at the site; None where no roster is known."""
        roster = self._history(ROSTER, tenant, person_id).at(time)
        return None if roster is None else site_id in roster["allowed_sites"]

    def _made(self, tenant: str, site_id: str) -> Timeline:
        sites, calendars = self._history(SITE, tenant, site_id), self._history(CALENDAR, tenant, "")
        if not sites.starts:
            return NEVER
        starts = sorted({*sites.starts, *calendars.starts})
        values = []
        for start in starts:
            site, calendar = sites.at(start), calendars.at(start)
            values.append(None if site is None else Site(site, None if calendar is None else Calendar.of(calendar)))
        return Timeline(starts, values)
