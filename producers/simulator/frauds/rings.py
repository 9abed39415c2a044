"""Shared devices: of a few who work together one comes on time and checks all of them in on the same phone."""

from dataclasses import replace
from random import Random

from models.attendance import CHECK_IN, CHECK_OUT
from producers.simulator.frauds.cheats import Cheat, Mechanism, Plan
from producers.simulator.honest import Attendance

NAME = "shared_device"
MOST = 2


def commit(cheat: Cheat, made: Attendance, plan: Plan, r: Random) -> None:
    """The cheat is at work, up to two others are not or not yet."""
    phone = cheat.person.phone(plan.day)
    kinds = ((CHECK_IN, CHECK_OUT), (CHECK_IN,))[r.random() < 0.6]
    beside_him = plan.at_work(cheat.friends, made, within_min=30)
    others = [other for other in beside_him if plan.may_be_absent(other)][:MOST]
    if others:
        plan.needed.add(cheat.person.person_id)
    for number, other in enumerate(others, 1):
        for kind in kinds:
            punch, beside = other.of(kind), made.of(kind)
            if punch is None or beside is None:
                continue
            other.change(
                punch,
                replace(
                    punch,
                    at=beside.at + number * r.randint(20_000, 60_000),
                    device=phone,
                    terminal=False,
                    place=beside.place,
                    before=beside.before,
                    face=cheat.mask(other.person, r),
                    fraud=NAME,
                ),
            )


MECHANISM = Mechanism(NAME, share=0.16, events=0.74, commit=commit)
