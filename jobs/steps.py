"""What jobs have in common: they act through control alone, and not where a flag forbids it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from producers.control import NoAnswer, ask, command
from schemas import topics
from streams.runtime import Control
from streams.runtime.follower import Follower

THRESHOLDS, FLAGS = topics.CONTROL_THRESHOLDS.name, topics.CONTROL_FLAGS.name


@dataclass(frozen=True, slots=True)
class Change:
    """A threshold of a tenant that a job wants to have another value, and why."""

    tenant: str
    setting: str
    value: float
    reason: str


def forbidden(control: Control, tenant: str, flags: Mapping[str, bool], now: int) -> str | None:
    """The flag that forbids something for a tenant, and who set it; None where none does.

    Args:
        flags: by name, the value that forbids it.
        now: epoch milliseconds.
    """
    for flag, forbids in flags.items():
        found = control.find(FLAGS, tenant, flag, now)
        if found is not None and found[1].value is forbids:
            who, entry = found
            return f"{flag} of {who} is {'on' if forbids else 'off'}, by {entry.by}: {entry.reason}"
    return None


async def take(
    servers: str,
    follower: Follower,
    changes: Iterable[Change],
    flags: Mapping[str, bool],
    *,
    by: str,
    now: int,
    keep_ms: int,
    prefix: str = "",
    dry_run: bool = False,
    limit_s: float = 10.0,
) -> list[tuple[str, str]]:
    """Make changes, which hold from `now` on for `keep_ms` milliseconds.

    The flags are looked at again before each one. Without an answer to one, the rest is not tried.

    Args:
        flags: what forbids them, as in `forbidden`.
        by: who the audit says it was.
        dry_run: change nothing.
        limit_s: how long to wait for each answer.
    Returns:
        Of each change what became of it (proposed in a dry run, accepted, refused, held or unanswered), and why.
    Raises:
        KafkaError, KafkaException: control cannot be asked.
    """
    outcomes = []
    silent = False
    for change in changes:
        why_not = forbidden(follower.control, change.tenant, flags, now)
        if why_not is not None:
            outcome = "held", why_not
        elif dry_run:
            outcome = "proposed", change.reason
        elif silent:
            outcome = "unanswered", "not tried: nobody answers"
        else:
            versions = follower.control.history(THRESHOLDS, change.tenant, change.setting)
            asked = command(
                action="set",
                tenant=change.tenant,
                name=change.setting,
                value=repr(change.value),
                expected_version=versions[-1].version if versions else 0,
                expires_at=now + keep_ms,
                requested_at=now,
                by=by,
                reason=change.reason,
            )
            try:
                answer = await asyncio.to_thread(ask, servers, asked, prefix=prefix, limit_s=limit_s)
                outcome = answer["outcome"], answer["message"]
            except NoAnswer as error:
                outcome = "unanswered", str(error)
                silent = True
        outcomes.append(outcome)
    return outcomes
