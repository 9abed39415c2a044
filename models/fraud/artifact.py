"""A model of fraud as a version in the registry, and a calibration of its own."""

from dataclasses import dataclass, replace

from models.classifiers import artifact
from models.classifiers.model import Model
from models.fraud.features import FEATURE_SETS
from models.registry import EVERYONE, Artifact, Place

NAME = "fraud"
"""Of the model, as the registry and predictions name it."""

CALIBRATION = artifact.calibration_place(NAME, EVERYONE).model
"""Of calibrations of their own, as the registry and the settings name them."""


class FraudModel(Model):
    """A scorer and the features of a check-in that it learned from."""

    __slots__ = ()
    name = NAME
    feature_sets = FEATURE_SETS


unpack = FraudModel.unpack


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
