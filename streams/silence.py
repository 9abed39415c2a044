"""When a host that used to send says nothing any more: a timer per host, put off by its samples.

What is known of a host's pace is in the timer itself, so the state holds nothing twice.
"""

import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models import alerts
from models.alerts import HOUR_MS, MINUTE_MS
from streams.runtime import Due
from streams.runtime.timers import Timers

KIND = "host_silent"
NAME = b"silent"

LEAST_MS = 10 * MINUTE_MS
"""A host is not silent before this, however fast it samples: a restart takes some minutes."""
MOST_MS = 24 * HOUR_MS
GAPS = 5
"""It is silent after so many of its usual gaps."""
STEP_MS = 30_000
"""The timer is put off when it would move by this: at one sample a second it is written twice a minute, and so much
earlier may the host be called silent."""
HASTE_MS = MINUTE_MS
"""A clock that went further than this past the deadline in one step has skipped an outage: others' records may still
be on their way, so there is one more minute."""
FADE = 0.9

WATCHED, DOUBTED, SILENT = 0, 1, 2
_PAYLOAD = struct.Struct(">Bqq")
"""State, time of the newest sample, usual gap in milliseconds."""


def limit_ms(gap: int) -> int:
    """After how long without a sample a host is silent, from its usual gap; both milliseconds."""
    return min(MOST_MS, max(LEAST_MS, GAPS * gap))


def heard(timers: Timers, key: bytes, event: Mapping[str, Any], before: int, clock: int) -> dict[str, Any] | None:
    """A host has sent a sample newer than `before` (-1 for none); the clear of its alert when it had been silent.

    The deadline is one of the partition's clock: a host whose own clock is behind is not silent.
    """
    time = event["occurred_at"]
    held = timers.get(key, NAME)
    state, newest, usual = _PAYLOAD.unpack(held[1]) if held else (WATCHED, before, 0)
    gap = time - before if before >= 0 else 0
    if gap > limit_ms(usual):
        # Perhaps an outage, perhaps a host that is slower than it was: learnt in steps, not at once.
        gap = min(gap, 2 * max(usual, MINUTE_MS))
    deadline = clock + limit_ms(max(usual, gap))
    if held is None or state != WATCHED or gap > usual or deadline - held[0] >= STEP_MS:
        usual = max(gap, int(FADE * usual))
        timers.set(key, NAME, clock + limit_ms(usual), _PAYLOAD.pack(WATCHED, time, usual))
    if state != SILENT:
        return None
    return _candidate(event["tenant_id"], event["host"], "clear", event["event_id"], clock) | {
        "samples": 0,
        "summary": f"{event['host']} sends again, after {_span(max(0, time - newest))} without a sample",
        "evidence": {"silent_s": max(0, time - newest) / 1000},
    }


def due(timers: Timers, moment: Due, newest: int) -> dict[str, Any] | None:
    """A host's timer has fired; the alert's candidate when the host is silent. `newest`: time of its newest sample."""
    state, _, usual = _PAYLOAD.unpack(moment.payload)
    if state == SILENT:
        # Only keeps what is known: it stays silent until it sends.
        timers.set(moment.key, NAME, moment.deadline + MOST_MS, moment.payload)
        return None
    if state == WATCHED and moment.clock - moment.deadline > HASTE_MS:
        timers.set(moment.key, NAME, moment.clock + HASTE_MS, _PAYLOAD.pack(DOUBTED, newest, usual))
        return None
    timers.set(moment.key, NAME, moment.deadline + MOST_MS, _PAYLOAD.pack(SILENT, newest, usual))
    tenant, host = moment.key.decode().split("|", 1)
    since = datetime.fromtimestamp(newest / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    pace = f"a sample every {_span(usual)} is usual" if usual else "it had sent only once"
    return _candidate(tenant, host, "firing", f"silent-{newest}", moment.deadline) | {
        "samples": 1,
        "score": 1.0,
        "summary": f"{host} has sent nothing since {since} UTC: {pace}",
        "evidence": {"usual_gap_s": usual / 1000, "silent_after_s": limit_ms(usual) / 1000},
    }


def _candidate(tenant: str, host: str, phase: str, event_id: str, time: int) -> dict[str, Any]:
    return alerts.candidate(tenant, KIND, host, "", "none", phase, event_id, time) | {
        "severity": "HIGH",
        "score": 0.0,
        "value": None,
        "expected": None,
        "limit": None,
    }


def _span(milliseconds: int) -> str:
    """A length of time for people."""
    seconds = milliseconds / 1000
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {name}"
    return f"{seconds:.3g} s"
