"""A model of ocr_trust as a version in the registry."""

from models.classifiers import Scorer, artifact
from models.ocr.features import NAMES, OCR_V1
from models.registry import Artifact

NAME = "ocr_trust"
"""Of the model, as the registry and predictions name it."""


def unpack(found: Artifact) -> Scorer:
    """The model of a verified version. Raises ArtifactRefused where it is another model or another feature set's."""
    return artifact.unpack(found, NAME, OCR_V1, NAMES)
