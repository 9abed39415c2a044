"""Formats of state that a release changes: how the one before is read, and when the new one is written.

A release that changes a format reads both, and writes the one before until the upgrade is finalised: workers of the
release before share the partitions with it, and it can be taken back. See docs/upgrades.md.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from streams.runtime.control import EVERYONE, Control
from streams.runtime.errors import StateVersionError
from streams.runtime.layout import SEPARATOR

if TYPE_CHECKING:
    from streams.runtime.agent import Agent

LEVEL = ("control.flags", "state_level")
"""Control topic and name of the setting that says up to which level upgrades are finalised."""

_SAYS = b"level="

Convert = Callable[[bytes, bytes], bytes]
"""(sub-key or part of a live object, stored value) to the stored value in the other format, without version bytes."""


class Kind(Protocol):
    """A `Part`, or a class of live objects."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Change:
    """The format that a kind had in the release before, whose version is one less.

    Until the upgrade is finalised an agent may keep only what the format before can hold, or what is computed would
    depend on where frames are cut: `downgrade` must lose nothing, which is checked with every value.

    Args:
        kind: as it is in this release.
        upgrade: from the format before to this one.
        downgrade: the inverse.
    """

    kind: Kind
    upgrade: Convert
    downgrade: Convert

    def __post_init__(self) -> None:
        if self.kind.version < 2:
            raise ValueError(f"{self.kind.name} has version {self.kind.version}: there is none before it")


class Formats:
    """The formats that a release changes. Keys and values are those of the changelog."""

    __slots__ = ("_changes",)

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self._changes = {change.kind.name.encode("ascii"): change for change in changes}

    def __bool__(self) -> bool:
        return bool(self._changes)

    def newest(self, key: bytes, raw: bytes) -> bytes:
        """A stored value in the format of this release; one in neither format as it is."""
        _, name, sub = key.split(SEPARATOR, 2)
        change = self._changes.get(name)
        if change is None or raw[0] != change.kind.version - 1:
            return raw
        return bytes([change.kind.version]) + change.upgrade(sub, raw[1:])

    def before(self, key: bytes, raw: bytes) -> bytes:
        """A value in the format of the release before.

        Raises StateVersionError when that cannot hold it: the agent uses what is new before the upgrade is finalised.
        """
        _, name, sub = key.split(SEPARATOR, 2)
        change = self._changes.get(name)
        if change is None:
            return raw
        version, new = change.kind.version, raw[1:]
        old = change.downgrade(sub, new)
        if change.upgrade(sub, old) != new:
            raise StateVersionError(
                f"state part {change.kind.name!r} has a value that format {version - 1} cannot hold: the agent must "
                "make none before the upgrade is finalised"
            )
        return bytes([version - 1]) + old

    def old(self, entries: Mapping[bytes, bytes]) -> list[bytes]:
        """Keys of what is stored in the format before.

        Raises StateVersionError when something is stored in neither format.
        """
        found = []
        if self._changes:
            for key, raw in entries.items():
                change = self._changes.get(key.split(SEPARATOR, 2)[1])
                if change is not None and raw[0] != change.kind.version:
                    if raw[0] != change.kind.version - 1:
                        raise version_error(change.kind.name, change.kind.version, raw[0], changed=True)
                    found.append(key)
        return found

    def renewed(self, keys: Iterable[bytes], entries: Mapping[bytes, bytes]) -> dict[bytes, bytes | None]:
        """What is stored under these keys, where it is in the format before, in that of this release."""
        changes: dict[bytes, bytes | None] = {}
        for key in keys:
            stored = entries.get(key)
            if stored is not None and (raw := self.newest(key, stored)) != stored:
                changes[key] = raw
        return changes


class Upgraded:
    """Stored values as this release reads them, whichever of the two formats they are in."""

    __slots__ = ("_entries", "_formats")

    def __init__(self, entries: Mapping[bytes, bytes], formats: Formats) -> None:
        self._entries = entries
        self._formats = formats

    def get(self, key: bytes) -> bytes | None:
        raw = self._entries.get(key)
        return None if raw is None else self._formats.newest(key, raw)


def level(agent: "Agent", control: Control) -> int:
    """The level at which an agent writes under a view of control: its own once the upgrade is finalised, else one less.

    An agent that changes no format has nothing to ask.
    """
    return max(agent.level - 1, min(agent.level, finalised(control))) if agent.level else 0


def finalised(control: Control) -> int:
    """Up to which level upgrades are finalised. Raises KeyError where control does not have the setting."""
    found: int = control.get(LEVEL[0], EVERYONE, LEVEL[1], 0)
    return found


def said(level: int) -> bytes:
    """What a worker says of its release in an agent's group, so that an upgrade can see who is there."""
    return _SAYS + b"%d" % level


def heard(text: bytes) -> int | None:
    """The level of who says this in an agent's group; None when that is something else."""
    number = text.removeprefix(_SAYS)
    return int(number) if number != text and number.isdigit() else None


def version_error(name: str, expected: int, found: int, changed: bool = False) -> StateVersionError:
    reads = f"{expected - 1} and {expected}" if changed else str(expected)
    return StateVersionError(
        f"state part {name!r} is stored in format {found}, this release reads {reads}: run the release that wrote it"
    )


def counted(entries: Mapping[bytes, bytes]) -> dict[str, dict[int, int]]:
    """How many values are stored, by part and format."""
    found: dict[str, dict[int, int]] = {}
    for key, raw in entries.items():
        formats = found.setdefault(key.split(SEPARATOR, 2)[1].decode(), {})
        formats[raw[0]] = formats.get(raw[0], 0) + 1
    return found
