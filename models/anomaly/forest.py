"""Isolation forest over all nine metrics of a host together: is this combination easy to tell from the usual ones?

A tree splits at random; a sample that few splits separate from all others is unusual. The score is that of Liu, Ting
and Zhou, Isolation Forest, 2008 (https://doi.org/10.1109/ICDM.2008.17), as scikit-learn computes it, with its sign
turned: 0 to 1, about 0.5 and less for the usual, towards 1 for the unusual. It means nothing by itself; `p_value` puts
it on the scale that all detectors share. Training is in `forest_trainer`; here is only numpy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.anomaly.samples import LARGEST

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]

_REACH = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """All trees of a forest in flat arrays; nodes of one tree follow one another.

    Attributes:
        roots: (trees,), number of the first node of each.
        feature: (nodes,), the feature that a node asks about; 0 in a leaf.
        threshold: (nodes,); a value up to it goes to the first child, a larger one to the second. Infinite in a leaf.
        children: (nodes, 2), both the leaf itself in a leaf, else later nodes.
        length: (nodes,), in a leaf the path to it, with the expected rest of the path where several training samples
            share it; unused elsewhere.
        depth: largest number of questions on any path.
        usual: mean path length in a tree of as many samples as each was grown from.
    """

    roots: Numbers
    feature: Numbers
    threshold: Floats
    children: Numbers
    length: Floats
    depth: int
    usual: float

    def paths(self, vectors: NDArray[np.float32]) -> Floats:
        """Path lengths summed over the trees, (samples,), of vectors (samples, features)."""
        count, features = vectors.shape
        values, row = vectors.reshape(-1), np.arange(0, count * features, features)[:, None]
        node = np.broadcast_to(self.roots, (count, len(self.roots)))
        children = self.children.reshape(-1)
        for _ in range(self.depth):
            beyond = values.take(row + self.feature.take(node)) > self.threshold.take(node)
            node = children.take(2 * node + beyond)
        # Summed one after the other: the same sum, to the last bit, however many samples are scored at once.
        total: Floats = np.cumsum(self.length.take(node), axis=1)[:, -1]
        return total


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """A trained forest.

    Attributes:
        trees: of the forest.
        medians: (features,), what stands in for a missing value: the median of the training samples that had it, 0
            where none had.
        calibration: (samples,), scores of samples newer than all that it was trained on, ascending.
        nominal: score that the contamination assumed at training (5 %) of the training samples reach.
    """

    trees: Trees
    medians: Floats
    calibration: Floats
    nominal: float

    def score(self, vector: ArrayLike) -> float:
        """Score of one sample, 0 to 1, from its values in the order of the feature set; None and NaN are missing."""
        return float(self.scores(np.asarray(vector, dtype=np.float64)[None, :])[0])

    def scores(self, vectors: ArrayLike) -> Floats:
        """Scores of (samples, features), (samples,); each is the same, to the last bit, as by `score`.

        Raises ValueError when there are more or fewer features than the forest was trained on.
        """
        given = np.asarray(vectors, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.medians):
            raise ValueError(f"expected (samples, {len(self.medians)}) values, got {given.shape}")
        paths = self.trees.paths(filled(given, self.medians))
        out: Floats = np.exp2(-paths / (len(self.trees.roots) * self.trees.usual))
        return out

    def p_value(self, score: float) -> float:
        """Share of the calibration samples, this one among them, that are at least as unusual: 1/(n + 1) to 1.

        A split conformal p-value (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005): as long
        as samples come as those of the calibration did, it is at most p in a share p of them. Samples of one host
        resemble their neighbours, so this holds over days, not within an hour.
        """
        count = len(self.calibration)
        beyond = count - int(np.searchsorted(self.calibration, score, side="left"))
        return (1 + beyond) / (count + 1)


def filled(vectors: Floats, medians: Floats) -> NDArray[np.float32]:
    """Vectors as the trees take them: what is missing (NaN, infinite, beyond 1e37) is the median; single precision."""
    known = np.abs(vectors) <= LARGEST
    values = vectors if known.all() else np.where(known, vectors, medians)
    return np.clip(values, -_REACH, _REACH).astype(np.float32)
