"""Alerts about check-ins that a person should look at, one for each person while it is open; tickets; the audit.

Nothing clears such an alert: it ends when somebody resolves it, or when nothing has fired for a fortnight
(models.alerts).
"""

from collections.abc import Mapping
from typing import Any

from models import alerts
from models.fraud.artifact import NAME
from models.identity import derived_id
from models.tickets import AUDIT, DECISION
from streams.fraud_scoring import Said

KIND, METRIC = "fraud_review", "fraud"
TOP = 5
"""Contributions that an alert shows."""

MOST_SUMMARY = 600


def candidate(event: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """What the alert agent is told of an event that is to be looked at."""
    tenant, person, fields = event["tenant_id"], event["person_id"], said.fields
    cause, time = event["event_id"], event["occurred_at"]
    return alerts.candidate(tenant, KIND, person, METRIC, "none", "firing", cause, time) | {
        "severity": said.risk,
        "samples": 1,
        "score": fields["probability"],
        "value": None,
        "expected": None,
        "limit": None,
        "summary": _summary(event, fields),
        "evidence": _evidence(fields),
    }


def ticket(event: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """What the ticket agent is told of an event that was decided a ticket."""
    return _to_tickets(event, said, DECISION, _summary(event, said.fields))


def audit(event: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """What the ticket agent is told of a cleared event that the audit drew. The score would sway who looks at it."""
    return _to_tickets(
        event, said, AUDIT, f"{_what(event)}: cleared, and drawn at random to be looked at"[:MOST_SUMMARY]
    )


def _to_tickets(event: Mapping[str, Any], said: Said, purpose: str, summary: str) -> dict[str, Any]:
    fields = said.fields
    low, high = fields.get("interval_low"), fields.get("interval_high")
    return {
        "tenant_id": event["tenant_id"],
        "candidate_id": derived_id(event["tenant_id"], NAME, event["event_id"], "ticket"),
        "model": NAME,
        "subject": event["person_id"],
        "event_id": event["event_id"],
        "event_time": event["occurred_at"],
        "severity": said.risk,
        "probability": fields["probability"],
        "interval_low": 0.0 if low is None else low,
        "interval_high": 1.0 if high is None else high,
        "model_version": fields["model_version"],
        "summary": summary,
        "purpose": purpose,
    }


def _summary(event: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    probability, low, high = (fields.get(name) for name in ("probability", "interval_low", "interval_high"))
    between = "" if low is None else f" ({low:.0%} to {high:.0%})"
    also = "; " + fields["advice"] if fields.get("advice") else ""
    return f"{_what(event)}: probability of fraud {probability:.0%}{between}{also}"[:MOST_SUMMARY]


def _what(event: Mapping[str, Any]) -> str:
    return f"{event['kind'].lower().replace('_', '-')} of {event['person_id']} at {event['site_id']}"


def _evidence(fields: Mapping[str, Any]) -> dict[str, float]:
    """The interval, and the features that speak loudest for fraud, in log-odds."""
    found = {name: fields[name] for name in ("interval_low", "interval_high") if fields.get(name) is not None}
    shares = sorted((fields.get("contributions") or {}).items(), key=lambda item: (-item[1], item[0]))
    loudest = [(name, share) for name, share in shares if name != "base" and share > 0.0][:TOP]
    return found | {f"{name}_log_odds": share for name, share in loudest}
