"""Alarms of the platform itself, as candidates for the alert agent: what no record of a stream shows."""

from typing import Any

from models.alerts import KINDS, candidate, fingerprint
from models.identity import derived_id

MOST_SUMMARY = 600


def alarm(kind: str, tenant: str, subject: str, time: int, summary: str, *, clear: bool = False) -> dict[str, Any]:
    """A record of alerts.candidates.

    Args:
        kind: of models.alerts.KINDS, with one severity.
        tenant: concerned; models.identity.PLATFORM for all of them.
        subject: what is in trouble, in a name without "|".
        time: when it was seen, epoch milliseconds; part of the candidate's identity.
        summary: one sentence for people.
        clear: the trouble is over.
    """
    about = KINDS[kind]
    name = about.about
    cause = derived_id(fingerprint(tenant, kind, subject, name, "none"), str(time))
    phase = "clear" if clear else "firing"
    return candidate(tenant, kind, subject, name, "none", phase, cause, time) | {
        "severity": about.severities[0],
        "samples": 0 if clear else 1,
        "score": 0.0 if clear else 1.0,
        "summary": summary[:MOST_SUMMARY],
        "evidence": {},
    }
