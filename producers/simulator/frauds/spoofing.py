"""GPS spoofing: the phone is at home or on the road, an app says that it is at the site. The face is the right one."""

from dataclasses import replace
from random import Random

from models.attendance import CHECK_IN, CHECK_OUT
from producers.simulator.chance import stream
from producers.simulator.frauds.cheats import Cheat, Mechanism, Plan
from producers.simulator.honest import Attendance, Punch, Spoof, spot
from producers.simulator.places import Point, between, nearby

NAME = "gps_spoofing"
SLIPS = 0.25
"""Share of times on which a careless cheat forgets the app: the phone tells where it is."""
ADDRESS_M = 130.0
"""How far the pin of a careless cheat, set on a map by the address, is from where people work; each direction."""


def commit(cheat: Cheat, made: Attendance, plan: Plan, r: Random) -> None:
    """Absent, late or gone early."""
    kinds = r.choices(((CHECK_IN, CHECK_OUT), (CHECK_IN,), (CHECK_OUT,)), (0.45, 0.3, 0.25))[0]
    share = 1.0 if len(kinds) == 2 else r.uniform(0.2, 1.0)
    place = between(made.shift.site.centre, nearby(cheat.person.home, 10, r), share)
    for kind in kinds:
        punch = made.of(kind)
        if punch is not None:
            made.change(punch, _faked(cheat, punch, place, plan, r))


def _faked(cheat: Cheat, punch: Punch, place: Point, plan: Plan, r: Random) -> Punch:
    person, site = cheat.person, punch.site
    spoof = None
    if cheat.careful(r) or r.random() > SLIPS:
        # The pin is set once, well or badly, and then used again.
        pinning = stream(plan.tenant.seed, plan.tenant.tenant_id, person.person_id, site.site_id, "pin")
        pin = nearby(spot(person.person_id, site), 15 if cheat.careful(pinning) else ADDRESS_M, pinning)
        spoof = Spoof(pin, plain=not cheat.careful(r), hidden=cheat.careful(r))
    return replace(
        punch,
        device=person.phone(plan.day),
        terminal=False,
        place=place,
        before=place,
        spoof=spoof,
        fraud=NAME,
    )


MECHANISM = Mechanism(NAME, share=0.24, events=1.45, commit=commit)
