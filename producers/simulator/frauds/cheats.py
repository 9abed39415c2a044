"""Who cheats, how, and when."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from random import Random

from producers.simulator.chance import spread, stream
from producers.simulator.honest import Attendance, Face
from producers.simulator.people import Person
from producers.simulator.tenants import Tenant

DUTY = 0.4
"""Share of days in spells of cheating."""
APPETITE = 0.5
"""Share of days at work within a spell on which a cheat tries."""
MOST_CHEATS = 0.5
EVENTS_PER_DAY = 2.1
"""Of somebody at work."""
FRIENDS = 4


@dataclass(slots=True)
class Plan:
    """One day of one tenant as it will be claimed.

    `needed`: people who must really be at work, because a cheat relies on them.
    """

    tenant: Tenant
    day: date
    attendances: list[Attendance]
    needed: set[str] = field(default_factory=set)

    def at_work(self, people: tuple[Person, ...], beside: Attendance, within_min: float) -> Iterator[Attendance]:
        """Shifts of these people at the same site that begin about the same time and are honest so far."""
        known = {person.person_id for person in people}
        for made in self.attendances:
            apart = abs(made.shift.start - beside.shift.start)
            if (
                made.person.person_id in known
                and made.shift.site is beside.shift.site
                and apart <= within_min * 60_000
                and made.punches
                and self.honest(made)
            ):
                yield made

    def off_duty(self, person: Person) -> bool:
        return all(made.person.person_id != person.person_id for made in self.attendances)

    def honest(self, made: Attendance) -> bool:
        return all(punch.fraud is None for punch in made.punches)

    def may_be_absent(self, made: Attendance) -> bool:
        return self.honest(made) and made.person.person_id not in self.needed


@dataclass(frozen=True, slots=True)
class Cheat:
    """Somebody who cheats in one way, in spells.

    Attributes:
        friends: colleagues at the same site who take part.
        care: chance of avoiding one thing that would give it away.
        period, phase: of the spells; days.
        appetite: share of days at work within a spell.
    """

    person: Person
    mechanism: "Mechanism"
    friends: tuple[Person, ...]
    care: float
    period: int
    phase: int
    appetite: float

    def tempted(self, day: date, r: Random) -> bool:
        return (day.toordinal() + self.phase) % self.period < DUTY * self.period and r.random() < self.appetite

    def careful(self, r: Random) -> bool:
        return r.random() < self.care

    def mask(self, owner: Person, r: Random) -> Face | None:
        """What is held before the camera in another's name: a picture, one's own face, or a thumb."""
        if self.careful(r):
            return Face(owner, picture=r.uniform(0.2, 1.0))
        return None if r.random() < 0.3 else Face(self.person)


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A way to cheat.

    Attributes:
        share: of all fraudulent events.
        events: fraudulent events of one try, on average; measured, see tests/producers/simulator.
        commit: changes the plan from a shift of the cheat on.
    """

    name: str
    share: float
    events: float
    commit: Callable[[Cheat, Attendance, Plan, Random], None]


def cheats(tenant: Tenant, mechanisms: tuple[Mechanism, ...], rate: float, care: float) -> list[Cheat]:
    """The cheats of a tenant: so many that `rate` of its events is expected to be fraudulent."""
    r = stream(tenant.seed, tenant.tenant_id, "cheats")
    wanted = [rate * each.share * EVENTS_PER_DAY / each.events for each in mechanisms]
    tries = max(DUTY * APPETITE, sum(wanted) / MOST_CHEATS)
    people = list(tenant.people)
    r.shuffle(people)
    made: list[Cheat] = []
    begin = 0.0
    for mechanism, want in zip(mechanisms, wanted, strict=True):
        share = want / tries
        for number in spread(len(people), share / (1 - begin), r):
            person = people[number]
            friends = [other for other in tenant.people if other.site is person.site and other is not person]
            made.append(
                Cheat(
                    person=person,
                    mechanism=mechanism,
                    friends=tuple(r.sample(friends, min(FRIENDS, len(friends)))),
                    care=r.betavariate(1 + 4 * care, 1 + 4 * (1 - care)),
                    period=r.randint(40, 160),
                    phase=r.randrange(160),
                    appetite=min(1.0, tries / DUTY),
                )
            )
        taken = {cheat.person.person_id for cheat in made}
        people = [person for person in people if person.person_id not in taken]
        begin += share
    return made
