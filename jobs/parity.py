"""Whether the features that were logged are those that the raw events give: computed again, compared bit for bit.

Events are replayed in the order of the logs: those of a device in the order in which it learned them, those of a person
in the order in which they were scored. Sites, calendars and rosters are those that the worker knew at each of them.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from models.fraud.device import NO_DEVICE, DeviceFacts
from models.fraud.features import FEATURE_SETS, LARGEST
from models.fraud.references import CALENDAR, ROSTER, SITE, References
from models.fraud.replay import BATCH, Devices
from models.fraud.vectors import People, case_of, vectors
from schemas import topics
from sinks import archive
from sinks.store import Store
from streams.attendance_devices import LATEST_DAYS
from streams.references import references
from streams.runtime import Control

MOST_DIFFERENT = 0.001
"""A larger share of events that differ is an alarm."""

SHOWN = 10
"""Differences that are named; the others are counted."""

ROWS = 100_000
"""Events that are held at a time, about."""

NAMES = FEATURE_SETS[LARGEST]

Place = tuple[int, int]
"""Partition and offset in attendance.enriched."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An event whose logged features are not those of the raw events.

    Attributes:
        why: in words; empty where features differ.
        features: by name, what was logged and what was computed; None is missing.
    """

    event_id: str
    person_id: str
    why: str = ""
    features: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)


@dataclass(slots=True)
class Parity:
    """What the check of a tenant's events of a time has shown.

    Attributes:
        events: that were compared.
        different: those of them that differ in any bit.
        left_out: events whose features are of another feature set than this release computes.
        first: the first differences, in the order in which they were found.
    """

    tenant: str
    events: int = 0
    different: int = 0
    left_out: int = 0
    first: list[Difference] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the compared events those that differ, 0 to 1; 0 without any."""
        return self.different / self.events if self.events else 0.0

    @property
    def alarming(self) -> bool:
        return self.share > MOST_DIFFERENT

    def note(self, difference: Difference | None) -> None:
        """Count an event, and how it differs."""
        self.events += 1
        if difference is not None:
            self.different += 1
            if len(self.first) < SHOWN:
                self.first.append(difference)


def check(store: Store, control: Control, tenant: str, since: int, until: int) -> Parity:
    """Compute the features of a tenant's events again and compare them with the logged ones.

    What people and devices did before `since` is replayed, too, as far back as the archive goes: features of people
    whose events are older than that may differ.

    Args:
        control: with all versions of the reference data.
        since, until: when the events occurred, epoch milliseconds, `until` excluded.
    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    found = Parity(tenant)
    # Late events were learned after some of later days.
    horizon = until + LATEST_DAYS * topics.DAY_MS
    facts = device_facts(archive.uses(store, tenant, horizon))
    parts = math.ceil(archive.size(store, tenant, horizon) / ROWS)
    known = as_known(control)
    for part in range(parts):
        people = People()
        whole = archive.scored(store, tenant, horizon, part, parts)
        obeyed = {row["partition"]: row["control_offset"] for row in reversed(whole) if row["logged"]}
        for first in range(0, len(whole), BATCH):
            rows = whole[first : first + BATCH]
            cases = []
            for row in rows:
                # An event without a prediction was taken under what its neighbours knew.
                partition = row["partition"]
                if row["logged"]:
                    obeyed[partition] = row["control_offset"]
                seen = known(obeyed.get(partition))
                device = facts.get((partition, row["offset"]), NO_DEVICE)
                cases.append(case_of(topics.ATTENDANCE_ENRICHED.key_of(row), row, seen, row["published_at"], device))
            for row, vector in zip(rows, vectors(cases, people), strict=True):
                if not since <= row["occurred_at"] < until:
                    continue
                if row["logged"] and row["feature_set"] != LARGEST:
                    found.left_out += 1
                else:
                    found.note(compare(row, vector))
    for row in archive.unarchived(store, tenant, since, until):
        found.note(Difference(row["event_id"], row["person_id"], "its check-in is not in the archive"))
    return found


def device_facts(uses: Iterable[archive.Row]) -> dict[Place, DeviceFacts]:
    """What devices tell about each event; see `archive.uses`."""
    devices = Devices()
    return {(use["partition"], use["offset"]): devices.measure(use) for use in uses}


def as_known(control: Control) -> Callable[[int | None], References]:
    """The reference data as they were known at an offset of the control log; of None as they are known now."""
    name = topics.CONTROL_REFERENCES.name
    offsets = sorted(
        {
            entry.command_offset
            for family in (SITE, CALENDAR, ROSTER)
            for _, _, entries in control.family(name, family)
            for entry in entries
        }
    )

    @lru_cache(64)
    def upto(offset: int) -> References:
        return references(control.upto(offset))

    newest = references(control)

    def known(offset: int | None) -> References:
        before = len(offsets) if offset is None else bisect_right(offsets, offset)
        return newest if before == len(offsets) else upto(offsets[before - 1] if before else -1)

    return known


def compare(row: archive.Row, vector: Any) -> Difference | None:
    """How the logged features of an event differ from the computed vector; None where no bit does."""
    if not row["logged"]:
        return Difference(row["event_id"], row["person_id"], "it has no prediction")
    logged = np.array([math.nan if value is None else value for value in row["features"]], dtype=np.float64)
    if len(logged) != len(NAMES):
        why = f"{len(logged)} features were logged, {LARGEST} has {len(NAMES)}"
        return Difference(row["event_id"], row["person_id"], why)
    same = (logged.view(np.int64) == vector.view(np.int64)) | (np.isnan(logged) & np.isnan(vector))
    if same.all():
        return None
    features = {NAMES[place]: (_plain(logged[place]), _plain(vector[place])) for place in np.flatnonzero(~same)}
    return Difference(row["event_id"], row["person_id"], features=features)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
