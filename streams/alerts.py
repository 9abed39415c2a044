"""The alert agent: candidates of a tenant in, versions of its alerts out.

It alone says what is an alert: one per fingerprint while it is open, none within the quiet time after it opened
(a worse severity breaks it). See docs/alerts.md for the life of an alert.
"""

import math
from collections.abc import Mapping
from typing import Any

from models import alerts
from models.alerts import KINDS, MINUTE_MS, RANK, move
from schemas import topics
from streams.alert_state import Episode, TenantAlerts
from streams.runtime import Agent, Frame

SUMMARY_LIMIT = 600
EVIDENCE_LIMIT = 12

Candidate = Mapping[str, Any]


def process(frame: Frame) -> None:
    candidates = frame.decode()
    versions: list[dict[str, Any]] = []
    for record, candidate in zip(frame.records, candidates, strict=True):
        wrong = fault(candidate)
        if wrong is not None:
            frame.reject(record, "InvalidCandidate", wrong)
            continue
        tenant = frame.state.live(topics.ALERTS_CANDIDATES.key_of(candidate), TenantAlerts)
        version = advance(tenant, candidate)
        if version is not None:
            versions.append(version)
    frame.send(topics.ALERTS, versions)


def fault(candidate: Candidate) -> str | None:
    """What is wrong with a candidate: what was expected and what came; None for a good one."""
    kind = KINDS.get(candidate["kind"])
    if kind is None:
        return f"kind must be one of {', '.join(KINDS)}, not {candidate['kind']!r}"
    if candidate["phase"] not in ("firing", "clear"):
        return f"phase must be firing or clear, not {candidate['phase']!r}"
    if candidate["severity"] not in kind.severities:
        return f"severity of {kind.name} must be one of {', '.join(kind.severities)}, not {candidate['severity']!r}"
    if candidate["direction"] not in alerts.DIRECTIONS:
        return f"direction must be one of {', '.join(alerts.DIRECTIONS)}, not {candidate['direction']!r}"
    same = alerts.fingerprint(
        candidate["tenant_id"], kind.name, candidate["subject"], candidate["metric"], candidate["direction"]
    )
    if candidate["fingerprint"] != same:
        return f"the fingerprint is {candidate['fingerprint']!r}, the candidate's own fields make {same!r}"
    if candidate["samples"] < (candidate["phase"] == "firing"):
        return f"samples must be at least 1 for firing and 0 for clear, not {candidate['samples']}"
    if not math.isfinite(candidate["score"]):
        return f"score must be a finite number, not {candidate['score']}"
    if len(candidate["summary"]) > SUMMARY_LIMIT or len(candidate["evidence"]) > EVIDENCE_LIMIT:
        return f"at most {SUMMARY_LIMIT} characters of summary and {EVIDENCE_LIMIT} figures of evidence are kept"
    return None


def advance(tenant: TenantAlerts, candidate: Candidate) -> dict[str, Any] | None:
    """Let a tenant's alerts take in one candidate; the new version of an alert, if there is one to tell."""
    tenant.hear(candidate["event_time"])
    episode = tenant.find(candidate["fingerprint"])
    version: dict[str, Any] | None
    firing = candidate["phase"] == "firing"
    if episode is None:
        if not firing:
            return None
        episode = _open(candidate, reason="opened")
        version = dict(episode.alert)
    elif episode.active:
        version = _fire(episode, candidate) if firing else _clear(episode, candidate)
    elif not firing:
        episode.held = False
        version = None
    elif _may_open(episode, candidate):
        episode = _reopen(episode, candidate)
        version = dict(episode.alert)
    else:
        version = _hold_back(episode, candidate)
    tenant.keep(episode)
    return version


def _open(candidate: Candidate, reason: str, previous: str | None = None) -> Episode:
    kind = KINDS[candidate["kind"]]
    time = candidate["event_time"]
    alert = {
        "tenant_id": candidate["tenant_id"],
        "alert_id": alerts.alert_id(candidate["fingerprint"], candidate["event_id"]),
        "seq": 1,
        "fingerprint": candidate["fingerprint"],
        "kind": kind.name,
        "subject": candidate["subject"],
        "metric": candidate["metric"],
        "direction": candidate["direction"],
        "state": move("none", "open"),
        "severity": candidate["severity"],
        "opened_at": time,
        "updated_at": time,
        "resolved_at": None,
        "count": candidate["samples"],
        "held_back": 0,
        "event_id": candidate["event_id"],
        "previous_alert_id": previous,
        **_evidence(candidate),
        "by": "system",
        "reason": reason,
        "runbook": kind.runbook,
    }
    return Episode(alert, quiet_until=time + kind.quiet_ms, minute=time // MINUTE_MS)


def _evidence(candidate: Candidate) -> dict[str, Any]:
    return {name: candidate[name] for name in ("score", "value", "expected", "limit", "summary", "evidence")}


def _fire(episode: Episode, candidate: Candidate) -> dict[str, Any] | None:
    """A firing candidate of an active alert: it counts; only worse or once a minute it is told."""
    alert, time = episode.alert, candidate["event_time"]
    alert["state"] = move(alert["state"], "fire")
    alert["count"] += candidate["samples"]
    alert["updated_at"] = max(alert["updated_at"], time)
    worse = RANK[candidate["severity"]] > RANK[alert["severity"]]
    if worse or candidate["score"] > alert["score"]:
        alert |= _evidence(candidate) | {"score": max(alert["score"], candidate["score"])}
    if worse:
        alert["severity"] = candidate["severity"]
        return _version(episode, time, "severity")
    if time // MINUTE_MS > episode.minute:
        return _version(episode, time, "more")
    return None


def _clear(episode: Episode, candidate: Candidate) -> dict[str, Any] | None:
    """The end of what fires; a clear from before the last firing sample says nothing about it."""
    alert, time = episode.alert, candidate["event_time"]
    if time < alert["updated_at"]:
        return None
    alert["state"] = move(alert["state"], "resolve")
    alert["count"] += candidate["samples"]
    alert["updated_at"] = alert["resolved_at"] = time
    return _version(episode, time, "resolved")


def _may_open(episode: Episode, candidate: Candidate) -> bool:
    """Whether a resolved alert's fingerprint may open again: after the quiet time, or when it is worse."""
    if candidate["event_time"] <= episode.alert["resolved_at"]:
        return False
    worse = RANK[candidate["severity"]] > RANK[episode.alert["severity"]]
    return worse or candidate["event_time"] >= episode.quiet_until


def _reopen(episode: Episode, candidate: Candidate) -> Episode:
    """A new alert in place of the old one; it links it when the trouble came back within the quiet time."""
    quiet = candidate["event_time"] < episode.quiet_until
    if quiet or episode.alert["held_back"]:
        return _open(candidate, reason="reopened", previous=episode.alert["alert_id"])
    return _open(candidate, reason="opened")


def _hold_back(episode: Episode, candidate: Candidate) -> dict[str, Any] | None:
    """A firing candidate within the quiet time: each opening that it would have been is told once."""
    alert, time = episode.alert, candidate["event_time"]
    if time <= alert["resolved_at"]:
        # Older than the resolution: it belongs to what is over.
        alert["count"] += candidate["samples"]
        return None
    alert["updated_at"] = max(alert["updated_at"], time)
    if episode.held:
        return None
    episode.held = True
    alert["state"] = move(alert["state"], "hold_back")
    alert["held_back"] += 1
    return _version(episode, time, "held_back")


def _version(episode: Episode, time: int, reason: str) -> dict[str, Any]:
    """The next version of the alert, as it is told."""
    episode.alert |= {"seq": episode.alert["seq"] + 1, "by": "system", "reason": reason}
    episode.minute = max(episode.minute, time // MINUTE_MS)
    return dict(episode.alert)


ALERTS = Agent(
    name="alerts",
    inputs=(topics.ALERTS_CANDIDATES,),
    outputs=(topics.ALERTS,),
    process=process,
    linger_ms=25,
    # Candidates speak of samples that were already judged by age; those of a backfill are old.
    max_age=None,
)
