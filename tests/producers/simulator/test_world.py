"""What a simulation promises as a whole: the same bytes, rates, order, and nothing in an event that tells."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import mean
from typing import Any

import pytest

from producers.records import reader
from producers.simulator import LEVELS, Scenario, Simulation
from producers.simulator.frauds import MECHANISMS
from schemas.topics import EVENTS_ATTENDANCE, OUTCOMES_ATTENDANCE, REFERENCE
from tests.producers.simulator.conftest import SMALL, World

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def test_the_same_seed_gives_the_same_world_and_another_another(small: World, varied: Callable[..., World]) -> None:
    again = list(Simulation(SMALL).days())
    assert [event for day in again for event in day.events] == small.events
    assert [outcome for day in again for outcome in day.outcomes] == small.outcomes
    ids = {event["event_id"] for event in small.events}
    assert not ids & {event["event_id"] for event in varied(seed=8, days=10).events}


def test_records_are_those_of_the_topics_in_the_order_of_time(small: World) -> None:
    for records, topic in ((small.events, EVENTS_ATTENDANCE), (small.outcomes, OUTCOMES_ATTENDANCE)):
        read = reader(topic).read
        assert all(read(record) == record for record in records)
        assert all(one[topic.time] <= other[topic.time] for one, other in pairwise(records))
        assert len({record[str(topic.id)] for record in records}) == len(records)
    simulation = small.simulation
    for topic, references in zip(REFERENCE, (simulation.sites, simulation.calendars, simulation.rosters), strict=True):
        assert all(reader(topic).read(record) == record for record in references)
    sites = {(site["tenant_id"], site["site_id"]) for site in simulation.sites}
    people = {(roster["tenant_id"], roster["person_id"]) for roster in simulation.rosters}
    assert {(event["tenant_id"], event["site_id"]) for event in small.events} <= sites
    assert {(event["tenant_id"], event["person_id"]) for event in small.events} <= people
    begin, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (SMALL.start, SMALL.end))
    assert begin.timestamp() * 1000 <= small.events[0]["occurred_at"]
    assert small.events[-1]["occurred_at"] < end.timestamp() * 1000


def test_tenants_differ_in_size_and_the_last_is_new(small: World) -> None:
    count = Counter(event["tenant_id"] for event in small.events)
    assert count["northgate"] > 2 * count["harbour"] > 2 * count["meridian"] > 0
    first = next(event for event in small.events if event["tenant_id"] == "meridian")
    begins = SMALL.start + timedelta(23)
    assert (
        abs(first["occurred_at"] / 1000 - datetime(begins.year, begins.month, begins.day, tzinfo=UTC).timestamp())
        < 86400
    )
    weekends = {calendar["tenant_id"]: calendar["weekend_days"] for calendar in small.simulation.calendars}
    assert weekends == {"northgate": [5, 6], "harbour": [5, 6], "meridian": [4, 5]}


@pytest.mark.parametrize("rate", [0.01, 0.04, 0.1])
def test_the_fraud_rate_is_the_one_asked_for(rate: float, varied: Callable[..., World]) -> None:
    worlds = [varied(seed=seed, fraud_rate=rate, tenants=1, people=80, days=14) for seed in range(3)]
    found = sum(len(world.truth) for world in worlds) / sum(len(world.events) for world in worlds)
    assert 0.6 * rate < found < 1.5 * rate


def test_every_mechanism_takes_part(small: World) -> None:
    shares = {mechanism.name: mechanism.share for mechanism in MECHANISMS}
    assert sum(shares.values()) == pytest.approx(1)
    count = Counter(small.truth.values())
    assert count.keys() == shares.keys()
    assert all(count[name] > 0.2 * share * len(small.truth) for name, share in shares.items())


def test_honest_mishaps_are_about_as_frequent_as_said(small: World) -> None:
    events = small.honest
    assert 0.01 < mean(event["latitude"] is None for event in events) < 0.03
    assert 0.003 < mean(event["face_confidence"] is None for event in events) < 0.025
    assert 0.01 < mean(event["face_matched"] is False for event in events) < 0.06
    assert 0.1 < mean(event["mock_location"] is None for event in events) < 0.5
    assert mean(event["mock_location"] is True for event in events) < 0.03
    phones = [phone for person in Simulation(Scenario(people=2000)).tenants[0].people for _, phone in person.phones]
    assert 0.003 < mean(phone.has_mock for phone in phones) < 0.02
    assert 0.005 < mean((event["fix_age_s"] or 0) > 120 for event in events) < 0.04
    assert 0.005 < mean(event["scheduled_start"] is None for event in events) < 0.03
    people: dict[str, set[str]] = {}
    for event in events:
        people.setdefault(event["device_id"], set()).add(event["person_id"])
    assert max(len(names) for names in people.values()) > 4, "terminals serve many"


def test_what_goes_wrong_for_honest_people_grows_with_difficulty(varied: Callable[..., World]) -> None:
    changes = {"tenants": 1, "people": 100, "days": 14, "fraud_rate": 0.0}
    easy, hard = (varied(difficulty=LEVELS[name], **changes) for name in ("easy", "hard"))
    assert not easy.truth
    assert not hard.truth
    for mishap in ("face_confidence", "latitude"):
        rates = [mean(event[mishap] is None for event in each.events) for each in (easy, hard)]
        assert rates[0] < rates[1]


def test_honest_and_fraudulent_events_look_alike(small: World) -> None:
    """The same fields with the same types, ids of the same form, numbers with as many digits."""
    groups = (small.honest, small.frauds)
    assert all(list(event) == list(small.events[0]) for event in small.events)
    for name in small.events[0]:
        types = [{type(event[name]) for event in events} for events in groups]
        assert types[1] <= types[0], name
    for events in groups:
        assert all(UUID.fullmatch(event["event_id"]) for event in events)
        assert all(re.fullmatch(r"d-[0-9a-f]{12}", event["device_id"]) for event in events)
        assert all(re.fullmatch(r"p-\d{5}", event["person_id"]) for event in events)
    for name, most in (
        ("latitude", 6),
        ("longitude", 6),
        ("gps_accuracy_m", 1),
        ("fix_age_s", 1),
        ("face_confidence", 3),
    ):
        digits = [max(len(repr(event[name]).partition(".")[2]) for event in events if event[name]) for events in groups]
        assert digits == [most, most], name
    # Nor do ids, milliseconds or the place in the file: halves of them hold equal shares of the frauds.
    position = {event["event_id"]: number for number, event in enumerate(small.events)}
    for bit in (
        lambda event: int(event["event_id"][-1], 16) & 1,
        lambda event: event["occurred_at"] & 1,
        lambda event: int(event["device_id"][-1], 16) & 1,
        lambda event: position[event["event_id"]] & 1,
    ):
        share = mean(bit(event) for event in small.frauds)
        assert abs(share - mean(bit(event) for event in small.honest)) < 0.15


def test_honest_life_is_the_same_without_cheats(small: World, varied: Callable[..., World]) -> None:
    """What is not fraudulent was made without knowing of any fraud."""
    honest = {event["event_id"]: event for event in varied(fraud_rate=0.0).events}
    assert all(honest[event["event_id"]] == event for event in small.honest)
    new = [event for event in small.frauds if event["event_id"] not in honest]
    assert len(new) > 0.5 * len(small.frauds)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tenants": 0}, "tenants must be 1 or more"),
        ({"days": 0}, "days must be 1 or more"),
        ({"fraud_rate": 0.3}, "fraud_rate must be 0 to 0.1"),
        ({"reviewed": 1.1}, "reviewed must be 0 to 1"),
        ({"people": 20, "tenants": 4}, "20 people are too few for 4 tenants"),
    ],
)
def test_scenarios_that_cannot_be(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Scenario(**change)


def test_the_smallest_world_runs() -> None:
    simulation = Simulation(Scenario(tenants=1, people=5, days=5, start=date(2024, 2, 27), fraud_rate=0.1))
    assert sum(len(day.events) for day in simulation.days()) > 0
