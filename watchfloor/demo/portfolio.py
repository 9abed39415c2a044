"""The portfolio of the demonstration: three simulated tenants, months of their past and days that are played live."""

from dataclasses import dataclass
from datetime import date, timedelta

from producers.simulator import LEVELS, Scenario, Simulation
from producers.simulator.tenants import midnight
from watchfloor.demo.worlds import Part, Record, parted

DAYS, LIVE_DAYS, VERDICT_DAYS = 120, 3, 7
"""Simulated in all; of them those that are played live, and at the end those in which verdicts about them come."""

LARGE, OTHERS = 250, 65
"""People of the large tenant, and of a portfolio of which the two small ones are taken."""

LARGE_FRAUD, OTHERS_FRAUD = 0.02, 0.01
"""Shares of fraudulent events: so many that a few live days have some."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Three tenants, the largest first.

    Attributes:
        people: how many each has, by tenant.
        days: how long there are check-ins of each when the live days are over, by tenant.
        references: sites, calendars and rosters, by the name of their topic.
        past: what was known when the live days began.
        live: the check-ins of the live days, and the verdicts that came since they began.
    """

    people: dict[str, int]
    days: dict[str, int]
    references: dict[str, list[Record]]
    past: Part
    live: Part


def portfolio(today: date, days: int = DAYS, large: int = LARGE, others: int = OTHERS) -> Portfolio:
    """Simulate it, up to the midnight (UTC) before `today`; verdicts come until then, check-ins VERDICT_DAYS less.

    The first tenant has enough labelled frauds to learn from. The second one is small, and the third one has just
    begun: they are those of a second simulation, whose first tenant is left out.
    """
    start, medium = today - timedelta(days), LEVELS["medium"]
    first = Simulation(Scenario(1, large, days, start, 1, LARGE_FRAUD, medium))
    rest = Simulation(Scenario(3, others, days, start, 2, OTHERS_FRAUD, medium))
    tenants = [*first.tenants, *rest.tenants[1:]]
    small = {tenant.tenant_id for tenant in rest.tenants[1:]}

    def of_all(name: str) -> list[Record]:
        kept = [each for each in getattr(rest, name) if each["tenant_id"] in small]
        return [*getattr(first, name), *kept]

    end = today - timedelta(VERDICT_DAYS)
    since, until = midnight(end - timedelta(LIVE_DAYS)), midnight(end)
    events, outcomes = [], []
    for simulation in (first, rest):
        for day in simulation.days():
            mine = [each for each in day.events if simulation is first or each["tenant_id"] in small]
            events += [each for each in mine if each["occurred_at"] < until]
            outcomes += day.outcomes
    known = {each["event_id"] for each in events}
    past, live = parted(events, "occurred_at", since)
    before, after = parted([each for each in outcomes if each["event_id"] in known], "decided_at", since)
    return Portfolio(
        {tenant.tenant_id: len(tenant.people) for tenant in tenants},
        {tenant.tenant_id: (end - tenant.begins).days for tenant in tenants},
        {f"control.{name}": of_all(name) for name in ("sites", "calendars", "rosters")},
        Part(past, before),
        Part(live, after),
    )
