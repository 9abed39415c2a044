"""A scorer as a version in the registry: its classifier's file and calibration.npz; nothing in them is code.

A calibration may also be a version of its own, made of newer cases for a model that stays as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import sklearn
import xgboost

from models import calibration as calibrations
from models.calibration import Calibration
from models.classifiers import boosted, logistic
from models.classifiers.classifier import Classifier
from models.classifiers.scorer import Scorer
from models.registry import EVERYONE, Artifact, ArtifactRefused, Manifest, Mark, Place
from models.registry.place import moment_of

_READ: Mapping[str, Callable[[bytes, int], Classifier]] = {boosted.FILE: boosted.unpack, logistic.FILE: logistic.unpack}


def pack(scorer: Scorer) -> dict[str, bytes]:
    """The files of a scorer by name; the same scorer gives the same bytes."""
    files = dict(scorer.classifier.pack())
    if scorer.calibration is not None:
        files[calibrations.ARRAYS] = calibrations.pack(scorer.calibration)
    return files


def describe(
    scorer: Scorer,
    place: Place,
    version: str,
    feature_set: str,
    features: tuple[str, ...],
    training: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> Manifest:
    """The manifest of a scorer; see `Manifest`. Raises ValueError where the features are not those of the scorer."""
    if len(features) != scorer.classifier.features:
        raise ValueError(f"the model has {scorer.classifier.features} features, {feature_set} has {len(features)}")
    return Manifest(place, version, feature_set, features, training, metrics, libraries(), _marks(pack(scorer)))


def unpack(artifact: Artifact, model: str, feature_set: str, features: tuple[str, ...]) -> Scorer:
    """The scorer of a verified version.

    Args:
        model, feature_set, features: what it must be.
    Raises:
        ArtifactRefused: it is another model, was trained on other features, or its files are no scorer.
    """
    manifest = artifact.manifest
    if manifest.place.model != model:
        raise ArtifactRefused(f"{manifest.place}, {manifest.version}: expected a model named {model}")
    artifact.require(feature_set, features)
    try:
        stored = artifact.files.get(calibrations.ARRAYS)
        return Scorer(_classifier(artifact), None if stored is None else calibrations.unpack(stored))
    except ArtifactRefused as error:
        raise ArtifactRefused(f"{manifest.place}, {manifest.version}: {error}") from error


def calibration_place(model: str, tenant: str) -> Place:
    """Where a tenant's calibrations of a model are, that are versions of their own."""
    return Place(f"{model}_calibration", tenant)


def describe_calibration(
    calibration: Calibration, model: Manifest, tenant: str, version: str, training: Mapping[str, Any]
) -> Manifest:
    """The manifest of a tenant's calibration of a model's version, its own or one of all, made of newer cases."""
    made_for = {"model": model.place.path, "model_version": model.version}
    return Manifest(
        place=calibration_place(model.place.model, tenant),
        version=version,
        feature_set=model.feature_set,
        features=model.features,
        training={**training, **made_for, "digest": calibration.digest},
        metrics={"rows": calibration.rows, "ones": calibration.ones},
        libraries=libraries(),
        files=_marks({calibrations.ARRAYS: calibrations.pack(calibration)}),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Recalibration:
    """A calibration that is a version of its own, and the place and version of the model that it was made for."""

    place: Place
    version: str
    calibration: Calibration


def unpack_calibration(artifact: Artifact, model: str) -> Recalibration:
    """The calibration of a verified version. Raises ArtifactRefused unless it calibrates a model of this name."""
    manifest = artifact.manifest
    try:
        if manifest.place != calibration_place(model, manifest.place.tenant):
            raise ArtifactRefused(f"expected a calibration of a model named {model}")
        made_for = manifest.training
        try:
            place, version = Place.at(str(made_for.get("model"))), str(made_for.get("model_version"))
            moment_of(version)
        except ValueError as error:
            raise ArtifactRefused(f"it does not say what it calibrates: {error}") from error
        if place.model != model or place.tenant not in (manifest.place.tenant, EVERYONE):
            raise ArtifactRefused(f"it calibrates {place}, which is not of {manifest.place.tenant}")
        return Recalibration(place, version, calibrations.unpack(_file(artifact, calibrations.ARRAYS)))
    except ArtifactRefused as error:
        raise ArtifactRefused(f"{manifest.place}, {manifest.version}: {error}") from error


def libraries() -> dict[str, str]:
    """Versions that train and calibrate."""
    modules = {"numpy": np, "scipy": scipy, "scikit-learn": sklearn, "xgboost": xgboost}
    return {name: str(module.__version__) for name, module in modules.items()}


def _classifier(artifact: Artifact) -> Classifier:
    found = [name for name in _READ if name in artifact.files]
    if len(found) != 1:
        raise ArtifactRefused(
            f"expected one of {', '.join(_READ)}, but it has {', '.join(artifact.files) or 'no files'}"
        )
    return _READ[found[0]](artifact.files[found[0]], len(artifact.manifest.features))


def _file(artifact: Artifact, name: str) -> bytes:
    if name not in artifact.files:
        raise ArtifactRefused(f"it has no {name}, but {', '.join(artifact.files) or 'no files'}")
    return artifact.files[name]


def _marks(files: Mapping[str, bytes]) -> dict[str, Mark]:
    return {name: Mark.of(content) for name, content in files.items()}
