"""What an incident is: related alerts of one tenant that are one trouble. Times are UTC epoch milliseconds."""

from models.alerts import HOUR_MS, MINUTE_MS, Moves
from models.identity import derived_id

RELATED_MS = 10 * MINUTE_MS
"""Alerts that share a link are related when they opened at most so long after one another."""
TAKES_MS = 2 * HOUR_MS
MOST_ALERTS = 50
"""An incident takes no new alert TAKES_MS after it opened, nor when it has MOST_ALERTS."""
CONFIRMING_ALERTS = 3
"""So many alerts, one CRITICAL alert or a person confirm an incident."""
MOST_LINKS = 16
"""An incident is about at most so many things, such as hosts; it begins with one, and merges bring the others."""
CLOSE_MS = 30 * MINUTE_MS
"""An incident closes when all its alerts have been resolved for so long."""

MOVES: Moves = {
    ("none", "open"): "candidate",
    ("candidate", "join"): "candidate",
    ("candidate", "confirm"): "confirmed",
    ("candidate", "merge"): "closed",
    ("candidate", "take_over"): "candidate",
    ("candidate", "split"): "candidate",
    ("candidate", "close"): "closed",
    ("confirmed", "join"): "confirmed",
    ("confirmed", "merge"): "closed",
    ("confirmed", "take_over"): "confirmed",
    ("confirmed", "split"): "confirmed",
    ("confirmed", "close"): "closed",
}
"""Every move that an incident can make. A closed one never comes back."""


def incident_id(first: str, second: str) -> str:
    """UUID of the incident that two related alerts begin, or that a command splits off another one."""
    return derived_id("incident", first, second)
