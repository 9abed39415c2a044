"""Vectors do not depend on the cut into batches, on other tenants, or on whether state was stored in between."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fraud.device import NO_DEVICE, UNUSED, mark_of, observe, pack_device, unpack_device
from models.fraud.person import KEPT, NOBODY, pack_head, sums_before, unpack_head
from models.fraud.replay import Replay
from models.fraud.vectors import Case, Memory, People, case_of, vectors
from tests.models.fraud.world import CALENDAR, SITES, at, event, references

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


class Stored(Memory):
    """Keeps what it is given as bytes."""

    def __init__(self, pack: Callable[[Any], bytes], unpack: Callable[[bytes], Any]) -> None:
        super().__init__()
        self.pack, self.unpack = pack, unpack

    def __getitem__(self, key: bytes) -> Any:
        raw = self.get(key)
        return None if raw is None else self.unpack(raw)

    def __setitem__(self, key: bytes, value: Any) -> None:
        super().__setitem__(key, self.pack(value))


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_what_is_stored_is_all_that_is_known(events: list[dict[str, Any]]) -> None:
    stored = People(Stored(pack_head, unpack_head), Stored(bytes, bytes), Stored(bytes, bytes))
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
        head = people.heads[b"acme|p-1"]
        assert head is not None
        stored = pack_head(head), people.days[b"acme|p-1"] or b"", people.places[b"acme|p-1"] or b""
        sizes.append(sum(len(part) + len(b"acme|p-00001") + 10 for part in stored))
    assert max(sizes) < 1000
    assert sizes[KEPT] == sizes[-1]
    assert NOBODY == (None, b"", b"")


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
    for key, head in replay.people.heads.items():
        assert head is not None
        assert head.sums == sums_before(replay.people.days[key] or b"", head.today, head.first, head.today)
