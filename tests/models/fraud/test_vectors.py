"""Vectors do not depend on the cut into batches, on other tenants, or on whether state was stored in between."""

import math
import struct
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.fraud.device import NO_DEVICE, UNUSED, DeviceFacts, mark_of, observe, pack_device, unpack_device
from models.fraud.person import KEPT, NOBODY, pack_head, sums_before, unpack_head
from models.fraud.references import References
from models.fraud.replay import Replay
from models.fraud.vectors import Case, People, case_of, measure, plain_measure, plain_vectors, vectors
from producers.simulator import LEVELS, Scenario, Simulation
from schemas import topics
from schemas.compiled import load
from tests.models.fraud.world import CALENDAR, ROSTER, SITES, at, event, references

START = at("2026-03-27T00:00")
TENANTS = "acme", "other"
BOTH = references([site | {"tenant_id": tenant} for site in SITES for tenant in TENANTS], [CALENDAR], [])
MAYBE_METRES = st.none() | st.floats(0, 1e4)
EVENTS = st.lists(
    st.builds(
        lambda minutes, **fields: event(START + minutes * 60_000, **fields),
        # Over the change of the clock; some late, some at the same time, some a month apart.
        st.integers(0, 4 * 1440) | st.integers(0, 40 * 1440),
        tenant_id=st.sampled_from(TENANTS),
        person_id=st.sampled_from(("p-1", "p-2")),
        site_id=st.sampled_from(("berlin", "sydney", "nowhere")),
        kind=st.sampled_from(("CHECK_IN", "CHECK_OUT")),
        place=st.just((None, None)) | st.tuples(st.sampled_from((52.5, 52.5005, -33.9)), st.floats(-180, 180)),
        gps_accuracy_m=MAYBE_METRES,
        scheduled_start=st.none() | st.just(START),
        face_matched=st.none() | st.booleans(),
        device_id=st.none() | st.sampled_from(("d-1", "d-2")),
    ),
    max_size=60,
)


def table(events: list[dict[str, Any]], batch: int = 4000) -> np.ndarray[Any, Any]:
    return np.array([row for part in Replay(BOTH).measure(events, batch) for row in part.vectors])


def made_of(events: list[dict[str, Any]]) -> list[Case]:
    key = topics.EVENTS_ATTENDANCE.key_of
    seen = DeviceFacts(2.0, 1.0, 7.5)
    return [
        case_of(key(each), each, BOTH, each["occurred_at"], NO_DEVICE if each["device_id"] is None else seen)
        for each in events
    ]


def assert_alike(cases: list[Case]) -> None:
    """The same vectors and state, to the last bit, from the compiled form and the plain one."""
    quick, plain = People(), People()
    assert vectors(cases, quick).tobytes() == plain_vectors(cases, plain).tobytes()
    assert quick == plain


compiled = pytest.mark.skipif(load("models.fraud._compiled") is None, reason="models.fraud._compiled was not built")


@compiled
@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_compiled_equals_plain(events: list[dict[str, Any]]) -> None:
    assert_alike(made_of(events))


@compiled
@settings(max_examples=40, deadline=None)
@given(EVENTS, st.lists(st.booleans(), min_size=60, max_size=60))
def test_compiled_measures_what_plain_does_of_enriched_events(events: list[dict[str, Any]], odd: list[bool]) -> None:
    moved = [site | {"latitude": 1.0, "updated_at": START + 2 * 86_400_000} for site in SITES]
    rosters = [ROSTER, ROSTER | {"allowed_sites": [], "updated_at": START + 86_400_000}]
    enriched = [
        each
        | {
            "published_at": each["occurred_at"],
            "allowed_sites": ["berlin"] if strange else None,
            "accounts_per_device_30d": None if each["device_id"] is None else 2,
            "accounts_on_device_5min": None if each["device_id"] is None else 1,
            "seconds_since_other_account": 7.5 if strange else None,
        }
        for each, strange in zip(events, odd, strict=False)
    ]
    keys = [topics.ATTENDANCE_ENRICHED.key_of(each) for each in enriched]
    known = References.of([*SITES, *moved], [CALENDAR], rosters)
    assume(enriched)
    columns = {name: [each[name] for each in enriched] for name in enriched[0]}
    people = People(), People()
    (table_, nowhere), (expected, without) = (
        form(keys, columns, known, one) for form, one in zip((measure, plain_measure), people, strict=True)
    )
    assert table_.tobytes() == expected.tobytes()
    sites = [known.site(each["tenant_id"], each["site_id"], each["published_at"]) for each in enriched]
    assert nowhere == without == [row for row, site in enumerate(sites) if site is None]
    assert people[0] == people[1]


@compiled
def test_compiled_equals_plain_over_months_of_everything() -> None:
    simulation = Simulation(Scenario(2, 24, 45, date(2026, 2, 20), 11, 0.1, LEVELS["hard"], 0.85))
    events = [each for day in simulation.days() for each in day.events]
    draw = np.random.default_rng(2)
    # Some come late: in another order.
    for first, other in draw.integers(0, len(events) - 40, (len(events) // 20, 2)):
        events[first], events[first + other % 40] = events[first + other % 40], events[first]
    known = References.of(simulation.sites, simulation.calendars, simulation.rosters)
    facts = [DeviceFacts(*row) for row in draw.choice([1.0, 2.0, math.nan], (len(events), 3))]
    key = topics.EVENTS_ATTENDANCE.key_of
    assert_alike(
        [case_of(key(one), one, known, one["occurred_at"], each) for one, each in zip(events, facts, strict=True)]
    )


@compiled
@pytest.mark.parametrize(
    "odd",
    [
        {"occurred_at": 1 << 55},
        {"occurred_at": -(1 << 55)},
        {"occurred_at": -1},
        {"scheduled_start": 1 << 60},
        {"place": (1e9, 0.0)},
        {"place": (math.nan, 0.0)},
        {"site_id": "nowhere", "occurred_at": 1 << 49},
    ],
    ids=str,
)
def test_compiled_refuses_what_plain_refuses(odd: dict[str, Any]) -> None:
    """One bad event in the middle leaves the same state as without the compiled form."""
    fields = {"site_id": "nowhere", **odd}
    strange = event(fields.pop("occurred_at", START + 5), **fields)
    for before in ([], [event(START)]):
        found = []
        for form in (vectors, plain_vectors):
            people = People()
            try:
                told: Any = form(made_of([*before, strange, event(START + 9)]), people).tobytes()
            except (ArithmeticError, ValueError, struct.error) as error:
                told = type(error)
            found.append((told, people))
        assert found[0] == found[1]


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(1, 9))
def test_any_cut_gives_the_same_bytes(events: list[dict[str, Any]], batch: int) -> None:
    assert table(events, batch).tobytes() == table(events).tobytes()


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_one_tenants_events_never_change_anothers_vectors(events: list[dict[str, Any]]) -> None:
    own = [number for number, each in enumerate(events) if each["tenant_id"] == "acme"]
    whole, alone = table(events), table([events[number] for number in own])
    assert not own or whole[own].tobytes() == alone.tobytes()


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_what_is_stored_is_all_that_is_known(events: list[dict[str, Any]]) -> None:
    stored = People()
    kept: dict[Any, bytes] = {}
    last: dict[Any, int] = {}
    rows = []
    for each in events:
        facts, place = NO_DEVICE, (each["tenant_id"], each["device_id"])
        if each["device_id"] is not None:
            mark = mark_of(each["person_id"])
            before = unpack_device(kept[place]) if place in kept else UNUSED
            facts, after, last[place, mark] = observe(before, last.get((place, mark)), mark, each["occurred_at"])
            kept[place] = pack_device(after)
        key = f"{each['tenant_id']}|{each['person_id']}".encode()
        rows.append(vectors([case_of(key, each, BOTH, each["occurred_at"], facts)], stored))
    assert b"".join(row.tobytes() for row in rows) == table(events).tobytes()


def test_a_person_is_under_a_kilobyte_and_forgets() -> None:
    site = BOTH.site("acme", "berlin", START)
    people = People()
    sizes = []
    for day in range(100):
        for hour in range(8, 14):
            each = event(START + day * 86_400_000 + hour * 3_600_000, place=(52.5, 13.4), device_id=f"d-{hour}")
            vectors([Case(b"acme|p-1", each, site, None, NO_DEVICE)], people)
        stored = [part[b"acme|p-1"] or b"" for part in (people.heads, people.days)]
        sizes.append(sum(len(part) + len(b"acme|p-00001") + 10 for part in stored))
    assert max(sizes) < 1000
    assert sizes[KEPT] == sizes[-1]
    assert NOBODY == (None, b"")


def test_a_device_of_thousands_stays_small() -> None:
    device, last = UNUSED, {}
    for number in range(5000):
        mark = mark_of(f"p-{number % 1500}")
        facts, device, last[mark] = observe(device, last.get(mark), mark, START + number * 1_700_000)
    assert facts.accounts_30d == 1500
    assert facts.accounts_5min == 1
    for number in range(100):
        mark = mark_of(f"q-{number}")
        facts, device, _ = observe(device, None, mark, START + 5000 * 1_700_000 + number)
    assert facts.accounts_5min == 33, "32 people of the last minutes are remembered"
    assert len(pack_device(device)) < 1000


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_sums_are_those_of_the_days(events: list[dict[str, Any]]) -> None:
    replay = Replay(BOTH)
    list(replay.measure(events))
    for key, stored in replay.people.heads.items():
        assert stored is not None
        head = unpack_head(stored)
        assert pack_head(head) == stored
        assert head.sums == sums_before(replay.people.days[key] or b"", head.today, head.first, head.today)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.data())
def test_heads_are_whole_or_refused(events: list[dict[str, Any]], data: st.DataObject) -> None:
    """What is no head is refused by both forms, and by neither taken for another person."""
    people = People()
    assume(events)
    vectors(made_of(events), people)
    key, whole = next(iter(people.heads.items()))
    assert whole is not None
    cut = data.draw(st.integers(1, len(whole)).filter(lambda size: size % 8))
    for broken in (whole[:-cut], whole + bytes(cut)):
        with pytest.raises((ValueError, struct.error)):
            unpack_head(broken)
        for form in (vectors, plain_vectors):
            stored = People()
            stored.heads[key] = broken
            case = next(each for each in made_of(events) if each.key == key)
            with pytest.raises((ValueError, struct.error)):
                form([case], stored)
            assert stored.heads[key] == broken
