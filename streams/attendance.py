"""The third agent of attendance, keyed by person: features, score, and the prediction record."""

from collections.abc import Callable
from functools import lru_cache
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.control import DEFAULTS, STATE_LEVEL
from models.fraud import heuristic
from models.fraud.device import NO_DEVICE, DeviceFacts
from models.fraud.person import pack_head, unpack_head
from models.fraud.references import References
from models.fraud.vectors import Case, People, case_of, vectors
from models.identity import prediction_id
from schemas import topics
from streams.references import references
from streams.runtime import Agent, Control, Frame, Part

MODEL, SLOT = "fraud", "champion"

HEAD = Part("head", version=1, pack=pack_head, unpack=unpack_head)
DAYS = Part("days", version=1, pack=bytes, unpack=bytes)
PLACES = Part("places", version=1, pack=bytes, unpack=bytes)
"""The parts of a person; see models.fraud.person."""

Event = dict[str, Any]


class Scorer(NamedTuple):
    """What scores.

    Attributes:
        version, calibration: of the model; "none" without a calibration.
        feature_set: the vectors that it takes.
        score: probabilities of fraud, 0..1, of n vectors (n × features).
    """

    version: str
    calibration: str
    feature_set: str
    score: Callable[[NDArray[np.float64]], NDArray[np.float64]]


HEURISTIC = Scorer(heuristic.VERSION, "none", "fraud_v2", heuristic.probabilities)


@lru_cache(4)
def known(control: Control) -> References:
    """Sites, calendars and rosters of a view of control."""
    return references(control)


def process(frame: Frame) -> None:
    events = frame.decode()
    state = frame.state
    people = People(state.values(HEAD), state.values(DAYS), state.values(PLACES))
    cases = [case(event, known(frame.control)) for event in events]
    table = vectors(cases, people)
    scores = HEURISTIC.score(table).tolist()
    offset = frame.control.offset
    frame.send(
        topics.PREDICTIONS_FRAUD,
        [
            prediction(each, HEURISTIC, row, score, offset)
            for each, row, score in zip(cases, table.tolist(), scores, strict=True)
        ],
    )


def case(event: Event, sites: References) -> Case:
    """An event of attendance.enriched with its site and roster as they stood when it was published."""
    facts = NO_DEVICE
    if event["device_id"] is not None:
        seconds = event["seconds_since_other_account"]
        facts = DeviceFacts(
            event["accounts_per_device_30d"], event["accounts_on_device_5min"], nan if seconds is None else seconds
        )
    return case_of(topics.ATTENDANCE_ENRICHED.key_of(event), event, sites, event["published_at"], facts)


def prediction(case: Case, scorer: Scorer, row: list[float], probability: float, offset: int) -> dict[str, Any]:
    """The prediction record of an event."""
    event = case.event
    tenant, event_id = event["tenant_id"], event["event_id"]
    risk = heuristic.risk_level(probability)
    reason = None
    if case.site is None:
        reason = f"site {event['site_id']} is not known: nothing about place and local time could be computed"
    return {
        "tenant_id": tenant,
        "event_id": event_id,
        "prediction_id": prediction_id(tenant, MODEL, SLOT, event_id),
        "subject": event["person_id"],
        "model": MODEL,
        "model_version": scorer.version,
        "calibration_version": scorer.calibration,
        "feature_set": scorer.feature_set,
        "slot": SLOT,
        "event_time": event["occurred_at"],
        "probability": probability,
        "interval_low": None,
        "interval_high": None,
        "interval_width": None,
        "label_set_90": None,
        "label_set_95": None,
        "label_set_99": None,
        "calibration_score": None,
        "risk_level": risk,
        "decision": "alert" if risk in ("HIGH", "CRITICAL") else "clear",
        "certified": False,
        "control_offset": offset,
        "features": [value if value == value else None for value in row],
        "contributions": None,
        "detail": {},
        "advice": None,
        "held_out": False,
        "fallback_reason": reason,
        "scored_by": "stream",
    }


ATTENDANCE = Agent(
    name="attendance",
    inputs=(topics.ATTENDANCE_ENRICHED,),
    outputs=(topics.PREDICTIONS_FRAUD,),
    process=process,
    max_age=None,  # the intake has judged it by the time at which it was published
    settings=DEFAULTS,
    level=STATE_LEVEL,
)
