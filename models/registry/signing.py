"""Ed25519 signatures of manifests: the private key of who trains, the public keys that those who load trust.

The list of trusted keys is a file of the reader's own. It never comes with what it judges.
"""

import base64
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from models.registry.errors import ArtifactRefused, KeyFileError
from models.registry.manifest import MANIFEST, SIGNATURE

ALGORITHM = "ed25519"
# Signed with the manifest, so that no signature made for something else fits.
CONTEXT = b"watchfloor model manifest 1\n"
KEY_BYTES, SIGNATURE_BYTES = 32, 64
MOST_NAME = 100


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key.

    Attributes:
        raw: its 32 bytes.
        name: whose it is, for people; one line.
    """

    raw: bytes
    name: str

    @property
    def id(self) -> str:
        """First 16 hexadecimal digits of the key's SHA-256."""
        return sha256(self.raw).hexdigest()[:16]

    @property
    def line(self) -> str:
        """It as a line of a list of trusted keys."""
        return f"{ALGORITHM} {base64.b64encode(self.raw).decode()} {self.name}"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Raises ValueError."""
        algorithm, _, rest = line.strip().partition(" ")
        text, _, name = rest.strip().partition(" ")
        if algorithm != ALGORITHM:
            raise ValueError(f"expected `{ALGORITHM} KEY NAME`, got {algorithm[:20]!r} first")
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise ValueError(f"the key is not base64: {error}") from error
        if len(raw) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, this one {len(raw)}")
        return cls(raw, name.strip())


class Signer:
    """Who signs: a private key and the name that goes with its public key."""

    def __init__(self, key: Ed25519PrivateKey, name: str) -> None:
        self._key = key
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = PublicKey(raw, name)

    @classmethod
    def generate(cls, name: str) -> Self:
        """One with a new key. Raises ValueError for a name that is no line of text."""
        if not name.strip() or not name.isprintable() or len(name) > MOST_NAME:
            raise ValueError(f"a key's name must be 1 to {MOST_NAME} printable characters, not {name[:MOST_NAME]!r}")
        return cls(Ed25519PrivateKey.generate(), name.strip())

    @classmethod
    def read(cls, path: Path) -> Self:
        """The private key in a file that only its owner can read. Raises KeyFileError."""
        try:
            mode, pem = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
        except FileNotFoundError as error:
            raise KeyFileError(f"there is no private key at {path}: `watchfloor models keygen` makes one") from error
        except OSError as error:
            raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFileError(
                f"{path} can be read by others (mode {mode:04o}): `chmod 600` it, and make a new key if somebody may "
                "have read it"
            )
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyFileError(f"{path} holds no private key in PEM without a password") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(f"{path} holds a key of another kind than Ed25519")
        return cls(key, path.name)

    def write(self, path: Path) -> None:
        """Store the private key in a new file of mode 0600. Raises KeyFileError; a file that is there stays."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise KeyFileError(f"{path} is there already; a key is never overwritten") from error
        except OSError as error:
            raise KeyFileError(f"{path} cannot be made: {error.strerror}") from error
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    def sign(self, manifest: bytes) -> bytes:
        """The signature file of a manifest."""
        return _encoded(self.public.id, self._key.sign(CONTEXT + manifest))


class Trust:
    """The public keys whose signatures count.

    Args:
        keys: the keys.
        source: where the list comes from, for messages.
    """

    def __init__(self, keys: tuple[PublicKey, ...], source: str) -> None:
        self.keys: Mapping[str, PublicKey] = {key.id: key for key in keys}
        self.source = source

    @classmethod
    def read(cls, path: Path) -> Self:
        """The keys of a file: a line `ed25519 KEY NAME` for each, # before a remark. No file: no keys.

        Raises KeyFileError, which names the line.
        """
        keys = []
        try:
            text = path.read_text()
        except FileNotFoundError:
            return cls((), f"{path}, which is not there")
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileError(f"{path} cannot be read: {error}") from error
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                try:
                    keys.append(PublicKey.parse(line))
                except ValueError as error:
                    raise KeyFileError(f"{path}, line {number}: {error}") from error
        return cls(tuple(keys), str(path))

    def check(self, manifest: bytes, signature: bytes) -> PublicKey:
        """The trusted key that signed a manifest, given both files. Raises ArtifactRefused."""
        key_id, raw = _decoded(signature)
        key = self.keys.get(key_id)
        if key is None:
            names = ", ".join(f"{known.id} ({known.name})" for known in self.keys.values()) or "none"
            raise ArtifactRefused(
                f"signed with key {key_id}, which is not trusted here; trusted keys in {self.source}: {names}"
            )
        try:
            Ed25519PublicKey.from_public_bytes(key.raw).verify(raw, CONTEXT + manifest)
        except InvalidSignature as error:
            raise ArtifactRefused(
                f"the signature does not fit: {MANIFEST} or {SIGNATURE} was changed, or key {key_id} ({key.name}) "
                "never signed it"
            ) from error
        return key


def trust(path: Path, key: PublicKey) -> None:
    """Add a key to a list of trusted keys, which is made where it is not there. Raises KeyFileError."""
    if key.id in Trust.read(path).keys:
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("a+") as file:
            file.seek(0)
            before = file.read()
            file.write(("\n" if before and not before.endswith("\n") else "") + key.line + "\n")
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error


def _encoded(key_id: str, signature: bytes) -> bytes:
    return f"{ALGORITHM} {key_id} {signature.hex()}\n".encode()


def _decoded(raw: bytes) -> tuple[str, bytes]:
    """Key id and signature of a signature file; only the one form that `_encoded` gives is taken."""
    try:
        algorithm, key_id, text = raw.decode("ascii").split()
        signature = bytes.fromhex(text)
    except ValueError as error:
        raise ArtifactRefused(f"{SIGNATURE} is no signature, or was cut off") from error
    if algorithm != ALGORITHM or len(signature) != SIGNATURE_BYTES or raw != _encoded(key_id, signature):
        raise ArtifactRefused(f"{SIGNATURE} is no signature of {ALGORITHM}, or was changed or cut off")
    return key_id, signature
