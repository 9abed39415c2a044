"""Timers of one partition: moments at which an agent wants to be called for a key, driven by the partition's clock.

A timer is a state entry like any other, so a commit makes it real and a restore brings it back. What is in memory is
only the order in which they are due.
"""

import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from streams.runtime.errors import StateVersionError
from streams.runtime.layout import SEPARATOR

PART = b"~timer"
"""Name of the state part; a name that no agent's part can have, since theirs are identifiers."""
_INFIX = SEPARATOR + PART + SEPARATOR
Entry = tuple[int, bytes]
_VALUE = struct.Struct(">Bq")
_VERSION = 1


class Due(NamedTuple):
    """A timer that fires.

    Attributes:
        key: record key that it was set for; state under this key may be read and written.
        name: what the agent called it.
        deadline: when it was due; epoch milliseconds of the partition's clock.
        payload: what the agent gave along.
        clock: the partition's clock that has passed the deadline. Where nothing came for a while this is a tick's
            clock, of which the input's log knows nothing: outputs should be made of the deadline.
    """

    key: bytes
    name: bytes
    deadline: int
    payload: bytes
    clock: int

    @property
    def number(self) -> int:
        """A negative number in place of the offset that a timer has not: rows of dead letters are told apart by it."""
        whole = b"%b\xff%b\xff%d" % (self.key, self.name, self.deadline)
        return -1 - (int.from_bytes(blake2b(whole, digest_size=8).digest()) >> 1)


class Heap:
    """The order in which the committed timers of a partition are due.

    Each timer has an entry that is not later than its deadline: a timer that is put off again and again keeps one.
    """

    __slots__ = ("_waiting",)

    def __init__(self, committed: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._waiting = [(deadline_of(raw), full) for full, raw in committed if _INFIX in full]
        heapify(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first(self) -> Entry | None:
        """The earliest entry; its timer may have been put off or cancelled since."""
        return self._waiting[0] if self._waiting else None

    def pop(self) -> Entry:
        return heappop(self._waiting)

    def push(self, entry: Entry) -> None:
        heappush(self._waiting, entry)


class Timers:
    """The timers as one frame sees and changes them."""

    __slots__ = ("_committed", "_fresh", "_heap", "_popped", "_values")

    def __init__(self, heap: Heap, committed: dict[bytes, bytes]) -> None:
        self._heap = heap
        self._committed = committed
        self._fresh = Heap()
        self._popped: list[Entry] = []
        self._values: dict[bytes, bytes | None] = {}

    def set(self, key: bytes, name: bytes, deadline: int, payload: bytes = b"") -> None:
        """Fire once when the partition's clock reaches `deadline` (epoch milliseconds); replaces one of this name.

        A deadline in the past fires with the next record.
        """
        full = key + _INFIX + name
        before = self._value(full)
        self._values[full] = _VALUE.pack(_VERSION, deadline) + payload
        if before is None or deadline < deadline_of(before):
            self._fresh.push((deadline, full))

    def cancel(self, key: bytes, name: bytes) -> None:
        """Forget a timer; nothing happens where there is none."""
        full = key + _INFIX + name
        if self._value(full) is not None:
            self._values[full] = None

    def deadline(self, key: bytes, name: bytes) -> int | None:
        """When a timer is due, None where there is none."""
        held = self.get(key, name)
        return None if held is None else held[0]

    def get(self, key: bytes, name: bytes) -> tuple[int, bytes] | None:
        """Deadline and payload of a timer, None where there is none."""
        raw = self._value(key + _INFIX + name)
        return None if raw is None else (deadline_of(raw), raw[_VALUE.size :])

    def pop(self, clock: int) -> Due | None:
        """The next timer that is due at `clock`, taken out; None when there is none."""
        while (entry := self._pop(clock)) is not None:
            deadline, full = entry
            raw = self._value(full)
            if raw is None:
                continue
            if deadline_of(raw) > deadline:
                self._fresh.push((deadline_of(raw), full))
                continue
            self._values[full] = None
            key, name = full.split(_INFIX, 1)
            return Due(key, name, deadline_of(raw), raw[_VALUE.size :], clock)
        return None

    def changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Entries that are not as they are stored."""
        stored = self._committed.get
        return ((full, raw) for full, raw in self._values.items() if raw != stored(full))

    def apply(self) -> None:
        """After the commit: what this frame has set waits with the others."""
        while self._fresh:
            self._heap.push(self._fresh.pop())
        self._popped.clear()

    def roll_back(self) -> None:
        """As if this frame had not been."""
        for entry in self._popped:
            self._heap.push(entry)
        self._popped.clear()

    def _pop(self, clock: int) -> Entry | None:
        """The earlier of the first entries that were set in this frame and before it, if it is due."""
        fresh, waiting = self._fresh.first, self._heap.first
        if fresh is not None and fresh[0] <= clock and (waiting is None or fresh < waiting):
            return self._fresh.pop()
        if waiting is not None and waiting[0] <= clock:
            self._popped.append(waiting)
            return self._heap.pop()
        return None

    def _value(self, full: bytes) -> bytes | None:
        return self._values[full] if full in self._values else self._committed.get(full)


def deadline_of(raw: bytes) -> int:
    """Raises StateVersionError for a format that this release does not read."""
    version, deadline = _VALUE.unpack_from(raw)
    if version != _VERSION:
        raise StateVersionError(f"a timer is stored in format {version}, this release reads {_VERSION}")
    return int(deadline)
