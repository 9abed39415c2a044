"""Versions of models, signed, in a folder each: published whole or not at all, verified whenever they are loaded.

MODEL/TENANT/SUBJECT/VERSION/ holds the model's files, manifest.sig, and manifest.json, which is written last and
deleted first: a version is there when its manifest is.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta

from models.registry.errors import ArtifactRefused, NoSuchVersion, VersionExists
from models.registry.manifest import MANIFEST, SIGNATURE, Artifact, Manifest, Mark
from models.registry.place import Place, moment_of, version_at
from models.registry.signing import Signer, Trust
from models.registry.storage import Storage

KEEP = 5
MOST_MANIFEST, MOST_SIGNATURE = 1 << 20, 1 << 10
ABANDONED = timedelta(hours=1)
"""A version that has no manifest so long after it was begun is none that somebody is still publishing."""


class Registry:
    """The models stored at one address.

    Args:
        url: where; see `Storage`.
        trust: keys whose signatures count.
    Every method raises StorageError when the storage fails.
    """

    def __init__(self, url: str, trust: Trust) -> None:
        self.storage = Storage(url)
        self.trust = trust

    def places(self) -> Iterator[Place]:
        """Everything that there are versions of, in the order of the folders' names."""
        for model in self.storage.names():
            for tenant in self.storage.names(model):
                for subject in self.storage.names(f"{model}/{tenant}"):
                    try:
                        place = Place.at(f"{model}/{tenant}/{subject}")
                    except ValueError:
                        continue  # somebody else's folder
                    if self.versions(place):
                        yield place

    def versions(self, place: Place) -> list[str]:
        """Names of the published versions, the oldest first."""
        return [name for name in self._folders(place) if self.storage.exists(f"{place.path}/{name}/{MANIFEST}")]

    def manifest(self, place: Place, version: str) -> tuple[Manifest, str]:
        """The manifest of a version, and the name of the trusted key that signed it; its files are not looked at.

        Raises:
            NoSuchVersion: there is none.
            ArtifactRefused: the manifest was changed, is not signed by a trusted key, or is another version's.
        """
        folder = f"{place.path}/{version}"
        try:
            raw = self.storage.read(f"{folder}/{MANIFEST}", MOST_MANIFEST)
        except FileNotFoundError as error:
            raise self._none(place, version) from error
        signature = self._read(place, version, SIGNATURE, MOST_SIGNATURE)
        try:
            key = self.trust.check(raw, signature)
            manifest = Manifest.decode(raw)
            if (manifest.place, manifest.version) != (place, version):
                raise ArtifactRefused(f"it was signed as {manifest.place}, {manifest.version}, and moved here")
        except ArtifactRefused as error:
            raise ArtifactRefused(f"{place}, {version}: {error}") from error
        return manifest, key.name

    def load(self, place: Place, version: str) -> Artifact:
        """A version with its files. Whoever uses it says what features it must have: `Artifact.require`.

        Raises:
            NoSuchVersion: there is none.
            ArtifactRefused: as by `manifest`, or a file is missing, cut off or changed.
        """
        manifest, key = self.manifest(place, version)
        files = {}
        for name, mark in manifest.files.items():
            files[name] = self._read(place, version, name, mark.size + 1)
            if wrong := mark.fault(files[name]):
                raise ArtifactRefused(f"{place}, {version}: {name} {wrong}")
        return Artifact(manifest, key, files)

    def publish(self, manifest: Manifest, files: Mapping[str, bytes], signer: Signer) -> None:
        """Store a new version. Nobody sees it before all of it is stored.

        Raises:
            VersionExists: there is one of this name, or somebody else is publishing one.
            ValueError: the files are not those of the manifest.
        """
        if {name: Mark.of(content) for name, content in files.items()} != manifest.files:
            raise ValueError("the files are not those that the manifest names")
        raw = manifest.encode()
        if len(raw) > MOST_MANIFEST:
            raise ValueError(f"the manifest has {len(raw):,} bytes, at most {MOST_MANIFEST:,} are read")
        folder = f"{manifest.place.path}/{manifest.version}"
        # The first file decides which of two publishers goes on.
        every = {SIGNATURE: signer.sign(raw), **dict(sorted(files.items())), MANIFEST: raw}
        for name, content in every.items():
            try:
                self.storage.create(f"{folder}/{name}", content)
            except FileExistsError as error:
                raise VersionExists(
                    f"{manifest.place} has a version {manifest.version} already, or one that was begun"
                ) from error

    def prune(self, place: Place, keep: int = KEEP, spare: Collection[str] = ()) -> list[str]:
        """Delete all but the newest versions, and what was begun and never finished. Returns the names, oldest first.

        Args:
            keep: so many of the newest stay, 1 or more.
            spare: versions that stay however old they are.
        """
        if keep < 1:
            raise ValueError(f"at least one version is kept, not {keep}")
        published = self.versions(place)
        gone = [version for version in published[:-keep] if version not in spare]
        for version in gone:
            self.delete(place, version)
        if published:
            # By the names, not by a clock: the newest version tells how late it is.
            limit = version_at(moment_of(published[-1]) - ABANDONED)
            begun = [name for name in self._folders(place) if name not in published and name < limit]
            for version in begun:
                if not self.storage.exists(f"{place.path}/{version}/{MANIFEST}"):
                    self.storage.delete(f"{place.path}/{version}")
        return gone

    def delete(self, place: Place, version: str) -> None:
        """Delete a version, for good; nothing happens when there is none."""
        folder = f"{place.path}/{version}"
        self.storage.delete(f"{folder}/{MANIFEST}")
        self.storage.delete(folder)

    def _read(self, place: Place, version: str, name: str, most: int) -> bytes:
        """A file that must be there while the manifest is."""
        folder = f"{place.path}/{version}"
        try:
            return self.storage.read(f"{folder}/{name}", most)
        except FileNotFoundError as error:
            if not self.storage.exists(f"{folder}/{MANIFEST}"):
                raise self._none(place, version) from error  # deleted meanwhile
            raise ArtifactRefused(f"{place}, {version}: {name} is missing") from error

    def _none(self, place: Place, version: str) -> NoSuchVersion:
        there = ", ".join(self.versions(place)) or "none"
        return NoSuchVersion(f"{place} has no version {version}; there are: {there}")

    def _folders(self, place: Place) -> list[str]:
        return [name for name in self.storage.names(place.path) if _is_version(name)]


def _is_version(name: str) -> bool:
    try:
        moment_of(name)
    except ValueError:
        return False
    return True
