"""What a model is worth on cases that it has not seen: one report for models and rules alike."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.certificate import certify
from models.classifiers import Scorer
from models.decisions import (
    ALERT,
    CLEAR,
    CRITICAL,
    HIGH,
    MEDIUM,
    TICKET,
    Codes,
    Decided,
    Policy,
    decide,
    would_be_tickets,
)
from models.evaluation import coverage
from models.evaluation.measures import Flags, Floats, brier, confusion, exact_interval, ranking, reliability

UNIMPORTANT = 0.05
"""Features with less than this share of the importance are named for removal."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model or a rule says of a batch.

    Attributes:
        probability: (rows,), 0 to 1: what it is judged by.
        raw: before calibration, (rows,).
        interval, label_sets, residual: as by Scorer, and low and high by AbsoluteResidual; None where it has none.
        importance: share of each feature by name; None of a rule.
        demanded: codes of the least risk that hard rules ask for, (rows,); None where there are no such rules.
    """

    probability: Floats
    raw: Floats
    interval: tuple[Floats, Floats] | None = None
    label_sets: NDArray[np.bool_] | None = None
    residual: tuple[Floats, Floats] | None = None
    importance: Mapping[str, float] | None = None
    demanded: Codes | None = None

    @classmethod
    def of(cls, scorer: Scorer, features: Floats, names: tuple[str, ...], demanded: Codes | None = None) -> Self:
        """Of a scorer, on rows of features of these names."""
        scored = scorer.score(features)
        calibration = scorer.calibration
        return cls(
            scored.probability,
            scored.raw,
            scored.interval,
            scored.label_sets,
            None if calibration is None else calibration.residual.interval(scored.raw),
            dict(zip(names, scorer.classifier.importance().tolist(), strict=True)),
            demanded,
        )

    def decided(self, policy: Policy) -> Decided:
        """What a policy makes of them."""
        return decide(policy, self.probability, self.interval, self.demanded)

    def of_rows(self, rows: NDArray[np.intp]) -> Self:
        """Those of these rows."""

        def some(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(each[rows] for each in value)
            return value[rows] if isinstance(value, np.ndarray) else value

        return replace(self, **{each.name: some(getattr(self, each.name)) for each in fields(self)})


def report(labels: Flags, answers: Answers, policy: Policy) -> dict[str, Any]:
    """Everything that is measured; values of JSON. What cannot be known from these rows is None.

    Decisions are those that the policy makes with the flag for tickets on and a certificate for all of them: what
    auto mode would do. `certificate` says whether these very rows, reviewed, would open it.

    Args:
        labels: the truth, (rows,), at least one.
    """
    risk = answers.decided(policy).risk
    levels = {"MEDIUM": MEDIUM, "HIGH": HIGH, "CRITICAL": CRITICAL}
    cuts = {"MEDIUM": policy.cuts.medium, "HIGH": policy.cuts.high, "CRITICAL": policy.cuts.critical}
    prevalence = float(labels.mean())
    return {
        "rows": len(labels),
        "positives": int(labels.sum()),
        "prevalence": prevalence,
        **ranking(labels, answers.probability),
        "brier": brier(labels, answers.probability),
        "brier_before": brier(labels, answers.raw),
        "brier_of_prevalence": prevalence * (1 - prevalence),
        "mean_probability": float(answers.probability.mean()),
        "reliability": reliability(labels, answers.probability),
        "reliability_before": reliability(labels, answers.raw),
        "cuts": {name: {"since": cuts[name], **confusion(labels, risk >= code)} for name, code in levels.items()},
        "coverage": _coverage(labels, answers, risk, policy),
        "decisions": _decisions(labels, answers, policy),
        "importance": answers.importance,
        "unimportant": [name for name, share in (answers.importance or {}).items() if share < UNIMPORTANT],
    }


def figures(found: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a report that a manifest holds as its metrics; those that could not be known are left out."""
    high, decisions = found["cuts"]["HIGH"], found["decisions"]
    named = {
        **{name: found[name] for name in ("rows", "positives", "roc_auc", "pr_auc", "precision_at_80_recall", "brier")},
        "high_share": high["share"],
        "high_false_positive_rate": high["false_positive_rate"],
        "high_recall": high["recall"],
        "automated": decisions["automated"],
        "ticket_precision": decisions["ticket_precision"],
    }
    return {name: value for name, value in named.items() if value is not None}


def _coverage(labels: Flags, answers: Answers, risk: Codes, policy: Policy) -> dict[str, Any]:
    found = {}
    if answers.interval is not None:
        found["venn_abers"] = coverage.venn_abers(labels, *answers.interval, risk, policy.narrow)
    if answers.label_sets is not None:
        found["mondrian"] = coverage.label_sets(labels, answers.label_sets, risk)
    if answers.residual is not None:
        found["absolute_residual"] = coverage.absolute_residual(labels, *answers.residual, risk, policy.narrow)
    return found


def _decisions(labels: Flags, answers: Answers, policy: Policy) -> dict[str, Any]:
    decided = answers.decided(replace(policy, auto_ticket=True, certified=policy.act))
    ticket, alert, clear = (decided.decision == code for code in (TICKET, ALERT, CLEAR))
    rows, hits = int(ticket.sum()), int(labels[ticket].sum())
    low, high = exact_interval(hits, rows)
    certificate = None
    if answers.interval is not None:
        candidates = would_be_tickets(policy, *answers.interval)
        found = certify(answers.interval[0][candidates], labels[candidates], policy.act)
        certificate = {
            "since": found.since,
            "reviews": found.reviews,
            "correct": found.correct,
            "missing": found.missing,
        }
    return {
        "tickets": rows,
        "alerts": int(alert.sum()),
        "cleared": int(clear.sum()),
        "unsure": int(decided.review.sum()),
        "automated": float(1 - alert.mean()),
        "ticket_precision": hits / rows if rows else None,
        "ticket_precision_low": low,
        "ticket_precision_high": high,
        "alert_precision": float(labels[alert].mean()) if alert.any() else None,
        "positives_in_tickets": hits,
        "positives_in_alerts": int(labels[alert].sum()),
        "positives_cleared": int(labels[clear].sum()),
        "certificate": certificate,
    }
