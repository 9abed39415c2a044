"""The models that the settings name, with their trouble in plain words."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click

from models.anomaly import forest_artifact
from models.registry import (
    Artifact,
    ArtifactRefused,
    KeyFileError,
    NoSuchVersion,
    Registry,
    Signer,
    StorageError,
    Trust,
    VersionExists,
)
from watchfloor.settings import Settings

READERS: Mapping[str, Callable[[Artifact], object]] = {forest_artifact.NAME: forest_artifact.unpack}
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


def open_signer(settings: Settings) -> Signer:
    """Raises KeyFileError."""
    return Signer.read(settings.signing_key.expanduser())
