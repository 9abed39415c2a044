"""Sealing dead letters that may hold personal data: what they hold is encrypted before it is written.

A sealed letter says in plain text where the record lay, who refused it, of which tenant and for what class of reasons.
The letter as it was, with key, value, headers and message, is its value, encrypted by AES-256-SIV (RFC 5297).

The cipher must be deterministic: a frame that runs again writes the same bytes. SIV needs no nonce. It derives its
initialisation vector from text and associated data, and all that it shows of two sealed letters is whether both are the
same; the associated data are the place of the record, so two are never the same unless they are the same letter. They
also keep a sealed text from being opened as the content of another letter.
"""

import json
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from models.identity import TENANT
from schemas import topics
from streams.runtime.letters import Letter, bare, withhold

LEAST_SECRET = 32
MARK = b"sealed:1:"
"""What begins a sealed value; it ends with :, the key's id between them. No record of a topic begins like this."""
ID_BYTES, KEY_BYTES = 8, 64
INFO = b"watchfloor dead letters 1"
BOUND = ("source_topic", "source_partition", "source_offset", "source_timestamp", "agent", "error_class", "tenant_id")
"""The fields of a sealed letter in plain text, to which the sealed text is bound."""


class SealedError(ValueError):
    """A sealed letter that cannot be opened; the text says why."""


class Sealer:
    """Seals letters under the first secret; opens those sealed under any.

    Args:
        secrets: at least LEAST_SECRET bytes each; none: letters keep place and class alone.
    Raises ValueError for a shorter secret.
    """

    def __init__(self, secrets: Sequence[bytes] = ()) -> None:
        self._ciphers: dict[bytes, AESSIV] = {}
        for secret in secrets:
            if len(secret) < LEAST_SECRET:
                raise ValueError(f"a secret must have at least {LEAST_SECRET} bytes, not {len(secret)}")
            made = HKDF(SHA256(), ID_BYTES + KEY_BYTES, salt=None, info=INFO).derive(secret)
            self._ciphers.setdefault(made[:ID_BYTES].hex().encode(), AESSIV(made[ID_BYTES:]))

    def seal(self, letter: Letter) -> Letter:
        """The letter as it may be written: the same bytes whenever it is the same."""
        if not self._ciphers:
            return withhold(letter)
        name, cipher = next(iter(self._ciphers.items()))
        message = f"sealed under key {name.decode()}: `watchfloor dlq show` opens it where the secret is set"
        sealed = bare(letter, message) | {"tenant_id": _tenant(letter["key"])}
        text = cipher.encrypt(topics.DEAD_LETTERS.codec.encode(letter), [_place(sealed)])
        return sealed | {"value": MARK + name + b":" + text}

    def open(self, letter: Letter) -> Letter:
        """The letter as it was before it was sealed; one that is not sealed as it is. Raises SealedError."""
        value: bytes | None = letter["value"]
        if value is None or not value.startswith(MARK):
            return letter
        name, _, text = value.removeprefix(MARK).partition(b":")
        cipher = self._ciphers.get(name)
        if cipher is None:
            own = ", ".join(each.decode() for each in self._ciphers)
            had = f"the secrets that are set have {own}" if own else "no secret is set"
            raise SealedError(f"it is sealed under key {name.decode('ascii', 'replace')}, and {had}")
        try:
            opened: Letter = topics.DEAD_LETTERS.codec.decode(cipher.decrypt(text, [_place(letter)]))
        except InvalidTag:
            raise SealedError("it was changed after it was sealed, or belongs to another place") from None
        return opened


def _place(letter: Letter) -> bytes:
    return json.dumps([letter[field] for field in BOUND]).encode()


def _tenant(key: bytes | None) -> str | None:
    """The tenant that a key names; None of a key that is none, which may be anything."""
    name, apart, _ = (key or b"").partition(b"|")
    text = name.decode("utf-8", "replace")
    return text if apart and TENANT.fullmatch(text) else None


NO_SEALER = Sealer()
