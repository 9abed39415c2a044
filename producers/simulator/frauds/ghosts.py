"""Ghost shifts: somebody at work keeps up the account of one who has left, or of a friend who has the day off."""

from dataclasses import replace
from random import Random

from producers.simulator.frauds.cheats import Cheat, Mechanism, Plan
from producers.simulator.honest import Attendance
from producers.simulator.people import Person

NAME = "ghost_shift"
KEPT_DAYS = 240
"""How long the account of somebody who left stays usable."""


def commit(cheat: Cheat, made: Attendance, plan: Plan, r: Random) -> None:
    """A second shift in another's name beside each of the cheat's punches."""
    ghost = _ghost(cheat, plan)
    if ghost is None:
        return
    plan.needed.add(cheat.person.person_id)
    careful = cheat.careful(r)
    device = ghost.phone(plan.day) if careful else None
    scheduled = made.shift.start if r.random() < 0.6 else None  # entered into the roster as well
    claimed = Attendance(made.shift, ghost)
    for punch in made.punches:
        claimed.punches.append(
            replace(
                punch,
                person=ghost,
                at=punch.at + r.randint(20_000, 400_000),
                scheduled_start=scheduled,
                device=device or punch.device,
                terminal=punch.terminal and device is None,
                face=cheat.mask(ghost, r),
                fraud=NAME,
            )
        )
    plan.attendances.append(claimed)


def _ghost(cheat: Cheat, plan: Plan) -> Person | None:
    for person in plan.tenant.people:
        if (
            person.site is cheat.person.site
            and 0 <= (plan.day - person.left).days < KEPT_DAYS
            and plan.off_duty(person)
        ):
            return person
    employed = (friend for friend in cheat.friends if friend.works(plan.day))
    return next((friend for friend in employed if plan.off_duty(friend)), None)


MECHANISM = Mechanism(NAME, share=0.17, events=1.6, commit=commit)
