"""A forest as files: `manifest.json`, for people and checks, and `forest.npz`, arrays without any code in them.

What was damaged or cut off, is of another format, or was trained on other features is refused; the digests find
accidents, not forgers, because nothing is signed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

import numpy as np

from models.anomaly.forest import Forest, Trees

FORMAT = 1
MANIFEST, ARRAYS = "manifest.json", "forest.npz"

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


class ArtifactRefused(ValueError):
    """Files that are no forest that can be used here; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a forest is and where it comes from.

    Attributes:
        name: of the model: "isolation_forest".
        version: of this forest, vYYYYMMDD_HHMMSS.
        feature_set: name of the feature set.
        features: its names, in the order in which values are given.
        first_ms, last_ms: event times of the oldest and the newest sample used, epoch milliseconds.
        trained, calibrated: samples trained on, and the newer ones kept for calibration.
        missing: share of the training samples that lacked each feature, by its name.
        contamination: assumed share of unusual samples; says where `Forest.nominal` is, nothing else.
        seed: of the random splits.
        libraries: versions that trained it.
    """

    name: str
    version: str
    feature_set: str
    features: tuple[str, ...]
    first_ms: int
    last_ms: int
    trained: int
    calibrated: int
    missing: Mapping[str, float]
    contamination: float
    seed: int
    libraries: Mapping[str, str]


def pack(forest: Forest, manifest: Manifest) -> dict[str, bytes]:
    """The files of a forest, by name; the same forest and manifest give the same bytes."""
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
    arrays = out.getvalue()
    about = {"format": FORMAT, **asdict(manifest), "files": {ARRAYS: sha256(arrays).hexdigest()}}
    about["digest"] = digest(about)
    return {MANIFEST: (json.dumps(about, indent=1) + "\n").encode(), ARRAYS: arrays}


def digest(about: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's fields, but for the digest itself."""
    rest = {key: value for key, value in about.items() if key != "digest"}
    return sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def unpack(files: Mapping[str, bytes], feature_set: str, features: tuple[str, ...]) -> tuple[Forest, Manifest]:
    """The forest in these files.

    Args:
        files: contents by name.
        feature_set, features: what samples are made of here.
    Raises:
        ArtifactRefused: a file is missing or was changed, the format is unknown, the features are others, or the
            arrays are no forest.
    """
    for name in (MANIFEST, ARRAYS):
        if name not in files:
            raise ArtifactRefused(f"{name} is missing; there are {', '.join(sorted(files)) or 'no files'}")
    manifest = _read_manifest(files)
    if (manifest.feature_set, manifest.features) != (feature_set, features):
        raise ArtifactRefused(
            f"{manifest.name} {manifest.version} was trained on feature set {manifest.feature_set} "
            f"({', '.join(manifest.features)}); expected {feature_set} ({', '.join(features)})"
        )
    return _read_forest(files[ARRAYS], len(features)), manifest


def _read_manifest(files: Mapping[str, bytes]) -> Manifest:
    try:
        about = json.loads(files[MANIFEST])
    except ValueError as error:
        raise ArtifactRefused(f"{MANIFEST} is not JSON, perhaps cut off: {error}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        came = about.get("format") if isinstance(about, dict) else about
        raise ArtifactRefused(f"{MANIFEST} has format {came!r}; this release reads format {FORMAT}")
    if about.get("digest") != digest(about):
        raise ArtifactRefused(f"{MANIFEST} was changed: its fields do not give the digest that it names")
    found = sha256(files[ARRAYS]).hexdigest()
    if about["files"] != {ARRAYS: found}:
        raise ArtifactRefused(f"{ARRAYS} was changed or cut off: its SHA-256 is {found}, expected {about['files']}")
    named = {field.name for field in fields(Manifest)}
    if named - about.keys():
        raise ArtifactRefused(f"{MANIFEST} lacks {', '.join(sorted(named - about.keys()))}")
    return Manifest(**{name: about[name] for name in named} | {"features": tuple(about["features"])})


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
