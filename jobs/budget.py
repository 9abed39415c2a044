"""The daily alert budget: how rare an anomaly of a tenant must be, by what was told and held back in the last week.

The cuts are computed by models.anomaly.budget; here the past is gathered, and they are set through control, so that
each is versioned, audited, expires and can be undone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jobs.steps import THRESHOLDS, Change, forbidden, take
from models.alerts import DAY_MS
from models.anomaly.budget import NOTHING, Anomaly, Budget, budget
from models.control import CUTS, DEFAULTS
from models.tuning import detector_of
from schemas import topics
from schemas.codec import DecodeError
from streams.alerts import ALERTS
from streams.runtime import Control
from streams.runtime.follower import Follower
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run

BY = "job:alert-budget"
"""Who the audit says it was."""

WINDOW_MS = 7 * DAY_MS
"""The past that counts: all days of the week, and no more, so that a flood is cut to the budget within days."""
KEEP_MS = 7 * DAY_MS
"""A cut expires after this, if the job does not run. A person's decision about one is left alone as long."""

FORBIDS = {"stop_automatic": True, "observe_only": True}
"""Values of flags under which no cut is set."""

BATCH = 2000
"""Candidates that are replayed at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the budget means for one tenant.

    Attributes:
        held: the flag that forbids to set a cut, in words; None where it may be done.
        per_shift: alerts that people want in eight hours at most.
        budget: the cuts that keep to it, and what they would have let through in the last week.
        changes: what is to be set, whether it is held or not.
        left: of cuts that a person decided about lately, who and why.
    """

    tenant: str
    held: str | None
    per_shift: int
    budget: Budget
    changes: list[Change]
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a change: proposed (a dry run), accepted, refused, held or unanswered."""

    change: Change
    outcome: str
    message: str


def without_cuts(candidates: Iterable[tuple[int, InputRecord]], since: int) -> dict[str, list[Anomaly]]:
    """The anomalies that would have been alerts if nothing had been held back, by tenant.

    The alert agent itself says it, with its quiet time: it hears the same candidates, those that were held back as if
    they had fired.

    Args:
        candidates: records of alerts.candidates with their partitions, those of each partition in order.
        since: alerts that opened before this time do not count, epoch milliseconds.
    """
    waiting: dict[int, list[InputRecord]] = defaultdict(list)
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    found: dict[tuple[str, str], Anomaly] = {}

    def replay(partition: int) -> None:
        outcome = run(ALERTS, waiting.pop(partition), start=outcomes[partition])
        for _, value in outcome.topic(topics.ALERTS.name):
            alert = topics.ALERTS.codec.decode(value or b"")
            detector = detector_of(alert)
            if detector is not None and alert["opened_at"] >= since:
                anomaly = Anomaly(detector, alert["score"], alert["severity"] == "CRITICAL")
                found[alert["tenant_id"], alert["alert_id"]] = anomaly
        outcome.outputs.clear()

    for partition, record in candidates:
        waiting[partition].append(_fired(record))
        if len(waiting[partition]) == BATCH:
            replay(partition)
    for partition in list(waiting):
        replay(partition)
    anomalies: dict[str, list[Anomaly]] = defaultdict(list)
    for (tenant, _), anomaly in found.items():
        anomalies[tenant].append(anomaly)
    return dict(anomalies)


def _fired(record: InputRecord) -> InputRecord:
    """A candidate as if nothing had held it back. What cannot be read is left to the agent, which refuses it."""
    codec = topics.ALERTS_CANDIDATES.codec
    try:
        candidate = codec.decode(record.value or b"")
    except DecodeError:
        return record
    if candidate["phase"] != "held_back":
        return record
    value = codec.encode(candidate | {"phase": "firing"})
    return InputRecord(record.key, value, record.timestamp, record.offset)


def plan(tenant: str, anomalies: Iterable[Anomaly], control: Control, now: int) -> Plan:
    """What the budget means for a tenant at a time, epoch milliseconds."""
    per_shift = control.get(THRESHOLDS, tenant, "alert_budget", now)
    kept = budget(anomalies, WINDOW_MS / 1000, per_shift)
    changes, left = [], []
    for detector, setting in CUTS.items():
        settled = _settled(control, tenant, setting, now)
        if settled is not None:
            left.append(settled)
        elif _wanted(control, tenant, setting, kept.cuts[detector], now):
            changes.append(Change(tenant, setting, kept.cuts[detector], _reason(kept, detector, per_shift)))
    return Plan(tenant, forbidden(control, tenant, FORBIDS, now), per_shift, kept, changes, left)


def _settled(control: Control, tenant: str, setting: str, now: int) -> str | None:
    """What a person decided about a cut, for all tenants or lately for this one; the job leaves it alone."""
    found = control.find(THRESHOLDS, tenant, setting, now)
    if found is not None and found[0] != tenant:
        return f"{setting} is left as {found[1].by} wanted it for all: {found[1].reason}"
    history = control.history(THRESHOLDS, tenant, setting)
    if history and history[-1].by != BY and now < history[-1].at + KEEP_MS:
        return f"{setting} is left as {history[-1].by} wanted it: {history[-1].reason}"
    return None


def _wanted(control: Control, tenant: str, setting: str, cut: float, now: int) -> bool:
    """Whether a cut must be set: it is another one than that in force, or that one has lasted for a day."""
    history = control.history(THRESHOLDS, tenant, setting)
    holds = control.get(THRESHOLDS, tenant, setting, now)
    if cut != holds:
        return True
    ends = max((entry.expires_at or 0 for entry in history if entry.by == BY), default=0)
    return cut > 0.0 and ends - now <= KEEP_MS - DAY_MS


def _reason(kept: Budget, detector: str, per_shift: int) -> str:
    cut = kept.cuts[detector]
    means = "holds nothing back" if cut == 0.0 else "holds all back" if cut == NOTHING else f"tells from {cut:g} on"
    counts = (
        f"of {kept.told + kept.held_back} anomalies in 7 days {kept.told} would be told, {kept.held_back} held back"
    )
    return f"budget of {per_shift} per 8 hours: {counts}; {detector} {means}"


async def keep(
    servers: str,
    anomalies: Mapping[str, list[Anomaly]],
    now: int,
    *,
    prefix: str = "",
    tenant: str | None = None,
    dry_run: bool = False,
    limit_s: float = 10.0,
) -> tuple[list[Plan], list[Step]]:
    """Let every tenant's alerts keep to its budget.

    Args:
        servers: bootstrap servers.
        anomalies: of the last week, by tenant, as `without_cuts` gives them.
        now: time from which the cuts hold, epoch milliseconds.
        tenant: only this one.
        dry_run: change nothing.
        limit_s: how long to wait for the answer to a step.
    Raises:
        KafkaError, KafkaException, TimeoutError, LookupError, Halt: control cannot be read or asked.
    """
    async with Follower(servers, topics.CONTROL, prefix=prefix, defaults=DEFAULTS) as follower:
        chosen = sorted(anomalies) if tenant is None else [tenant]
        made = [plan(each, anomalies.get(each, []), follower.control, now) for each in chosen]
        changes = [change for each in made for change in each.changes]
        outcomes = await take(
            servers,
            follower,
            changes,
            FORBIDS,
            by=BY,
            now=now,
            keep_ms=KEEP_MS,
            prefix=prefix,
            dry_run=dry_run,
            limit_s=limit_s,
        )
    return made, [Step(change, *outcome) for change, outcome in zip(changes, outcomes, strict=True)]
