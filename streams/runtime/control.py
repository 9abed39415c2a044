"""What control says: a view of all settings that a worker carries along.

A version of a setting holds from its `valid_from` until it expires, before every lower version. So a record sees what
was valid at its own timestamp, whenever it is processed: every version is a record of its own, and compaction leaves
them all.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, NamedTuple, Self, TypeVar

from schemas.codec import DecodeError
from schemas.topics import Topic
from streams.runtime.errors import StateVersionError

T = TypeVar("T")

EVERYONE = "*"
NO_OFFSET = -1

Place = tuple[str, str, str]
"""Topic, tenant and name of a setting, or of a family of settings."""

Row = tuple[Topic, bytes, bytes | None]
"""A record of a control topic: topic, key, value; no value removes a version."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a setting; see schemas/control.entry.avsc. `value` is decoded, None where it is inherited."""

    version: int
    value: Any
    valid_from: int
    command_offset: int
    command_id: str
    undoes: int | None
    by: str
    at: int
    reason: str
    expires_at: int | None = None


class Span(NamedTuple):
    """When a version is in force, and which one it undoes; as in `Entry`."""

    version: int
    valid_from: int
    expires_at: int | None
    undoes: int | None


def standing(newest_first: Iterable[Span], time: int) -> int | None:
    """The version that a record of this time sees: the newest that has begun, has not expired and is not undone."""
    undone = None
    for span in newest_first:
        if span.version == undone or span.valid_from > time:
            continue
        if span.expires_at is None or time < span.expires_at:
            return span.version
        # What it undid does not come back because what it brought back is over.
        undone = span.undoes
    return None


_FIELDS = [field.name for field in fields(Entry)]


class _Versions:
    """The versions of one setting of one tenant, and which of them holds when."""

    __slots__ = ("all", "holds", "starts", "values")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.all = tuple(sorted(entries, key=lambda entry: entry.version))
        by_version = {entry.version: entry for entry in self.all}
        spans = [Span(each.version, each.valid_from, each.expires_at, each.undoes) for each in reversed(self.all)]
        edges = {time for span in spans for time in (span.valid_from, span.expires_at) if time is not None}
        self.starts: list[int] = []
        self.holds: list[Entry | None] = []
        for time in sorted(edges):
            version = standing(spans, time)
            entry = None if version is None else by_version[version]
            if not self.holds or self.holds[-1] is not entry:
                self.starts.append(time)
                self.holds.append(entry)
        self.values = [None if entry is None else entry.value for entry in self.holds]

    def at(self, time: int) -> Entry | None:
        place = bisect_right(self.starts, time)
        return self.holds[place - 1] if place else None


class Control:
    """All settings as of one offset of the control log. It never changes; `after` makes another.

    Args:
        defaults: what holds where nobody has set anything, by (topic, setting). Also the list of what exists.
    Attributes:
        offset: offset in control.commands of the newest command that is in force here, -1 before the first.
    """

    __slots__ = ("_defaults", "_scopes", "_versions", "offset")

    def __init__(self, defaults: Mapping[tuple[str, str], Any]) -> None:
        self._defaults = defaults
        self._versions: dict[Place, _Versions] = {}
        self._scopes: dict[Place, list[str]] = {}
        self.offset = NO_OFFSET

    def get(self, topic: str, tenant: str, name: str, time: int) -> Any:
        """The value that holds for a tenant at a record timestamp: its own, else that of `*`, else the default.

        Raises KeyError when there is no such setting.
        """
        found = self.find(topic, tenant, name, time)
        # One of a family has the family's default.
        return self._defaults[topic, name.partition("|")[0]] if found is None else found[1].value

    def find(self, topic: str, tenant: str, name: str, time: int) -> tuple[str, Entry] | None:
        """Whose value holds (the tenant's or that of `*`) and the version that says so; None for the default."""
        for who in (tenant, EVERYONE):
            versions = self._versions.get((topic, who, name))
            entry = None if versions is None else versions.at(time)
            if entry is not None and entry.value is not None:
                return who, entry
        return None

    def history(self, topic: str, tenant: str, name: str) -> tuple[Entry, ...]:
        """Every kept version of a tenant's own setting, the oldest first."""
        versions = self._versions.get((topic, tenant, name))
        return () if versions is None else versions.all

    def coming(self, topic: str, tenant: str, name: str, time: int) -> list[tuple[int, Entry | None]]:
        """How a tenant's own setting will stand after a time: from when on, and which version; None without any."""
        versions = self._versions.get((topic, tenant, name))
        if versions is None:
            return []
        return [(start, entry) for start, entry in zip(versions.starts, versions.holds, strict=True) if start > time]

    def timeline(self, topic: str, tenant: str, name: str) -> tuple[Sequence[int], Sequence[Any]] | None:
        """From when on which value of a tenant's own holds (None: none), ascending; None where it has no versions."""
        versions = self._versions.get((topic, tenant, name))
        return None if versions is None else (versions.starts, versions.values)

    def edges(self, settings: Iterable[tuple[str, str]], tenant: str) -> list[int]:
        """When versions of settings, by (topic, name), begin or end, a tenant's own and those of `*`; ascending.

        Between two of these times nothing about them changes.
        """
        found: set[int | None] = set()
        for topic, name in settings:
            for who in (tenant, EVERYONE):
                versions = self._versions.get((topic, who, name))
                if versions is not None:
                    found.update(time for each in versions.all for time in (each.valid_from, each.expires_at))
        return sorted(time for time in found if time is not None)

    def scopes(self, topic: str, tenant: str, family: str) -> Sequence[str]:
        """Names of a family's settings (`family|scope`) that the tenant has versions of, in order."""
        return self._scopes.get((topic, tenant, family), ())

    def family(self, topic: str, family: str) -> Iterator[tuple[str, str, tuple[Entry, ...]]]:
        """Tenant, name and every kept version, the oldest first, of each setting of a family."""
        for (where, tenant, name), versions in self._versions.items():
            if where == topic and name.partition("|")[0] == family:
                yield tenant, name, versions.all

    def after(self, rows: Iterable[Row]) -> Self:
        """This view with more records of the control topics taken in; in any order between topics.

        Raises StateVersionError for a record that this release does not read.
        """
        changed: dict[Place, dict[int, Entry]] = {}
        offset = self.offset
        for topic, key, value in rows:
            place, version = _place(topic, key)
            if place not in changed:
                changed[place] = {entry.version: entry for entry in self.history(*place)}
            if value is None:
                changed[place].pop(version, None)
                continue
            entry = _entry(topic, value)
            changed[place][entry.version] = entry
            offset = max(offset, entry.command_offset)
        versions = self._versions | {place: _Versions(found.values()) for place, found in changed.items()}
        return self._with(versions, _scopes(changed, self._scopes), offset)

    def upto(self, offset: int) -> Self:
        """This view as it was at a command's offset: with what a replay of a frame whose MARK has it must see.

        Versions that the control agent has removed since then are missing; no record that is still kept needs them.
        """
        kept: dict[Place, _Versions] = {}
        newest = NO_OFFSET
        for place, versions in self._versions.items():
            entries = [entry for entry in versions.all if entry.command_offset <= offset]
            if entries:
                kept[place] = _Versions(entries)
                newest = max(newest, *(entry.command_offset for entry in entries))
        return self._with(kept, _scopes(kept, {}), newest)

    def _with(self, versions: dict[Place, _Versions], scopes: dict[Place, list[str]], offset: int) -> Self:
        view = type(self)(self._defaults)
        view._versions = versions
        view._scopes = scopes
        view.offset = offset
        return view


class Spans(Generic[T]):
    """What a view of control makes of a tenant, once for each time in which none of the settings changes.

    Args:
        settings: by (topic, name): all that `make` looks at.
        make: of a tenant, and a time in the span, epoch milliseconds.
    """

    __slots__ = ("_control", "_known", "_make", "_settings")

    def __init__(self, control: Control, settings: Iterable[tuple[str, str]], make: Callable[[str, int], T]) -> None:
        self._control, self._settings, self._make = control, tuple(settings), make
        self._known: dict[str, tuple[list[int], dict[int, T]]] = {}

    def of(self, tenant: str, time: int) -> T:
        """What was made for the span of a record timestamp, epoch milliseconds."""
        edges, made = self._spans(tenant)
        span = bisect_right(edges, time)
        if span not in made:
            made[span] = self._make(tenant, time)
        return made[span]

    def split(self, tenant: str, times: Sequence[int]) -> Iterable[tuple[T, Sequence[int]]]:
        """What was made for the spans of record timestamps, at least one, each with the places of those in it."""
        edges, _ = self._spans(tenant)
        if bisect_right(edges, min(times)) == bisect_right(edges, max(times)):  # as a rule
            return [(self.of(tenant, times[0]), range(len(times)))]
        places: dict[int, list[int]] = {}
        for place, time in enumerate(times):
            places.setdefault(bisect_right(edges, time), []).append(place)
        return [(self.of(tenant, times[found[0]]), found) for found in places.values()]

    def _spans(self, tenant: str) -> tuple[list[int], dict[int, T]]:
        found = self._known.get(tenant)
        if found is None:
            found = self._known[tenant] = self._control.edges(self._settings, tenant), {}
        return found


def _scopes(places: Iterable[Place], known: Mapping[Place, list[str]]) -> dict[Place, list[str]]:
    """Names of settings with scopes, by topic, tenant and family: those that are known, and of these places."""
    fresh: dict[Place, set[str]] = {}
    for topic, tenant, name in places:
        family, bar, _ = name.partition("|")
        if bar:
            fresh.setdefault((topic, tenant, family), set()).add(name)
    return {**known, **{place: sorted(names.union(known.get(place, ()))) for place, names in fresh.items()}}


def _place(topic: Topic, key: bytes) -> tuple[Place, int]:
    """Topic, tenant and name, and the version."""
    try:
        tenant, name = key.decode().split("|", 1)
        name, version = name.rsplit("|", 1)
        return (topic.name, tenant, name), int(version)
    except ValueError as error:
        raise StateVersionError(f"a record of {topic.name} has the key {key!r}, not tenant|name|version") from error


def _entry(topic: Topic, value: bytes) -> Entry:
    try:
        record = topic.codec.decode(value)
    except DecodeError as error:
        raise StateVersionError(f"a record of {topic.name} cannot be read: {error}") from error
    text = record["value"]
    return Entry(**{name: record[name] for name in _FIELDS if name != "value"}, value=text and json.loads(text))
