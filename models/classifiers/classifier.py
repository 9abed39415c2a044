"""What every classifier can do."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from models.classifiers.examples import Floats


class Classifier(Protocol):
    """A trained model of two classes. Scores of a row do not depend on the other rows, to the last bit.

    Attributes:
        kind: its name in settings and manifests.
    """

    kind: ClassVar[str]

    @property
    def features(self) -> int:
        """How many features a row has."""
        ...

    def scores(self, features: Floats) -> Floats:
        """Its own estimate of the probability of label 1, (rows,), of (rows, features) with NaN for unknown."""
        ...

    def contributions(self, features: Floats) -> Floats:
        """What each feature adds to the log-odds of the score, (rows, features + 1); last the base. Slow: for few."""
        ...

    def importance(self) -> Floats:
        """Share of each feature in what the model knows, (features,), summing to 1; all 0 if it knows nothing."""
        ...

    def pack(self) -> Mapping[str, bytes]:
        """Its files by name; the same model gives the same bytes."""
        ...
