"""What models of conflicts are worth on syncs later than all that they learned from: several of them, side by side.

A model learns from the syncs before a moment, of all tenants, with what was known by then of what came of them;
it is judged on the syncs after it by what is known in the end. See docs/models.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.classifiers import Boosting, Examples, Plan, Regression, TooFewLabels, train
from models.classifiers.examples import DAY_MS, Flags, Floats
from models.conflict import heuristic
from models.conflict.advice import HELD_OUT
from models.conflict.features import FEATURE_SETS
from models.decisions import RISKS, Policy
from models.evaluation import Answers, report

LEAST_LABELS, LEAST_CONFLICTS = 100, 20
"""Of the syncs that a model learns from."""
PRESUMED_WEIGHT = 0.5
"""Of a label that says no conflict because nobody told of one: some of them are conflicts all the same."""

NO, YES, PRESUMED, UNKNOWN = range(4)
"""Labels: no conflict, a conflict, no word within 24 hours, nothing known yet."""

Labels = NDArray[np.int8]


class Contender(NamedTuple):
    """One model of the comparison. `settings`: of its training; None for the rule that needs none."""

    name: str
    feature_set: str
    settings: Boosting | Regression | None

    def __str__(self) -> str:
        return f"{self.name} {self.feature_set}"


SMALL = Boosting(rounds=80, depth=3)
"""Of the challenger."""
KINDS: Mapping[str, Boosting | Regression] = {"logistic": Regression(), "boosted": SMALL}

CONTENDERS: tuple[Contender, ...] = (
    Contender("heuristic", "conflict_v1", None),
    Contender("logistic", "conflict_v1", Regression()),
    Contender("logistic", "conflict_v2", Regression()),
    Contender("boosted", "conflict_v2", SMALL),
)


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Syncs by time.

    Attributes:
        tenants, ids: tenant and event id of each, (rows,).
        times_ms: epoch milliseconds, ascending, (rows,).
        vectors: (rows, features) of the largest feature set.
        early, late: labels as they were known at the moment that parts the syncs, and in the end, (rows,).
    """

    tenants: NDArray[np.str_]
    ids: list[str]
    times_ms: NDArray[np.int64]
    vectors: Floats
    early: Labels
    late: Labels

    def learned(self, until_ms: int, feature_set: str) -> Examples:
        """What a model may learn from: known by then, and at least a day before it."""
        rows = np.flatnonzero((self.times_ms < until_ms - DAY_MS) & (self.early != UNKNOWN))
        labels = self.early[rows]
        return examples(self.times_ms[rows], self.vectors[rows], labels, weights(labels), feature_set)

    def later(self, until_ms: int) -> "Cases":
        """The syncs from then on."""
        first = int(np.searchsorted(self.times_ms, until_ms))
        return Cases(
            self.tenants[first:],
            self.ids[first:],
            self.times_ms[first:],
            self.vectors[first:],
            self.early[first:],
            self.late[first:],
        )


def examples(
    times_ms: NDArray[np.int64], vectors: Floats, labels: Labels, weights: Floats, feature_set: str
) -> Examples:
    """Cases to learn from, of vectors (rows, all features), and labels (rows,) that are known, with their weights."""
    return Examples.of(times_ms, vectors[:, : len(FEATURE_SETS[feature_set])], labels == YES, weights)


def weights(labels: NDArray[Any]) -> Floats:
    """How much labels (rows,) count."""
    return np.where(labels == PRESUMED, PRESUMED_WEIGHT, 1.0)


def stored(labels: Flags, presumed: Flags, held_out: Flags) -> tuple[Labels, Floats]:
    """Labels of the database (rows,) as codes, and how much they count.

    Args:
        labels: whether it was a conflict.
        presumed: whether nobody said so.
        held_out: whether nobody was told what to do, to stand for all who would have been told something.
    """
    codes = np.where(labels, YES, np.where(presumed, PRESUMED, NO)).astype(np.int8)
    return codes, weights(codes) * np.where(held_out, 1 / HELD_OUT, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What one contender says of the later syncs.

    Attributes:
        contender: who.
        version: of what scored: `heuristic_v1`, or the beginning of the digest of what the model learned from.
        fallback: why the heuristic scores instead of a model; None where the contender itself does.
        answers, policy: of all later syncs.
        about: of its training; values of JSON.
    """

    contender: Contender
    version: str
    fallback: str | None
    answers: Answers
    policy: Policy
    about: Mapping[str, Any]

    def of(self, rows: NDArray[np.intp]) -> "Entry":
        """Of these syncs alone."""
        return replace(self, answers=self.answers.of_rows(rows))

    def lines(self, cases: Cases) -> Iterator[dict[str, Any]]:
        """A line of JSON for each later sync."""
        low, high = (each.tolist() for each in self.answers.interval) if self.answers.interval else (None, None)
        risk = self.policy.cuts.risk(self.answers.probability)
        for row, (tenant, event) in enumerate(zip(cases.tenants.tolist(), cases.ids, strict=True)):
            yield {
                "tenant_id": tenant,
                "event_id": event,
                "model": self.contender.name,
                "model_version": self.version,
                "feature_set": self.contender.feature_set,
                "probability": float(self.answers.probability[row]),
                "interval_low": None if low is None else low[row],
                "interval_high": None if high is None else high[row],
                "risk_level": RISKS[risk[row]],
            }


def compete(cases: Cases, until_ms: int, contender: Contender, seed: int = 0) -> Entry:
    """Train a contender on what was known at a moment, and let it score the syncs from then on."""
    later = cases.later(until_ms)
    if contender.settings is None:
        return _rule(contender, later, None)
    try:
        trained = train(cases.learned(until_ms, contender.feature_set), plan(contender.settings, seed=seed))
    except TooFewLabels as error:
        return _rule(contender, later, str(error))
    names = FEATURE_SETS[contender.feature_set]
    answers = Answers.of(trained.scorer, later.vectors[:, : len(names)], names)
    version = f"{contender.name}_{trained.about['digest'][:12]}"
    return Entry(contender, version, None, answers, Policy(trained.scorer.cuts), trained.about)


def plan(settings: Boosting | Regression, test: float = 0.0, seed: int = 0) -> Plan:
    """How a model of conflicts is trained."""
    return Plan(settings, labels=LEAST_LABELS, positives=LEAST_CONFLICTS, test=test, seed=seed)


def _rule(contender: Contender, later: Cases, fallback: str | None) -> Entry:
    scores = heuristic.probabilities(later.vectors)
    return Entry(contender, heuristic.VERSION, fallback, Answers(scores, scores), Policy(heuristic.CUTS), {})


def judge(entry: Entry, labels: Labels) -> dict[str, Any]:
    """The report on a contender's later syncs; values of JSON.

    Beside what `models.evaluation.report` has: `version`, `fallback` and `training`. A sync that nobody told of counts
    as one without a conflict.
    """
    head = {"version": entry.version, "fallback": entry.fallback, "training": dict(entry.about)}
    if not len(labels):
        return head | {"rows": 0}
    return {**head, **report(labels == YES, entry.answers, entry.policy)}
