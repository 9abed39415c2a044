"""The plates seen at a gate, as fingerprints: which are known because people confirmed them, and how often each came.

At most PLACES plates are remembered, in slots that are stored one by one; who has not come for longest and was never
confirmed gives his slot to a new one.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from models.ocr.redaction import Prints

PLACES = 512
WHOLE, TAG = 8, 6
"""Bytes kept of a fingerprint of a plate, and of one without a character."""
MOST = 255

_SLOT = struct.Struct("<iBB8s")
_NUMBER = struct.Struct(">H")
_HEAD = b"n"


@dataclass(slots=True)
class _Plate:
    day: int
    count: int
    confirmed: bool
    whole: bytes
    tags: tuple[bytes, ...]

    def pack(self) -> bytes:
        return _SLOT.pack(self.day, self.count, self.confirmed, self.whole) + b"".join(self.tags)

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        day, count, confirmed, whole = _SLOT.unpack_from(raw)
        rest = raw[_SLOT.size :]
        return cls(day, count, bool(confirmed), whole, tuple(rest[at : at + TAG] for at in range(0, len(rest), TAG)))


class Sighting(NamedTuple):
    """What is known of a plate.

    Attributes:
        known: it was confirmed here.
        times: how often it was read here before, 0 to MOST.
        near_known: another plate that differs in one character was confirmed.
        near_times: how often the most frequent of those was read.
    """

    known: bool
    times: int
    near_known: bool
    near_times: int


class Gate:
    """The plates of one gate; a live object of a stream's state."""

    name: ClassVar[str] = "gate"
    version: ClassVar[int] = 1

    __slots__ = ("_by_tag", "_by_whole", "_changed", "_plates")

    def __init__(self) -> None:
        self._plates: list[_Plate] = []
        self._by_whole: dict[bytes, int] = {}
        self._by_tag: dict[bytes, set[int]] = {}
        self._changed: set[int] = set()

    @classmethod
    def load(cls, key: bytes, read: Callable[[bytes], bytes | None]) -> Self:
        """The gate as stored; raises ValueError where a slot is missing."""
        self = cls()
        raw = read(_HEAD)
        for slot in range(_NUMBER.unpack(raw)[0] if raw else 0):
            stored = read(_NUMBER.pack(slot))
            if stored is None:
                raise ValueError(f"the plates of {key!r} lack slot {slot}: their changelog is incomplete")
            self._plates.append(_Plate.unpack(stored))
            self._index(slot)
        return self

    def __len__(self) -> int:
        return len(self._plates)

    def look(self, found: Prints) -> Sighting:
        """What is known of a plate so far."""
        own = self._by_whole.get(found.whole[:WHOLE])
        near = {self._by_whole.get(each[:WHOLE], -1) for each in found.shorter}
        for tag in (*found.without, *found.within):
            near |= self._by_tag.get(tag[:TAG], set())
        others = [self._plates[slot] for slot in near - {-1, own}]
        return Sighting(
            known=own is not None and self._plates[own].confirmed,
            times=0 if own is None else self._plates[own].count,
            near_known=any(each.confirmed for each in others),
            near_times=max((each.count for each in others), default=0),
        )

    def see(self, found: Prints, day: int) -> None:
        """Count a reading of a plate on a day since 1970."""
        plate = self._plate(found, day)
        plate.count, plate.day = min(MOST, plate.count + 1), max(plate.day, day)

    def confirm(self, found: Prints, day: int) -> None:
        """A person says that this plate was there."""
        plate = self._plate(found, day)
        plate.confirmed, plate.day = True, max(plate.day, day)

    def mistaken(self, whole: bytes) -> None:
        """A reading of the plate with this fingerprint was wrong, so it does not count."""
        slot = self._by_whole.get(whole[:WHOLE])
        if slot is not None and self._plates[slot].count:
            self._plates[slot].count -= 1
            self._changed.add(slot)

    def _plate(self, found: Prints, day: int) -> _Plate:
        whole = found.whole[:WHOLE]
        slot = self._by_whole.get(whole)
        if slot is None:
            made = _Plate(day, 0, False, whole, tuple(each[:TAG] for each in found.without))
            if len(self._plates) < PLACES:
                slot = len(self._plates)
                self._plates.append(made)
            else:
                slot = min(range(PLACES), key=lambda each: (self._plates[each].confirmed, self._plates[each].day, each))
                self._forget(slot)
                self._plates[slot] = made
            self._index(slot)
        self._changed.add(slot)
        return self._plates[slot]

    def _index(self, slot: int) -> None:
        plate = self._plates[slot]
        self._by_whole[plate.whole] = slot
        for tag in plate.tags:
            self._by_tag.setdefault(tag, set()).add(slot)

    def _forget(self, slot: int) -> None:
        plate = self._plates[slot]
        del self._by_whole[plate.whole]
        for tag in plate.tags:
            holders = self._by_tag[tag]
            holders.discard(slot)
            if not holders:
                del self._by_tag[tag]

    def changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Slots that changed since the last call, as they are stored."""
        if self._changed:
            yield _HEAD, _NUMBER.pack(len(self._plates))
        for slot in sorted(self._changed):
            yield _NUMBER.pack(slot), self._plates[slot].pack()
        self._changed.clear()
