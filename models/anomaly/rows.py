"""The strangest of each row, kept until it may be learned."""

from array import array
from struct import Struct

from models.anomaly.parts import Parts, Read, packed, unpacked

VALUE_LAG = 6
CONTEXT_LAG = 24
"""Rows after which a value, or a value in its context, becomes familiar."""

SLOTS = CONTEXT_LAG + 1

CLOSED = 0.9
"""A row ends when this share of it has passed: sampling clocks are never exact."""

_STATE = Struct(">I6d")

WIDTH = 5
"""Numbers of a row: strangest value, its surprise; strangest pair of a value and the mean around it, its surprise."""

PAGE = 5
"""Rows that are stored together: 100 bytes."""


class Rows:
    """A ring of the last rows.

    What has just been seen must stay strange for a while, else the second sample of an incident would be familiar.
    Of a row with many samples only the strangest value and the strangest pair are kept, so memory is bounded.
    Rows that have ended are kept in single precision.

    Attributes:
        count: rows that have ended.
        filled: share of the running row.
    """

    __slots__ = ("_dirty", "_ring", "count", "filled", "pair", "pair_surprise", "value", "value_surprise")

    def __init__(self) -> None:
        self._ring = array("f", [0.0]) * (SLOTS * WIDTH)
        self._dirty: set[int] = set()
        self.count = 0
        self.filled = 0.0
        self.value = 0.0
        self.pair = (0.0, 0.0)
        self.value_surprise = self.pair_surprise = -1.0

    def see(self, value: float, value_surprise: float, mean: float, pair_surprise: float, rows: float) -> bool:
        """Take a sample into the running row; whether the row ended with it."""
        if value_surprise >= self.value_surprise:
            self.value, self.value_surprise = value, value_surprise
        if pair_surprise >= self.pair_surprise:
            self.pair, self.pair_surprise = (value, mean), pair_surprise
        self.filled += rows
        if self.filled < CLOSED:
            return False
        self._end()
        return True

    def _end(self) -> None:
        slot = self.count % SLOTS
        row = (self.value, self.value_surprise, *self.pair, self.pair_surprise)
        self._ring[slot * WIDTH : (slot + 1) * WIDTH] = array("f", row)
        self._dirty.add(slot // PAGE)
        self.count += 1
        self.filled = self.filled - 1.0 if self.filled > 1.0 else 0.0
        self.value_surprise = self.pair_surprise = -1.0

    def ago(self, lag: int) -> "array[float] | None":
        """The row, WIDTH numbers, that ended `lag` rows before the last one; None before there was one."""
        if self.count <= lag:
            return None
        at = (self.count - 1 - lag) % SLOTS * WIDTH
        return self._ring[at : at + WIDTH]

    def store(self) -> bytes:
        """The running row."""
        return _STATE.pack(self.count, self.filled, self.value, self.value_surprise, *self.pair, self.pair_surprise)

    def restore(self, raw: bytes, at: int) -> int:
        """Take up what `store` wrote at this place; the place behind it."""
        self.count, self.filled, *strangest = _STATE.unpack_from(raw, at)
        self.value, self.value_surprise, first, second, self.pair_surprise = strangest
        self.pair = (first, second)
        return at + _STATE.size

    def load(self, read: Read) -> None:
        each = PAGE * WIDTH
        for page in range(SLOTS // PAGE):
            raw = read(b"r" + bytes([page]))
            if raw is not None:
                self._ring[page * each : (page + 1) * each] = unpacked(self._ring, raw)

    def changes(self) -> Parts:
        each = PAGE * WIDTH
        pages = sorted(self._dirty)
        self._dirty.clear()
        return [(b"r" + bytes([page]), packed(self._ring[page * each : (page + 1) * each])) for page in pages]
