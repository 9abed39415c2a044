"""Verdicts of supervisors: on some shifts, days later, now and then wrong, sometimes changed."""

from dataclasses import dataclass
from random import Random
from typing import Any

from models.attendance import FRAUD, GENUINE, UNSURE
from models.identity import derived_id

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
CAUGHT, DOUBTED = 0.92, 0.03
"""Of fraudulent shifts that are reviewed: found at once; left open."""
FOUND_LATER = 0.5
"""Of the fraudulent ones that were passed: found weeks later."""
ACCUSED, QUESTIONED = 0.0005, 0.004
"""Of honest events that are reviewed: taken for frauds; left open."""
CLEARED_LATER = 0.6
"""Of the honest people who were accused: cleared weeks later."""
REASONS = {
    FRAUD: ("not seen on site", "colleague reported it", "gate log says otherwise", "admitted"),
    GENUINE: (None, None, None, "seen on site"),
    UNSURE: ("nobody remembers",),
}


@dataclass(frozen=True, slots=True)
class Claim:
    """An event to judge, and the truth."""

    event: dict[str, Any]
    fraud: bool


def verdicts(claims: list[Claim], reviewed: float, r: Random) -> list[dict[str, Any]]:
    """Records of outcomes.attendance for the events of one shift, later ones included that overrule earlier ones.

    The delay after the last of them is log-normal: half within 2.5 days, one in twenty after two weeks.
    """
    if not claims or r.random() >= reviewed:
        return []
    after = max(claim.event["occurred_at"] for claim in claims)
    decided = after + HOUR_MS + round(DAY_MS * r.lognormvariate(0.92, 1.05))
    again = decided + round(DAY_MS * r.uniform(14, 56))
    caught, later = r.random(), r.random()
    made = []
    for claim in claims:
        if claim.fraud:
            first = FRAUD if caught < CAUGHT else UNSURE if caught < CAUGHT + DOUBTED else GENUINE
            last = FRAUD if later < FOUND_LATER else first
        else:
            luck = r.random()
            first = FRAUD if luck < ACCUSED else UNSURE if luck < ACCUSED + QUESTIONED else GENUINE
            last = GENUINE if later < CLEARED_LATER and first == FRAUD else first
        made.append(_outcome(claim.event, first, decided, r))
        if last != first:
            made.append(_outcome(claim.event, last, again, r))
    return made


def _outcome(event: dict[str, Any], verdict: str, at: int, r: Random) -> dict[str, Any]:
    return {
        "tenant_id": event["tenant_id"],
        "outcome_id": derived_id(event["tenant_id"], event["event_id"], str(at)),
        "event_id": event["event_id"],
        "person_id": event["person_id"],
        "verdict": verdict,
        "decided_by": f"supervisor-{event['site_id']}",
        "decided_at": at,
        "reason": r.choice(REASONS[verdict]),
    }
