"""What a receipt has to know of each model whose decisions are explained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.conflict import heuristic as conflict_rule
from models.conflict.counterfactual import SPACE as CONFLICT_SPACE
from models.conflict.features import FEATURE_SETS as CONFLICT_SETS
from models.counterfactual import Floats, Judge, Space, judge
from models.decisions import Cuts, Policy
from models.features import Feature
from models.fraud import counterfactual as fraud
from models.fraud import heuristic as fraud_rule
from models.fraud import rules
from models.fraud.features import FEATURE_SETS as FRAUD_SETS
from models.fraud.features import FEATURES_V2
from models.ocr import heuristic as ocr_rule
from models.ocr.counterfactual import SPACE as OCR_SPACE
from models.ocr.features import FEATURE_SETS as OCR_SETS
from models.readings import VEHICLE
from sinks.tables import EVENTS_ATTENDANCE, EVENTS_OCR, EVENTS_SYNC, Table
from streams import fraud_scoring, ocr, sync
from streams.scoring import Scoring
from streams.serving import Serving

Record = Mapping[str, Any]

LOG_ODDS, PROBABILITY = "log_odds", "probability"
"""What a heuristic's terms add up to."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What is special about a model.

    Attributes:
        scoring: its features, labels and heuristic, and where its versions serve.
        answer: fields of the prediction that a version gives of a vector (1, all features) under cuts of the risk.
        judge: how a version, or the heuristic, decides about vectors as about a prediction, under cuts of the risk.
        shares: what each feature adds to the heuristic's score, and the `base`, of a vector; in `unit`.
        feature_sets: names of features by feature set; each begins the largest one.
        space: what of an event may be otherwise.
        alike: the feature that events have in common with those that they are compared with; None: all are compared.
        events, subject: the table of the events, and its columns that a prediction's subject names.
        event: an event in a few words.
        what: what the probability is of.
        said: labels in words: the usual, the rare.
        cleared: what it was when it was not flagged, in words.
        one, many: whose past says what is usual, in words: the subject's, all of the tenant's.
    """

    scoring: Scoring
    answer: Callable[[Serving, Cuts, Floats], Record]
    judge: Callable[[Serving, Cuts, Record], Judge]
    shares: Callable[[Sequence[float]], dict[str, float]]
    unit: str
    feature_sets: Mapping[str, tuple[str, ...]]
    space: Space
    alike: str | None
    events: Table
    subject: tuple[str, ...]
    event: Callable[[Record], str]
    what: str
    said: tuple[str, str]
    cleared: str
    one: str
    many: str

    @property
    def model(self) -> str:
        return self.scoring.post.model

    @property
    def features(self) -> tuple[Feature, ...]:
        return self.space.features


def _fraud_answer(serving: Serving, cuts: Cuts, vector: Floats) -> Record:
    group = fraud_scoring.Group(serving, Policy(cuts), [0])
    return fraud_scoring.answers([group], vector).said(0).fields


def _fraud_judge(serving: Serving, cuts: Cuts, prediction: Record) -> Judge:
    # Told of those alone whose travel was impossible: less of a change makes it possible.
    return fraud.judge(serving.model, cuts, prediction["detail"].get(rules.LIMIT, np.inf))


def _answer(scoring: Scoring) -> Callable[[Serving, Cuts, Floats], Record]:
    def answer(serving: Serving, _: Cuts, vector: Floats) -> Record:
        return scoring.said(serving, vector)[0]

    return answer


def _judge(scoring: Scoring) -> Callable[[Serving, Cuts, Record], Judge]:
    def judged(serving: Serving, cuts: Cuts, _: Record) -> Judge:
        def score(table: Floats) -> Floats:
            if serving.model is None:
                return scoring.rule(table)
            found: Floats = serving.model.score(table).probability
            return found

        return judge(score, cuts)

    return judged


def _told(scoring: Scoring, **about: Any) -> Explained:
    """Of a model that nothing acts upon by itself; see streams.scoring. `about`: the fields that differ."""
    return Explained(
        scoring=scoring,
        answer=_answer(scoring),
        judge=_judge(scoring),
        unit=PROBABILITY,
        cleared="less than HIGH",
        **about,
    )


def _attended(event: Record) -> str:
    at = "no fix"
    if event["latitude"] is not None:
        at = f"fix {event['latitude']:.5f}, {event['longitude']:.5f}"
    device = f"device {event['device_id']}" if event["device_id"] else "no device"
    return f"{event['kind']} at {event['site_id']}, {at}, {device}"


def _synced(event: Record) -> str:
    fields = ", ".join(event["fields_changed"]) or "no fields"
    device = f"device {event['device_id']}" if event["device_id"] else "no device"
    return f"{event['domain']} {event['entity_type']} {event['entity_id']}, changed {fields}, {device}"


def _read(event: Record) -> str:
    what = "plate" if event["source_type"] == VEHICLE else "meter"
    engine = f"{event['engine']} {event['engine_version']}"
    return f"{what} {event['asset_id']} read as {event['text']!r} by {engine}, {event['image_uri']}"


EXPLAINED: Mapping[str, Explained] = {
    each.model: each
    for each in (
        Explained(
            scoring=Scoring(
                fraud_scoring.POST, FEATURES_V2, fraud_scoring.LABELS, fraud_rule.probabilities, fraud_rule.VERSION
            ),
            answer=_fraud_answer,
            judge=_fraud_judge,
            shares=fraud_rule.contributions,
            unit=LOG_ODDS,
            feature_sets=FRAUD_SETS,
            space=fraud.SPACE,
            alike="is_check_out",
            events=EVENTS_ATTENDANCE,
            subject=("person_id",),
            event=_attended,
            what="fraud",
            said=fraud_scoring.LABELS,
            cleared="cleared",
            one="this person",
            many="this tenant's people",
        ),
        _told(
            sync.CHAMPIONS,
            shares=conflict_rule.contributions,
            feature_sets=CONFLICT_SETS,
            space=CONFLICT_SPACE,
            alike=None,
            events=EVENTS_SYNC,
            subject=("user_id",),
            event=_synced,
            what="a conflict",
            said=("no conflict", "conflict"),
            one="this user",
            many="this tenant's users",
        ),
        _told(
            ocr.SCORING,
            shares=ocr_rule.contributions,
            feature_sets=OCR_SETS,
            space=OCR_SPACE,
            alike="vehicle",
            events=EVENTS_OCR,
            subject=("source_type", "asset_id"),
            event=_read,
            what="a wrong reading",
            said=("right", "wrong"),
            one="this meter or gate",
            many="this tenant's meters or gates",
        ),
    )
}
"""By the name of the model."""
