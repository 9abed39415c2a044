"""The manifest of a version: what it is, where it comes from, and the size and digest of each of its files.

Domain-free: what was trained on and how good it is are figures that the model's trainer chooses.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

from models.registry.errors import ArtifactRefused
from models.registry.place import Place, moment_of

FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
FILE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_FIELDS = {
    "format": int,
    "model": str,
    "tenant": str,
    "subject": str,
    "version": str,
    "feature_set": str,
    "features": list,
    "training": dict,
    "metrics": dict,
    "libraries": dict,
    "files": dict,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Size in bytes and SHA-256 (hexadecimal) of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Self:
        return cls(len(content), sha256(content).hexdigest())

    def fault(self, content: bytes) -> str | None:
        """What became of a file that had this mark; None when it is the same."""
        if len(content) < self.size:
            return f"was cut off: it has {len(content):,} bytes, expected {self.size:,}"
        if len(content) > self.size:
            return f"was changed: it is longer than the {self.size:,} bytes expected"
        found = Mark.of(content)
        return None if found == self else f"was changed: its SHA-256 is {found.sha256}, expected {self.sha256}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version is.

    Attributes:
        place: what it is a version of.
        version: vYYYYMMDD_HHMMSS, UTC.
        feature_set, features: name of the feature set, and its features in the order in which values are given.
        training: what it was trained on and how; values of JSON.
        metrics: how good it is, by name; finite numbers.
        libraries: versions that trained it, by name.
        files: its other files, by name.
    Raises:
        ValueError: version or a file have no such name.
    """

    place: Place
    version: str
    feature_set: str
    features: tuple[str, ...]
    training: Mapping[str, Any]
    metrics: Mapping[str, float]
    libraries: Mapping[str, str]
    files: Mapping[str, Mark]

    def __post_init__(self) -> None:
        moment_of(self.version)
        for name in self.files:
            if not FILE.fullmatch(name) or name in (MANIFEST, SIGNATURE):
                raise ValueError(f"a file's name must match {FILE.pattern} and be none of ours, not {name!r}")

    def about(self) -> dict[str, Any]:
        """It as values of JSON."""
        return {
            "format": FORMAT,
            "model": self.place.model,
            "tenant": self.place.tenant,
            "subject": self.place.subject,
            "version": self.version,
            "feature_set": self.feature_set,
            "features": list(self.features),
            "training": dict(self.training),
            "metrics": dict(self.metrics),
            "libraries": dict(self.libraries),
            "files": {name: {"bytes": mark.size, "sha256": mark.sha256} for name, mark in self.files.items()},
        }

    def encode(self) -> bytes:
        """The same manifest gives the same bytes. Raises ValueError or TypeError for what JSON cannot hold."""
        return (json.dumps(self.about(), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """A manifest from its bytes. Raises ArtifactRefused."""
        try:
            about = json.loads(raw)
        except ValueError as error:
            raise ArtifactRefused(f"{MANIFEST} is not JSON: {error}") from error
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            came = about.get("format") if isinstance(about, dict) else about
            raise ArtifactRefused(f"{MANIFEST} has format {came!r}; this release reads format {FORMAT}")
        for name, kind in _FIELDS.items():
            if not isinstance(about.get(name), kind):
                raise ArtifactRefused(f"{MANIFEST} has no {name}, or another type of it than {kind.__name__}")
        try:
            return cls(
                place=Place(about["model"], about["tenant"], about["subject"]),
                version=about["version"],
                feature_set=about["feature_set"],
                features=tuple(about["features"]),
                training=about["training"],
                metrics=about["metrics"],
                libraries=about["libraries"],
                files={name: Mark(int(mark["bytes"]), str(mark["sha256"])) for name, mark in about["files"].items()},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactRefused(f"{MANIFEST} is no manifest: {error}") from error


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version whose signature and files are right.

    Attributes:
        manifest: of the version.
        key: name of the trusted key that signed it.
        files: contents by name.
    """

    manifest: Manifest
    key: str
    files: Mapping[str, bytes]

    def require(self, feature_set: str, features: tuple[str, ...]) -> None:
        """Raises ArtifactRefused unless it was trained on these features, in this order."""
        manifest = self.manifest
        if (manifest.feature_set, manifest.features) != (feature_set, features):
            raise ArtifactRefused(
                f"{manifest.place}, {manifest.version}: trained on feature set {manifest.feature_set} "
                f"({', '.join(manifest.features)}); expected {feature_set} ({', '.join(features)})"
            )
