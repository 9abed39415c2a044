"""The third agent of attendance, keyed by person: features, score, and the prediction record."""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

from models.control import DEFAULTS, STATE_LEVEL
from models.decisions import CLEAR, DECISIONS, TICKET
from models.fraud.artifact import NAME
from models.fraud.audit import DRAWN, drawn
from models.fraud.features import LARGEST
from models.fraud.references import References
from models.fraud.vectors import Case, People, cases_of, vectors
from models.identity import prediction_ids
from schemas import topics
from schemas.columns import Column
from streams.fraud_review import audit, candidate, ticket
from streams.fraud_scoring import SETS, Answers, Floats, score
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
Record = dict[str, Any]

_CLEAR, _TICKET = DECISIONS[CLEAR], DECISIONS[TICKET]

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
    state, sites = frame.state, known(control)
    people = People(state.values(HEAD), state.values(DAYS), state.values(PLACES))
    keys = [record.key or b"" for record in frame.records]
    cases = cases_of(keys, events, sites)
    ids = prediction_ids(NAME, SLOT, [event["tenant_id"] for event in events], [event["event_id"] for event in events])
    table = vectors(cases, people)
    made = [b""] * len(events)
    alerts: dict[int, Record] = {}
    tickets: dict[int, Record] = {}
    for rows, found in score(control, models, [(each["tenant_id"], each["published_at"]) for each in events], table):
        for place, (row, decision) in enumerate(zip(rows, found.decisions, strict=True)):
            if decision == _CLEAR:
                if found.audit and drawn(ids[row], found.audit):
                    details = found.columns["detail"]
                    details[place] = {**details[place], DRAWN: 1.0}
                    tickets[row] = audit(events[row], found.said(place))
            elif observed(events[row], control):
                continue
            elif decision == _TICKET:
                tickets[row] = ticket(events[row], found.said(place))
            else:
                alerts[row] = candidate(events[row], found.said(place))
        batch, names = [cases[row] for row in rows], [ids[row] for row in rows]
        for row, raw in zip(rows, predictions(batch, names, table[rows], found, control.offset), strict=True):
            made[row] = raw
    # A prediction has the key of its event.
    frame.send_rows(topics.PREDICTIONS_FRAUD, list(zip(keys, made, strict=True)))
    frame.send(topics.ALERTS_CANDIDATES, [alerts[row] for row in sorted(alerts)])
    frame.send(topics.TICKETS_CANDIDATES, [tickets[row] for row in sorted(tickets)])


def observed(event: Event, control: Control) -> bool:
    """Whether the tenant only observes: nothing acts on the event."""
    found: bool = control.get(FLAGS, event["tenant_id"], "observe_only", event["published_at"])
    return found


def predictions(cases: Sequence[Case], ids: list[str], table: Floats, found: Answers, offset: int) -> list[bytes]:
    """The prediction records of events, encoded: of their vectors (rows, all features), and what was said of them."""
    events = [case.event for case in cases]
    columns: dict[str, Column] = {
        "tenant_id": [event["tenant_id"] for event in events],
        "prediction_id": ids,
        "event_id": [event["event_id"] for event in events],
        "subject": [event["person_id"] for event in events],
        "event_time": [event["occurred_at"] for event in events],
        "features": table,
        **found.columns,
    }
    common = {**EMPTY, **found.common, "control_offset": offset}
    if any(case.site is None for case in cases):
        columns["fallback_reason"] = [_reason(common["fallback_reason"], case) for case in cases]
    return topics.PREDICTIONS_FRAUD.codec.encode_columns(
        {name: value for name, value in common.items() if name not in columns}, columns
    )


def _reason(reason: str | None, case: Case) -> str | None:
    """Why less was said of an event than could have been; None where nothing was missing."""
    if case.site is not None:
        return reason
    unknown = f"site {case.event['site_id']} is not known: nothing about place and local time could be computed"
    return "; ".join(each for each in (reason, unknown) if each)[:MOST_REASON]


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
