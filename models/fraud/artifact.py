"""A model of fraud as a version in the registry, and a calibration of its own."""

from dataclasses import dataclass, replace

from models.classifiers import Scored, Scorer, artifact
from models.classifiers.examples import Floats
from models.fraud.features import FEATURE_SETS
from models.registry import EVERYONE, Artifact, ArtifactRefused, Place

NAME = "fraud"
"""Of the model, as the registry and predictions name it."""

CALIBRATION = artifact.calibration_place(NAME, EVERYONE).model
"""Of calibrations of their own, as the registry and the settings name them."""


@dataclass(frozen=True, slots=True, eq=False)
class FraudModel:
    """A scorer and the features that it learned from."""

    scorer: Scorer
    feature_set: str

    @property
    def features(self) -> tuple[str, ...]:
        return FEATURE_SETS[self.feature_set]

    def score(self, vectors: Floats) -> Scored:
        """Of vectors (rows, all features): every feature set begins the largest one."""
        return self.scorer.score(vectors[:, : len(self.features)])

    def contributions(self, vectors: Floats) -> Floats:
        """As `Classifier.contributions`, of vectors (rows, all features)."""
        return self.scorer.contributions(vectors[:, : len(self.features)])


def unpack(found: Artifact) -> FraudModel:
    """The model of a verified version.

    Raises:
        ArtifactRefused: it is another model, of features that this release does not measure, or its files are none.
    """
    feature_set = found.manifest.feature_set
    names = FEATURE_SETS.get(feature_set)
    if names is None:
        raise ArtifactRefused(
            f"{found.manifest.place}, {found.manifest.version}: trained on feature set {feature_set}; "
            f"this release measures {', '.join(FEATURE_SETS)}"
        )
    return FraudModel(artifact.unpack(found, NAME, feature_set, names), feature_set)


@dataclass(frozen=True, slots=True, eq=False)
class FraudCalibration:
    """A calibration that is a version of its own."""

    made: artifact.Recalibration

    def fits(self, place: Place, version: str) -> bool:
        """Whether it was made for this version of a model."""
        return (place, version) == (self.made.place, self.made.version)

    def on(self, model: FraudModel) -> FraudModel:
        """The model with this calibration instead of the one that it was trained with."""
        return FraudModel(replace(model.scorer, calibration=self.made.calibration), model.feature_set)


def unpack_calibration(found: Artifact) -> FraudCalibration:
    """The calibration of a verified version. Raises ArtifactRefused where it is none of a model of fraud."""
    return FraudCalibration(artifact.unpack_calibration(found, NAME))
