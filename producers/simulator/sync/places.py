"""Tenants with their teams and users, and the entities that a team shares."""

from dataclasses import dataclass
from datetime import date
from random import Random

from producers.simulator.chance import stream
from producers.simulator.sync.scenario import Scenario

NAMES = ("northgate", "harbour", "meridian", "southbank", "kestrel")
TEAM = 8
"""Users of a team, about."""
JOBS_PER_USER = 0.7
"""New jobs a day."""
JOB_DAYS = 3
"""A job is worked on for so many days."""
ASSETS_PER_USER = 1.5


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a kind of entity.

    Attributes:
        name: of it.
        weight: how often it is edited, beside the other fields.
        values: different values that people give it; two who give the same one have no conflict. 0: never the same.
        merges: whether the server can take both sides, as with remarks that are added.
    """

    name: str
    weight: float
    values: int = 0
    merges: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of entity. `share`: how often it is what a user opens."""

    domain: str
    entity_type: str
    share: float
    fields: tuple[Field, ...]

    @property
    def weights(self) -> list[float]:
        return [field.weight for field in self.fields]


JOB = Kind(
    "task",
    "job",
    0.65,
    (
        Field("status", 5, values=5),
        Field("notes", 3, merges=True),
        Field("checklist", 2.5),
        Field("assignee", 1, values=8),
        Field("due_at", 0.7),
        Field("priority", 0.6, values=3),
        Field("parts", 1.2),
        Field("photos", 1.5, merges=True),
    ),
)
ASSET = Kind(
    "asset",
    "unit",
    0.25,
    (
        Field("reading", 4),
        Field("condition", 2, values=4),
        Field("location", 0.8),
        Field("remarks", 2, merges=True),
        Field("service_at", 0.8),
        Field("owner", 0.4, values=8),
    ),
)
MEMO = Kind(
    "voice",
    "memo",
    0.10,
    (Field("transcript", 3), Field("title", 1), Field("tags", 2, merges=True), Field("linked_job", 1, values=10)),
)


@dataclass(frozen=True, slots=True)
class User:
    """One user.

    Attributes:
        edits: a day, on average.
        offline_min, online_min: mean length of a time without a network, and with one; 0 for who always has one.
        tells: whether the client says which version it has.
        reports: whether it reports syncs without a conflict, too.
        begins: of the working day, hours UTC.
        shares: chance to open something of the whole team's instead of the user's own.
        thinks: median minutes between opening and saving.
    """

    user_id: str
    team: int
    edits: float
    offline_min: float
    online_min: float
    tells: bool
    reports: bool
    begins: float
    shares: float
    thinks: float


@dataclass(frozen=True, slots=True)
class Tenant:
    tenant_id: str
    seed: int
    users: tuple[User, ...]
    teams: int

    def team(self, number: int) -> list[User]:
        return [user for user in self.users if user.team == number]


def tenants(scenario: Scenario) -> list[Tenant]:
    """All tenants of a scenario, the largest first."""
    return [_tenant(scenario, number, size) for number, size in enumerate(scenario.sizes)]


def _tenant(scenario: Scenario, number: int, size: int) -> Tenant:
    name = NAMES[number % len(NAMES)]
    tenant_id = name if number < len(NAMES) else f"{name}-{number // len(NAMES) + 1}"
    r = stream(scenario.seed, tenant_id, "sync")
    teams = max(1, round(size / TEAM))
    users = tuple(_user(scenario, f"u-{each + 1:04d}", each % teams, r) for each in range(size))
    return Tenant(tenant_id, scenario.seed, users, teams)


def _user(scenario: Scenario, user_id: str, team: int, r: Random) -> User:
    out = r.random() < scenario.field_share
    return User(
        user_id=user_id,
        team=team,
        edits=min(40.0, r.lognormvariate(2.5, 0.5)),
        offline_min=r.lognormvariate(3.9, 0.7) if out else 0.0,
        online_min=r.lognormvariate(3.9, 0.5) if out else 0.0,
        tells=r.random() < 0.5,
        reports=r.random() < 0.8,
        begins=r.gauss(6.5, 0.7) if out else r.gauss(7.5, 0.7),
        shares=r.betavariate(3, 2),
        thinks=r.lognormvariate(1.1, 0.4) if out else r.lognormvariate(1.6, 0.5),
    )


@dataclass(frozen=True, slots=True)
class Open:
    """An entity that a team may work on."""

    kind: Kind
    entity_id: str
    owner: int
    """Place of its owner among the team."""


def work_of(tenant: Tenant, team: int, members: int, day: date) -> dict[Kind, list[Open]]:
    """What a team works on at a day: the jobs and memos of the last days, and the team's assets."""
    jobs, memos = [], []
    for ago in range(JOB_DAYS):
        number = day.toordinal() - ago
        r = stream(tenant.seed, tenant.tenant_id, team, "jobs", number)
        new = range(max(2, round(JOBS_PER_USER * members)))
        jobs += [Open(JOB, f"j-{team}-{number % 100_000}-{each}", r.randrange(members)) for each in new]
        memos += [Open(MEMO, f"m-{team}-{number % 100_000}-{each}", r.randrange(members)) for each in range(2)]
    assets = [Open(ASSET, f"a-{team}-{each}", each % members) for each in range(round(ASSETS_PER_USER * members))]
    return {JOB: jobs, ASSET: assets, MEMO: memos}
