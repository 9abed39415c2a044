"""The alert agent: candidates, commands and verdicts of a tenant in, versions of its alerts and incidents out.

It alone says what is an alert: one per fingerprint while it is open, none within the quiet time after it opened
(a worse severity breaks it). See docs/alerts.md for the life of an alert.
"""

import math
from collections.abc import Mapping
from typing import Any

from models import alerts
from models.alerts import ESCALATE_MS, ESCALATIONS, FLAP_MS, FLAPS, KINDS, MINUTE_MS, RANK, Kind, move
from models.control import DEFAULTS, STATE_LEVEL
from schemas import topics
from streams.alert_commands import judge, obey
from streams.alert_desk import Desk, Told
from streams.alert_state import NEVER, Episode, TenantAlerts
from streams.alert_time import arm, due, fired
from streams.incidents import correlate, worsened
from streams.runtime import Agent, Due, Frame

SUMMARY_LIMIT = 600
EVIDENCE_LIMIT = 24

PHASES = ("firing", "clear", "held_back")

Candidate = Mapping[str, Any]


def process(frame: Frame) -> None:
    told = Told()
    for moment in frame.timeline():
        if isinstance(moment, Due):
            desk = Desk(frame.state.live(moment.key, TenantAlerts), told)
            fired(desk, moment)
            arm(frame.timers, moment.key, desk.tenant, moment.deadline)
            continue
        event, key = moment.value, topics.ALERTS.key_of(moment.value)
        asked = moment.topic in (topics.COMMANDS_ALERTS.name, topics.OUTCOMES_ALERTS.name)
        wrong = None if asked else fault(event)
        if wrong is not None:
            frame.reject(moment.record, "InvalidCandidate", wrong)
            continue
        desk = Desk(frame.state.live(key, TenantAlerts), told)
        if moment.topic == topics.OUTCOMES_ALERTS.name:
            refused = judge(desk, event)
            if refused is not None:
                frame.reject(moment.record, "OutcomeRefused", refused)
        else:
            (obey if asked else advance)(desk, event)
        arm(frame.timers, key, desk.tenant, moment.clock)
    frame.send(topics.ALERTS, told.alerts)
    frame.send(topics.INCIDENTS, told.incidents)
    frame.send(topics.ALERTS_ANSWERS, told.answers)
    frame.send(topics.LABELLED_ANOMALY, told.labels)


def fault(candidate: Candidate) -> str | None:
    """What is wrong with a candidate: what was expected and what came; None for a good one."""
    kind = KINDS.get(candidate["kind"])
    if kind is None:
        return f"kind must be one of {', '.join(KINDS)}, not {candidate['kind']!r}"
    if candidate["phase"] not in PHASES:
        return f"phase must be one of {', '.join(PHASES)}, not {candidate['phase']!r}"
    if candidate["severity"] not in kind.severities:
        return f"severity of {kind.name} must be one of {', '.join(kind.severities)}, not {candidate['severity']!r}"
    if candidate["direction"] not in alerts.DIRECTIONS:
        return f"direction must be one of {', '.join(alerts.DIRECTIONS)}, not {candidate['direction']!r}"
    same = alerts.fingerprint(
        candidate["tenant_id"], kind.name, candidate["subject"], candidate["metric"], candidate["direction"]
    )
    if candidate["fingerprint"] != same:
        return f"the fingerprint is {candidate['fingerprint']!r}, the candidate's own fields make {same!r}"
    if candidate["samples"] < (candidate["phase"] != "clear"):
        return f"samples must be at least 1 for firing and 0 for clear, not {candidate['samples']}"
    if not math.isfinite(candidate["score"]):
        return f"score must be a finite number, not {candidate['score']}"
    if len(candidate["summary"]) > SUMMARY_LIMIT or len(candidate["evidence"]) > EVIDENCE_LIMIT:
        return f"at most {SUMMARY_LIMIT} characters of summary and {EVIDENCE_LIMIT} figures of evidence are kept"
    return None


def advance(desk: Desk, candidate: Candidate) -> None:
    """Let a tenant's alerts take in one candidate, after what is due by then."""
    due(desk, candidate["event_time"])
    episode = desk.tenant.find(Episode, candidate["fingerprint"])
    firing = candidate["phase"] != "clear"
    if candidate["phase"] == "held_back" and (episode is None or not episode.active):
        # The budget opens nothing; an alert that is open has been told already.
        return
    if episode is None:
        if firing:
            _open(desk, candidate, "opened")
    elif episode.active:
        (_fire if firing else _clear)(desk, episode, candidate)
    elif not firing:
        _ended(episode, candidate)
        desk.tenant.keep(episode)
    elif _may_open(episode, candidate):
        _reopen(desk, episode, candidate)
    else:
        _hold_back(desk, episode, candidate)


def _open(desk: Desk, candidate: Candidate, reason: str, old: Episode | None = None) -> None:
    """Tell a new alert. `old`: the newest one of the fingerprint so far, which it links when it is the same trouble."""
    kind = KINDS[candidate["kind"]]
    time, severity = candidate["event_time"], candidate["severity"]
    flapping = old is not None and _flaps(old, time)
    alert = {
        "tenant_id": candidate["tenant_id"],
        "alert_id": alerts.alert_id(candidate["fingerprint"], candidate["event_id"]),
        "seq": 0,
        "fingerprint": candidate["fingerprint"],
        "kind": kind.name,
        "subject": candidate["subject"],
        "metric": candidate["metric"],
        "direction": candidate["direction"],
        "state": move("none", "open"),
        "severity": severity,
        "opened_at": time,
        "updated_at": time,
        "resolved_at": None,
        "count": candidate["samples"],
        "held_back": 0,
        "event_id": candidate["event_id"],
        "previous_alert_id": old.alert["alert_id"] if old is not None and reason == "reopened" else None,
        **_evidence(candidate),
        "runbook": kind.runbook,
        "assignee": None,
        "escalation": 0,
        "snoozed_until": None,
        "flapping": flapping,
        "links": alerts.links(kind, candidate["subject"]),
        "incident_id": None,
        "verdict": None,
        "verdict_at": None,
        "label_version": 0,
    }
    episode = Episode(
        alert,
        quiet_until=time + kind.quiet_ms,
        minute=time // MINUTE_MS,
        fired_at=time,
        settle_at=_settles(kind, time),
        ends=old.ends if old is not None else (),
    )
    _watch(episode, time)
    related = correlate(desk.tenant, desk.told.incidents, alert)
    if related is not None:
        desk.tell(related, time, "linked")
    desk.tell(episode, time, reason)


def _settles(kind: Kind, time: int) -> int:
    """When an alert that has just fired ends by itself."""
    return NEVER if kind.ends_ms is None else time + kind.ends_ms


def _watch(episode: Episode, time: int) -> None:
    """From a severity on, somebody must take an open alert within some time."""
    alert = episode.alert
    if alert["state"] == "open" and alert["severity"] in ESCALATE_MS and alert["escalation"] < ESCALATIONS:
        episode.escalate_at = min(episode.escalate_at, time + ESCALATE_MS[alert["severity"]])


def _evidence(candidate: Candidate) -> dict[str, Any]:
    return {name: candidate[name] for name in ("score", "value", "expected", "limit", "summary", "evidence")}


def _fire(desk: Desk, episode: Episode, candidate: Candidate) -> None:
    """A firing candidate of an active alert: it counts; only worse or once a minute it is told."""
    alert, time = episode.alert, candidate["event_time"]
    alert["state"] = move(alert["state"], "fire")
    alert["count"] += candidate["samples"]
    alert["updated_at"] = max(alert["updated_at"], time)
    if time >= episode.fired_at:
        episode.fired_at, episode.settle_at = time, _settles(KINDS[alert["kind"]], time)
    worse = RANK[candidate["severity"]] > RANK[alert["severity"]]
    if worse or candidate["score"] > alert["score"]:
        alert |= _evidence(candidate) | {"score": max(alert["score"], candidate["score"])}
    if worse:
        alert["severity"] = candidate["severity"]
        _watch(episode, time)
        desk.tell(episode, time, "severity")
        worsened(desk.tenant, desk.told.incidents, alert)
    elif time // MINUTE_MS > episode.minute:
        desk.tell(episode, time, "more")
    else:
        desk.tenant.keep(episode)


def _clear(desk: Desk, episode: Episode, candidate: Candidate) -> None:
    """The end of what fires; a clear from before the last firing sample says nothing about it."""
    alert, time = episode.alert, candidate["event_time"]
    calm = episode.settle_at != NEVER
    if time < episode.fired_at or calm:
        desk.tenant.keep(episode)
        return
    alert["count"] += candidate["samples"]
    _note_end(episode, time)
    if not alert["flapping"] and not _flaps(episode, time):
        desk.resolve(episode, time)
        return
    episode.settle_at = time + FLAP_MS
    if alert["flapping"]:
        desk.tenant.keep(episode)
        return
    alert["state"] = move(alert["state"], "flap")
    alert["flapping"] = True
    desk.tell(episode, time, "flapping")


def _ended(episode: Episode, candidate: Candidate) -> None:
    """The end of what fires and is held back."""
    if episode.held:
        episode.held = False
        _note_end(episode, candidate["event_time"])


def _note_end(episode: Episode, time: int) -> None:
    episode.ends = (*episode.ends, time)[-FLAPS:]


def _flaps(episode: Episode, time: int) -> bool:
    """Whether a fingerprint came and went too often within the time before this."""
    return len(episode.ends) == FLAPS and time - episode.ends[0] <= FLAP_MS


def _may_open(episode: Episode, candidate: Candidate) -> bool:
    """Whether a resolved alert's fingerprint may open again: after the quiet time, when it is worse, when it flaps."""
    time = candidate["event_time"]
    if time <= episode.alert["resolved_at"]:
        return False
    worse = RANK[candidate["severity"]] > RANK[episode.alert["severity"]]
    return worse or time >= episode.quiet_until or _flaps(episode, time)


def _reopen(desk: Desk, episode: Episode, candidate: Candidate) -> None:
    """A new alert in place of the old one; it links it when the trouble came back within the quiet time."""
    quiet = candidate["event_time"] < episode.quiet_until
    reason = "reopened" if quiet or episode.alert["held_back"] else "opened"
    _open(desk, candidate, reason, episode)


def _hold_back(desk: Desk, episode: Episode, candidate: Candidate) -> None:
    """A firing candidate within the quiet time: each opening that it would have been is told once."""
    alert, time = episode.alert, candidate["event_time"]
    if time <= alert["resolved_at"]:
        # Older than the resolution: it belongs to what is over.
        alert["count"] += candidate["samples"]
    elif episode.held:
        alert["updated_at"] = max(alert["updated_at"], time)
    else:
        episode.held = True
        alert["state"] = move(alert["state"], "hold_back")
        alert["held_back"] += 1
        desk.tell(episode, time, "held_back")
        return
    desk.tenant.keep(episode)


ALERTS = Agent(
    name="alerts",
    inputs=(topics.ALERTS_CANDIDATES, topics.COMMANDS_ALERTS, topics.OUTCOMES_ALERTS),
    outputs=(topics.ALERTS, topics.INCIDENTS, topics.ALERTS_ANSWERS, topics.LABELLED_ANOMALY),
    process=process,
    linger_ms=25,
    # Candidates speak of samples that were already judged by age; those of a backfill are old.
    max_age=None,
    timers=True,
    settings=DEFAULTS,
    level=STATE_LEVEL,
)
