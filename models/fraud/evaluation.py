"""What models of fraud are worth on events later than all that they learned from: several of them, side by side.

A model learns from the events before a moment, and of their labels only from those that had been given by then; it is
judged on the events after it, by what is known in the end. See docs/models.md.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import TooFewCases, calibrate
from models.classifiers import Boosting, Examples, Plan, Regression, TooFewLabels, Trained, train
from models.classifiers.examples import DAY_MS, Floats
from models.decisions import CLEAR, DECISIONS, HEURISTIC_CUTS, RISKS, Codes, Cuts, Decided, Policy
from models.evaluation import Answers, Stratum, audited_recall, report
from models.evaluation.measures import brier, confusion, exact_interval, ranking
from models.evaluation.paired import paired_gain
from models.fraud import heuristic, ladder, rules
from models.fraud.features import FEATURE_SETS
from models.fraud.policy import AUDITED

UNKNOWN = -1
"""Of a label: nobody has said, or nobody could tell."""

Labels = NDArray[np.int8]
"""1 fraud, 0 genuine, UNKNOWN."""


class Contender(NamedTuple):
    """One model of the comparison. `settings`: of its training; None for the rule that needs none."""

    name: str
    feature_set: str
    settings: Boosting | Regression | None

    def __str__(self) -> str:
        return f"{self.name} {self.feature_set}"


HEURISTIC = Contender("heuristic", "fraud_v2", None)
SERVED = Contender("xgboost", "fraud_v2", Boosting())
GLOBAL = Contender("global", "fraud_v2", Boosting())
"""The model that tenants share, with the tenant's own calibration."""
CONTENDERS: tuple[Contender, ...] = (
    HEURISTIC,
    Contender("logistic", "fraud_v1", Regression()),
    Contender("logistic", "fraud_v2", Regression()),
    Contender("xgboost_weighted", "fraud_v1", Boosting(scale_pos_weight=99.0)),
    Contender("xgboost_weighted", "fraud_v2", Boosting(scale_pos_weight=99.0)),
    Contender("xgboost", "fraud_v1", Boosting()),
    SERVED,
)
"""The documented rule, the models, and beside them the re-weighting of the older design."""


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """A tenant's events, by time.

    Attributes:
        ids: event ids, (rows,).
        times_ms: epoch milliseconds, ascending, (rows,).
        vectors: (rows, features) of the largest feature set.
        early: labels as they were known at the moment that parts the events, (rows,).
        late: as they are known in the end.
    """

    ids: list[str]
    times_ms: NDArray[np.int64]
    vectors: Floats
    early: Labels
    late: Labels

    def learned(self, until_ms: int, feature_set: str) -> Examples:
        """What a model may learn from: labelled by then, and at least a day before it, so that no shift is parted."""
        rows = np.flatnonzero((self.times_ms < until_ms - DAY_MS) & (self.early != UNKNOWN))
        return Examples.of(self.times_ms[rows], _features(self.vectors[rows], feature_set), self.early[rows] == 1)

    def later(self, until_ms: int) -> "Cases":
        """The events from then on."""
        first = int(np.searchsorted(self.times_ms, until_ms))
        return Cases(
            self.ids[first:], self.times_ms[first:], self.vectors[first:], self.early[first:], self.late[first:]
        )


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What one contender says of a tenant's later events.

    Attributes:
        contender: who.
        version: of what scored: `heuristic_v1`, or the beginning of the digest of what the model learned from.
        fallback: why the heuristic scores instead of a model; None where the contender itself does.
        answers, policy: of all later events.
        decided: with the flag for tickets on and a certificate for all of them.
        about: of its training; values of JSON.
    """

    contender: Contender
    version: str
    fallback: str | None
    answers: Answers
    policy: Policy
    decided: Decided
    about: Mapping[str, Any]

    def lines(self, cases: Cases) -> Iterator[dict[str, Any]]:
        """A line of JSON for each later event."""
        low, high = (each.tolist() for each in self.answers.interval) if self.answers.interval else (None, None)
        for row, (event, probability) in enumerate(zip(cases.ids, self.answers.probability.tolist(), strict=True)):
            yield {
                "event_id": event,
                "model": self.contender.name,
                "model_version": self.version,
                "feature_set": self.contender.feature_set,
                "probability": probability,
                "interval_low": None if low is None else low[row],
                "interval_high": None if high is None else high[row],
                "risk_level": RISKS[self.decided.risk[row]],
                "decision": DECISIONS[self.decided.decision[row]],
            }


def compete(cases: Cases, until_ms: int, contender: Contender, seed: int = 0) -> Entry:
    """Train a contender on what was known at a moment, and let it score the events from then on."""
    later = cases.later(until_ms)
    if contender.settings is None:
        return _rule(contender, later, None)
    try:
        trained = train(cases.learned(until_ms, contender.feature_set), Plan(contender.settings, seed=seed))
    except TooFewLabels as error:
        return _rule(contender, later, str(error))
    names = FEATURE_SETS[contender.feature_set]
    answers = Answers.of(trained.scorer, _features(later.vectors, contender.feature_set), names, _demanded(later))
    version = f"{contender.name}_{trained.about['digest'][:12]}"
    return _entry(contender, version, None, answers, trained.scorer.cuts, trained.about)


def share(cases: Mapping[str, Cases], until_ms: int, pool: Collection[str], seed: int = 0) -> Trained:
    """The model that tenants share, of what was known at a moment of those that let it learn.

    Raises TooFewLabels; ValueError where nobody lets it.
    """
    learned = {tenant: each.learned(until_ms, GLOBAL.feature_set) for tenant, each in cases.items()}
    return train(ladder.pooled(learned, pool), Plan(Boosting(), seed=seed))


def compete_shared(cases: Cases, until_ms: int, shared: Trained) -> Entry:
    """Let the shared model score a tenant's later events, with the tenant's own calibration where it has the labels."""
    later, own = cases.later(until_ms), cases.learned(until_ms, GLOBAL.feature_set)
    newer = own[int(np.searchsorted(own.times_ms, shared.about["train"]["last_ms"] + DAY_MS)) :]
    scorer, whose = shared.scorer, "its own"
    try:
        made = calibrate(scorer.classifier.scores(newer.features), newer.labels)
        scorer = replace(scorer, calibration=made)
    except TooFewCases as error:
        whose = f"that of all: {error}"
    features = _features(later.vectors, GLOBAL.feature_set)
    answers = Answers.of(scorer, features, FEATURE_SETS[GLOBAL.feature_set], _demanded(later))
    version = f"{GLOBAL.name}_{shared.about['digest'][:12]}"
    return _entry(GLOBAL, version, None, answers, scorer.cuts, {**shared.about, "calibration": whose})


def rung(own: Entry, shared: Entry, labels: Labels, seed: int = 0) -> ladder.Rung:
    """What would serve a tenant, by the later events whose label is known."""
    if own.fallback is not None:
        return ladder.Rung(ladder.SHARED, own.fallback)
    rows = np.flatnonzero(labels != UNKNOWN)
    truth = labels[rows] == 1
    gain = paired_gain(truth, own.answers.raw[rows], shared.answers.raw[rows], seed)
    return ladder.judged(gain, len(rows), int(truth.sum()))


def _rule(contender: Contender, later: Cases, fallback: str | None) -> Entry:
    scores = heuristic.probabilities(later.vectors)
    return _entry(
        contender, heuristic.VERSION, fallback, Answers(scores, scores, demanded=_demanded(later)), HEURISTIC_CUTS, {}
    )


def _demanded(cases: Cases) -> Codes:
    return rules.demanded(rules.impossible_travel(cases.vectors))


def _entry(
    contender: Contender, version: str, fallback: str | None, answers: Answers, cuts: Cuts, about: Mapping[str, Any]
) -> Entry:
    policy = Policy(cuts)
    act = Policy(cuts, auto_ticket=True, certified=policy.act)
    return Entry(contender, version, fallback, answers, policy, answers.decided(act), about)


def judge(entry: Entry, labels: Labels, seed: int = 0) -> dict[str, Any]:
    """The report on a contender's later events whose label is known; values of JSON.

    Beside what `models.evaluation.report` has: `fallback`, `version`, `training`, and `audit`, what a random audit of
    1 % of the cleared events says about the frauds among them, with their true number among those that are labelled.
    """
    rows = np.flatnonzero(labels != UNKNOWN)
    head = {"version": entry.version, "fallback": entry.fallback, "training": dict(entry.about)}
    if not len(rows):
        return head | {"rows": 0}
    truth = labels[rows] == 1
    cleared = entry.decided.decision[rows] == CLEAR
    drawn = np.random.default_rng(seed).random(len(rows)) < AUDITED
    audited = cleared & drawn
    stratum = Stratum(int(cleared.sum()), int(audited.sum()), int((truth & audited).sum()))
    audit = audited_recall(int(truth[~cleared].sum()), [stratum])
    return {
        **head,
        **report(truth, entry.answers.of_rows(rows), entry.policy),
        "audit": {"audited": int(audited.sum()), **audit, "hidden_true": int((truth & cleared).sum())},
    }


def together(entries: list[tuple[Entry, Labels]]) -> dict[str, Any]:
    """A contender over all tenants: each event by its own tenant's model and cuts; values of JSON."""
    parts = [(entry, np.flatnonzero(labels != UNKNOWN), labels) for entry, labels in entries]
    truth = np.concatenate([labels[rows] == 1 for _, rows, labels in parts])
    probability = np.concatenate([entry.answers.probability[rows] for entry, rows, _ in parts])
    raw = np.concatenate([entry.answers.raw[rows] for entry, rows, _ in parts])
    risk: Codes = np.concatenate([entry.decided.risk[rows] for entry, rows, _ in parts])
    decision: Codes = np.concatenate([entry.decided.decision[rows] for entry, rows, _ in parts])
    tickets = decision == DECISIONS.index("ticket")
    hits, count = int(truth[tickets].sum()), int(tickets.sum())
    low, high = exact_interval(hits, count)
    return {
        "rows": len(truth),
        "positives": int(truth.sum()),
        **ranking(truth, probability),
        "brier": brier(truth, probability),
        "brier_before": brier(truth, raw),
        "cuts": {name: confusion(truth, risk >= code) for code, name in enumerate(RISKS) if code},
        "decisions": {
            "tickets": count,
            "automated": float((decision != DECISIONS.index("alert")).mean()) if len(decision) else None,
            "ticket_precision": hits / count if count else None,
            "ticket_precision_low": low,
            "ticket_precision_high": high,
        },
    }


def _features(vectors: Floats, feature_set: str) -> Floats:
    return vectors[:, : len(FEATURE_SETS[feature_set])]
