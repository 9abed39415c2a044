"""From events to feature vectors: the one function for the stream, for training and for evaluation.

It works through events in their order, one after the other; in C where models.fraud._compiled was built, which computes
the same to the last bit. The plain form compares places for all events at once. Only sums, products, roots and
comparisons are made of whole columns, which are the same to the last bit however many rows there are.
"""

import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.fraud.device import NO_DEVICE, DeviceFacts
from models.fraud.features import FEATURES_V2, PLACE
from models.fraud.local_time import Site
from models.fraud.person import (
    AROUND,
    NEAR_M,
    PLACE_SCALE,
    PLACES,
    STEP_M,
    Event,
    Person,
    observe,
    pack_head,
    unpack_head,
)
from models.fraud.references import References
from schemas.columns import records
from schemas.compiled import load

_NOWHERE = -(1 << 31)
"""Fills up the places of who has fewer: no latitude."""
_PADDING = np.array([_NOWHERE, 0] * PLACES, dtype="<i4").tobytes()
_LATITUDE, _LONGITUDE = "latitude", "longitude"
_CONSISTENCY, _NEAREST = PLACE["location_consistency_score"], PLACE["nearest_usual_m"]
_SINCE = PLACE["time_since_last_event"]

_COMPILED = load("models.fraud._compiled")


class Case(NamedTuple):
    """An event with what is known about it from elsewhere; see `models.fraud.person.observe`.

    `key` is that of the person: tenant_id and person_id.
    """

    key: bytes
    event: Event
    site: Site | None
    allowed: bool | None
    device: DeviceFacts


class Memory(dict[bytes, Any]):
    """Values by person; None where there is none. Stands in for the state of a partition."""

    def __missing__(self, key: bytes) -> None:
        return None


@dataclass(frozen=True, slots=True)
class People:
    """What is remembered of everybody, in the two parts of `models.fraud.person` as bytes, by key."""

    heads: MutableMapping[bytes, bytes | None] = field(default_factory=Memory)
    days: MutableMapping[bytes, bytes | None] = field(default_factory=Memory)


def vectors(cases: Sequence[Case], people: People) -> NDArray[np.float64]:
    """Measure events against what is known of their people, and learn them, one after the other.

    Args:
        cases: in the order in which they are to be learned.
        people: changed in place.
    Returns:
        n × len(FEATURES_V2), a row for each event; its first columns are FEATURES_V1.
    """
    if _COMPILED is None:
        return plain_vectors(cases, people)
    found: NDArray[np.float64] = _COMPILED.vectors(
        cases, people.heads, people.days, lambda case: plain_vectors([case], people)
    )
    return found


def plain_vectors(cases: Sequence[Case], people: People) -> NDArray[np.float64]:
    """As `vectors`, in plain Python."""
    heads, days = people.heads, people.days
    rows: list[list[float]] = []
    located: list[int] = []
    points: list[tuple[float, float]] = []
    before: list[bytes] = []
    for key, event, site, allowed, device in cases:
        stored = heads[key]
        old = Person(None if stored is None else unpack_head(stored), days[key] or b"")
        row, new = observe(old, event, site, allowed, device)
        assert new.head is not None, "an event was learned"
        heads[key] = pack_head(new.head)
        if new.days is not old.days:
            days[key] = new.days
        # A late event comes after places that the person was at later.
        latitude = event[_LATITUDE]
        if latitude is not None and old.head is not None and old.head.places and row[_SINCE] == row[_SINCE]:
            located.append(len(rows))
            points.append((latitude, event[_LONGITUDE]))
            before.append(old.head.places)
        rows.append(row)
    out = np.array(rows, dtype=np.float64).reshape(-1, len(FEATURES_V2))
    if located:
        out[located, _CONSISTENCY], out[located, _NEAREST] = _compare(points, before)
    return out


def _compare(points: list[tuple[float, float]], before: list[bytes]) -> tuple[Any, Any]:
    """For each point the share of places within NEAR_M, and the metres to the nearest, on the plane that touches it.

    The plane is 0.1 % off over 300 km; it is meant for metres.
    """
    whole = b"".join([_PADDING[len(places) :] + places for places in before])
    known = np.frombuffer(whole, dtype="<i4").reshape(-1, PLACES, 2).astype(np.float64)
    steps = np.array(points) * PLACE_SCALE
    shrink = np.array([math.cos(math.radians(latitude)) for latitude, _ in points])
    there = known[:, :, 0] != _NOWHERE
    north = known[:, :, 0] - steps[:, :1]
    east = np.abs(known[:, :, 1] - steps[:, 1:])
    east = np.minimum(east, AROUND - east) * shrink[:, None]
    metres = np.where(there, np.sqrt(north * north + east * east) * STEP_M, np.inf)
    return (metres <= NEAR_M).sum(axis=1) / there.sum(axis=1), metres.min(axis=1)


def case_of(key: bytes, event: Event, references: References, time: int, device: DeviceFacts) -> Case:
    """An event with its site and roster as they stood at a time, epoch milliseconds. Its own roster goes first."""
    tenant, site_id = event["tenant_id"], event["site_id"]
    sites = event["allowed_sites"]
    allowed = references.allowed(tenant, event["person_id"], site_id, time) if sites is None else site_id in sites
    return Case(key, event, references.site(tenant, site_id, time), allowed, device)


def measure(
    keys: Sequence[bytes], columns: Mapping[str, list[Any]], references: References, people: People
) -> tuple[NDArray[np.float64], list[int]]:
    """As `vectors`, of events of attendance.enriched under sites and rosters as they stood when they were published.

    Args:
        columns: the fields of the events, by name.
    Returns:
        The vectors, and which of them are of sites that are not known.
    """
    if _COMPILED is None:
        return plain_measure(keys, columns, references, people)
    found: tuple[NDArray[np.float64], list[int]] = _COMPILED.measure(
        keys,
        columns,
        references,
        people.heads,
        people.days,
        lambda row: plain_measure(
            [keys[row]], {name: [column[row]] for name, column in columns.items()}, references, people
        )[0],
    )
    return found


def plain_measure(
    keys: Sequence[bytes], columns: Mapping[str, list[Any]], references: References, people: People
) -> tuple[NDArray[np.float64], list[int]]:
    """As `measure`, in plain Python."""
    cases = [
        case_of(key, event, references, event["published_at"], _device(event))
        for key, event in zip(keys, records({}, columns), strict=True)
    ]
    return plain_vectors(cases, people), [row for row, case in enumerate(cases) if case.site is None]


def _device(event: Event) -> DeviceFacts:
    if event["device_id"] is None:
        return NO_DEVICE
    seconds = event["seconds_since_other_account"]
    return DeviceFacts(
        event["accounts_per_device_30d"], event["accounts_on_device_5min"], math.nan if seconds is None else seconds
    )
