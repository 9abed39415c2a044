"""The third agent of attendance, keyed by person: features, score, and the prediction record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from models.control import DEFAULTS, STATE_LEVEL
from models.decisions import CLEAR, TICKET
from models.fraud.artifact import NAME
from models.fraud.audit import chances
from models.fraud.features import LARGEST
from models.fraud.references import References
from models.fraud.vectors import People, measure
from models.identity import prediction_ids
from schemas import topics
from schemas.columns import Column
from streams.fraud_review import audit, candidate, ticket
from streams.fraud_scoring import Answers, Floats, score
from streams.references import references
from streams.runtime import Agent, Control, Frame, Part
from streams.serving import NO_MODELS, Models

SLOT = "champion"
FLAGS = topics.CONTROL_FLAGS.name
MOST_REASON = 1000

HEAD = Part("head", version=2, pack=bytes, unpack=bytes)  # 1 was in no release
DAYS = Part("days", version=1, pack=bytes, unpack=bytes)
"""The parts of a person; see models.fraud.person."""

Event = dict[str, Any]
Record = dict[str, Any]

COMMON: dict[str, Any] = {
    "model": NAME,
    "feature_set": LARGEST,
    "slot": SLOT,
    "held_out": False,
    "scored_by": "stream",
}
"""What predictions have in common. All features are kept, also those that the model does not use: another may."""


@dataclass(frozen=True, slots=True)
class Events:
    """The events of a frame by their fields; one of them by its row."""

    columns: Mapping[str, list[Any]]

    def __getitem__(self, row: int) -> Event:
        return {name: column[row] for name, column in self.columns.items()}


@lru_cache(4)
def known(control: Control) -> References:
    """Sites, calendars and rosters of a view of control."""
    return references(control)


def process(frame: Frame, models: Models = NO_MODELS) -> None:
    events, control = Events(frame.columns()), frame.control
    if not events.columns:
        return
    state, sites = frame.state, known(control)
    people = People(state.values(HEAD), state.values(DAYS))
    keys = [record.key or b"" for record in frame.records]
    tenants, names, times = (events.columns[name] for name in ("tenant_id", "event_id", "published_at"))
    ids = prediction_ids(NAME, SLOT, tenants, names)
    table, nowhere = measure(keys, events.columns, sites, people)
    found = score(control, models, tenants, times, table)
    audited = np.flatnonzero((found.decision == CLEAR) & (chances(ids) < found.audit)).tolist()
    found.draw(audited)
    alerts: list[Record] = []
    tickets = {row: audit(events[row], found.said(row)) for row in audited}
    for row in np.flatnonzero(found.decision != CLEAR).tolist():
        event = events[row]
        if observed(event, control):
            continue
        if found.decision[row] == TICKET:
            tickets[row] = ticket(event, found.said(row))
        else:
            alerts.append(candidate(event, found.said(row)))
    made = predictions(events, ids, table, nowhere, found, control.offset)
    # A prediction has the key of its event.
    frame.send_rows(topics.PREDICTIONS_FRAUD, list(zip(keys, made, strict=True)))
    frame.send(topics.ALERTS_CANDIDATES, alerts)
    frame.send(topics.TICKETS_CANDIDATES, [tickets[row] for row in sorted(tickets)])


def observed(event: Event, control: Control) -> bool:
    """Whether the tenant only observes: nothing acts on the event."""
    found: bool = control.get(FLAGS, event["tenant_id"], "observe_only", event["published_at"])
    return found


def predictions(
    events: Events, ids: list[str], table: Floats, nowhere: Sequence[int], found: Answers, offset: int
) -> list[bytes]:
    """The prediction records of events, encoded.

    Args:
        ids: of the predictions.
        table: vectors of the events (rows, all features).
        nowhere: rows whose site is not known.
        found: what is said of them.
        offset: of control.
    """
    columns: dict[str, Column] = {
        "tenant_id": events.columns["tenant_id"],
        "prediction_id": ids,
        "event_id": events.columns["event_id"],
        "subject": events.columns["person_id"],
        "event_time": events.columns["occurred_at"],
        "features": table,
        **found.columns,
    }
    if nowhere:
        reasons = list(columns["fallback_reason"])
        for row in nowhere:
            reasons[row] = _reason(reasons[row], events[row])
        columns["fallback_reason"] = reasons
    return topics.PREDICTIONS_FRAUD.codec.encode_columns({**COMMON, "control_offset": offset}, columns)


def _reason(reason: str | None, event: Event) -> str:
    """Why less was said of an event than could have been."""
    unknown = f"site {event['site_id']} is not known: nothing about place and local time could be computed"
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
