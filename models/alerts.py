"""What an alert is, apart from any stream: severities, the catalogue of kinds, states and their moves, names.

Times are UTC epoch milliseconds of event time.
"""

from dataclasses import dataclass
from hashlib import blake2b

from models.identity import uuid_text

MINUTE_MS = 60_000
HOUR_MS = 3_600_000

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
    """

    name: str
    severities: tuple[str, ...]
    route: str
    runbook: str
    quiet_ms: int = HOUR_MS
    clean_samples: int = 5
    clean_ms: int = 4 * MINUTE_MS


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("metric_anomaly", SEVERITIES, "noc", "docs/alerts.md#metric_anomaly"),
        Kind("metric_static", ("WARNING", "CRITICAL"), "noc", "docs/alerts.md#metric_static"),
        Kind("host_silent", ("HIGH",), "noc", "docs/alerts.md#host_silent"),
    )
}

MOVES: dict[tuple[str, str], str] = {
    # (state, action): next state; an alert that does not exist yet is "none"
    ("none", "open"): "open",
    ("open", "fire"): "open",
    ("open", "acknowledge"): "acknowledged",
    ("open", "resolve"): "resolved",
    ("acknowledged", "fire"): "acknowledged",
    ("acknowledged", "resolve"): "resolved",
    ("resolved", "hold_back"): "resolved",
}
"""Every move that an alert can make. A resolved alert never comes back: a new one links it."""

ACTIVE = ("open", "acknowledged")


class MoveRefused(ValueError):
    """An action that the state of an alert does not allow."""


def move(state: str, action: str) -> str:
    """The state after an action. Raises MoveRefused with what would be possible."""
    found = MOVES.get((state, action))
    if found is None:
        possible = [able for begin, able in MOVES if begin == state]
        raise MoveRefused(
            f"cannot {action} an alert that is {state}; possible: {', '.join(possible) or 'nothing, no such state'}"
        )
    return found


def fingerprint(tenant: str, kind: str, subject: str, metric: str, direction: str) -> str:
    """What makes two alerts the same, readable. No part may hold "|"."""
    return f"{tenant}|{kind}|{subject}|{metric}|{direction}"


def alert_id(fingerprint: str, event_id: str) -> str:
    """UUID of the alert that an event opens: the same for a replay or an event that is sent again."""
    return uuid_text(blake2b(f"{fingerprint}|{event_id}".encode(), digest_size=16))
