"""Memory of a subject's last events, to tell a repeat from a new event and from a conflicting one."""

from collections.abc import Callable
from enum import Enum
from hashlib import blake2b

from streams.runtime import Part

CAPACITY = 1024
"""Events remembered per subject."""

HASH = 8
"""Bytes of the hash of an id."""

CONTENT = 4
"""Bytes of the hash of a content: it only says whether an id that was seen came with the same one."""

PAGE = 8
"""Events that are stored together, 96 bytes, as every entry of the state costs its key as well."""


REMEMBERED_MS = 7 * 86_400_000
"""So long an agent that holds one timer for each id knows it; by the partition's clock."""

REPEATS = Part("repeats", version=1, pack=lambda n: n.to_bytes(8, "big"), unpack=lambda raw: int.from_bytes(raw, "big"))
"""How many events under a key such an agent has dropped because they had come before."""


class Seen(Enum):
    NEW = "new"
    REPEAT = "repeat"
    CONFLICT = "conflict"


def hashed(text: str, size: int) -> bytes:
    return blake2b(text.encode(), digest_size=size).digest()


class Repeats:
    """A ring of (hash of the event's id, hash of its content); the newest takes the oldest's place.

    Two flat byte strings instead of a mapping: 12 kB per subject, and a search takes about a microsecond.
    """

    __slots__ = ("_changed", "_contents", "_ids", "count")

    def __init__(self) -> None:
        self.count = 0
        """Events remembered so far, forgotten ones included."""
        self._ids = bytearray(CAPACITY * HASH)
        self._contents = bytearray(CAPACITY * CONTENT)
        self._changed: set[int] = set()

    @classmethod
    def load(cls, count: int, read: Callable[[int], bytes | None]) -> "Repeats":
        """The memory after `count` events; `read(page)` gives the bytes of a page."""
        self = cls()
        self.count = count
        for page in range((min(count, CAPACITY) + PAGE - 1) // PAGE):
            raw = read(page)
            if raw is not None:
                ids, contents = _places(page)
                self._ids[ids], self._contents[contents] = raw[: PAGE * HASH], raw[PAGE * HASH :]
        return self

    def meet(self, event_id: str, content: str) -> Seen:
        """Whether an event is new (then it is remembered), a repeat, or the same id with other content."""
        identity, body = hashed(event_id, HASH), hashed(content, CONTENT)
        end = min(self.count, CAPACITY) * HASH
        place = self._ids.find(identity, 0, end)
        while place >= 0 and place % HASH:
            place = self._ids.find(identity, place + 1, end)
        if place >= 0:
            at = place // HASH * CONTENT
            return Seen.REPEAT if self._contents[at : at + CONTENT] == body else Seen.CONFLICT
        slot = self.count % CAPACITY
        self._ids[slot * HASH : (slot + 1) * HASH] = identity
        self._contents[slot * CONTENT : (slot + 1) * CONTENT] = body
        self._changed.add(slot // PAGE)
        self.count += 1
        return Seen.NEW

    def changes(self) -> list[tuple[int, bytes]]:
        """(page, its bytes) of every page written since the last call."""
        pages = sorted(self._changed)
        self._changed.clear()
        places = [(page, *_places(page)) for page in pages]
        return [(page, bytes(self._ids[ids] + self._contents[contents])) for page, ids, contents in places]


def _places(page: int) -> tuple[slice, slice]:
    """Where the two hashes of a page's events are."""
    first, end = page * PAGE, (page + 1) * PAGE
    return slice(first * HASH, end * HASH), slice(first * CONTENT, end * CONTENT)
