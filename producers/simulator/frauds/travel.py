"""Impossible travel: while somebody works at one site, a partner claims a second shift in his name at another."""

from dataclasses import replace
from random import Random

from models.geography import distance_m
from producers.simulator.chance import stream
from producers.simulator.frauds.cheats import Cheat, Mechanism, Plan
from producers.simulator.honest import MINUTE_MS, Attendance
from producers.simulator.people import Phone
from producers.simulator.places import Site, nearby

NAME = "impossible_travel"
LEAST_M = 2000.0


def commit(cheat: Cheat, made: Attendance, plan: Plan, r: Random) -> None:
    """A claimed shift that overlaps the real one, at a site too far away to be at both."""
    seed, tenant, person = plan.tenant.seed, plan.tenant.tenant_id, cheat.person
    known = person.allowed if cheat.careful(r) else plan.tenant.sites
    real = [each.shift.site for each in plan.attendances if each.person is person]
    sites = [site for site in known if all(_far(site, other) for other in real)]
    if not sites or not cheat.friends:
        return
    plan.needed.add(person.person_id)
    # The same partner with the same phone each time.
    fixed = stream(seed, tenant, person.person_id, "partner")
    partner, phone = replace(cheat, person=fixed.choice(cheat.friends)), Phone.new(fixed)
    site = sites[fixed.randrange(len(sites))]
    place = nearby(site.centre, site.radius_m / 4, fixed)
    apart = r.randint(-20, 60) * MINUTE_MS
    scheduled = made.shift.start if r.random() < 0.5 else None
    claimed = Attendance(replace(made.shift, site=site), person)
    for punch in made.punches:
        claimed.punches.append(
            replace(
                punch,
                site=site,
                at=punch.at + apart + r.randint(0, 600_000),
                scheduled_start=scheduled,
                device=phone,
                terminal=False,
                place=nearby(place, 12, r),
                before=place,
                face=partner.mask(person, r),
                fraud=NAME,
            )
        )
    plan.attendances.append(claimed)


def _far(site: Site, other: Site) -> bool:
    return distance_m(*site.centre, *other.centre) > LEAST_M


MECHANISM = Mechanism(NAME, share=0.13, events=1.43, commit=commit)
