"""Each mechanism shows in what devices report, and only there: the cheat's care decides how much."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from random import Random
from statistics import mean, median
from typing import Any

import pytest

from models.attendance import CHECK_IN, CHECK_OUT
from models.geography import distance_m
from producers.simulator import Scenario, Simulation
from producers.simulator.frauds import Cheat, Mechanism, Plan, buddies, ghosts, rings, spoofing, travel
from producers.simulator.honest import Attendance
from producers.simulator.readings import event
from producers.simulator.tenants import Tenant
from producers.simulator.world import honest_day

TENANT = Simulation(Scenario(tenants=1, people=160, start=date(2026, 3, 2), days=200, seed=3)).tenants[0]
SITES = {site.site_id: site for site in TENANT.sites}
DAY = date(2026, 6, 10)
Events = list[dict[str, Any]]


def committed(mechanism: Mechanism, care: float, day: date = DAY, tenant: Tenant = TENANT) -> tuple[Plan, Events]:
    """A day on which everybody tries who still can; returns the plan and the fraudulent events."""
    plan = Plan(tenant, day, honest_day(tenant, day, 1.0))
    for made in list(plan.attendances):
        if made.punches and plan.may_be_absent(made):
            friends = tuple(p for p in tenant.people if p.site is made.person.site and p is not made.person)
            cheat = Cheat(made.person, mechanism, friends, care, 60, 0, 1.0)
            mechanism.commit(cheat, made, plan, Random(f"{made.person.person_id}"))
    return plan, reported(plan, fraud=True)


def reported(plan: Plan, fraud: bool) -> Events:
    punches = [punch for made in plan.attendances for punch in made.punches]
    return [event(plan.tenant, punch, 1.0) for punch in punches if (punch.fraud is not None) == fraud]


def drift(event: dict[str, Any]) -> float:
    return distance_m(event["latitude"], event["longitude"], *SITES[event["site_id"]].centre)


def matched(events: Events) -> float:
    return mean(event["face_matched"] for event in events if event["face_matched"] is not None)


HONEST = reported(Plan(TENANT, DAY, honest_day(TENANT, DAY, 1.0)), fraud=False)


def test_a_careless_spoofer_is_seen_by_the_system_and_a_careful_one_is_not() -> None:
    _, careless = committed(spoofing.MECHANISM, 0.0)
    _, careful = committed(spoofing.MECHANISM, 1.0)
    for events in (careless, careful):
        assert len(events) > 80
        assert matched(events) > 0.9, "the face is the right one"
    faked = [each for each in careless if each["gps_accuracy_m"] == 5.0 and each["fix_age_s"] == 0.0]
    slipped = [each for each in careless if each not in faked and each["latitude"] is not None]
    assert 0.6 < len(faked) / len(careless) < 0.9
    assert {each["mock_location"] for each in faked} == {True, None}
    assert median(drift(each) for each in faked) < 400, "near the site"
    assert median(drift(each) for each in slipped) > 1500, "at home, or on the way"
    assert mean(each["mock_location"] is True for each in careful) < 0.04
    assert len({each["gps_accuracy_m"] for each in careful}) > 20
    assert max(drift(each) for each in careful) < 400


def test_buddies_punch_minutes_after_one_another_at_the_same_place() -> None:
    plan, careless = committed(buddies.MECHANISM, 0.0)
    _, careful = committed(buddies.MECHANISM, 1.0)
    assert len(careless) > 20
    assert matched(careless) < 0.4 < matched(HONEST)
    assert matched(careful) > matched(careless) + 0.2, "pictures fool the camera more often"
    honest = reported(plan, fraud=False)
    terminals = {site.terminal.device_id for site in TENANT.sites if site.terminal}
    for each in careless:
        beside = [
            other
            for other in honest
            if other["device_id"] == each["device_id"] and 0 < each["occurred_at"] - other["occurred_at"] <= 240_000
        ]
        assert any(other["person_id"] != each["person_id"] for other in beside)
    own = {person.person_id: person.phone(DAY).device_id for person in TENANT.people}
    assert all(each["device_id"] in (own[each["person_id"]], *terminals) for each in careful)


def test_ghosts_have_left_or_have_the_day_off() -> None:
    plan, events = committed(ghosts.MECHANISM, 0.0)
    assert len(events) > 50
    people = {person.person_id: person for person in TENANT.people}
    honest = honest_day(TENANT, DAY, 1.0)
    assert not {each["person_id"] for each in events} & {made.person.person_id for made in honest}
    assert any(people[each["person_id"]].left <= DAY for each in events)
    assert any(people[each["person_id"]].works(DAY) for each in events)
    devices = {each["device_id"] for each in reported(plan, fraud=False)}
    assert all(each["device_id"] in devices for each in events), "the phone of who is there"
    _, careful = committed(ghosts.MECHANISM, 1.0)
    assert {people[each["person_id"]].phone(DAY).device_id for each in careful} == {
        each["device_id"] for each in careful
    }


def test_a_ring_has_several_accounts_on_one_phone_within_minutes() -> None:
    plan, events = committed(rings.MECHANISM, 0.5)
    assert len(events) > 20
    honest = reported(plan, fraud=False)
    for each in events:
        leader = [other for other in honest if other["device_id"] == each["device_id"]]
        own = TENANT.people[int(each["person_id"][2:]) - 1].phone(DAY)
        assert each["device_id"] != own.device_id
        others = [other for other in (*events, *leader) if other["device_id"] == each["device_id"]]
        assert len({other["person_id"] for other in others}) >= 2 or not leader


def test_nobody_travels_as_fast_as_the_impossible() -> None:
    plan, events = committed(travel.MECHANISM, 0.0)
    assert len(events) > 50
    fastest, honest = [], reported(plan, fraud=False)
    for each in events:
        same = each["person_id"], each["kind"]
        real = [other for other in honest if (other["person_id"], other["kind"]) == same]
        assert all(SITES[other["site_id"]] is not SITES[each["site_id"]] for other in real)
        for other in real:
            metres = distance_m(*SITES[each["site_id"]].centre, *SITES[other["site_id"]].centre)
            assert metres > travel.LEAST_M
            fastest.append(metres / 1000 / (abs(each["occurred_at"] - other["occurred_at"]) / 3_600_000 + 0.01))
    assert mean(speed > 200 for speed in fastest) > 0.2
    assert not {each["device_id"] for each in events} & {other["device_id"] for other in honest}


@pytest.mark.parametrize("mechanism", [buddies, ghosts, rings, travel], ids=lambda module: str(module.NAME))
def test_somebody_alone_cannot(mechanism: Any) -> None:
    """Without friends, and with nobody who has left, nothing is committed."""
    made = next(made for made in honest_day(TENANT, DAY, 1.0) if len(made.punches) == 2)
    alone = replace(TENANT, people=(made.person,))
    plan = Plan(alone, DAY, [made])
    cheat = Cheat(made.person, mechanism.MECHANISM, (), 0.5, 60, 0, 1.0)
    mechanism.commit(cheat, made, plan, Random(1))
    assert plan.attendances == [made]
    assert plan.honest(made)


def test_late_and_early_cheats_are_there_for_the_rest_of_the_shift() -> None:
    plan, _ = committed(spoofing.MECHANISM, 0.5)

    def mixed(made: Attendance) -> set[str]:
        faked = {punch.kind for punch in made.punches if punch.fraud}
        return faked if len(made.punches) == 2 else set()

    found = [mixed(made) for made in plan.attendances]
    assert {CHECK_IN} in found
    assert {CHECK_OUT} in found
    assert {CHECK_IN, CHECK_OUT} in found


def test_cheats_have_spells(varied: Callable[..., Any]) -> None:
    cheat = Cheat(TENANT.people[0], spoofing.MECHANISM, (), 0.5, period=50, phase=0, appetite=1.0)
    days = [cheat.tempted(DAY + timedelta(n), Random(n)) for n in range(500)]
    assert mean(days) == pytest.approx(0.4)
    assert sum(one != other for one, other in pairwise(days)) == 20
