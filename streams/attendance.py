"""The third agent of attendance, keyed by person: features, score, and the prediction record."""

from functools import lru_cache, partial
from math import nan
from typing import Any

from models.control import DEFAULTS, STATE_LEVEL
from models.decisions import ALERT, DECISIONS, TICKET
from models.fraud.artifact import NAME
from models.fraud.audit import DRAWN, drawn
from models.fraud.device import NO_DEVICE, DeviceFacts
from models.fraud.features import LARGEST
from models.fraud.references import References
from models.fraud.vectors import Case, People, case_of, vectors
from models.identity import prediction_id
from schemas import topics
from streams.fraud_review import audit, candidate, ticket
from streams.fraud_scoring import SETS, Asked, Said, score
from streams.references import references
from streams.runtime import Agent, Control, Frame, Part
from streams.serving import NO_MODELS, Models

SLOT = "champion"
FLAGS = topics.CONTROL_FLAGS.name
MOST_REASON = 1000

HEAD = Part("head", version=1, pack=bytes, unpack=bytes)
DAYS = Part("days", version=1, pack=bytes, unpack=bytes)
PLACES = Part("places", version=1, pack=bytes, unpack=bytes)
"""The parts of a person; see models.fraud.person."""

Event = dict[str, Any]

EMPTY: dict[str, Any] = {
    "model": NAME,
    "feature_set": LARGEST,
    "slot": SLOT,
    **dict.fromkeys(("interval_low", "interval_high", "interval_width", *SETS, "calibration_score")),
    "contributions": None,
    "advice": None,
    "held_out": False,
    "scored_by": "stream",
}
"""What predictions have in common. All features are kept, also those that the model does not use: another may."""


@lru_cache(4)
def known(control: Control) -> References:
    """Sites, calendars and rosters of a view of control."""
    return references(control)


def process(frame: Frame, models: Models = NO_MODELS) -> None:
    events, control = frame.decode(), frame.control
    state = frame.state
    people = People(state.values(HEAD), state.values(DAYS), state.values(PLACES))
    cases = [case(event, known(control)) for event in events]
    table = vectors(cases, people)
    said = score(control, models, [Asked(event["tenant_id"], event["published_at"]) for event in events], table)
    made = [
        prediction(each, row, answer, control.offset)
        for each, row, answer in zip(cases, table.tolist(), said, strict=True)
    ]
    tickets = []
    for event, answer, each in zip(events, said, made, strict=True):
        if answer.audit and drawn(each["prediction_id"], answer.audit):
            each["detail"] = {**each["detail"], DRAWN: 1.0}
            tickets.append(audit(event, answer))
        elif answer.decision == DECISIONS[TICKET] and not observed(event, control):
            tickets.append(ticket(event, answer))
    frame.send(topics.PREDICTIONS_FRAUD, made)
    frame.send(
        topics.ALERTS_CANDIDATES,
        [
            candidate(event, answer)
            for event, answer in zip(events, said, strict=True)
            if answer.decision == DECISIONS[ALERT] and not observed(event, control)
        ],
    )
    frame.send(topics.TICKETS_CANDIDATES, tickets)


def observed(event: Event, control: Control) -> bool:
    """Whether the tenant only observes: nothing acts on the event."""
    found: bool = control.get(FLAGS, event["tenant_id"], "observe_only", event["published_at"])
    return found


def case(event: Event, sites: References) -> Case:
    """An event of attendance.enriched with its site and roster as they stood when it was published."""
    facts = NO_DEVICE
    if event["device_id"] is not None:
        seconds = event["seconds_since_other_account"]
        facts = DeviceFacts(
            event["accounts_per_device_30d"], event["accounts_on_device_5min"], nan if seconds is None else seconds
        )
    return case_of(topics.ATTENDANCE_ENRICHED.key_of(event), event, sites, event["published_at"], facts)


def prediction(case: Case, row: list[float], said: Said, offset: int) -> dict[str, Any]:
    """The prediction record of an event."""
    event = case.event
    tenant, event_id = event["tenant_id"], event["event_id"]
    reasons = [said.fields["fallback_reason"]]
    if case.site is None:
        reasons.append(f"site {event['site_id']} is not known: nothing about place and local time could be computed")
    return EMPTY | {
        "tenant_id": tenant,
        "event_id": event_id,
        "prediction_id": prediction_id(tenant, NAME, SLOT, event_id),
        "subject": event["person_id"],
        "event_time": event["occurred_at"],
        "control_offset": offset,
        "features": [value if value == value else None for value in row],
        **said.fields,
        "fallback_reason": "; ".join(reason for reason in reasons if reason)[:MOST_REASON] or None,
    }


def agent(models: Models = NO_MODELS) -> Agent:
    """The agent with the models that its worker loads."""
    return Agent(
        name="attendance",
        inputs=(topics.ATTENDANCE_ENRICHED,),
        outputs=(topics.PREDICTIONS_FRAUD, topics.ALERTS_CANDIDATES, topics.TICKETS_CANDIDATES),
        process=partial(process, models=models),
        max_age=None,  # the intake has judged it by the time at which it was published
        settings=DEFAULTS,
        level=STATE_LEVEL,
    )


ATTENDANCE = agent()
