"""What trust scores are worth on readings later than all that they learned from, beside the confidence alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.classifiers import Boosting, Examples, Plan, Regression, TooFewLabels, train
from models.classifiers.examples import DAY_MS, Floats
from models.decisions import HEURISTIC_CUTS, Policy
from models.evaluation import Answers, report
from models.evaluation.measures import ranking
from models.ocr import heuristic
from models.ocr.features import NAMES, PLACE
from models.ocr.replay import Reading, Said
from models.readings import UNSURE, WRONG

UNKNOWN = -1
TOPS = (0.05, 0.10)
"""Shares of the readings that people review, those of the highest scores."""

Labels = NDArray[np.int8]
"""1 wrong, 0 right, UNKNOWN."""


class Contender(NamedTuple):
    """One score of the comparison. `settings`: of its training; None where it needs none."""

    name: str
    settings: Boosting | Regression | None = None


CONFIDENCE, HEURISTIC = Contender("confidence"), Contender("heuristic")
SERVED = Contender("xgboost", Boosting())
CONTENDERS = (CONFIDENCE, HEURISTIC, Contender("logistic", Regression()), SERVED)


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """A tenant's readings, by time: ids, times (epoch milliseconds), vectors, labels known early and in the end."""

    ids: list[str]
    times_ms: NDArray[np.int64]
    vectors: Floats
    early: Labels
    late: Labels

    def learned(self, until_ms: int) -> Examples:
        """What a model may learn from: read a day before a moment, and judged until then."""
        rows = np.flatnonzero((self.times_ms < until_ms - DAY_MS) & (self.early != UNKNOWN))
        return Examples.of(self.times_ms[rows], self.vectors[rows], self.early[rows] == 1)

    def later(self, until_ms: int) -> "Cases":
        """The readings from then on."""
        first = int(np.searchsorted(self.times_ms, until_ms))
        return Cases(
            self.ids[first:], self.times_ms[first:], self.vectors[first:], self.early[first:], self.late[first:]
        )


@dataclass(slots=True)
class _Rows:
    places: dict[str, int] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)
    vectors: list[list[float]] = field(default_factory=list)
    early: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)


def cases(
    replayed: Iterable[Reading | Said], until_ms: int, truth: frozenset[tuple[str, str]] | None = None
) -> dict[str, Cases]:
    """Of each tenant.

    Args:
        until_ms: labels given until then are the early ones.
        truth: tenant and event id of the wrong readings, where they are known: all others are right then.
    """
    tenants: dict[str, _Rows] = {}
    for each in replayed:
        if isinstance(each, Reading):
            tenant, name = each.event["tenant_id"], each.event["event_id"]
            rows = tenants.setdefault(tenant, _Rows())
            rows.places[name] = len(rows.times)
            rows.times.append(each.event["occurred_at"])
            rows.vectors.append(each.row)
            rows.early.append(UNKNOWN)
            rows.late.append(UNKNOWN if truth is None else int((tenant, name) in truth))
            continue
        rows = tenants[each.tenant]
        label = UNKNOWN if each.verdict == UNSURE else int(each.verdict == WRONG)
        if each.decided_at <= until_ms:
            rows.early[rows.places[each.event_id]] = label
        if truth is None:
            rows.late[rows.places[each.event_id]] = label
    return {
        tenant: Cases(
            list(rows.places),
            np.array(rows.times, dtype=np.int64),
            np.array(rows.vectors, dtype=np.float64).reshape(-1, len(NAMES)),
            np.array(rows.early, dtype=np.int8),
            np.array(rows.late, dtype=np.int8),
        )
        for tenant, rows in sorted(tenants.items())
    }


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What one contender says of a tenant's later readings; `fallback`: why the heuristic scores in its place."""

    contender: Contender
    answers: Answers
    policy: Policy
    fallback: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


def compete(found: Cases, until_ms: int, contender: Contender, seed: int = 0) -> Entry:
    """Train a contender on what was known at a moment, and let it score the readings from then on."""
    later = found.later(until_ms)
    fallback = None
    if contender.settings is not None:
        try:
            trained = train(found.learned(until_ms), Plan(contender.settings, seed=seed))
        except TooFewLabels as error:
            fallback = str(error)
        else:
            answers = Answers.of(trained.scorer, later.vectors, NAMES)
            return Entry(contender, answers, Policy(trained.scorer.cuts), None, trained.about)
    doubt = 1.0 - later.vectors[:, PLACE["confidence"]]
    scores = doubt if contender is CONFIDENCE else heuristic.probabilities(later.vectors)
    return Entry(contender, Answers(scores, scores), Policy(HEURISTIC_CUTS), fallback)


def caught(labels: NDArray[np.bool_], scores: Floats, share: float) -> float | None:
    """Share of the wrong readings (rows,) among the `share` of all with the highest scores; None without any.

    Of equal scores as many count as chance would let in: a score that says the same of all finds `share` of them.
    """
    wrong, count = int(labels.sum()), share * len(labels)
    if not wrong:
        return None
    values, places = np.unique(-scores, return_inverse=True)
    rows, hits = np.bincount(places, minlength=len(values)), np.bincount(places, weights=labels, minlength=len(values))
    before = np.cumsum(rows) - rows
    taken = np.clip((count - before) / rows, 0.0, 1.0)
    return float((taken * hits).sum() / wrong)


def judge(entry: Entry, labels: Labels) -> dict[str, Any]:
    """The report on a contender's later readings whose label is known; values of JSON."""
    head = {"fallback": entry.fallback, "training": dict(entry.about)}
    rows = np.flatnonzero(labels != UNKNOWN)
    if not len(rows):
        return head | {"rows": 0}
    truth, answers = labels[rows] == 1, entry.answers
    some = Answers(
        answers.probability[rows],
        answers.raw[rows],
        None if answers.interval is None else (answers.interval[0][rows], answers.interval[1][rows]),
        None if answers.label_sets is None else answers.label_sets[rows],
        None if answers.residual is None else (answers.residual[0][rows], answers.residual[1][rows]),
        answers.importance,
    )
    return head | report(truth, some, entry.policy) | tops(truth, answers.raw[rows])


def tops(truth: NDArray[np.bool_], scores: Floats) -> dict[str, Any]:
    """Shares of the wrong readings found in the TOPS."""
    return {f"caught_{round(100 * share)}": caught(truth, scores, share) for share in TOPS}


def together(entries: Iterable[tuple[Entry, Labels]]) -> dict[str, Any]:
    """A contender over all tenants, each of which reviews its own top; values of JSON."""
    parts = [(entry, np.flatnonzero(labels != UNKNOWN), labels) for entry, labels in entries]
    truth = np.concatenate([labels[rows] == 1 for _, rows, labels in parts])
    scores = np.concatenate([entry.answers.raw[rows] for entry, rows, _ in parts])
    out: dict[str, Any] = {"rows": len(truth), "positives": int(truth.sum()), **ranking(truth, scores)}
    for share in TOPS:
        hits = [(labels[rows] == 1, entry.answers.raw[rows]) for entry, rows, labels in parts]
        found = sum((caught(wrong, given, share) or 0.0) * float(wrong.sum()) for wrong, given in hits)
        out[f"caught_{round(100 * share)}"] = found / out["positives"] if out["positives"] else None
    return out
