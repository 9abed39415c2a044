"""A model of ocr_trust as a version in the registry."""

from models.classifiers.model import Model
from models.ocr.features import FEATURE_SETS

NAME = "ocr_trust"
"""Of the model, as the registry and predictions name it."""


class OcrModel(Model):
    """A scorer and the features of a reading that it learned from."""

    __slots__ = ()
    name = NAME
    feature_sets = FEATURE_SETS


unpack = OcrModel.unpack
