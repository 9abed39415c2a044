"""The second agent of sync, keyed by entity: features, scores, and a prediction record for every sync."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.conflict import heuristic
from models.conflict.advice import advice, held_out
from models.conflict.artifact import NAME
from models.conflict.entity import UNTOUCHED, Entity, conclude, observe, pack_entity, unpack_entity
from models.conflict.features import FEATURE_SETS, FEATURES, LARGEST
from models.control import DEFAULTS, STATE_LEVEL
from models.decisions import RISKY
from models.identity import prediction_id
from models.registry.activation import CHAMPION, Post
from schemas import topics
from streams.runtime import Agent, Due, Frame, StateVersionError
from streams.scoring import Scoring
from streams.serving import FLAGS, NO_MODELS, Models, serving

CHAMPIONS = Scoring(
    Post(NAME),
    FEATURE_SETS[LARGEST],
    ("no_conflict", "conflict"),
    heuristic.probabilities,
    heuristic.VERSION,
    heuristic.CUTS,
)
SHADOWS = CHAMPIONS._replace(post=Post(NAME, slot="shadow:boosted"))
"""Of a model that is scored and logged beside the champion, and never acts."""

ENTITY = b"entity"
"""The timer that holds an entity: its end is when it is forgotten."""
FORMAT = 1
KEPT_MS = 30 * topics.DAY_MS
"""So long an entity is remembered after it was last synced, by the partition's clock."""

Event = dict[str, Any]


def process(frame: Frame, models: Models = NO_MODELS) -> None:
    events: list[Event] = []
    rows: list[list[float]] = []
    for moment in frame.timeline():
        if isinstance(moment, Due):
            continue  # nobody has touched the entity for long
        _, record, event, clock = moment
        key = record.key or b""
        held = frame.timers.get(key, ENTITY)
        entity = UNTOUCHED if held is None else _read(held[1])
        if event["conflict"] is None:
            row, entity = observe(
                entity,
                event["user_id"],
                event["occurred_at"],
                event["base_at"],
                event["fields_changed"],
                event["user_conflict_rate"],
            )
            events.append(event)
            rows.append(row)
            deadline = clock + KEPT_MS
        elif held is not None:
            entity, deadline = conclude(entity, event["user_id"], event["occurred_at"], event["conflict"]), held[0]
        else:
            continue
        frame.timers.set(key, ENTITY, deadline, bytes([FORMAT]) + pack_entity(entity))
    table = np.array(rows, dtype=np.float64).reshape(-1, len(FEATURES))
    asked = [(event["tenant_id"], event["published_at"]) for event in events]
    champions = CHAMPIONS.score(frame.control, models, asked, table)
    shadows = _shadows(frame, models, asked, table)
    out = []
    for number, (event, features) in enumerate(zip(events, rows, strict=True)):
        out.append(_prediction(frame, event, features, champions[number], CHAMPION))
        if number in shadows:
            out.append(_prediction(frame, event, features, shadows[number], SHADOWS.post.slot))
    frame.send(topics.PREDICTIONS_CONFLICT, out)


def _shadows(
    frame: Frame, models: Models, asked: list[tuple[str, int]], table: NDArray[np.float64]
) -> dict[int, Event]:
    """What the shadow says, by row, where a version fills its post."""
    rows = [row for row, each in enumerate(asked) if serving(frame.control, models, SHADOWS.post, *each).model]
    if not rows:
        return {}
    said = SHADOWS.score(frame.control, models, [asked[row] for row in rows], table[rows])
    return dict(zip(rows, said, strict=True))


def _prediction(frame: Frame, event: Event, features: list[float], said: Event, slot: str) -> Event:
    tenant, event_id = event["tenant_id"], event["event_id"]
    told, kept = None, False
    if slot == CHAMPION and said["risk_level"] in RISKY:
        kept = held_out(tenant, event_id)
        if not kept and not frame.control.get(FLAGS, tenant, "observe_only", event["published_at"]):
            told = advice(features)
    return {
        "tenant_id": tenant,
        "event_id": event_id,
        "prediction_id": prediction_id(tenant, NAME, slot, event_id),
        "subject": event["user_id"],
        "model": NAME,
        "feature_set": LARGEST,
        "slot": slot,
        "event_time": event["occurred_at"],
        "control_offset": frame.control.offset,
        "features": features,
        "advice": told,
        "held_out": kept,
        "scored_by": "stream",
        **said,
    }


def _read(raw: bytes) -> Entity:
    if raw[0] != FORMAT:
        raise StateVersionError(f"an entity is stored in format {raw[0]}, this release reads {FORMAT}")
    return unpack_entity(raw[1:])


def agent(models: Models = NO_MODELS) -> Agent:
    """The agent with the models that its worker loads."""
    return Agent(
        name="sync",
        inputs=(topics.SYNC_BY_ENTITY,),
        outputs=(topics.PREDICTIONS_CONFLICT,),
        process=partial(process, models=models),
        max_age=None,  # the first agent has judged it by the time at which it was published
        timers=True,
        settings=DEFAULTS,
        level=STATE_LEVEL,
    )


SYNC = agent()
