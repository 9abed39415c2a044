"""The simulation, day by day."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from operator import itemgetter
from typing import Any

from producers.simulator.chance import stream
from producers.simulator.frauds import MECHANISMS, Cheat, Plan, cheats
from producers.simulator.honest import BORROWS, SWAPPED, Attendance, attend, borrow, swap
from producers.simulator.people import Person
from producers.simulator.readings import event
from producers.simulator.rosters import shifts
from producers.simulator.scenario import Scenario
from producers.simulator.tenants import Tenant, calendar_record, midnight, roster_records, site_records, tenants
from producers.simulator.verdicts import Claim, verdicts

HOUR_MS = 3_600_000
EARLIEST_MS = 20 * HOUR_MS
"""No event of a day comes earlier than so long before its midnight UTC: 14 h for the zone, the rest for the early."""

Record = dict[str, Any]


@dataclass(slots=True)
class Day:
    """What became known up to the end of a day, each in the order of time.

    `truth` has one record for each fraudulent event among `events`: tenant_id, event_id, mechanism. All others are
    honest. It is for evaluation; no model may read it.
    """

    day: date
    events: list[Record] = field(default_factory=list)
    outcomes: list[Record] = field(default_factory=list)
    truth: list[Record] = field(default_factory=list)


class Simulation:
    """A run of a scenario.

    Attributes:
        sites, calendars, rosters: the reference records, known before the first event.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.tenants = tenants(scenario)
        self.sites = [record for tenant in self.tenants for record in site_records(tenant)]
        self.calendars = [calendar_record(tenant) for tenant in self.tenants]
        self.rosters = [record for tenant in self.tenants for record in roster_records(tenant)]
        self._cheats = {
            tenant.tenant_id: cheats(tenant, MECHANISMS, scenario.fraud_rate, scenario.difficulty.care)
            for tenant in self.tenants
        }

    def days(self) -> Iterator[Day]:
        """Every day in turn, then one with what is left. Nothing is kept that was given out.

        Events from midnight UTC of the first day to that after the last; verdicts that would come later are unknown.
        """
        waiting = Day(self.scenario.start)
        begin, end = midnight(self.scenario.start), midnight(self.scenario.end)
        for number in range(self.scenario.days):
            day = self.scenario.start + timedelta(number)
            for tenant in self.tenants:
                if day >= tenant.begins:
                    self._live(tenant, day, waiting)
            until = midnight(day + timedelta(1)) - EARLIEST_MS
            yield _taken(waiting, begin, min(until, end), day)
        yield _taken(waiting, begin, end, self.scenario.end)

    def _live(self, tenant: Tenant, day: date, waiting: Day) -> None:
        scenario = self.scenario
        plan = Plan(tenant, day, honest_day(tenant, day, scenario.difficulty.noise))
        commit(plan, self._cheats[tenant.tenant_id])
        for made in plan.attendances:
            claims = []
            for punch in made.punches:
                reported = event(tenant, punch, scenario.difficulty.noise)
                claims.append(Claim(reported, punch.fraud is not None))
                waiting.events.append(reported)
                if punch.fraud is not None:
                    names = {name: reported[name] for name in ("tenant_id", "event_id")}
                    waiting.truth.append({**names, "occurred_at": punch.at, "mechanism": punch.fraud})
            r = stream(
                tenant.seed, tenant.tenant_id, made.person.person_id, made.shift.start, made.shift.site.site_id, "v"
            )
            waiting.outcomes += verdicts(claims, scenario.reviewed, r)


def honest_day(tenant: Tenant, day: date, noise: float) -> list[Attendance]:
    """The day as it would be without cheats."""
    made: list[Attendance] = []
    at_site: dict[str, list[Person]] = {}
    working = set()
    for person in tenant.people:
        if person.works(day):
            r = stream(tenant.seed, tenant.tenant_id, person.person_id, "day", day)
            for shift in shifts(tenant, person, day, r):
                made.append(attend(person, shift, r, noise))
                at_site.setdefault(shift.site.site_id, []).append(person)
                working.add(person.person_id)
    r = stream(tenant.seed, tenant.tenant_id, "colleagues", day)
    free: dict[str, list[Person]] = {}
    for person in tenant.people:
        if person.works(day) and person.person_id not in working:
            free.setdefault(person.site.city, []).append(person)
    for number, each in enumerate(made):
        luck, choice = r.random(), r.random()
        colleagues = free.get(each.shift.site.city, [])
        if luck < SWAPPED * noise and colleagues:
            made[number] = swap(each, colleagues.pop(int(choice * len(colleagues))), day)
        elif luck > 1 - BORROWS * noise:
            borrow(each, _chosen(at_site[each.shift.site.site_id], choice))
    return made


def commit(plan: Plan, known: list[Cheat]) -> None:
    """Let the cheats of the tenant do what they do on this day."""
    by_person: dict[str, Attendance] = {}
    for made in plan.attendances:
        if made.punches:
            by_person.setdefault(made.person.person_id, made)
    for cheat in known:
        made_by = by_person.get(cheat.person.person_id)
        r = stream(plan.tenant.seed, plan.tenant.tenant_id, cheat.person.person_id, "cheat", plan.day)
        if made_by is not None and cheat.tempted(plan.day, r) and plan.may_be_absent(made_by):
            cheat.mechanism.commit(cheat, made_by, plan, r)


def _chosen(people: list[Person], luck: float) -> Person:
    return people[int(luck * len(people))]


def _taken(waiting: Day, begin: int, until: int, day: date) -> Day:
    """Takes out what lies before `until`; what lies before `begin` is dropped."""
    done = Day(day)
    for name, time in (("events", "occurred_at"), ("outcomes", "decided_at"), ("truth", "occurred_at")):
        all_of = getattr(waiting, name)
        ready = [record for record in all_of if begin <= record[time] < until]
        ready.sort(key=itemgetter(time, "tenant_id", "event_id"))
        getattr(done, name).extend(ready)
        setattr(waiting, name, [record for record in all_of if record[time] >= until])
    for record in done.truth:
        del record["occurred_at"]
    return done
