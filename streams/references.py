"""Sites, calendars and rosters out of control."""

from models.fraud.references import CALENDAR, NEVER, References, Timeline
from schemas import topics
from streams.runtime import Control

_NAME = topics.CONTROL_REFERENCES.name


def references(control: Control) -> References:
    """What a view of control says; to be kept as long as the view, because it remembers what it has made of sites."""

    def history(kind: str, tenant: str, name: str) -> Timeline:
        found = control.timeline(_NAME, tenant, kind if kind == CALENDAR else f"{kind}|{name}")
        return NEVER if found is None else Timeline(*found)

    return References(history)
