"""A model of conflicts as a version in the registry."""

from dataclasses import dataclass

from models.classifiers import Scored, Scorer, artifact
from models.classifiers.examples import Floats
from models.conflict.features import FEATURE_SETS
from models.decisions import Cuts
from models.registry import Artifact, ArtifactRefused

NAME = "conflict"
"""Of the model, as the registry and predictions name it."""


@dataclass(frozen=True, slots=True, eq=False)
class ConflictModel:
    """A scorer and the features that it learned from."""

    scorer: Scorer
    feature_set: str

    @property
    def features(self) -> tuple[str, ...]:
        return FEATURE_SETS[self.feature_set]

    @property
    def cuts(self) -> Cuts:
        return self.scorer.cuts

    def score(self, vectors: Floats) -> Scored:
        """Of vectors (rows, all features): every feature set begins the largest one."""
        return self.scorer.score(vectors[:, : len(self.features)])

    def contributions(self, vectors: Floats) -> Floats:
        """As `Classifier.contributions`, of vectors (rows, all features)."""
        return self.scorer.contributions(vectors[:, : len(self.features)])


def unpack(found: Artifact) -> ConflictModel:
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
    return ConflictModel(artifact.unpack(found, NAME, feature_set, names), feature_set)
