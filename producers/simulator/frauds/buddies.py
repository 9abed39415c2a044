"""Buddy punching: a colleague who is there checks in or out for one who is not."""

from dataclasses import replace
from random import Random

from models.attendance import CHECK_IN, CHECK_OUT
from producers.simulator.frauds.cheats import Cheat, Mechanism, Plan
from producers.simulator.honest import Attendance

NAME = "buddy_punching"


def commit(cheat: Cheat, made: Attendance, plan: Plan, r: Random) -> None:
    """Absent, late or gone early, with a friend at work; nothing without one."""
    buddy = next(plan.at_work(cheat.friends, made, within_min=120), None)
    if buddy is None:
        return
    plan.needed.add(buddy.person.person_id)
    helper = replace(cheat, person=buddy.person)
    for kind in r.choices(((CHECK_IN, CHECK_OUT), (CHECK_IN,), (CHECK_OUT,)), (0.4, 0.4, 0.2))[0]:
        punch, beside = made.of(kind), buddy.of(kind)
        if punch is None or beside is None:
            continue
        device = beside.device
        if not beside.terminal and cheat.careful(r):
            device = cheat.person.phone(plan.day)  # left with the buddy
        made.change(
            punch,
            replace(
                punch,
                at=beside.at + r.randint(20_000, 240_000),
                device=device,
                terminal=beside.terminal,
                place=beside.place,
                before=beside.before,
                face=helper.mask(punch.person, r),
                fraud=NAME,
            ),
        )


MECHANISM = Mechanism(NAME, share=0.3, events=0.87, commit=commit)
