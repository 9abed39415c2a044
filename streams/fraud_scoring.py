"""What serves a batch of check-ins, each by the version of its tenant and as that lets it, and what it says of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import LEVELS
from models.decisions import (
    CLEAR,
    CRITICAL,
    DECISIONS,
    HEURISTIC_CUTS,
    RISKS,
    TICKET,
    Codes,
    Cuts,
    Decided,
    Flags,
    Policies,
    Policy,
    decide,
)
from models.fraud import audit, heuristic, rules
from models.fraud import policy as settings
from models.fraud.artifact import NAME
from models.registry.activation import Post
from schemas import topics
from schemas.columns import Coded, Column
from streams import fraud_calibration
from streams.runtime import Control, Spans
from streams.serving import FLAGS, MODELS, OFF, Models, Serving, serving

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Rows = list[int]

POST = Post(NAME)
THRESHOLDS = topics.CONTROL_THRESHOLDS.name
LABELS = ("genuine", "fraud")
"""As label sets name them."""
_LABEL_SETS: tuple[list[str] | None, ...] = (None, [], ["genuine"], ["fraud"], ["genuine", "fraud"])
"""None without a calibration."""

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


class Group(NamedTuple):
    """Events that one version serves under one policy: their rows."""

    served: Serving
    policy: Policy
    rows: Rows


@dataclass(frozen=True, slots=True)
class Answers:
    """What is said of several events.

    Attributes:
        columns: fields of their prediction records, by name.
        decision: codes, (rows,); see models.decisions.
        audit: how likely the random audit draws each if it is cleared, 0 to 1, (rows,).
    """

    columns: dict[str, Column]
    decision: Codes
    audit: Floats

    def said(self, row: int) -> Said:
        """Of one of them."""
        fields = {name: _value(column, row) for name, column in self.columns.items()}
        return Said(fields, fields["risk_level"], fields["decision"])

    def draw(self, rows: Iterable[int]) -> None:
        """Note in the predictions of rows that the random audit has drawn them."""
        detail = self.columns["detail"]
        assert isinstance(detail, Coded), "it was made here"
        told, codes = list(detail.values), detail.codes.copy()
        for row in rows:
            codes[row] = len(told)
            told.append({**detail[row], audit.DRAWN: 1.0})
        self.columns["detail"] = Coded(told, codes)


def _value(column: Column, row: int) -> Any:
    found = column[row]
    if isinstance(column, np.ndarray):
        return None if np.isnan(found) else float(found)
    return found


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


def score(control: Control, models: Models, tenants: Sequence[str], times: Sequence[int], table: Floats) -> Answers:
    """What serves says of a table (rows, all features). A row's answer does not depend on the others.

    Args:
        tenants, times: whose events they are, and when these were published (epoch milliseconds).
    """
    return answers(_groups(control, models, tenants, times), table)


def _groups(control: Control, models: Models, tenants: Sequence[str], times: Sequence[int]) -> list[Group]:
    groups: dict[Any, Group] = {}

    def group(tenant: str, time: int) -> Rows:
        served = serving(control, models, POST, tenant, time)
        served = fraud_calibration.calibrated(control, models, served, tenant, time)
        policy = policy_of(control, served, tenant, time)
        same = (served.place, served.version, served.calibration, served.refused, policy)
        return groups.setdefault(same, Group(served, policy, [])).rows

    spans = Spans(control, SETTINGS, group)
    by_tenant: dict[str, Rows] = defaultdict(list)
    for row, tenant in enumerate(tenants):
        by_tenant[tenant].append(row)
    for tenant, rows in by_tenant.items():
        for found, places in spans.split(tenant, [times[row] for row in rows]):
            found += [rows[place] for place in places]
    return list(groups.values())


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


def answers(groups: Sequence[Group], table: Floats) -> Answers:
    """What versions, and the heuristic where it is none, say of their rows of a table (rows, all features)."""
    rows = len(table)
    which = np.zeros(rows, dtype=np.intp)
    probability, low, high, cases = np.full((4, rows), np.nan)
    sets = np.zeros((len(SETS), rows), dtype=np.intp)
    for number, (served, _, places) in enumerate(groups):
        # All of a frame, as a rule: nothing need be picked.
        at: Any = slice(None) if len(places) == rows else np.array(places, dtype=np.intp)
        which[at] = number
        if served.model is None:
            probability[at] = heuristic.probabilities(table[at])
            continue
        scored = served.model.score(table[at])
        probability[at] = scored.probability
        if scored.interval is not None and scored.label_sets is not None and scored.calibration_score is not None:
            low[at], high[at] = scored.interval
            cases[at] = scored.calibration_score
            there = scored.label_sets.view(np.int8)
            sets[:, at] = (1 + there[:, :, 0] + 2 * there[:, :, 1]).T
    may = Policies.of([group.policy for group in groups], which)
    travelled = rules.impossible_travel(table, may.travel)
    decided = decide(may, probability, (low, high), rules.demanded(travelled))
    common = [_common(group.served) for group in groups]
    columns: dict[str, Column] = {
        "model_version": Coded([each.model for each in common], which),
        "calibration_version": Coded([each.calibration for each in common], which),
        "fallback_reason": Coded([group.served.refused for group in groups], which),
        "probability": probability,
        "interval_low": low,
        "interval_high": high,
        "interval_width": high - low,
        "calibration_score": cases,
        **{name: Coded(_LABEL_SETS, codes) for name, codes in zip(SETS, sets, strict=True)},
        "risk_level": Coded(RISKS, decided.risk.astype(np.intp)),
        "decision": Coded(DECISIONS, decided.decision.astype(np.intp)),
        "certified": Coded((False, True), decided.certified.astype(np.intp)),
        "detail": _details(groups, which, decided, travelled),
        "contributions": _contributions(groups, which, decided, table),
        "advice": _advice(table, may, travelled),
    }
    return Answers(columns, decided.decision, may.audit)


class _Versions(NamedTuple):
    model: str
    calibration: str


def _common(served: Serving) -> _Versions:
    if served.model is None:
        return _Versions(heuristic.VERSION, "none")
    calibrated = served.model.scorer.calibration is not None
    return _Versions(served.version, (served.calibration or served.version) if calibrated else "none")


def _details(groups: Sequence[Group], which: Places, decided: Decided, travelled: Flags) -> Coded:
    """The cuts; of what is cleared, too, how likely it is looked at, and of who travelled in no time the limit."""
    values: list[dict[str, float]] = []
    for _, policy, _ in groups:
        cuts = policy.cuts
        detail = {"cut_medium": cuts.medium, "cut_high": cuts.high, "cut_critical": cuts.critical}
        cleared = detail | {audit.PROPENSITY: policy.audit} if policy.audit else detail
        values += [detail, cleared, detail | {rules.LIMIT: policy.travel}]
    kind = np.where(travelled, 2, decided.decision == CLEAR)
    return Coded(values, 3 * which + kind)


def _advice(table: Floats, may: Policies, travelled: Flags) -> Coded:
    told: list[str | None] = [None]
    codes = np.zeros(len(table), dtype=np.intp)
    for row in np.flatnonzero(travelled).tolist():
        codes[row] = len(told)
        told.append(rules.advice(table[row], float(may.travel[row])))
    return Coded(told, codes)


def _contributions(groups: Sequence[Group], which: Places, decided: Decided, table: Floats) -> Coded:
    """What each feature adds to the log-odds, where somebody will ask: contributions cost more than all else."""
    told: list[dict[str, float] | None] = [None]
    codes = np.zeros(len(table), dtype=np.intp)
    asked = np.flatnonzero((decided.risk == CRITICAL) | (decided.decision == TICKET))
    of = which[asked]
    for number in sorted(set(of.tolist())):
        model, rows = groups[number].served.model, asked[of == number]
        if model is None:
            continue
        codes[rows] = np.arange(len(told), len(told) + len(rows))
        names = (*model.features, "base")
        told += [dict(zip(names, shares, strict=True)) for shares in model.contributions(table[rows]).tolist()]
    return Coded(told, codes)
