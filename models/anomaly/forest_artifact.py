"""A forest as a version in the registry: `forest.npz`, arrays without any code in them.

The registry sees to the signature and the digests. Here the features and the arrays themselves are checked: what could
not score every sample is refused.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

import numpy as np

from models import metrics
from models.anomaly.forest import Forest, Trees
from models.registry import Artifact, ArtifactRefused, Manifest, Mark, Place

NAME = "isolation_forest"
"""Of the model, as the registry and predictions name it."""

ARRAYS = "forest.npz"
RARE = (0.05, 0.01, 0.001)

_SHAPES = {
    "roots": ("i", 1),
    "feature": ("u", 1),
    "threshold": ("f", 1),
    "children": ("i", 2),
    "length": ("f", 1),
    "medians": ("f", 1),
    "calibration": ("f", 1),
    "depth_usual_nominal": ("f", 1),
}


@dataclass(frozen=True, slots=True)
class Training:
    """What a forest learned from, and how.

    Attributes:
        first_ms, last_ms: event times of the oldest and the newest sample used, epoch milliseconds.
        trained, calibrated: samples trained on, and the newer ones kept for calibration.
        missing: share of the training samples that lacked each feature, by its name.
        contamination: assumed share of unusual samples; says where `Forest.nominal` is, nothing else.
        seed: of the random splits.
        digest: SHA-256 of the times and values used: the same samples give the same one.
        libraries: versions that trained it.
    """

    first_ms: int
    last_ms: int
    trained: int
    calibrated: int
    missing: Mapping[str, float]
    contamination: float
    seed: int
    digest: str
    libraries: Mapping[str, str]


def pack(forest: Forest) -> dict[str, bytes]:
    """The files of a forest, by name; the same forest gives the same bytes."""
    trees = forest.trees
    out = BytesIO()
    np.savez_compressed(
        out,
        roots=trees.roots.astype(np.int32),
        feature=trees.feature.astype(np.uint8),
        threshold=trees.threshold,
        children=trees.children.astype(np.int32),
        length=trees.length,
        medians=forest.medians,
        calibration=forest.calibration,
        depth_usual_nominal=np.array([trees.depth, trees.usual, forest.nominal]),
    )
    return {ARRAYS: out.getvalue()}


def describe(
    forest: Forest,
    training: Training,
    version: str,
    tenant: str,
    host: str = "",
    source: Mapping[str, Any] | None = None,
) -> Manifest:
    """The manifest of a forest.

    Args:
        forest, training: as trained.
        version: its name, vYYYYMMDD_HHMMSS.
        tenant, host: for whose samples it is; without a host, for all of the tenant's.
        source: what else is to be said of what it was trained on; values of JSON.
    Raises:
        ValueError: the version is no version.
    """
    about = asdict(training)
    libraries = about.pop("libraries")
    return Manifest(
        place=Place(NAME, tenant, host),
        version=version,
        feature_set=metrics.FEATURE_SET,
        features=metrics.NAMES,
        training={**(source or {}), **about},
        metrics=figures(forest),
        libraries=libraries,
        files={name: Mark.of(content) for name, content in pack(forest).items()},
    )


def figures(forest: Forest) -> dict[str, float]:
    """Scores and p-values that say what a forest's scores mean.

    `nominal` and `nominal_p`: the score that 5 % of the training samples reach, and its p-value among the newer ones
    (about 0.05 where these come as those did); `least_p`: the least p-value that it can give; `score_at_0.01` and so
    on: the score from which the p-value is at most that, 1 where no score is so rare.
    """
    count = len(forest.calibration)
    out = {"nominal": forest.nominal, "nominal_p": forest.p_value(forest.nominal), "least_p": 1 / (count + 1)}
    for p in RARE:
        beyond = int(p * (count + 1)) - 1  # so many calibration samples may be as unusual
        score = 1.0
        if beyond >= 0:
            score = float(np.nextafter(forest.calibration[count - beyond - 1], 1.0))
        out[f"score_at_{p:g}"] = score
    return out


def unpack(artifact: Artifact) -> Forest:
    """The forest of a verified version.

    Raises:
        ArtifactRefused: it is another model, was trained on other features than samples have here, or its arrays are
            no forest.
    """
    manifest = artifact.manifest
    if manifest.place.model != NAME:
        raise ArtifactRefused(f"{manifest.place}, {manifest.version}: expected a model named {NAME}")
    artifact.require(metrics.FEATURE_SET, metrics.NAMES)
    try:
        if ARRAYS not in artifact.files:
            raise ArtifactRefused(f"it has no {ARRAYS}, but {', '.join(artifact.files) or 'no files'}")
        return _read_forest(artifact.files[ARRAYS], len(metrics.NAMES))
    except ArtifactRefused as error:
        raise ArtifactRefused(f"{manifest.place}, {manifest.version}: {error}") from error


def _read_forest(raw: bytes, features: int) -> Forest:
    try:
        with np.load(BytesIO(raw), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _SHAPES}
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        raise ArtifactRefused(f"{ARRAYS} cannot be read: {error}") from error
    for name, (kind, dimensions) in _SHAPES.items():
        array = arrays[name]
        if (array.dtype.kind, array.ndim) != (kind, dimensions) or not array.size:
            raise ArtifactRefused(f"{ARRAYS}: {name} is {array.dtype} {array.shape}, which is no part of a forest")
    depth, usual, nominal = arrays["depth_usual_nominal"].tolist()
    trees = Trees(
        roots=arrays["roots"].astype(np.intp),
        feature=arrays["feature"].astype(np.intp),
        threshold=arrays["threshold"],
        children=arrays["children"].astype(np.intp),
        length=arrays["length"],
        depth=int(depth),
        usual=usual,
    )
    forest = Forest(trees, arrays["medians"], arrays["calibration"], nominal)
    wrong = fault(forest, features)
    if wrong is not None:
        raise ArtifactRefused(f"{ARRAYS} is no forest of {features} features: {wrong}")
    return forest


def fault(forest: Forest, features: int) -> str | None:
    """What is wrong with a forest's arrays; None where every sample can be scored."""
    trees = forest.trees
    nodes = len(trees.feature)
    numbers = np.arange(nodes)[:, None]
    if trees.threshold.shape != (nodes,) or trees.length.shape != (nodes,) or trees.children.shape != (nodes, 2):
        return "its arrays do not have one row per node"
    if forest.medians.shape != (features,) or trees.feature.max() >= features:
        return f"it asks about {max(len(forest.medians), int(trees.feature.max()) + 1)} features"
    if trees.roots.min() < 0 or trees.roots.max() >= nodes or trees.children.max() >= nodes:
        return "it names nodes that it does not have"
    leaf = (trees.children == numbers).all(axis=1)
    if not (leaf | (trees.children > numbers).all(axis=1)).all():
        return "a node leads back"
    finite = (trees.length, forest.medians, forest.calibration, np.array([trees.usual, forest.nominal]))
    if not all(np.isfinite(each).all() for each in finite) or np.isnan(trees.threshold).any() or trees.usual <= 0:
        return "some of its numbers are not finite"
    if (np.diff(forest.calibration) < 0).any():
        return "its calibration scores are not ascending"
    if trees.depth != _depth(trees.roots, trees.children):
        return f"its depth is not {trees.depth}"
    return None


def _depth(roots: np.ndarray[Any, Any], children: np.ndarray[Any, Any]) -> int:
    """Questions on the longest path from any root; children come after their nodes, so this ends."""
    level, depth = np.unique(roots), 0
    while True:
        below = children[level]
        inner = below[:, 0] != level
        level = np.unique(below[inner])
        if not len(level):
            return depth
        depth += 1
