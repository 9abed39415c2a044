"""The daily tuning job: raises what a detector needs to fire where people call too many of its alerts false.

What is proposed is decided by models.tuning; here the alerts are gathered, and the steps taken through control, so
that each is versioned, audited, expires and can be undone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.steps import THRESHOLDS, Change, forbidden, take
from models.control import DEFAULTS
from models.tuning import (
    KEEP_MS,
    WINDOW_MS,
    PastAlert,
    Proposal,
    Scope,
    Share,
    Standing,
    past_alert,
    proposals,
    shares,
    wide,
)
from schemas import topics
from streams.runtime import Control
from streams.runtime.follower import Follower

BY = "job:tuning"
"""Who the audit says it was."""

FORBIDS = {"stop_automatic": True, "tuning": False}
"""Values of flags under which nothing is tuned."""

Alert = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for one tenant.

    Attributes:
        held: the safeguard that forbids it, in words; None where it may be done.
        detectors, scopes: what people say of the alerts of the last two weeks; scopes with all hours.
        steps: what verdicts call for, whether it is held or not.
    """

    tenant: str
    held: str | None
    detectors: Mapping[str, Share]
    scopes: Mapping[Scope, Share]
    steps: list[Proposal]


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a proposal: proposed (a dry run), accepted, refused, held or unanswered."""

    tenant: str
    proposal: Proposal
    outcome: str
    message: str


def newest(alerts: Iterable[Alert]) -> dict[str, list[PastAlert]]:
    """The alerts that tuning is about, each as its newest version has it, by tenant.

    Args:
        alerts: records of the topic alerts, in any order.
    """
    versions: dict[tuple[str, str], Alert] = {}
    for alert in alerts:
        place = alert["tenant_id"], alert["alert_id"]
        if place not in versions or versions[place]["seq"] < alert["seq"]:
            versions[place] = alert
    found: dict[str, list[PastAlert]] = defaultdict(list)
    for (tenant, _), alert in sorted(versions.items()):
        past = past_alert(alert)
        if past is not None:
            found[tenant].append(past)
    return found


def plan(tenant: str, alerts: list[PastAlert], control: Control, now: int) -> Plan:
    """What is to be done for a tenant at a time, epoch milliseconds."""
    recent = [alert for alert in alerts if now - WINDOW_MS <= alert.opened_at <= now]
    base = control.get(THRESHOLDS, tenant, "anomaly_threshold", now)
    return Plan(
        tenant,
        held(control, tenant, now),
        shares(recent, lambda alert: alert.scope.detector),
        shares(recent, lambda alert: wide(alert.scope)),
        proposals(recent, lambda scope: standing(control, tenant, scope, now), now, base),
    )


def held(control: Control, tenant: str, now: int) -> str | None:
    """The flag that forbids to tune a tenant's detectors, and who set it; None where none does."""
    return forbidden(control, tenant, FORBIDS, now)


def standing(control: Control, tenant: str, scope: Scope, now: int) -> Standing:
    """How the factor of a scope stands, by its versions."""
    found = control.find(THRESHOLDS, tenant, scope.setting, now)
    history = control.history(THRESHOLDS, tenant, scope.setting)
    return Standing(
        None if found is None else found[1].value,
        max((entry.at for entry in history if entry.by == BY), default=None),
        max((entry.at for entry in history if entry.by != BY), default=None),
    )


async def tune(
    servers: str,
    alerts: Mapping[str, list[PastAlert]],
    now: int,
    *,
    prefix: str = "",
    tenant: str | None = None,
    dry_run: bool = False,
    limit_s: float = 10.0,
) -> tuple[list[Plan], list[Step]]:
    """Judge every tenant's detectors by the verdicts on its alerts, and take the steps that they call for.

    Args:
        servers: bootstrap servers.
        alerts: those of the last two weeks, by tenant, as `newest` gives them.
        now: time at which all is judged and from which the steps hold, epoch milliseconds.
        tenant: only this one.
        dry_run: change nothing.
        limit_s: how long to wait for the answer to a step.
    Raises:
        KafkaError, KafkaException, TimeoutError, LookupError, Halt: control cannot be read or asked.
    """
    async with Follower(servers, topics.CONTROL, prefix=prefix, defaults=DEFAULTS) as follower:
        chosen = sorted(alerts) if tenant is None else [tenant]
        plans = [plan(each, alerts.get(each, []), follower.control, now) for each in chosen]
        wanted = [(mine.tenant, proposal) for mine in plans for proposal in mine.steps]
        outcomes = await take(
            servers,
            follower,
            [Change(who, proposal.scope.setting, proposal.new, proposal.reason) for who, proposal in wanted],
            FORBIDS,
            by=BY,
            now=now,
            keep_ms=KEEP_MS,
            prefix=prefix,
            dry_run=dry_run,
            limit_s=limit_s,
        )
    return plans, [Step(*each, *outcome) for each, outcome in zip(wanted, outcomes, strict=True)]
