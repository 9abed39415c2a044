"""Training of the isolation forest, with scikit-learn; scoring needs none of it (`forest`)."""

import platform
from hashlib import sha256

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import IsolationForest

from models import metrics
from models.anomaly.forest import Floats, Forest, Trees, filled
from models.anomaly.forest_artifact import Training
from models.anomaly.samples import LARGEST

LEAST = 1000
LONGEST_MS = 30 * 86_400_000
MOST = 50_000
"""Of more samples so many are used, evenly spread: each tree takes 256 of them anyway."""

NEWEST = 0.2
"""Share of the samples, the newest, that calibrate instead of training."""

TREES, SAMPLES_PER_TREE, CONTAMINATION = 100, 256, 0.05


class TooFewSamples(ValueError):
    """Not enough history to train on."""


def train(times_ms: ArrayLike, vectors: ArrayLike, *, seed: int = 0) -> tuple[Forest, Training]:
    """A forest of the newest 30 days of one host, or of several hosts together.

    The oldest 80 % of them train, the newest 20 % calibrate. What is missing (NaN, None) stands at the median of the
    training samples that have it: then it decides nothing either way.

    Args:
        times_ms: event times in epoch milliseconds, ascending, (samples,).
        vectors: the nine metrics in the order of `models.metrics.NAMES`, (samples, 9).
        seed: of the random splits; the same samples and seed give the same forest.
    Raises:
        TooFewSamples: fewer than 1,000 samples.
        ValueError: times and vectors do not fit or are not in order.
    """
    times, given = _newest(np.asarray(times_ms, dtype=np.int64), np.asarray(vectors, dtype=np.float64))
    cut = round(len(times) * (1 - NEWEST))
    older, newer = given[:cut], given[cut:]
    medians, missing = _medians(older)
    fitted = IsolationForest(
        n_estimators=TREES, max_samples=min(SAMPLES_PER_TREE, cut), contamination=CONTAMINATION, random_state=seed
    )
    fitted.fit(filled(older, medians))
    trees = flatten(fitted)
    forest = Forest(trees, medians, np.zeros(0), nominal=-float(fitted.offset_))
    forest = Forest(trees, medians, np.sort(forest.scores(newer)), forest.nominal)
    training = Training(
        first_ms=int(times[0]),
        last_ms=int(times[-1]),
        trained=cut,
        calibrated=len(times) - cut,
        missing=dict(zip(metrics.NAMES, missing.round(4).tolist(), strict=True)),
        contamination=CONTAMINATION,
        seed=seed,
        digest=_digest(times, given),
        libraries={
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
    )
    return forest, training


def _digest(times: NDArray[np.int64], vectors: Floats) -> str:
    # Whatever was missing, and however, is one NaN.
    known = np.where(np.abs(vectors) <= LARGEST, vectors, np.nan)
    return sha256(times.astype("<i8").tobytes() + known.astype("<f8").tobytes()).hexdigest()


def _newest(times: NDArray[np.int64], vectors: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The samples of the last 30 days, at most MOST of them, evenly spread."""
    if times.ndim != 1 or vectors.shape != (len(times), len(metrics.NAMES)):
        raise ValueError(f"expected (samples,) times and (samples, 9) values, got {times.shape} and {vectors.shape}")
    if (np.diff(times) < 0).any():
        raise ValueError("times must be ascending")
    begin = int(np.searchsorted(times, times[-1] - LONGEST_MS, side="left")) if len(times) else 0
    times, vectors = times[begin:], vectors[begin:]
    if len(times) < LEAST:
        raise TooFewSamples(f"a forest needs at least {LEAST} samples of the last 30 days, there are {len(times)}")
    if len(times) > MOST:
        chosen = np.linspace(0, len(times) - 1, MOST).round().astype(np.intp)
        times, vectors = times[chosen], vectors[chosen]
    return times, vectors


def _medians(vectors: Floats) -> tuple[Floats, Floats]:
    """Medians of what is there, 0 where nothing is, and the share that is missing, both by feature."""
    known = np.abs(vectors) <= LARGEST
    columns = zip(vectors.T, known.T, strict=True)
    medians = [float(np.median(column[there])) if there.any() else 0.0 for column, there in columns]
    return np.array(medians), 1 - known.mean(axis=0)


def flatten(fitted: IsolationForest) -> Trees:
    """The trees of a fitted scikit-learn forest as flat arrays."""
    roots, feature, threshold, children, length = [], [], [], [], []
    depth, begin = 0, 0
    for estimator, used in zip(fitted.estimators_, fitted.estimators_features_, strict=True):
        tree = estimator.tree_
        pair = np.stack([tree.children_left, tree.children_right], axis=1).astype(np.intp)
        leaf = pair[:, 0] < 0
        numbers = np.arange(len(pair))
        depths = np.asarray(tree.compute_node_depths(), dtype=np.float64)
        roots.append(begin)
        feature.append(np.where(leaf, 0, used[np.where(leaf, 0, tree.feature)]))
        threshold.append(np.where(leaf, np.inf, tree.threshold))
        children.append(begin + np.where(leaf[:, None], numbers[:, None], pair))
        # A root has depth 1 there; the number of questions is one less.
        length.append(depths - 1 + mean_path(tree.n_node_samples))
        depth = max(depth, int(depths.max()) - 1)
        begin += len(pair)
    return Trees(
        roots=np.array(roots, dtype=np.intp),
        feature=np.concatenate(feature).astype(np.intp),
        threshold=np.concatenate(threshold).astype(np.float64),
        children=np.concatenate(children).astype(np.intp),
        length=np.concatenate(length),
        depth=depth,
        usual=float(mean_path(np.array([fitted.max_samples_]))[0]),
    )


def mean_path(counts: NDArray[np.int64]) -> Floats:
    """Mean length of a path that ends nowhere in a random binary tree of so many samples (Liu et al., equation 1).

    >>> mean_path(np.array([1, 2, 256])).round(3).tolist()
    [0.0, 1.0, 10.245]
    """
    n = np.maximum(counts, 2).astype(np.float64)
    out: Floats = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(counts < 2, 0.0, np.where(counts == 2, 1.0, out))
