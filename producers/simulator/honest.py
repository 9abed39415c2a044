"""What people do at work: who stands where with which device at what time. No value of an event is made here."""

from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from random import Random

from models.attendance import CHECK_IN, CHECK_OUT
from producers.simulator.chance import stream
from producers.simulator.people import Person, Phone
from producers.simulator.places import Point, Site, moved
from producers.simulator.rosters import Shift

MINUTE_MS = 60_000
FORGETS_IN, FORGETS_OUT = 0.004, 0.02
DELAYED = 0.04
OVERTIME = 0.06
BORROWS = 0.003
SWAPPED = 0.01
AT_FAR_END = 0.03
"""Share of check-ins from a car park or a far end of the site."""


@dataclass(frozen=True, slots=True)
class Face:
    """What the camera sees: the face of `person`, in the flesh or, with a quality of 0 to 1, as a picture."""

    person: Person
    picture: float | None = None


@dataclass(frozen=True, slots=True)
class Spoof:
    """A made-up location: the point that the app reports.

    `plain` apps report it as no real receiver would: always the same accuracy, no age. `hidden` ones are not seen by
    the phone's system.
    """

    point: Point
    plain: bool
    hidden: bool


@dataclass(frozen=True, slots=True)
class Punch:
    """A check-in or check-out as it really happened.

    Attributes:
        person: whose account is used.
        site: site that is claimed.
        at: UTC epoch milliseconds.
        scheduled_start: what the roster has for it.
        device: on which it is done; `terminal` when it is the site's own.
        place: where the device truly is.
        before: where it was when an old fix was taken.
        face: None when nobody is in front of the camera, or it is covered.
        spoof: a made-up location, else None.
        fraud: the mechanism, for the truth; None when honest.
    """

    person: Person
    site: Site
    kind: str
    at: int
    scheduled_start: int | None
    device: Phone
    terminal: bool
    place: Point
    before: Point
    face: Face | None
    spoof: Spoof | None = None
    fraud: str | None = None


@dataclass(slots=True)
class Attendance:
    """One shift as it is claimed: what a supervisor signs off."""

    shift: Shift
    person: Person
    punches: list[Punch] = field(default_factory=list)

    def of(self, kind: str) -> Punch | None:
        return next((punch for punch in self.punches if punch.kind == kind), None)

    def change(self, old: Punch, new: Punch) -> None:
        self.punches[self.punches.index(old)] = new


@lru_cache(1 << 14)
def spot(person_id: str, site: Site) -> Point:
    """Where on the site the person works: always the same."""
    r = stream("spot", person_id, site.site_id, *site.centre)
    reach = 0.5 * site.radius_m
    return moved(site.centre, r.uniform(-reach, reach), r.uniform(-reach, reach))


def attend(person: Person, shift: Shift, r: Random, noise: float) -> Attendance:
    """An honest shift."""
    arrives = shift.start + round(MINUTE_MS * r.gauss(person.late_min, person.spread_min))
    delay, extra = r.random(), r.random()
    if delay < DELAYED * noise:
        arrives += round(MINUTE_MS * r.expovariate(1 / 30))
    leaves = shift.end + round(MINUTE_MS * r.gauss(3, 6))
    if extra < OVERTIME:
        leaves += round(MINUTE_MS * r.expovariate(1 / 50))
    made = Attendance(shift, person)
    for kind, at, forgets in (
        (CHECK_IN, arrives, FORGETS_IN),
        (CHECK_OUT, max(leaves, arrives + MINUTE_MS), FORGETS_OUT),
    ):
        forgotten, terminal = r.random() < forgets, r.random() < person.terminal_share
        far = r.random() < AT_FAR_END * noise
        reach = 200.0 if far else 12.0
        place = moved(spot(person.person_id, shift.site), r.gauss(0, reach), r.gauss(0, reach))
        at += r.randrange(1000)
        if not forgotten:
            own = shift.site.terminal if terminal else None
            made.punches.append(
                Punch(
                    person=person,
                    site=shift.site,
                    kind=kind,
                    at=at,
                    scheduled_start=shift.start,
                    device=own or person.phone(shift.day),
                    terminal=own is not None,
                    place=shift.site.centre if own else place,
                    before=person.home if kind == CHECK_IN else place,
                    face=Face(person),
                )
            )
    return made


def swap(made: Attendance, colleague: Person, day: date) -> Attendance:
    """The same shift, worked by a colleague; the roster does not know of it."""
    swapped = Attendance(made.shift, colleague)
    swapped.punches = [
        replace(
            punch,
            person=colleague,
            scheduled_start=None,
            device=punch.device if punch.terminal else colleague.phone(day),
            before=colleague.home if punch.kind == CHECK_IN else punch.place,
            face=Face(colleague),
        )
        for punch in made.punches
    ]
    return swapped


def borrow(made: Attendance, lender: Person) -> None:
    """An empty battery: the check-in is done on a colleague's phone, with one's own face."""
    punch = made.of(CHECK_IN)
    if punch is not None and not punch.terminal:
        made.change(punch, replace(punch, device=lender.phone(made.shift.day)))
