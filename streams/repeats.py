"""Memory of a subject's last events, to tell a repeat from a new event and from a conflicting one."""

from collections.abc import Callable
from enum import Enum
from hashlib import blake2b

CAPACITY = 1024
"""Events remembered per subject."""

HASH = 8

PAGE = 4
"""Events that are stored together, as every entry of the state costs its key as well."""

WIDTH = PAGE * HASH
"""Bytes of the hashes of a page, of which there are two kinds."""


class Seen(Enum):
    NEW = "new"
    REPEAT = "repeat"
    CONFLICT = "conflict"


def hash8(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=HASH).digest()


class Repeats:
    """A ring of (hash of the event's id, hash of its content), both of 8 bytes; the newest takes the oldest's place.

    Two flat byte strings instead of a mapping: 16 kB per subject, and a search takes about a microsecond.
    """

    __slots__ = ("_changed", "_contents", "_ids", "count")

    def __init__(self) -> None:
        self.count = 0
        """Events remembered so far, forgotten ones included."""
        self._ids = bytearray(CAPACITY * HASH)
        self._contents = bytearray(CAPACITY * HASH)
        self._changed: set[int] = set()

    @classmethod
    def load(cls, count: int, read: Callable[[int], bytes | None]) -> "Repeats":
        """The memory after `count` events; `read(page)` gives the bytes of a page."""
        self = cls()
        self.count = count
        for page in range((min(count, CAPACITY) + PAGE - 1) // PAGE):
            raw = read(page)
            if raw is not None:
                self._ids[page * WIDTH : (page + 1) * WIDTH] = raw[:WIDTH]
                self._contents[page * WIDTH : (page + 1) * WIDTH] = raw[WIDTH:]
        return self

    def meet(self, event_id: str, content: str) -> Seen:
        """Whether an event is new (then it is remembered), a repeat, or the same id with other content."""
        identity, body = hash8(event_id), hash8(content)
        end = min(self.count, CAPACITY) * HASH
        place = self._ids.find(identity, 0, end)
        while place >= 0 and place % HASH:
            place = self._ids.find(identity, place + 1, end)
        if place >= 0:
            return Seen.REPEAT if self._contents[place : place + HASH] == body else Seen.CONFLICT
        slot = self.count % CAPACITY
        self._ids[slot * HASH : (slot + 1) * HASH] = identity
        self._contents[slot * HASH : (slot + 1) * HASH] = body
        self._changed.add(slot // PAGE)
        self.count += 1
        return Seen.NEW

    def changes(self) -> list[tuple[int, bytes]]:
        """(page, its bytes) of every page written since the last call."""
        out = [
            (
                page,
                bytes(self._ids[page * WIDTH : (page + 1) * WIDTH] + self._contents[page * WIDTH : (page + 1) * WIDTH]),
            )
            for page in sorted(self._changed)
        ]
        self._changed.clear()
        return out
