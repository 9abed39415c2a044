"""What may be kept of a text that was read: no personal data in plain text, unless a tenant allows plates.

Of a meter its digits stay. Of a plate there stay the classes of its characters, and fingerprints under a key of its
tenant that tell whether two plates are the same or differ in one character, to nobody without the key.
"""

import hmac
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from unicodedata import normalize

FINGERPRINT = 16
"""Bytes of a fingerprint: the first of its HMAC-SHA256."""

LEAST_PLATE, MOST_PLATE = 2, 12
"""Characters of what may be a plate; other texts get no fingerprints."""
MOST_DIGITS, MOST_OTHERS = 9, 3
"""A meter shows no more digits, and an engine adds no more other characters; what has more may be anything, such as a
phone number, and nothing of it stays."""

UNKNOWN = "?"
"""Stands for what was redacted."""

_APART = re.compile(r"[\s.,\-·_]+")
_SEPARATORS = " -.·_"
UNIT = re.compile(r"\s*(kwh|mwh|wh|m3|m³|l)\s*$", re.IGNORECASE)
"""A unit that an engine reads behind the digits of a meter; it is no part of them."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of all tenants, made of one secret: HMAC-SHA256 of the tenant's name under it.

    Attributes:
        secret: at least LEAST_SECRET bytes; None: there are no keys, and so no fingerprints.

    Raises ValueError for a shorter secret.
    """

    secret: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.secret is not None and len(self.secret) < LEAST_SECRET:
            raise ValueError(f"the secret must have at least {LEAST_SECRET} bytes, not {len(self.secret)}")

    def of(self, tenant: str) -> bytes | None:
        """The key of a tenant; None without a secret."""
        return None if self.secret is None else _key(self.secret, tenant)


LEAST_SECRET = 32
NO_KEYS = Keys()


@lru_cache(1024)
def _key(secret: bytes, tenant: str) -> bytes:
    return hmac.digest(secret, b"plates|" + tenant.encode(), "sha256")


def meter(raw: str) -> str:
    """The digits of a text before its unit, ? for each other character but spaces and separators.

    One ? stands for what cannot be a meter's.

    >>> meter("0123O.4 ")
    '0123?4'
    >>> meter("call +49 171 2345678")
    '?'
    """
    kept = [char if char in "0123456789" else UNKNOWN for char in _APART.sub("", normalize("NFKC", UNIT.sub("", raw)))]
    others = kept.count(UNKNOWN)
    return UNKNOWN if others > MOST_OTHERS or len(kept) - others > MOST_DIGITS else "".join(kept)


def plate(raw: str) -> str:
    """A plate as it is compared: capital letters and digits without what stands between them."""
    return _APART.sub("", normalize("NFKC", raw)).upper()


def classes(raw: str) -> str:
    """A for a letter, 9 for a digit, - between, ? for anything else.

    >>> classes("hh-AB 12*4")
    'AA-AA-99?9'
    """
    return "".join(map(_class, normalize("NFKC", raw).strip()))


def _class(char: str) -> str:
    if char.isalpha():
        return "A"
    return "9" if char.isdigit() else "-" if char in _SEPARATORS else UNKNOWN


class Prints(NamedTuple):
    """Fingerprints of a plate, FINGERPRINT bytes each.

    Attributes:
        whole: of the plate.
        without: of the plate without its first, second, ... character, and which one that was.
        within: what `without` of a longer plate has where that becomes this one by leaving out one character.
        shorter: what `whole` of a shorter plate is that this one becomes by leaving out one character.
    """

    whole: bytes
    without: tuple[bytes, ...]
    within: tuple[bytes, ...]
    shorter: tuple[bytes, ...]

    @property
    def kept(self) -> list[str]:
        """What is stored of them: `whole` and `without`, in hexadecimal."""
        return [self.whole.hex(), *(each.hex() for each in self.without)]


def prints(key: bytes | None, text: str) -> Prints | None:
    """Fingerprints of a normalised plate; None without a key, and of what can be no plate."""
    if key is None or not LEAST_PLATE <= len(text) <= MOST_PLATE or not text.isalnum():
        return None
    parts = [text[:place] + text[place + 1 :] for place in range(len(text))]
    return Prints(
        whole=_print(key, text),
        without=tuple(_print(key, f"{place}|{part}") for place, part in enumerate(parts)),
        within=tuple(_print(key, f"{place}|{text}") for place in range(len(text) + 1)),
        shorter=tuple(_print(key, part) for part in parts),
    )


def _print(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")[:FINGERPRINT]


class Redacted(NamedTuple):
    """What is kept of a text: see schemas/ocr.readings.avsc."""

    text: str
    fingerprints: list[str]


def redact_plate(raw: str, found: Prints | None, plain: bool) -> Redacted:
    """Of a plate; in plain text where its tenant allows that, and it may be one: no name, no telephone number."""
    text = plate(raw)
    mixed = text.isalnum() and not text.isalpha() and not text.isdigit()
    allowed = plain and mixed and LEAST_PLATE <= len(text) <= MOST_PLATE
    return Redacted(text if allowed else classes(raw)[: 2 * MOST_PLATE], [] if found is None else found.kept)
