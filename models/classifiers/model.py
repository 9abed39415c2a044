"""A scorer as a domain uses it: the feature set that it learned from, of those that the domain measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from models.classifiers import artifact
from models.classifiers.examples import Floats
from models.classifiers.scorer import Scored, Scorer
from models.decisions import Cuts
from models.registry import Artifact, ArtifactRefused


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A scorer and the features that it learned from; a domain names itself and its feature sets."""

    name: ClassVar[str]
    """Of the model, as the registry and predictions name it."""
    feature_sets: ClassVar[Mapping[str, tuple[str, ...]]]
    """Names of features by feature set; each begins the largest one."""

    scorer: Scorer
    feature_set: str

    @property
    def features(self) -> tuple[str, ...]:
        return self.feature_sets[self.feature_set]

    @property
    def cuts(self) -> Cuts:
        return self.scorer.cuts

    def score(self, vectors: Floats) -> Scored:
        """Of vectors (rows, all features)."""
        return self.scorer.score(vectors[:, : len(self.features)])

    def contributions(self, vectors: Floats) -> Floats:
        """As `Classifier.contributions`, of vectors (rows, all features)."""
        return self.scorer.contributions(vectors[:, : len(self.features)])

    @classmethod
    def unpack(cls, found: Artifact) -> Self:
        """The model of a verified version.

        Raises:
            ArtifactRefused: it is another model, of features that this release does not measure, or its files are none.
        """
        feature_set = found.manifest.feature_set
        names = cls.feature_sets.get(feature_set)
        if names is None:
            raise ArtifactRefused(
                f"{found.manifest.place}, {found.manifest.version}: trained on feature set {feature_set}; "
                f"this release measures {', '.join(cls.feature_sets)}"
            )
        return cls(artifact.unpack(found, cls.name, feature_set, names), feature_set)
