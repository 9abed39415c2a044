"""The simulation of syncs, day by day: a server that merges, and what becomes known of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from operator import itemgetter
from random import Random
from typing import Any

from models.identity import derived_id
from producers.simulator.chance import stream
from producers.simulator.sync.days import HOUR_MS, SHIFT_MS, Ask, day_of
from producers.simulator.sync.places import Tenant, User, tenants, work_of
from producers.simulator.sync.scenario import Scenario
from producers.simulator.tenants import midnight

DAY_MS = 24 * HOUR_MS
LATE, REVERSED, TWICE = 0.05, 0.04, 0.01
"""Of outcomes: hours or days late; of conflicts: told as none at first; of outcomes again: told twice."""
RESOLUTIONS = ("mine", "theirs", "merged", "manual")

Record = dict[str, Any]


@dataclass(slots=True)
class Day:
    """What became known up to the end of a day, each in the order of time.

    `truth` has a record for each sync among `events` that conflicts: tenant_id and event_id. It is for evaluation; no
    model may read it.
    """

    day: date
    events: list[Record] = field(default_factory=list)
    outcomes: list[Record] = field(default_factory=list)
    truth: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class _Server:
    """A tenant's entities: when each field last changed, by whom, to what; and what is still to be merged."""

    tenant: Tenant
    fields: dict[tuple[str, str], tuple[int, str, int]] = field(default_factory=dict)
    fetched: dict[str, dict[str, int]] = field(default_factory=dict)
    waiting: list[tuple[Ask, Record | None]] = field(default_factory=list)
    """What asks, with its event; without one what nothing is published of."""

    def merge(self, ask: Ask) -> bool:
        """Take the changes of a client; whether one of them meets somebody else's since its base."""
        who = "" if ask.user is None else ask.user.user_id
        conflict = False
        for changed, value in ask.changes.items():
            place = ask.entity_id, changed.name
            at, by, there = self.fields.get(place, (0, who, value))
            conflict |= at > ask.base and by != who and not changed.merges and there != value
            self.fields[place] = ask.merged_at, who, value
        return conflict


class Simulation:
    """A run of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.tenants = tenants(scenario)

    def days(self) -> Iterator[Day]:
        """Every day in turn, then one with the outcomes that come within three days after the last."""
        servers = [_Server(tenant) for tenant in self.tenants]
        waiting = Day(self.scenario.start)
        last = midnight(self.scenario.end)
        for number in range(self.scenario.days):
            day = self.scenario.start + timedelta(number)
            end = midnight(day + timedelta(1))
            for server in servers:
                if day.weekday() < 5:
                    self._work(server, day, waiting)
                self._merge(server, end, waiting)
            yield _taken(waiting, end, day)
        for server in servers:
            self._merge(server, last + DAY_MS, waiting)
        waiting.events = []  # asked after the end; what comes of them is of no use, either
        yield _taken(waiting, last + 3 * DAY_MS, self.scenario.end)

    def _work(self, server: _Server, day: date, waiting: Day) -> None:
        tenant, start, last = server.tenant, midnight(day), midnight(self.scenario.end)
        for team in range(tenant.teams):
            users = tenant.team(team)
            work = work_of(tenant, team, len(users), day)
            count = 0
            for member, user in enumerate(users):
                r = stream(tenant.seed, tenant.tenant_id, user.user_id, "sync", day)
                if r.random() < 0.08:  # off
                    continue
                fetched = server.fetched.setdefault(user.user_id, {})
                for ask in day_of(user, member, work, start, fetched, r):
                    event = None
                    if ask.at < last:
                        event = _event(tenant, user, ask)
                        waiting.events.append(event)
                    server.waiting.append((ask, event))
                    count += 1
            r = stream(tenant.seed, tenant.tenant_id, team, "hidden", day)
            for _ in range(round(count * self.scenario.hidden)):
                kind = r.choices(list(work), [kind.share for kind in work])[0]
                entity = r.choice(work[kind])
                changed = r.choices(kind.fields, kind.weights)[0]
                at = start + 6 * HOUR_MS + r.randrange(SHIFT_MS)
                changes = {changed: r.randrange(changed.values or 1 << 30)}
                server.waiting.append((Ask(None, kind, entity.entity_id, changes, at, at, at), None))

    def _merge(self, server: _Server, until: int, waiting: Day) -> None:
        """Let the server take what has arrived by then."""
        ready = [each for each in server.waiting if each[0].merged_at < until]
        server.waiting = [each for each in server.waiting if each[0].merged_at >= until]
        ready.sort(key=_arrival)
        for ask, event in ready:
            conflict = server.merge(ask)
            if ask.user is None or event is None:
                continue
            if conflict:
                waiting.truth.append({name: event[name] for name in ("tenant_id", "event_id", "occurred_at")})
            r = stream(server.tenant.seed, event["event_id"], "outcome")
            waiting.outcomes += _outcomes(ask, ask.user.reports, event, conflict, self.scenario.reported, r)


def _arrival(waiting: tuple[Ask, Record | None]) -> tuple[int, str, int]:
    ask = waiting[0]
    return ask.merged_at, ask.entity_id, ask.at


def _event(tenant: Tenant, user: User, ask: Ask) -> Record:
    return {
        "tenant_id": tenant.tenant_id,
        "event_id": derived_id(tenant.tenant_id, user.user_id, ask.entity_id, str(ask.at)),
        "user_id": user.user_id,
        "device_id": f"phone-{user.user_id}" if user.offline_min else None,
        "domain": ask.kind.domain,
        "entity_type": ask.kind.entity_type,
        "entity_id": ask.entity_id,
        "occurred_at": ask.at,
        "last_synced_at": ask.base if user.tells else None,
        "fields_changed": sorted(changed.name for changed in ask.changes),
    }


def _outcomes(ask: Ask, reports: bool, event: Record, conflict: bool, reported: float, r: Random) -> list[Record]:
    """Records of outcomes.sync: most within a minute, some days later, some never, some twice, a few wrong at first."""
    late = r.random() < LATE
    decided = ask.merged_at + (
        round(HOUR_MS * r.lognormvariate(2.0, 1.2)) if late else round(1000 * r.lognormvariate(2.5, 1.0))
    )
    wrong = conflict and r.random() < REVERSED
    if r.random() >= reported or not (conflict or reports):
        return []
    made = [_outcome(event, conflict and not wrong, decided, r)]
    if wrong:
        made.append(_outcome(event, True, decided + round(HOUR_MS * r.uniform(0.2, 30)), r))
    if r.random() < TWICE:
        made.append(dict(made[-1]))
    return made


def _outcome(event: Record, conflict: bool, at: int, r: Random) -> Record:
    return {
        "tenant_id": event["tenant_id"],
        "outcome_id": derived_id(event["tenant_id"], event["event_id"], str(at)),
        "event_id": event["event_id"],
        "user_id": event["user_id"],
        "conflict_occurred": conflict,
        "resolution": r.choice(RESOLUTIONS) if conflict else None,
        "decided_at": at,
    }


def _taken(waiting: Day, until: int, day: date) -> Day:
    """Takes out what lies before `until`."""
    done = Day(day)
    for name, time in (("events", "occurred_at"), ("outcomes", "decided_at"), ("truth", "occurred_at")):
        all_of = getattr(waiting, name)
        ready = [record for record in all_of if record[time] < until]
        ready.sort(key=itemgetter(time, "tenant_id", "event_id"))
        getattr(done, name).extend(ready)
        setattr(waiting, name, [record for record in all_of if record[time] >= until])
    for record in done.truth:
        del record["occurred_at"]
    return done
