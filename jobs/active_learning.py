"""The weekly job that asks people to look at readings: 50 labeling tasks a tenant, from which models learn most.

Which readings is decided by models.ocr.selection; here they are gathered, and the tasks made. What is known of a
reading comes from the database alone, so a run that is repeated finds what the one before has asked for, and makes the
same ids again where the database does not have it yet.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from models.ocr.labeling import task_id
from models.ocr.selection import QUOTAS, Candidate, Pick, select
from sinks import labeling
from sinks.labeling import SPAN_MS
from sinks.store import Store

BY = "job:active-learning"
"""Who opens the tasks."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be asked of a tenant.

    Attributes:
        name: the day (UTC) of the batch, YYYY-MM-DD.
        readings: that were looked through.
        before: tasks that the batch has already, by reason.
        picks: what is to be asked beside them.
    """

    tenant: str
    name: str
    readings: int
    before: dict[str, int]
    picks: list[Pick]

    @property
    def counts(self) -> dict[str, int]:
        """New tasks by reason."""
        return {reason: sum(pick.reason == reason for pick in self.picks) for reason in QUOTAS}

    @property
    def missing(self) -> dict[str, int]:
        """By reason, how many tasks there are less than there should be; those that are not missing are left out."""
        short = {reason: quota - self.before.get(reason, 0) - self.counts[reason] for reason, quota in QUOTAS.items()}
        return {reason: count for reason, count in short.items() if count > 0}

    def tasks(self, now: int) -> list[dict[str, Any]]:
        """The records of ocr.labeling-tasks. `now`: epoch milliseconds."""
        return [task(self.tenant, self.name, pick, now) for pick in self.picks]


def tenants(store: Store, day: int) -> list[str]:
    """Who has readings for a batch of this day, epoch milliseconds of its midnight. Raises as `plan`."""
    return labeling.tenants(store, day - SPAN_MS, day)


def plan(store: Store, tenant: str, day: int) -> Batch:
    """What is to be asked of a tenant.

    Args:
        day: midnight (UTC) of the batch's day, epoch milliseconds.
    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    name = f"{datetime.fromtimestamp(day / 1000, UTC):%Y-%m-%d}"
    before = labeling.counted(store, tenant, name)
    left = {reason: max(0, quota - before.get(reason, 0)) for reason, quota in QUOTAS.items()}
    found = read(labeling.candidates(store, tenant, day - SPAN_MS, day))
    return Batch(tenant, name, len(found), before, select(found, f"{tenant}|{name}", left))


def read(rows: Iterable[labeling.Row]) -> list[Candidate]:
    """Readings as the database has them."""
    flags = ("asked", "again", "pending")
    return [Candidate(**row | {name: bool(row[name]) for name in flags}) for row in rows]


def task(tenant: str, batch: str, pick: Pick, now: int) -> dict[str, Any]:
    """The open task that asks for a reading."""
    names = ("event_id", "source_type", "asset_id", "source_id", "occurred_at", "image_uri", "text")
    return {
        "tenant_id": tenant,
        **{name: getattr(pick.reading, name) for name in names},
        "task_id": task_id(tenant, pick.reason, pick.reading.event_id),
        "seq": 1,
        "state": "open",
        "reason": pick.reason,
        "updated_at": now,
        "by": BY,
        "note": None,
        "batch": batch,
        "propensity": pick.propensity,
    }
