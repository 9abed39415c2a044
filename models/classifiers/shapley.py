"""What each feature adds to a margin of boosted trees: Shapley values along the ways through the trees.

Of a leaf with value v at the end of a way with conditions on d features, feature i gets

    v (o_i - z_i) ∫ prod_{j ≠ i} (o_j t + z_j (1 - t)) dt, t from 0 to 1,

o_j being 1 where the row meets the condition on feature j and else 0, and z_j the share of the training cases of the
way so far that met it. The integral is the sum over subsets of Lundberg, Erion and Lee, "Consistent Individualized
Feature Attribution for Tree Ensembles" (2018), algorithm 2, whose weights k! (d - 1 - k)! / d! are integrals of
t^k (1 - t)^(d - 1 - k). A Gauss-Legendre rule of ceil(d / 2) points has it exactly. These are the values of XGBoost's
`pred_contribs`, in a fifth of its time.

In C where models.classifiers._compiled was built; the plain form computes the same to the last bit.
"""

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.classifiers.examples import Floats, known
from models.classifiers.trees import base_score
from schemas.compiled import load

_COMPILED = load("models.classifiers._compiled")

_NONE = -1
Singles = NDArray[np.float32]


class Layout(NamedTuple):
    """Leaves of all trees, one after the other, with the conditions on their ways.

    Attributes:
        first: of each leaf its first condition, and where the last leaf's end, (leaves + 1,).
        value: of each leaf, (leaves,).
        feature: of each condition, (conditions,); no two of a leaf have the same.
        low, high: it is met by values from `low` on and below `high`, 32 bits, (conditions,).
        missing: whether a missing value meets it, 1 or 0, (conditions,).
        share: of the training cases that met it, 0 to 1, (conditions,).
        points: t, and 1 - t, (2, points).
        gain: by condition and point, the factor of a row that meets it less that of one that does not,
            (conditions, points).
        loss: the factor of a row that does not, (points,).
        base: the mean margin of the training cases without the base score.
    """

    first: NDArray[np.int32]
    value: Floats
    feature: NDArray[np.int32]
    low: Singles
    high: Singles
    missing: NDArray[np.int32]
    share: Floats
    points: Floats
    gain: Floats
    loss: Floats
    base: float


class Shapley:
    """Of a booster's file, as `models.classifiers.ubjson` reads it; sound, because nobody looks again.

    Args:
        learner: the file's part with the trees.
    """

    def __init__(self, learner: Any) -> None:
        self._trees = learner["gradient_booster"]["model"]["trees"]
        self._features = int(learner["learner_model_param"]["num_feature"])
        prior = float(base_score(learner))
        self._base = math.log(prior / (1.0 - prior))

    @cached_property
    def layout(self) -> Layout:
        """Made when somebody first asks: it takes milliseconds, and who only scores needs none."""
        return _layout(self._trees)

    def contributions(self, features: Floats, *, plain: bool = False) -> Floats:
        """Of features (rows, features), NaN for unknown: (rows, features + 1), the last being the base."""
        out = np.zeros((len(features), self._features + 1))
        given = np.ascontiguousarray(known(features), dtype=np.float32)
        if plain or _COMPILED is None or len(self.layout.loss) > _COMPILED.POINTS:
            _add(self.layout, given, out)
        else:
            _COMPILED.shapley(*self.layout[:-1], given, out)
        out[:, -1] = self._base + self.layout.base
        return out


def _add(layout: Layout, features: Singles, out: Floats) -> None:
    """Add what the features add, row by row."""
    (at, rest), count = layout.points, len(layout.feature)
    leaf = np.repeat(np.arange(len(layout.value)), np.diff(layout.first))
    for row, sums in zip(features, out, strict=True):
        value = row[layout.feature]
        met = np.where(np.isnan(value), layout.missing == 1, (value >= layout.low) & (value < layout.high))
        on = met.astype(np.float64)[:, None]
        product = np.ones((len(layout.value), len(at)))
        # In the order of the conditions of each leaf, as C does it.
        np.multiply.at(product, leaf, layout.share[:, None] * rest + on * at)
        parts = product[leaf] * (layout.loss + on * layout.gain)
        total = np.zeros(count)
        for point in range(len(at)):
            total += parts[:, point]
        np.add.at(sums, layout.feature, layout.value[leaf] * total)


def _layout(trees: Any) -> Layout:
    sizes = [len(tree["left_children"]) for tree in trees]
    start = np.cumsum([0, *sizes[:-1]])

    def whole(name: str, dtype: Any) -> NDArray[Any]:
        return np.concatenate([np.asarray(tree[name], dtype=dtype) for tree in trees])

    begin = np.repeat(start, sizes)
    left = whole("left_children", np.int64)
    parent = whole("parents", np.int64) + begin
    parent[start] = _NONE
    feature, limit = whole("split_indices", np.int32), whole("split_conditions", np.float32)
    to_left, cover = whole("default_left", np.bool_), whole("sum_hessian", np.float64)
    (leaves,) = np.nonzero(left == -1)
    is_left = np.zeros(len(left), dtype=np.bool_)
    is_left[(left + begin)[left != -1]] = True

    # Up from all leaves at once; a feature that comes again on a way narrows the condition that is there.
    names = np.full((len(leaves), 0), _NONE, dtype=np.int32)
    low, high = np.zeros((len(leaves), 0), np.float32), np.zeros((len(leaves), 0), np.float32)
    missing, share = np.zeros((len(leaves), 0), np.bool_), np.zeros((len(leaves), 0))
    node = leaves.copy()
    while (parent[node] != _NONE).any():
        above = parent[node]
        here = above != _NONE
        grown = [(names, _NONE), (low, -np.inf), (high, np.inf), (missing, True), (share, 1.0)]
        names, low, high, missing, share = (
            np.concatenate([old, np.full((len(leaves), 1), fill, dtype=old.dtype)], axis=1) for old, fill in grown
        )
        names[here, -1] = feature[above[here]]
        slot = (names == np.where(here, feature[above], _NONE)[:, None]).argmax(axis=1)
        again = here & (slot < names.shape[1] - 1)
        names[again, -1] = _NONE
        (rows,) = np.nonzero(here)
        slots, nodes, uppers = slot[rows], node[rows], above[rows]
        lefts = is_left[nodes]
        high[rows[lefts], slots[lefts]] = np.minimum(high[rows[lefts], slots[lefts]], limit[uppers[lefts]])
        low[rows[~lefts], slots[~lefts]] = np.maximum(low[rows[~lefts], slots[~lefts]], limit[uppers[~lefts]])
        missing[rows, slots] &= to_left[uppers] == lefts
        share[rows, slots] *= np.where(cover[uppers] > 0.0, cover[nodes] / np.maximum(cover[uppers], 1e-300), 0.0)
        node = np.where(here, above, node)
    used = names != _NONE
    counts = used.sum(axis=1)
    order = max(1, -(-int(counts.max(initial=1)) // 2))
    nodes_at, weights = np.polynomial.legendre.leggauss(order)
    at, weights = (nodes_at + 1.0) / 2.0, weights / 2.0
    rest = 1.0 - at
    shares = share[used]
    loss = -weights / rest
    gain = weights * (1.0 - shares[:, None]) / (at + shares[:, None] * rest) - loss
    value = limit[leaves].astype(np.float64)
    return Layout(
        first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        value=value,
        feature=np.ascontiguousarray(names[used]),
        low=np.ascontiguousarray(low[used]),
        high=np.ascontiguousarray(high[used]),
        missing=missing[used].astype(np.int32),
        share=shares,
        points=np.stack([at, rest]),
        gain=np.ascontiguousarray(gain),
        loss=loss,
        base=float((value * share.prod(axis=1)).sum()),
    )
