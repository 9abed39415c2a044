"""What can go wrong with stored models; every message says what was expected and what came."""


class ArtifactRefused(ValueError):
    """Files that must not be used: changed, cut off, not signed by a trusted key, or made for something else."""


class NoSuchVersion(LookupError):
    """There is no such version, or it was removed."""


class VersionExists(ValueError):
    """A version of this name is there already; versions never change."""


class KeyFileError(ValueError):
    """A file of keys that cannot be read or must not be used."""


class StorageError(OSError):
    """The place where models are stored does not answer as it should."""
