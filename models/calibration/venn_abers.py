"""Inductive Venn-Abers: two probabilities for each score, between which the right one lies.

The method is that of Vovk, Petej and Fedorova, Large-scale probabilistic predictors with and without guarantees of
validity, 2015 (https://arxiv.org/abs/1511.00213): isotonic regression of the calibration labels on their scores, once
with the new score added as a 0 and once as a 1. One of the two is calibrated exactly, if the new case is exchangeable
with the calibration cases; how far they stand apart says how little data there is at this score. Both fits of all
possible scores are made at once and kept as step tables, so serving is two binary searches.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Interval(NamedTuple):
    """Of scores, each (rows,).

    Attributes:
        low, high: p0 and p1: 0 <= p0 < p1 <= 1, both ascending with the score.
        rows: calibration rows that the weaker of the two is a mean of; 0 beyond all of them.
    """

    low: Floats
    high: Floats
    rows: Counts


@dataclass(frozen=True, slots=True, eq=False)
class VennAbers:
    """The step tables.

    Attributes:
        scores: different calibration scores, (k,), ascending.
        low: p0 by the number of `scores` that are at most the new one, (k + 1,), ascending from 0.
        high: p1 by the number of `scores` below the new one, (k + 1,), ascending to 1.
        low_rows, high_rows: calibration rows that `low` and `high` are the means of, beside the new one; (k + 1,).
    """

    scores: Floats
    low: Floats
    high: Floats
    low_rows: Counts
    high_rows: Counts

    @classmethod
    def fit(cls, scores: ArrayLike, labels: ArrayLike) -> Self:
        """Tables of calibration scores, finite, and their labels, 0 or 1; both (rows,), at least one.

        >>> tables = VennAbers.fit([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1])
        >>> [each.tolist() for each in tables.interval([0.0, 0.15, 0.25, 0.5])[:2]]
        [[0.0, 0.0, 0.0, 0.6666666666666666], [0.3333333333333333, 0.5, 1.0, 1.0]]
        """
        values, which = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
        ones = np.bincount(which, weights=np.asarray(labels, dtype=np.float64), minlength=len(values)).astype(np.int64)
        rows = np.bincount(which, minlength=len(values))
        above, among_high = _with_a_one(rows.tolist(), ones.tolist())
        # A 0 among ascending scores is a 1 among descending ones with the labels turned.
        beside, among_low = _with_a_one(rows[::-1].tolist(), (rows - ones)[::-1].tolist())
        nothing = np.array([1])
        above, among_high = np.concatenate([above, nothing]), np.concatenate([among_high, nothing])
        beside, among_low = np.concatenate([nothing, beside[::-1]]), np.concatenate([nothing, among_low[::-1]])
        return cls(values, (among_low - beside) / among_low, above / among_high, among_low - 1, among_high - 1)

    def interval(self, scores: ArrayLike) -> Interval:
        """Of scores (rows,)."""
        found = np.asarray(scores, dtype=np.float64)
        below, upto = self.scores.searchsorted(found, "left"), self.scores.searchsorted(found, "right")
        rows = np.minimum(self.low_rows[upto], self.high_rows[below])
        return Interval(self.low[upto], self.high[below], rows)


def _with_a_one(rows: list[int], ones: list[int]) -> tuple[Counts, Counts]:
    """For each group of tied scores: isotonic regression with one more row in it whose label is 1.

    Args:
        rows, ones: of the groups in ascending order, and how many of them have label 1.
    Returns:
        For each group, the ones and the rows of the block that it is pooled into, the added row included.

    Isotonic regression is the greatest convex minorant of (rows so far, ones so far). The added row moves with the
    group from left to right; the corners of the minorant to its right wait on a stack, and each is taken off once.
    """
    at = [(-1, -1), (0, 0)]
    for count, hits in zip(rows, ones, strict=True):
        at.append((at[-1][0] + count, at[-1][1] + hits))
    corners: list[tuple[int, int]] = []
    for point in reversed(at):
        _push(corners, point)
    found = []
    for number in range(len(rows)):
        (x, y), (right_x, right_y) = corners[-1], corners[-2]
        found.append((right_y - y, right_x - x))
        # From here on the group lies to the left of the added row.
        moved = at[number + 1] = (at[number][0] + rows[number], at[number][1] + ones[number])
        if (moved[1] - y) * (right_x - x) < (right_y - y) * (moved[0] - x):
            corners.pop()
            _push(corners, moved)
    block = np.array(found, dtype=np.int64)
    return block[:, 0], block[:, 1]


def _push(corners: list[tuple[int, int]], point: tuple[int, int]) -> None:
    """Put a point to the left of all corners, which are convex with it afterwards."""
    x, y = point
    while len(corners) > 1:
        (near_x, near_y), (far_x, far_y) = corners[-1], corners[-2]
        if (near_y - y) * (far_x - near_x) < (far_y - near_y) * (near_x - x):
            break
        corners.pop()
    corners.append(point)
