"""The agent of capture health, keyed by tenant: a day's captures are counted, and silence itself raises an alert.

Timers do it: one at the end of each day, and one for silence that every capture puts off. No readings at all are told
apart from readings none of which is uncertain, by the alert's metric.
"""

import struct
from typing import Any

from models import alerts
from models.control import DEFAULTS, STATE_LEVEL
from models.ocr.health import DAY_MS, SILENT_MS, Health, at, least, normal, read, silent_at, unpack_health
from schemas import topics
from streams.runtime import Agent, Control, Due, Frame, Part
from streams.runtime.timers import Timers

SILENT, LOW = "ocr_silent", "ocr_low_capture"
SUBJECT, CAPTURES, READINGS = "ocr", "captures", "readings"
QUIET, MIDNIGHT = b"silent", b"midnight"
FLAGS = topics.CONTROL_FLAGS.name

STEP_MS = 10 * alerts.MINUTE_MS
"""The timer is put off when it would move by this; so much earlier may a tenant be called silent."""
HASTE_MS = 15 * alerts.MINUTE_MS
"""A clock that went further than this past the deadline in one step has skipped an outage: readings may still be on
their way, so there is that much more time."""

WATCHED, DOUBTED, NO_CAPTURES, NO_READINGS = range(4)
METRIC = {NO_CAPTURES: CAPTURES, NO_READINGS: READINGS}
_PAYLOAD = struct.Struct(">B")

HEALTH = Part("health", version=1, pack=Health.pack, unpack=unpack_health)


def process(frame: Frame) -> None:
    tenants, timers = frame.state.values(HEALTH), frame.timers
    out: list[dict[str, Any]] = []
    for moment in frame.timeline():
        if isinstance(moment, Due):
            key, tenant, time = moment.key, moment.key.decode(), moment.deadline
            found = _day_over if moment.name == MIDNIGHT else _silent
            health, told = found(timers, moment, tenants[key] or Health(moment.deadline // DAY_MS), tenant)
        else:
            event = moment.value
            key, tenant, time = moment.record.key or b"", event["tenant_id"], moment.record.timestamp
            before = tenants[key] or Health(moment.clock // DAY_MS)
            if timers.get(key, MIDNIGHT) is None:
                timers.set(key, MIDNIGHT, (moment.clock // DAY_MS + 1) * DAY_MS)
            health = read(before, moment.clock, event["captured"])
            told = _captured(timers, key, health, tenant, event["event_id"]) if event["captured"] else []
        tenants[key] = health
        out += allowed(frame.control, tenant, time, told)
    frame.send(topics.ALERTS_CANDIDATES, out)


def allowed(control: Control, tenant: str, time: int, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Who only observes still ends what was open before."""
    if told and control.get(FLAGS, tenant, "observe_only", time):
        return [each for each in told if each["phase"] == "clear"]
    return told


def _captured(timers: Timers, key: bytes, health: Health, tenant: str, cause: str) -> list[dict[str, Any]]:
    """A capture came: silence is put off, and over where it was told."""
    held = timers.get(key, QUIET)
    (state,) = _PAYLOAD.unpack(held[1]) if held else (WATCHED,)
    until = silent_at(health, health.capture)
    if until is None:
        timers.cancel(key, QUIET)
    elif held is None or state != WATCHED or abs(until - held[0]) >= STEP_MS:
        timers.set(key, QUIET, until, _PAYLOAD.pack(WATCHED))
    if state not in METRIC:
        return []
    summary = "readings are captured again"
    return [_candidate(SILENT, tenant, METRIC[state], "clear", cause, health.capture, summary, "CRITICAL")]


def _silent(timers: Timers, due: Due, health: Health, tenant: str) -> tuple[Health, list[dict[str, Any]]]:
    """No capture came for too long."""
    (state,) = _PAYLOAD.unpack(due.payload)
    if state in METRIC:
        # Only keeps what was told: it holds until the next capture.
        timers.set(due.key, QUIET, due.deadline + SILENT_MS, due.payload)
        return health, []
    if state == WATCHED and due.clock - due.deadline > HASTE_MS:
        timers.set(due.key, QUIET, due.clock + HASTE_MS, _PAYLOAD.pack(DOUBTED))
        return health, []
    state = NO_READINGS if due.deadline - health.reading >= SILENT_MS - STEP_MS else NO_CAPTURES
    timers.set(due.key, QUIET, due.deadline + SILENT_MS, _PAYLOAD.pack(state))
    hours = (due.deadline - health.capture) / alerts.HOUR_MS
    usual = normal(health, health.today) or 0.0
    if state == NO_READINGS:
        what = "no reading has come: OCR or its source may be down"
    else:
        what = "readings come, but none is uncertain: the engine's confidence or the threshold may be wrong"
    summary = f"no capture in {hours:.0f} h, {usual:g} a day are usual; {what}"
    evidence = {"silent_h": hours, "usual_captures_per_day": usual}
    cause = f"silent-{health.capture}"
    return health, [
        _candidate(SILENT, tenant, METRIC[state], "firing", cause, due.deadline, summary, "CRITICAL", evidence)
    ]


def _day_over(timers: Timers, due: Due, health: Health, tenant: str) -> tuple[Health, list[dict[str, Any]]]:
    """A day is over: had it the captures that it must have?"""
    timers.set(due.key, MIDNIGHT, due.deadline + DAY_MS)
    health = at(health, due.deadline - 1)
    day, (readings, captures) = health.today, health.days[-1]
    usual = normal(health, day)
    wanted = 0 if usual is None else least(usual)
    held = timers.get(due.key, QUIET)
    if held is None and health.capture >= 0 and (until := silent_at(health, health.capture)) is not None:
        # What is normal was not known yet when the last capture came.
        timers.set(due.key, QUIET, max(until, due.deadline + alerts.MINUTE_MS), _PAYLOAD.pack(WATCHED))
    # Silence says it already.
    quiet = held is not None and _PAYLOAD.unpack(held[1])[0] in METRIC
    low = captures < wanted and (not quiet or health.low)
    told = []
    if low or health.low:
        phase = "firing" if low else "clear"
        summary = f"{captures} captures of {readings} readings in a day; {usual or 0.0:g} are usual, {wanted} the least"
        evidence = {"captures": float(captures), "readings": float(readings), "usual_captures_per_day": usual or 0.0}
        told = [
            _candidate(LOW, tenant, CAPTURES, phase, f"day-{day}", due.deadline, summary, "WARNING", evidence)
            | {"value": float(captures), "expected": usual, "limit": float(wanted)}
        ]
    return health._replace(low=low), told


def _candidate(
    kind: str,
    tenant: str,
    metric: str,
    phase: str,
    cause: str,
    time: int,
    summary: str,
    severity: str,
    evidence: dict[str, float] | None = None,
) -> dict[str, Any]:
    return alerts.candidate(tenant, kind, SUBJECT, metric, "none", phase, cause, time) | {
        "severity": severity,
        "samples": int(phase == "firing"),
        "score": float(phase == "firing"),
        "value": None,
        "expected": None,
        "limit": None,
        "summary": summary,
        "evidence": evidence or {},
    }


OCR_HEALTH = Agent(
    name="ocr-health",
    inputs=(topics.OCR_READINGS,),
    outputs=(topics.ALERTS_CANDIDATES,),
    process=process,
    max_age=None,  # the agent of readings has judged it
    timers=True,
    linger_ms=25,
    settings=DEFAULTS,
    level=STATE_LEVEL,
)
