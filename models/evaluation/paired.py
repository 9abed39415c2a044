"""Is one model better than another on the same cases? Both rank every resample of them, so that chance hits both."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.measures import CONFIDENCE, Flags, Floats

RESAMPLES = 1000


class Gain(NamedTuple):
    """How much more PR-AUC (average precision) one has than the other.

    Attributes:
        difference: on the cases as they are.
        low, high: ends of the interval at 90 % by the paired bootstrap (Efron and Tibshirani 1993, percentiles).
        rows, positives: the cases.
    """

    difference: float
    low: float
    high: float
    rows: int
    positives: int

    @property
    def proved(self) -> bool:
        """Whether the one is better, as far as these cases can tell."""
        return self.low > 0.0


def paired_gain(labels: Flags, one: Floats, other: Floats, seed: int = 0) -> Gain | None:
    """What `one` gains over `other`, scores of the same cases, (rows,) like the labels; None where there is one class.

    The same arguments give the same answer. A resample without positives is left out.
    """
    positives = int(labels.sum())
    if not 0 < positives < len(labels):
        return None
    ranks = [_ranked(scores) for scores in (one, other)]
    whole = np.ones(len(labels))
    random = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        times = np.bincount(random.integers(len(labels), size=len(labels)), minlength=len(labels)).astype(np.float64)
        if times[labels].any():
            found.append(_difference(labels, times, ranks))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(found, [tail, 100 - tail]).tolist()
    return Gain(_difference(labels, whole, ranks), low, high, len(labels), positives)


class _Ranked(NamedTuple):
    """Rows from the highest score down, and where each group of equal scores ends."""

    order: NDArray[np.intp]
    ends: NDArray[np.intp]


def _ranked(scores: Floats) -> _Ranked:
    order = np.argsort(-scores, kind="stable")
    sorted_ = scores[order]
    return _Ranked(order, np.flatnonzero(np.append(sorted_[1:] < sorted_[:-1], True)))


def _difference(labels: Flags, times: Floats, ranks: list[_Ranked]) -> float:
    one, other = (_average_precision(labels, times, *each) for each in ranks)
    return one - other


def _average_precision(labels: Flags, times: Floats, order: NDArray[np.intp], ends: NDArray[np.intp]) -> float:
    """As sklearn.metrics.average_precision_score, of rows that count so many times."""
    weights = times[order]
    hits = np.cumsum(weights * labels[order])[ends]
    seen = np.cumsum(weights)[ends]
    precision = hits / np.maximum(seen, 1.0)
    return float(np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1])
