"""What an alert is, apart from any stream: severities, the catalogue of kinds, states and their moves, names.

Times are UTC epoch milliseconds of event time.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from models.identity import derived_id, uuid_text

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

SEVERITIES = ("INFO", "WARNING", "HIGH", "CRITICAL")
RANK = {name: rank for rank, name in enumerate(SEVERITIES)}
"""Order of the severities: a higher rank is worse."""

DIRECTIONS = ("up", "down", "none")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of alert.

    Attributes:
        name: as in the fingerprint and in tables.
        severities: those that this kind may have.
        route: who is told.
        runbook: page that says what to do.
        quiet_ms: after an alert opened, its fingerprint opens no second one for this long.
        clean_samples: an alert resolves by itself after so many clean samples in a row ...
        clean_ms: ... and not before this long after its last firing sample, which matters where samples come
            faster than once a minute: five seconds without trouble are no recovery.
        ends_ms: an alert resolves by itself when it has not fired for so long; None where something clears it.
    """

    name: str
    severities: tuple[str, ...]
    route: str
    runbook: str
    quiet_ms: int = HOUR_MS
    clean_samples: int = 5
    clean_ms: int = 4 * MINUTE_MS
    about: str = "host"
    inhibited_by: str | None = None
    ends_ms: int | None = None


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("metric_anomaly", SEVERITIES, "noc", "docs/alerts.md#metric_anomaly", inhibited_by="host_silent"),
        Kind(
            "metric_static", ("WARNING", "CRITICAL"), "noc", "docs/alerts.md#metric_static", inhibited_by="host_silent"
        ),
        Kind("host_silent", ("HIGH",), "noc", "docs/alerts.md#host_silent"),
        Kind(
            "fraud_review",
            ("HIGH", "CRITICAL"),
            "supervisor",
            "docs/alerts.md#fraud_review",
            about="person",
            ends_ms=14 * DAY_MS,
        ),
        Kind("ocr_silent", ("CRITICAL",), "noc", "docs/alerts.md#ocr_silent", about="domain"),
        Kind("ocr_low_capture", ("WARNING",), "noc", "docs/alerts.md#ocr_low_capture", about="domain"),
        Kind("artifact_refused", ("CRITICAL",), "noc", "docs/alerts.md#artifact_refused", about="model"),
    )
}

VERDICTS = ("true_positive", "false_positive")

ESCALATE_MS = {"HIGH": HOUR_MS, "CRITICAL": 15 * MINUTE_MS}
"""An open alert of this severity that nobody takes is escalated after so long, and again after as long ..."""
ESCALATIONS = 3
"""... so many times."""

FLAPS = 3
FLAP_MS = HOUR_MS
"""A fingerprint that came and went FLAPS times within FLAP_MS flaps: its alert stays open until it is calm as long."""

Moves = Mapping[tuple[str, str], str]
"""(state, action): next state. A thing that does not exist yet is "none"."""

MOVES: Moves = {
    ("none", "open"): "open",
    ("open", "fire"): "open",
    ("open", "flap"): "open",
    ("open", "escalate"): "open",
    ("open", "acknowledge"): "acknowledged",
    ("open", "resolve"): "resolved",
    ("open", "comment"): "open",
    ("open", "assign"): "open",
    ("open", "snooze"): "open",
    ("open", "verdict"): "open",
    ("acknowledged", "fire"): "acknowledged",
    ("acknowledged", "flap"): "acknowledged",
    ("acknowledged", "resolve"): "resolved",
    ("acknowledged", "comment"): "acknowledged",
    ("acknowledged", "assign"): "acknowledged",
    ("acknowledged", "snooze"): "acknowledged",
    ("acknowledged", "verdict"): "acknowledged",
    ("resolved", "hold_back"): "resolved",
    ("resolved", "comment"): "resolved",
    ("resolved", "verdict"): "resolved",
}
"""Every move that an alert can make. A resolved alert never comes back: a new one links it."""

BY_PEOPLE = ("acknowledge", "resolve", "comment", "assign", "snooze", "verdict", "confirm", "merge", "split")
"""What a person may do with an alert or an incident; the rest happens by itself."""

ACTIVE = ("open", "acknowledged")


class MoveRefused(ValueError):
    """An action that the state of a thing does not allow."""


def move(
    state: str, action: str, moves: Moves = MOVES, thing: str = "alert", by_people: Collection[str] = BY_PEOPLE
) -> str:
    """The state after an action. Raises MoveRefused with what would be possible."""
    found = moves.get((state, action))
    if found is None:
        # A person is told what people can do.
        personal = action in by_people
        possible = [each for begin, each in moves if begin == state and (each in by_people or not personal)]
        article = "an" if thing[0] in "aeiou" else "a"
        able = ", ".join(possible) or "nothing"
        raise MoveRefused(f"cannot {action} {article} {thing} that is {state}; possible: {able}")
    return found


def fingerprint(tenant: str, kind: str, subject: str, metric: str, direction: str) -> str:
    """What makes two alerts the same, readable. No part may hold "|"."""
    return f"{tenant}|{kind}|{subject}|{metric}|{direction}"


def candidate(
    tenant: str, kind: str, subject: str, metric: str, direction: str, phase: str, cause: str, time: int
) -> dict[str, Any]:
    """What all records of alerts.candidates have in common.

    Args:
        phase: firing, held_back or clear.
        cause: id of the event, or what stands for it; a replay gives the same one.
        time: of the cause, epoch milliseconds.
    """
    same = fingerprint(tenant, kind, subject, metric, direction)
    return {
        "tenant_id": tenant,
        "candidate_id": derived_id(same, cause, phase),
        "kind": kind,
        "subject": subject,
        "metric": metric,
        "direction": direction,
        "fingerprint": same,
        "phase": phase,
        "event_id": cause,
        "event_time": time,
    }


def alert_id(fingerprint: str, event_id: str) -> str:
    """UUID of the alert that an event opens: the same for a replay or an event that is sent again."""
    return uuid_text(blake2b(f"{fingerprint}|{event_id}".encode(), digest_size=16))


def links(kind: Kind, subject: str) -> list[str]:
    """What an alert shares with those that are related to it, such as host:web-1."""
    return [f"{kind.about}:{subject}"]
