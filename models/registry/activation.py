"""Which version serves where: the names and values of the settings of control.models.

A setting is a post: a model in a slot, for all of a tenant's subjects or for one of them. Its value is where the
version lies that fills it, or NOBODY. A post without a value is not filled, and the documented heuristic of the model's
domain does without.
"""

import re
from dataclasses import dataclass
from typing import Self

from models.identity import name_fault
from models.registry.place import MODEL, Place, moment_of

ACTIVE = "active"
"""The family of settings that name the versions that serve."""

CHAMPION = "champion"
"""The slot whose scores count."""

NOBODY = "none"
"""Of a post: no trained model, whatever all tenants have."""

SLOT = re.compile(r"champion|challenger|shadow:[a-z][a-z0-9_]{0,31}")
VALUE = re.compile(r"none|[^/|\s]+/[^/|\s]+/v\d{8}_\d{6}")
SUBJECT_BYTES = 200


@dataclass(frozen=True, slots=True, order=True)
class Post:
    """What a version can be active as.

    Attributes:
        model: its name, such as "isolation_forest".
        subject: for this one alone, such as a host; empty for all of a tenant's.
        slot: champion, challenger or shadow:NAME.
    Raises:
        ValueError: one of them is no such name.
    """

    model: str
    subject: str = ""
    slot: str = CHAMPION

    def __post_init__(self) -> None:
        if not MODEL.fullmatch(self.model):
            raise ValueError(f"a model's name must match {MODEL.pattern}, not {self.model[:100]!r}")
        if not SLOT.fullmatch(self.slot):
            raise ValueError(f"a slot must be champion, challenger or shadow:NAME, not {self.slot[:100]!r}")
        if self.subject and (wrong := name_fault(self.subject, SUBJECT_BYTES)):
            raise ValueError(f"the subject {wrong}")

    def __str__(self) -> str:
        return "|".join([self.model, self.slot, *([self.subject] if self.subject else [])])

    @property
    def setting(self) -> str:
        """Name of its setting.

        >>> Post("isolation_forest", "web-1").setting
        'active|isolation_forest|champion|web-1'
        """
        return f"{ACTIVE}|{self}"

    @classmethod
    def read(cls, text: str) -> Self:
        """The post that a text of the form MODEL|SLOT or MODEL|SLOT|SUBJECT means. Raises ValueError."""
        parts = text.split("|")
        if len(parts) not in (2, 3) or not parts[-1]:
            raise ValueError(f"expected {ACTIVE}|MODEL|SLOT or {ACTIVE}|MODEL|SLOT|SUBJECT, not {text[:100]!r}")
        model, slot, *subject = parts
        return cls(model, subject[0] if subject else "", slot)


def value_of(place: Place, version: str) -> str:
    """The value that makes a version fill a post.

    >>> value_of(Place("isolation_forest", "acme"), "v20250131_060000")
    'acme/@all/v20250131_060000'
    """
    return f"{place.path.partition('/')[2]}/{version}"


def version_of(post: Post, value: str) -> tuple[Place, str] | None:
    """The version that a value means; None for NOBODY. Raises ValueError for what is no such value."""
    if value == NOBODY:
        return None
    path, _, version = value.rpartition("/")
    moment_of(version)
    return Place.at(f"{post.model}/{path}"), version
