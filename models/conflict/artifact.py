"""A model of conflicts as a version in the registry."""

from models.classifiers.model import Model
from models.conflict.features import FEATURE_SETS

NAME = "conflict"
"""Of the model, as the registry and predictions name it."""


class ConflictModel(Model):
    """A scorer and the features of a sync that it learned from."""

    __slots__ = ()
    name = NAME
    feature_sets = FEATURE_SETS


unpack = ConflictModel.unpack
