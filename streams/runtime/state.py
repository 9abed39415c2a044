"""Keyed state of one partition: small versioned values, changed in an overlay that only a commit makes real.

A stored value is found by (record key, part name, sub-key) and starts with one version byte. Agents that need
decoded objects between frames keep them as live objects; a frame that fails drops the ones it touched, and they
are loaded again from what was committed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, cast

from schemas.compiled import load
from streams.runtime.formats import Formats, Upgraded, version_error
from streams.runtime.layout import SEPARATOR
from streams.runtime.timers import Heap, Timers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A kind of stored value.

    Args:
        name: ASCII, unique in the agent; part of the key in the changelog, so never renamed.
        version: 1..255, raised when `pack` changes, with a `Change` among those of the agent.
        pack: value -> bytes, well under 1 kB.
        unpack: the inverse.
    """

    name: str
    version: int
    pack: Callable[[T], bytes]
    unpack: Callable[[bytes], T]
    suffix: bytes = field(init=False)
    head: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "suffix", SEPARATOR + self.name.encode("ascii") + SEPARATOR)
        object.__setattr__(self, "head", bytes([self.version]))

    def full(self, place: bytes | tuple[bytes, bytes]) -> bytes:
        """Key in the changelog, of a record key or a (record key, sub-key)."""
        return place + self.suffix if isinstance(place, bytes) else self.suffix.join(place)

    def decode(self, raw: bytes) -> T:
        """Raises StateVersionError for a format that this release does not read."""
        if raw[0] != self.version:
            raise version_error(self.name, self.version, raw[0])
        return self.unpack(raw[1:])


class Live(Protocol):
    """An object that an agent keeps decoded between frames, stored as several small parts under a record key."""

    name: ClassVar[str]
    """ASCII, unique in the agent; part of the key in the changelog, so never renamed."""
    version: ClassVar[int]
    """1..255, raised when the parts' format changes, with a `Change` among those of the agent."""

    @classmethod
    def load(cls, key: bytes, read: Callable[[bytes], bytes | None]) -> Self:
        """The object of a record key; `read(part)` gives a stored part, None when there is none."""
        ...

    def changes(self) -> Iterable[tuple[bytes, bytes | None]]:
        """(part, bytes) of every part changed since the last call; None deletes the part."""
        ...


L = TypeVar("L", bound=Live)


class Store:
    """Committed state of one partition, and the live objects that stand for it."""

    __slots__ = ("committed", "live", "timers")

    def __init__(self, committed: dict[bytes, bytes] | None = None, timers: bool = True) -> None:
        self.committed = {} if committed is None else committed
        self.timers = Heap(self.committed.items() if timers else ())
        self.live: dict[tuple[bytes, type[Any]], Live] = {}

    def apply(self, changes: dict[bytes, bytes | None]) -> None:
        """Make a frame's changes real, after its transaction was committed."""
        committed = self.committed
        gone = [key for key, raw in changes.items() if raw is None]
        committed.update(changes)  # type: ignore[arg-type]  # what is None goes at once
        for key in gone:
            del committed[key]


class Values(dict[Any, Any]):
    """The values of one part as a frame sees and changes them, by record key or by (record key, sub-key).

    `values[key]` is None where there is none; `values[key] = value` changes it, None deletes it. Only these two are for
    use: plain dictionary accesses, because agents make millions of them. streams.runtime._compiled has the same in C.
    """

    __slots__ = ("_part", "_read", "_stored")

    def __init__(self, part: Part[Any], committed: dict[bytes, bytes] | Upgraded) -> None:
        self._part = part
        self._stored = committed.get
        self._read: dict[Any, bytes | None] = {}

    def __missing__(self, place: bytes | tuple[bytes, bytes]) -> Any:
        part = self._part
        raw = self._read[place] = self._stored(place + part.suffix if place.__class__ is bytes else part.full(place))
        value = self[place] = None if raw is None else part.decode(raw)
        return value

    def changes(self) -> dict[bytes, bytes | None]:
        """What is not as it is stored; a value that was changed in place, too."""
        part, stored, read = self._part, self._stored, self._read
        full, head, pack = part.full, part.head, part.pack
        out: dict[bytes, bytes | None] = {}
        for place, value in self.items():
            raw = None if value is None else head + pack(value)
            # Of most that was read, nothing has changed: the key is made of what has.
            if place in read:
                if raw != read[place]:
                    out[full(place)] = raw
            elif raw != stored(key := full(place)):
                out[key] = raw
        return out


_COMPILED = load("streams.runtime._compiled")
_VALUES: type[Values] = Values if _COMPILED is None else _COMPILED.Values

NO_CHANGES = Formats()


class State:
    """What one frame sees: the committed state under its own changes.

    Args:
        formats: those that this release changes.
        final: whether the new ones are written already; what is in the ones before is read all the same.
    """

    __slots__ = ("_before", "_committed", "_store", "_touched", "_values", "timers")

    def __init__(self, store: Store, formats: Formats = NO_CHANGES, final: bool = True) -> None:
        self._store = store
        self._committed = Upgraded(store.committed, formats) if formats else store.committed
        self._before = NO_CHANGES if final else formats
        self.timers = Timers(store.timers, store.committed)
        self._values: dict[str, Values] = {}
        self._touched: dict[tuple[bytes, type[Any]], Live] = {}

    def values(self, part: Part[Any]) -> Values:
        """All values of a part, for many accesses in a loop."""
        found = self._values.get(part.name)
        if found is None:
            found = self._values[part.name] = _VALUES(part, self._committed)
        return found

    def get(self, key: bytes, part: Part[T], sub: bytes = b"") -> T | None:
        """The value under a record key, None when there is none."""
        return cast("T | None", self.values(part)[(key, sub) if sub else key])

    def put(self, key: bytes, part: Part[T], value: T, sub: bytes = b"") -> None:
        self.values(part)[(key, sub) if sub else key] = value

    def delete(self, key: bytes, part: Part[Any], sub: bytes = b"") -> None:
        self.values(part)[(key, sub) if sub else key] = None

    def live(self, key: bytes, kind: type[L]) -> L:
        """The live object of a record key; it may be changed in place."""
        handle = (key, kind)
        found = self._touched.get(handle)
        if found is None:
            found = self._store.live.get(handle)
            if found is None:
                found = kind.load(key, self._reader(key, kind))
                self._store.live[handle] = found
            self._touched[handle] = found
        return cast(L, found)

    def _reader(self, key: bytes, kind: type[Live]) -> Callable[[bytes], bytes | None]:
        committed = self._committed
        start = key + SEPARATOR + kind.name.encode("ascii") + SEPARATOR

        def read(part: bytes) -> bytes | None:
            raw = committed.get(start + part)
            if raw is None:
                return None
            if raw[0] != kind.version:
                raise version_error(kind.name, kind.version, raw[0])
            return raw[1:]

        return read

    def changes(self) -> dict[bytes, bytes | None]:
        """Every changed entry as stored, None for a deleted one. To be called once, when the frame is done."""
        out: dict[bytes, bytes | None] = {}
        for values in self._values.values():
            out |= values.changes()
        for (key, kind), found in self._touched.items():
            start = key + SEPARATOR + kind.name.encode("ascii") + SEPARATOR
            head = bytes([kind.version])
            for name, raw in found.changes():
                out[start + name] = None if raw is None else head + raw
        if self._before:
            out = {key: None if raw is None else self._before.before(key, raw) for key, raw in out.items()}
        out.update(self.timers.changes())
        return out

    def apply(self, changes: dict[bytes, bytes | None]) -> None:
        """Make the frame's changes real, after its transaction was committed."""
        self._store.apply(changes)
        self.timers.apply()

    def roll_back(self) -> None:
        """Drop the live objects that this frame touched; they are loaded again from the committed state."""
        for handle in self._touched:
            self._store.live.pop(handle, None)
        self.timers.roll_back()
