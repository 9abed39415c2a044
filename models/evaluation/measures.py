"""How well scores rank cases, and how true they are as probabilities."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CONFIDENCE = 0.9
RECALL = 0.8
BANDS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.8)
"""Lower ends of the bands of probability in which reliability is looked at."""


def exact_interval(hits: int, rows: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided interval of a share (Clopper and Pearson 1934); 0 to 1 where there are no rows.

    >>> [round(end, 4) for end in exact_interval(0, 10)], exact_interval(0, 0)
    ([0.0, 0.2589], (0.0, 1.0))
    """
    if not 0 <= hits <= rows:
        raise ValueError(f"expected 0 to {rows} hits, got {hits}")
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, rows - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, rows - hits)) if hits < rows else 1.0
    return low, high


def ranking(labels: Flags, scores: Floats) -> dict[str, float | None]:
    """ROC-AUC, PR-AUC (average precision), and the best precision of the cuts that find at least 80 % of the positives.

    `pr_auc_of_chance` is the prevalence. None for all of them where one class is not there.
    """
    names = ("roc_auc", "pr_auc", "pr_auc_of_chance", "precision_at_80_recall")
    if not 0 < labels.sum() < len(labels):
        return dict.fromkeys(names)
    precision, recall, _ = precision_recall_curve(labels, scores)
    found = (
        roc_auc_score(labels, scores),
        average_precision_score(labels, scores),
        labels.mean(),
        precision[recall >= RECALL].max(),
    )
    return dict(zip(names, map(float, found), strict=True))


def brier(labels: Flags, probabilities: Floats) -> float | None:
    """Mean squared error of probabilities; None without rows."""
    return float(np.mean((probabilities - labels) ** 2)) if len(labels) else None


def reliability(labels: Flags, probabilities: Floats) -> list[dict[str, Any]]:
    """By band of probability: rows, mean probability, share of positives with its exact interval at 90 %."""
    band = np.searchsorted(BANDS, probabilities, side="right") - 1
    out = []
    for number, since in enumerate(BANDS):
        among = band == number
        rows, hits = int(among.sum()), int(labels[among].sum())
        if rows:
            low, high = exact_interval(hits, rows)
            out.append(
                {
                    "since": since,
                    "rows": rows,
                    "mean_probability": float(probabilities[among].mean()),
                    "positive": hits / rows,
                    "positive_low": low,
                    "positive_high": high,
                }
            )
    return out


def confusion(labels: Flags, flagged: Flags) -> dict[str, Any]:
    """Counts, share flagged, precision, recall and false positive rate; a rate of nothing is None."""
    right, wrong = int((flagged & labels).sum()), int((flagged & ~labels).sum())
    missed, rest = int((~flagged & labels).sum()), int((~flagged & ~labels).sum())
    return {
        "true_positives": right,
        "false_positives": wrong,
        "false_negatives": missed,
        "true_negatives": rest,
        "share": _rate(right + wrong, len(labels)),
        "precision": _rate(right, right + wrong),
        "recall": _rate(right, right + missed),
        "false_positive_rate": _rate(wrong, wrong + rest),
    }


class Stratum(NamedTuple):
    """Cases that were cleared and drawn with one probability.

    Attributes:
        cleared: how many there are.
        audited, hits: those drawn at random from them whose truth is known, and positives among these.
    """

    cleared: int
    audited: int
    hits: int


def audited_recall(found: int, strata: Sequence[Stratum], confidence: float = CONFIDENCE) -> dict[str, Any]:
    """What share of all positives was found, by a random audit of what was cleared.

    Args:
        found: positives among what was not cleared; all of that is reviewed.
        strata: what was cleared.
    Returns:
        `hidden` positives among the cleared and `recall`, as estimates (None where a stratum has no audit) and as exact
        intervals of at least this confidence: of several strata each has its part of the error, and their ends are
        added up. The interval of each is cut to what is possible: at least the hits, at most all others.
    Raises:
        ValueError: more hits than audited, or more audited than cleared.
    """
    each = 1 - (1 - confidence) / max(1, len(strata))
    least = most = 0.0
    for cleared, audited, hits in strata:
        if not 0 <= hits <= audited <= cleared:
            raise ValueError(f"expected hits <= audited <= cleared, got {hits}, {audited} and {cleared}")
        low, high = (cleared * share for share in exact_interval(hits, audited, each))
        least += max(float(hits), low)
        most += min(float(cleared - audited + hits), high)
    known = all(each.audited or not each.cleared for each in strata)
    middle = sum(each.cleared * each.hits / each.audited for each in strata if each.audited) if known else None

    def recall(hidden: float) -> float:
        return found / (found + hidden) if found + hidden else math.nan

    return {
        "hidden": middle,
        "hidden_low": least,
        "hidden_high": most,
        "recall": None if middle is None or not found + middle else recall(middle),
        "recall_low": recall(most) if found + most else None,
        "recall_high": recall(least) if found + least else None,
    }


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
