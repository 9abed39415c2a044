"""Signed versions of models in a folder each, local or wherever fsspec reaches. See docs/models.md.

Domain-free: a trainer gives files and what is to be said about them, and gets the files back verified.
"""

from models.registry.errors import ArtifactRefused, KeyFileError, NoSuchVersion, StorageError, VersionExists
from models.registry.manifest import MANIFEST, SIGNATURE, Artifact, Manifest, Mark
from models.registry.place import EVERYONE, Place, version_at
from models.registry.registry import KEEP, Registry
from models.registry.signing import PublicKey, Signer, Trust, trust

__all__ = [
    "EVERYONE",
    "KEEP",
    "MANIFEST",
    "SIGNATURE",
    "Artifact",
    "ArtifactRefused",
    "KeyFileError",
    "Manifest",
    "Mark",
    "NoSuchVersion",
    "Place",
    "PublicKey",
    "Registry",
    "Signer",
    "StorageError",
    "Trust",
    "VersionExists",
    "trust",
    "version_at",
]
