"""What a version is a version of: a model, for whom, and for what of theirs."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

EVERYONE = "*"
"""Stands for all tenants."""

MODEL = re.compile(r"[a-z][a-z0-9_]{0,62}")
ALL = "@all"
MOST_BYTES = 240
"""Of a folder's name; file systems take 255."""

_VERSION = "v%Y%m%d_%H%M%S"
# What paths, globs or other systems give a meaning to, and the sign that our own ALL begins with.
_SPECIAL = re.compile(r'[%/\\:*?"<>|\[\]@\x00-\x1f\x7f]|^\.')


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What a version is a version of.

    Attributes:
        model: its name, such as "isolation_forest".
        tenant: for whom; `*` for all tenants.
        subject: for what of the tenant's, such as a host; empty for all of it.
    Raises:
        ValueError: the model has no such name, or a name is too long for a folder.
    """

    model: str
    tenant: str = EVERYONE
    subject: str = ""

    def __post_init__(self) -> None:
        if not MODEL.fullmatch(self.model):
            raise ValueError(f"a model's name must match {MODEL.pattern}, not {self.model!r}")
        if not self.tenant:
            raise ValueError("a tenant's name must not be empty; * stands for all tenants")
        for name in (self.tenant, self.subject):
            if len(folder(name).encode()) > MOST_BYTES:
                raise ValueError(f"{name[:40]!r}... is too long: as a folder it would have over {MOST_BYTES} bytes")

    @property
    def path(self) -> str:
        """Its folder below the registry's."""
        tenant = ALL if self.tenant == EVERYONE else folder(self.tenant)
        return f"{self.model}/{tenant}/{folder(self.subject) if self.subject else ALL}"

    @classmethod
    def at(cls, path: str) -> "Place":
        """The place of a folder. ValueError where the folder is nobody's."""
        model, tenant, subject = path.split("/")
        found = cls(model, EVERYONE if tenant == ALL else unquote(tenant), "" if subject == ALL else unquote(subject))
        if found.path != path:
            raise ValueError(f"{path} is no folder of a model")
        return found

    def __str__(self) -> str:
        tenant = "all tenants" if self.tenant == EVERYONE else self.tenant
        return f"{self.model} of {tenant}" + (f", {self.subject}" if self.subject else "")


def version_at(moment: datetime) -> str:
    """Name of a version that is made at a moment.

    >>> version_at(datetime(2025, 1, 31, 6, 0, 0, tzinfo=UTC))
    'v20250131_060000'
    """
    return f"{moment.astimezone(UTC):{_VERSION}}"


def moment_of(version: str) -> datetime:
    """When a version was made, by its name. Raises ValueError for what is no name of a version."""
    try:
        found = datetime.strptime(version, _VERSION).replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or version_at(found) != version:
        raise ValueError(f"a version must look like v20250131_060000, not {version!r}")
    return found


def folder(name: str) -> str:
    """A name as that of a folder: what has a meaning in paths is written as %XX.

    >>> folder("web-1"), folder("../x"), folder("a/b")
    ('web-1', '%2E.%2Fx', 'a%2Fb')
    """
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", name)
