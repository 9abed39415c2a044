"""The models that the settings name, with their trouble in plain words."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import click

from models.anomaly import forest_artifact
from models.conflict import artifact as conflict_artifact
from models.fraud import artifact as fraud_artifact
from models.ocr import artifact as ocr_artifact
from models.registry import (
    KEEP,
    Artifact,
    ArtifactRefused,
    KeyFileError,
    Manifest,
    NoSuchVersion,
    Registry,
    Signer,
    StorageError,
    Trust,
    VersionExists,
)
from watchfloor.settings import Settings

READERS: Mapping[str, Callable[[Artifact], object]] = {
    forest_artifact.NAME: forest_artifact.unpack,
    fraud_artifact.NAME: fraud_artifact.unpack,
    fraud_artifact.CALIBRATION: fraud_artifact.unpack_calibration,
    conflict_artifact.NAME: conflict_artifact.unpack,
    ocr_artifact.NAME: ocr_artifact.unpack,
}
"""What makes a model of a verified version, by the model's name. Raises ArtifactRefused."""


@contextmanager
def in_words() -> Iterator[None]:
    """Whatever is wrong with keys, storage or a version ends the command with what is wrong."""
    try:
        yield
    except (ArtifactRefused, KeyFileError, NoSuchVersion, StorageError, VersionExists) as error:
        raise click.ClickException(str(error)) from error


def open_registry(settings: Settings) -> Registry:
    """Raises KeyFileError, StorageError."""
    return Registry(settings.model_store, Trust.read(settings.trusted_keys.expanduser()))


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where versions are published, and the key that signs them."""

    registry: Registry
    signer: Signer

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Raises KeyFileError, also where the registry would refuse what the key signs, and StorageError."""
        registry = open_registry(settings)
        signer = Signer.read(settings.signing_key.expanduser())
        if signer.public.id not in registry.trust.keys:
            raise KeyFileError(
                f"the public key of {settings.signing_key} is not in {settings.trusted_keys}: whatever it signs would "
                f"be refused here. Add this line to it, with a name at the end:\n{signer.public.line}"
            )
        return cls(registry, signer)

    def publish(self, manifest: Manifest, files: Mapping[str, bytes]) -> list[str]:
        """Store a version, and see that it can be used; the names of those older than the newest KEEP, which may go.

        Whether they may, control says: what serves stays, however old it is (`watchfloor models delete --old`).

        Raises StorageError, VersionExists, ArtifactRefused.
        """
        self.registry.publish(manifest, files, self.signer)
        # What cannot be used later is better found now.
        READERS[manifest.place.model](self.registry.load(manifest.place, manifest.version))
        return self.registry.versions(manifest.place)[:-KEEP]
