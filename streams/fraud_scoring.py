"""What serves a batch of check-ins, each by the version of its tenant and as that lets it, and what it says of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
from streams.runtime import Control
from streams.serving import FLAGS, MODELS, Models, Serving, serving

Floats = NDArray[np.float64]
Rows = list[int]

POST = Post(NAME)
THRESHOLDS = topics.CONTROL_THRESHOLDS.name
LABELS = ("genuine", "fraud")
"""As label sets name them."""

SETS = tuple(f"label_set_{round(100 * level)}" for level in LEVELS)


class Said(NamedTuple):
    """Of one event.

    Attributes:
        fields: of the prediction record.
        risk, decision: in words.
        audit: how likely the random audit draws it, 0 to 1; 0 unless it is cleared.
    """

    fields: Mapping[str, Any]
    risk: str
    decision: str
    audit: float


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose event it is, and when it was published (epoch milliseconds)."""

    tenant: str
    time: int


def score(control: Control, models: Models, asked: Sequence[Asked], table: Floats) -> list[Said]:
    """What serves says of each row of a table (rows, all features). A row's answer does not depend on the others."""
    out: list[Said | None] = [None] * len(asked)
    for (served, policy), rows in _groups(control, models, asked):
        for row, said in zip(rows, answers(served, policy, table[rows]), strict=True):
            out[row] = said
    return [said for said in out if said is not None]


def _groups(control: Control, models: Models, asked: Sequence[Asked]) -> Iterable[tuple[tuple[Serving, Policy], Rows]]:
    """What serves, what its tenants let it do, and the rows of which both hold."""
    groups: dict[Any, tuple[tuple[Serving, Policy], Rows]] = {}
    for row, each in enumerate(asked):
        served = serving(control, models, POST, each.tenant, each.time)
        policy = policy_of(control, served, each.tenant, each.time)
        same = (served.place, served.version, served.refused, policy)
        groups.setdefault(same, ((served, policy), []))[1].append(row)
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
    since = None if proof is None else settings.certified(proof[1].value, served.place, served.version)
    auto = since is not None and not stopped and control.get(FLAGS, tenant, "auto_ticket", time)
    cuts = served.model.scorer.cuts if own is None else settings.cuts(own[1].value)
    return _policy(cuts, since, auto, share, travel)


@lru_cache
def _policy(cuts: Cuts, since: float | None, auto: bool, share: float, travel: float) -> Policy:
    return Policy(cuts, auto_ticket=auto, certified=since, audit=share, travel=travel)


def answers(served: Serving, policy: Policy, table: Floats) -> list[Said]:
    """What one version says of a table (rows, all features); the heuristic where it is none."""
    return _rule(served, policy, table) if served.model is None else _model(served, policy, served.model, table)


def _rule(served: Serving, policy: Policy, table: Floats) -> list[Said]:
    probability = heuristic.probabilities(table)
    common = {"model_version": heuristic.VERSION, "calibration_version": "none", "fallback_reason": served.refused}
    return _said(common, policy, table, probability, None, {})


def _model(served: Serving, policy: Policy, model: FraudModel, table: Floats) -> list[Said]:
    scored, calibration = model.score(table), "none"
    more: dict[str, list[Any]] = {}
    if scored.interval is not None and scored.label_sets is not None and scored.calibration_score is not None:
        calibration = served.version
        low, high = scored.interval
        more["interval_low"], more["interval_high"] = low.tolist(), high.tolist()
        more["interval_width"] = (high - low).tolist()
        more["calibration_score"] = scored.calibration_score.tolist()
        for place, name in enumerate(SETS):
            more[name] = [_labels(*pair) for pair in scored.label_sets[:, place].tolist()]
    common = {
        "model_version": served.version,
        "calibration_version": calibration,
        "fallback_reason": served.refused,
    }
    said = _said(common, policy, table, scored.probability, scored.interval, more)
    return [_explained(each, model, table[row]) for row, each in enumerate(said)]


def _said(
    common: Mapping[str, Any],
    policy: Policy,
    table: Floats,
    probability: Floats,
    interval: tuple[Floats, Floats] | None,
    more: Mapping[str, Sequence[Any]],
) -> list[Said]:
    travelled, cuts = rules.impossible_travel(table, policy.travel), policy.cuts
    decided = decide(policy, probability, interval, rules.demanded(travelled))
    detail = {"cut_medium": cuts.medium, "cut_high": cuts.high, "cut_critical": cuts.critical}
    cleared = detail | {audit.PROPENSITY: policy.audit} if policy.audit else detail
    out = []
    for row, (one, certified) in enumerate(zip(probability.tolist(), decided.certified.tolist(), strict=True)):
        risk, decision = RISKS[decided.risk[row]], DECISIONS[decided.decision[row]]
        clear = decision == DECISIONS[CLEAR]
        fields = {
            **common,
            "probability": one,
            "detail": cleared if clear else detail,
            "risk_level": risk,
            "decision": decision,
            "certified": certified,
        }
        fields |= {name: values[row] for name, values in more.items()}
        out.append(Said(fields, risk, decision, policy.audit if clear else 0.0))
    for row in np.flatnonzero(travelled).tolist():
        told = {"advice": rules.advice(table[row], policy.travel), "detail": detail | {rules.LIMIT: policy.travel}}
        out[row] = out[row]._replace(fields={**out[row].fields, **told})
    return out


def _explained(said: Said, model: FraudModel, row: Floats) -> Said:
    """With what each feature adds to the log-odds, where somebody will ask: contributions cost a millisecond."""
    if said.risk != RISKS[CRITICAL] and said.decision != DECISIONS[TICKET]:
        return said
    shares = model.contributions(row[None, :])[0].tolist()
    named = dict(zip((*model.features, "base"), shares, strict=True))
    return said._replace(fields={**said.fields, "contributions": named})


def _labels(genuine: bool, fraud: bool) -> list[str]:
    return [name for name, there in zip(LABELS, (genuine, fraud), strict=True) if there]
