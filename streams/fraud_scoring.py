"""What serves a batch of check-ins, each by the version of its tenant, and what it says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import LEVELS
from models.decisions import ALERT, CRITICAL, DECISIONS, HEURISTIC_CUTS, RISKS, Cuts, Policy, decide
from models.fraud import heuristic
from models.fraud.artifact import NAME, FraudModel
from models.registry.activation import Post
from streams.runtime import Control
from streams.serving import Models, Serving, serving

Floats = NDArray[np.float64]

POST = Post(NAME)
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
    for served, rows in _by_version(control, models, asked).values():
        for row, said in zip(rows, answers(served, table[rows]), strict=True):
            out[row] = said
    return [said for said in out if said is not None]


def _by_version(control: Control, models: Models, asked: Sequence[Asked]) -> dict[Any, tuple[Serving, list[int]]]:
    """Rows by what serves them."""
    groups: dict[Any, tuple[Serving, list[int]]] = {}
    for row, each in enumerate(asked):
        served = serving(control, models, POST, each.tenant, each.time)
        groups.setdefault((served.place, served.version, served.refused), (served, []))[1].append(row)
    return groups


def answers(served: Serving, table: Floats) -> list[Said]:
    """What one version says of a table (rows, all features); the heuristic where it is none."""
    return _rule(served, table) if served.model is None else _model(served, served.model, table)


def _rule(served: Serving, table: Floats) -> list[Said]:
    probability = heuristic.probabilities(table)
    common = {"model_version": heuristic.VERSION, "calibration_version": "none", "fallback_reason": served.refused}
    return _said(common, probability, HEURISTIC_CUTS, None, {})


def _model(served: Serving, model: FraudModel, table: Floats) -> list[Said]:
    scored, calibration = model.scorer.score(np.ascontiguousarray(table[:, : len(model.features)])), "none"
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
    said = _said(common, scored.probability, model.scorer.cuts, scored.interval, more)
    return [_explained(each, model, table[row]) for row, each in enumerate(said)]


def _said(
    common: Mapping[str, Any],
    probability: Floats,
    cuts: Cuts,
    interval: tuple[Floats, Floats] | None,
    more: Mapping[str, Sequence[Any]],
) -> list[Said]:
    # Without a certificate nothing becomes a ticket by itself.
    decided = decide(Policy(cuts), probability, interval)
    detail = {"cut_medium": cuts.medium, "cut_high": cuts.high, "cut_critical": cuts.critical}
    out = []
    for row, one in enumerate(probability.tolist()):
        risk, decision = RISKS[decided.risk[row]], DECISIONS[decided.decision[row]]
        fields = {**common, "probability": one, "detail": detail, "risk_level": risk, "decision": decision}
        fields |= {name: values[row] for name, values in more.items()}
        out.append(Said(fields, risk, decision))
    return out


def _explained(said: Said, model: FraudModel, row: Floats) -> Said:
    """With what each feature adds to the log-odds, where somebody will ask: contributions cost a millisecond."""
    if said.risk != RISKS[CRITICAL] and said.decision != DECISIONS[-1]:
        return said
    shares = model.contributions(row[None, :])[0].tolist()
    named = dict(zip((*model.features, "base"), shares, strict=True))
    return said._replace(fields={**said.fields, "contributions": named})


def _labels(genuine: bool, fraud: bool) -> list[str]:
    return [name for name, there in zip(LABELS, (genuine, fraud), strict=True) if there]


def alerts(said: Said) -> bool:
    """Whether a person should look at the event."""
    return said.decision == DECISIONS[ALERT]
