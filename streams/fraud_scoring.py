"""What serves a batch of check-ins, each by the version of its tenant and as that lets it, and what it says of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import LEVELS
from models.decisions import CLEAR, CRITICAL, DECISIONS, HEURISTIC_CUTS, RISKS, TICKET, Cuts, Policy, decide
from models.fraud import audit, heuristic, rules
from models.fraud import policy as settings
from models.fraud.artifact import NAME, FraudModel
from models.registry.activation import Post
from schemas import topics
from streams import fraud_calibration
from streams.runtime import Control, Spans
from streams.serving import FLAGS, MODELS, OFF, Models, Serving, serving

Floats = NDArray[np.float64]
Rows = list[int]

POST = Post(NAME)
THRESHOLDS = topics.CONTROL_THRESHOLDS.name
LABELS = ("genuine", "fraud")
"""As label sets name them."""
_LABEL_SETS: tuple[list[str], ...] = ([], ["genuine"], ["fraud"], ["genuine", "fraud"])

SETS = tuple(f"label_set_{round(100 * level)}" for level in LEVELS)


class Said(NamedTuple):
    """Of one event.

    Attributes:
        fields: of the prediction record.
        risk, decision: in words.
    """

    fields: Mapping[str, Any]
    risk: str
    decision: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What one version says of several events.

    Attributes:
        common: fields that all their prediction records have alike.
        columns: of the other fields a value for each event, by name.
        audit: how likely the random audit draws one that is cleared, 0 to 1.
    """

    common: Mapping[str, Any]
    columns: Mapping[str, list[Any]]
    audit: float

    @property
    def decisions(self) -> list[str]:
        """In words, by row."""
        return self.columns["decision"]

    def said(self, row: int) -> Said:
        """Of one of them."""
        fields = {**self.common, **{name: values[row] for name, values in self.columns.items()}}
        return Said(fields, fields["risk_level"], fields["decision"])


Asked = tuple[str, int]
"""Whose event it is, and when it was published (epoch milliseconds)."""

SETTINGS = (
    (FLAGS, OFF),
    (MODELS, POST.setting),
    (MODELS, fraud_calibration.POST.setting),
    (MODELS, settings.CERTIFICATE),
    (THRESHOLDS, settings.CUTS),
    (THRESHOLDS, settings.AUDIT),
    (THRESHOLDS, settings.TRAVEL),
    (FLAGS, "auto_ticket"),
    (FLAGS, "stop_automatic"),
    (FLAGS, "observe_only"),
)
"""All that what serves a tenant, and what it may do, depend on."""


def score(control: Control, models: Models, asked: Iterable[Asked], table: Floats) -> Iterator[tuple[Rows, Answers]]:
    """What serves says of a table (rows, all features): of each row once, of those together that one version serves.

    A row's answer does not depend on the others.
    """
    for (served, policy), rows in _groups(control, models, asked):
        yield rows, answers(served, policy, table[rows])


def _groups(control: Control, models: Models, asked: Iterable[Asked]) -> Iterable[tuple[tuple[Serving, Policy], Rows]]:
    """What serves, what its tenants let it do, and the rows of which both hold."""
    groups: dict[Any, tuple[tuple[Serving, Policy], Rows]] = {}

    def group(tenant: str, time: int) -> Rows:
        served = serving(control, models, POST, tenant, time)
        served = fraud_calibration.calibrated(control, models, served, tenant, time)
        policy = policy_of(control, served, tenant, time)
        same = (served.place, served.version, served.calibration, served.refused, policy)
        return groups.setdefault(same, ((served, policy), []))[1]

    rows_of = Spans(control, SETTINGS, group).of
    for row, (tenant, time) in enumerate(asked):
        rows_of(tenant, time).append(row)
    return groups.values()


def policy_of(control: Control, served: Serving, tenant: str, time: int) -> Policy:
    """What a tenant lets what serves it do, at a record timestamp (epoch milliseconds)."""
    # Nobody is asked to look where the tenant only observes, and by no ticket while these are stopped.
    stopped = control.get(FLAGS, tenant, "stop_automatic", time)
    silent = stopped or control.get(FLAGS, tenant, "observe_only", time)
    share = 0.0 if silent else control.get(THRESHOLDS, tenant, settings.AUDIT, time)
    travel = control.get(THRESHOLDS, tenant, settings.TRAVEL, time)
    if served.model is None or served.place is None:
        return _policy(HEURISTIC_CUTS, None, False, share, travel)
    # Most tenants have set neither; `find` does without the default, which says nothing.
    own = control.find(THRESHOLDS, tenant, settings.CUTS, time)
    proof = control.find(MODELS, tenant, settings.CERTIFICATE, time)
    certified = partial(settings.certified, place=served.place, version=served.version, calibration=served.calibration)
    since = None if proof is None else certified(proof[1].value)
    auto = since is not None and not stopped and control.get(FLAGS, tenant, "auto_ticket", time)
    cuts = served.model.scorer.cuts if own is None else settings.cuts(own[1].value)
    return _policy(cuts, since, auto, share, travel)


@lru_cache
def _policy(cuts: Cuts, since: float | None, auto: bool, share: float, travel: float) -> Policy:
    return Policy(cuts, auto_ticket=auto, certified=since, audit=share, travel=travel)


def answers(served: Serving, policy: Policy, table: Floats) -> Answers:
    """What one version says of a table (rows, all features); the heuristic where it is none."""
    return _rule(served, policy, table) if served.model is None else _model(served, policy, served.model, table)


def _rule(served: Serving, policy: Policy, table: Floats) -> Answers:
    probability = heuristic.probabilities(table)
    common = {"model_version": heuristic.VERSION, "calibration_version": "none", "fallback_reason": served.refused}
    return _answers(common, policy, table, probability, None, {})


def _model(served: Serving, policy: Policy, model: FraudModel, table: Floats) -> Answers:
    scored, calibration = model.score(table), "none"
    more: dict[str, list[Any]] = {}
    if scored.interval is not None and scored.label_sets is not None and scored.calibration_score is not None:
        calibration = served.calibration or served.version
        low, high = scored.interval
        more["interval_low"], more["interval_high"] = low.tolist(), high.tolist()
        more["interval_width"] = (high - low).tolist()
        more["calibration_score"] = scored.calibration_score.tolist()
        sets = scored.label_sets.view(np.int8)
        for name, codes in zip(SETS, (sets[:, :, 0] + 2 * sets[:, :, 1]).T.tolist(), strict=True):
            more[name] = [_LABEL_SETS[code] for code in codes]
    common = {
        "model_version": served.version,
        "calibration_version": calibration,
        "fallback_reason": served.refused,
    }
    found = _answers(common, policy, table, scored.probability, scored.interval, more)
    return _explained(found, model, table)


def _answers(
    common: Mapping[str, Any],
    policy: Policy,
    table: Floats,
    probability: Floats,
    interval: tuple[Floats, Floats] | None,
    more: Mapping[str, list[Any]],
) -> Answers:
    travelled, cuts = rules.impossible_travel(table, policy.travel), policy.cuts
    decided = decide(policy, probability, interval, rules.demanded(travelled))
    detail = {"cut_medium": cuts.medium, "cut_high": cuts.high, "cut_critical": cuts.critical}
    cleared = detail | {audit.PROPENSITY: policy.audit} if policy.audit else detail
    decisions = decided.decision.tolist()
    columns: dict[str, list[Any]] = {
        "probability": probability.tolist(),
        "risk_level": [RISKS[code] for code in decided.risk.tolist()],
        "decision": [DECISIONS[code] for code in decisions],
        "certified": decided.certified.tolist(),
        "detail": [cleared if code == CLEAR else detail for code in decisions],
        **more,
    }
    if travelled.any():
        columns["advice"] = [None] * len(table)
        for row in np.flatnonzero(travelled).tolist():
            columns["advice"][row] = rules.advice(table[row], policy.travel)
            columns["detail"][row] = detail | {rules.LIMIT: policy.travel}
    return Answers(common, columns, policy.audit)


def _explained(found: Answers, model: FraudModel, table: Floats) -> Answers:
    """With what each feature adds to the log-odds, where somebody will ask: contributions cost more than all else."""
    risks = found.columns["risk_level"]
    asked = [
        row
        for row, (risk, decision) in enumerate(zip(risks, found.decisions, strict=True))
        if risk == RISKS[CRITICAL] or decision == DECISIONS[TICKET]
    ]
    if not asked:
        return found
    told: list[Any] = [None] * len(risks)
    for row, shares in zip(asked, model.contributions(table[asked]).tolist(), strict=True):
        told[row] = dict(zip((*model.features, "base"), shares, strict=True))
    return replace(found, columns={**found.columns, "contributions": told})
