"""What a ticket is, apart from any stream: states and their moves, names, limits. Times are UTC epoch milliseconds."""

from models.alerts import DAY_MS, Moves, alert_id
from models.attendance import FRAUD, GENUINE

FRAUD_MODEL = "fraud"

DECISION, AUDIT = PURPOSES = ("decision", "audit")
"""Why there is a ticket: frauds were decided tickets, or a random audit drew an event that was cleared."""

TOGETHER_MS = DAY_MS
"""An event that was decided a ticket adds to such a ticket of its subject that is not closed, if so long at most lies
between it and the ticket's first event, to either side. One that the audit drew has a ticket of its own."""
MOST_EVENTS = 100
"""So many events of a ticket; a further one opens another."""
KEPT_MS = 31 * DAY_MS
"""A closed ticket is known for so long: longer than an event that is still processed may be old, so that an event which
is sent again never opens a second one."""

RESOLUTIONS = {"confirmed": FRAUD, "rejected": GENUINE, "duplicate": None}
"""How a ticket is closed, and what that says of its events; None: nothing."""

MOVES: Moves = {
    ("none", "open"): "open",
    ("open", "add"): "open",
    ("open", "start"): "in_progress",
    ("open", "comment"): "open",
    ("open", "assign"): "open",
    ("in_progress", "add"): "in_progress",
    ("in_progress", "close"): "closed",
    ("in_progress", "comment"): "in_progress",
    ("in_progress", "assign"): "in_progress",
    ("closed", "comment"): "closed",
}
"""Every move that a ticket can make. A closed one never comes back."""

BY_PEOPLE = ("start", "close", "comment", "assign")
"""What a person may do with a ticket; the rest happens by itself."""

ACTIVE = ("open", "in_progress")


def ticket_id(tenant: str, model: str, subject: str, event_id: str) -> str:
    """UUID of the ticket that an event opens: the same for a replay or an event that is sent again."""
    return alert_id(f"{tenant}|{model}|{subject}", event_id)
