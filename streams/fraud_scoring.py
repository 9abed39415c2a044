"""What serves a batch of check-ins, each by the version of its tenant and as that lets it, and what it says of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import LEVELS
from models.decisions import CRITICAL, DECISIONS, HEURISTIC_CUTS, RISKS, TICKET, Cuts, Policy, decide
from models.fraud import heuristic
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
BY_RULE = Policy(HEURISTIC_CUTS)
LABELS = ("genuine", "fraud")
"""As label sets name them."""

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
    if served.model is None or served.place is None:
        return BY_RULE
    # Most tenants have set neither; `find` does without the default, which says nothing.
    own = control.find(THRESHOLDS, tenant, settings.CUTS, time)
    proof = control.find(MODELS, tenant, settings.CERTIFICATE, time)
    since = None if proof is None else settings.certified(proof[1].value, served.place, served.version)
    auto = (
        since is not None
        and control.get(FLAGS, tenant, "auto_ticket", time)
        and not control.get(FLAGS, tenant, "stop_automatic", time)
    )
    return _policy(served.model.scorer.cuts if own is None else settings.cuts(own[1].value), since, auto)


@lru_cache
def _policy(cuts: Cuts, since: float | None, auto: bool) -> Policy:
    return Policy(cuts, auto_ticket=auto, certified=since)


def answers(served: Serving, policy: Policy, table: Floats) -> list[Said]:
    """What one version says of a table (rows, all features); the heuristic where it is none."""
    return _rule(served, policy, table) if served.model is None else _model(served, policy, served.model, table)


def _rule(served: Serving, policy: Policy, table: Floats) -> list[Said]:
    probability = heuristic.probabilities(table)
    common = {"model_version": heuristic.VERSION, "calibration_version": "none", "fallback_reason": served.refused}
    return _said(common, policy, probability, None, {})


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
    said = _said(common, policy, scored.probability, scored.interval, more)
    return [_explained(each, model, table[row]) for row, each in enumerate(said)]


def _said(
    common: Mapping[str, Any],
    policy: Policy,
    probability: Floats,
    interval: tuple[Floats, Floats] | None,
    more: Mapping[str, Sequence[Any]],
) -> list[Said]:
    decided, cuts = decide(policy, probability, interval), policy.cuts
    detail = {"cut_medium": cuts.medium, "cut_high": cuts.high, "cut_critical": cuts.critical}
    out = []
    for row, (one, certified) in enumerate(zip(probability.tolist(), decided.certified.tolist(), strict=True)):
        risk, decision = RISKS[decided.risk[row]], DECISIONS[decided.decision[row]]
        fields = {
            **common,
            "probability": one,
            "detail": detail,
            "risk_level": risk,
            "decision": decision,
            "certified": certified,
        }
        fields |= {name: values[row] for name, values in more.items()}
        out.append(Said(fields, risk, decision))
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
