"""State of the metrics agent: one object per host, stored as many small parts.

The detectors of nine metrics change some kilobytes with every sample. What is written instead is the sample (a
journal entry, some 90 bytes); the detectors' own parts follow every CHECKPOINT samples. Loading reads those parts
and lets the detectors see the journal again, which gives the same detectors, bit by bit.
"""

import struct
from collections.abc import Callable, Iterable
from typing import ClassVar, Self

from models import metrics
from models.anomaly import detector, static_limit
from streams.repeats import Repeats
from streams.runs import Run
from streams.runtime import Halt

EXTRA_LIMIT = 32
"""Custom metrics scored per host; those that come first stay."""

CHECKPOINT = 32
"""Samples between two times that the detectors are stored."""

Read = Callable[[bytes], bytes | None]
Parts = list[tuple[bytes, bytes | None]]

HEAD, REPEAT, JOURNAL, NAME, NOVELTY, STATIC, RUN = b"h", b"i", b"j", b"n", b"d", b"s", b"r"
_HEAD = struct.Struct(">qQQIIHB")
_SLOT = struct.Struct(">H")
_TIME = struct.Struct(">q")
_VALUE = struct.Struct(">Bd")

RUN_CODES = {
    (kind, direction): bytes([number, other])
    for number, kind in enumerate(("metric_anomaly", "metric_static"))
    for other, direction in enumerate(("up", "down", "none"))
}
"""Name of a run's part, by (kind of alert, direction); never renumbered, they are in the changelog."""


def nothing(part: bytes) -> None:
    """What is stored of a metric that is seen for the first time."""


class Watch:
    """One metric of one host: its detectors, and those of its fingerprints that fire.

    Attributes:
        slot: number of the metric in the host's state; the nine come first, in their order.
        runs: by (kind of alert, direction).
    """

    __slots__ = ("_touched", "limit", "name", "novelty", "runs", "slot")

    def __init__(self, slot: int, name: str, read: Read) -> None:
        self.slot, self.name = slot, name
        place = bytes([slot])
        self.novelty = detector(name)
        self.novelty.load(lambda part: read(NOVELTY + place + part))
        self.limit = static_limit(name)
        if self.limit is not None:
            self.limit.load(lambda part: read(STATIC + place + part))
        self.runs: dict[tuple[str, str], Run] = {}
        self._touched: set[tuple[str, str]] = set()
        for what, code in RUN_CODES.items():
            raw = read(RUN + place + code)
            if raw is not None:
                self.runs[what] = Run.unpack(raw)

    def touch(self, what: tuple[str, str]) -> None:
        """To be called when the run of this fingerprint began or changed."""
        self._touched.add(what)

    def end(self, what: tuple[str, str]) -> None:
        """Forget the run of this fingerprint."""
        del self.runs[what]
        self._touched.add(what)

    def fires(self, what: tuple[str, str]) -> bool:
        """Whether a run of this fingerprint is under way, and is about values out of their usual range."""
        run = self.runs.get(what)
        return run is not None and not run.echo and what[1] != "none"

    def excursion(self) -> bool:
        """Whether the value is or lately was out of its usual range."""
        return ("metric_anomaly", "up") in self.runs or ("metric_anomaly", "down") in self.runs

    def see(self, time: int, value: float) -> None:
        """Let the detectors see a sample of the journal again."""
        self.novelty.update_ms(time, value)
        if self.limit is not None:
            self.limit.update_ms(time, value)

    def checkpoint(self) -> Parts:
        """What changed in the detectors since the last checkpoint."""
        place = bytes([self.slot])
        out: Parts = [(NOVELTY + place + part, raw) for part, raw in self.novelty.changes()]
        if self.limit is not None:
            out += [(STATIC + place + part, raw) for part, raw in self.limit.changes()]
        return out

    def changes(self) -> Parts:
        """Runs that changed since the last call."""
        place = bytes([self.slot])
        out: Parts = []
        for what in sorted(self._touched):
            run = self.runs.get(what)
            out.append((RUN + place + RUN_CODES[what], None if run is None else run.pack()))
        self._touched.clear()
        return out


class HostState:
    """What is known of one host.

    Attributes:
        newest: occurred_at of the newest sample, epoch milliseconds; -1 before the first.
        repeats: samples that were dropped because they had come before.
        late: samples that were older than the newest.
        memory: the ids of the last samples.
    """

    name: ClassVar[str] = "host"
    version: ClassVar[int] = 1

    def __init__(self, read: Read) -> None:
        self._stored = read(HEAD) or _HEAD.pack(-1, 0, 0, 0, 0, 0, 0)
        self.newest, remembered, self._scored, self.repeats, self.late, created, extras = _HEAD.unpack(self._stored)
        self.memory = Repeats.load(remembered, lambda slot: read(REPEAT + _SLOT.pack(slot)))
        self._watches: dict[str, Watch] = {}
        self._extras: dict[str, int] = {}
        self._changed: dict[bytes, bytes | None] = {}
        for slot, name in enumerate(metrics.NAMES):
            if created >> slot & 1:
                self._watches[name] = Watch(slot, name, read)
        for slot in range(len(metrics.NAMES), len(metrics.NAMES) + extras):
            name = _stored(read, NAME + bytes([slot])).decode()
            self._extras[name] = slot
            self._watches[name] = Watch(slot, name, read)
        self._replay(read)

    @classmethod
    def load(cls, key: bytes, read: Read) -> Self:
        return cls(read)

    def _replay(self, read: Read) -> None:
        """Let the detectors see again what came after the last checkpoint."""
        by_slot = {watch.slot: watch for watch in self._watches.values()}
        for number in range(self._scored % CHECKPOINT):
            raw = _stored(read, JOURNAL + bytes([number]))
            (time,) = _TIME.unpack_from(raw)
            for slot, value in _VALUE.iter_unpack(raw[_TIME.size :]):
                by_slot[slot].see(time, value)

    def watch(self, name: str) -> Watch | None:
        """The detectors of a metric, made when it is seen for the first time; None past the limit of custom ones."""
        found = self._watches.get(name)
        if found is not None:
            return found
        if name in metrics.BY_NAME:
            slot = metrics.NAMES.index(name)
        elif len(self._extras) < EXTRA_LIMIT:
            slot = self._extras[name] = len(metrics.NAMES) + len(self._extras)
            self._changed[NAME + bytes([slot])] = name.encode()
        else:
            return None
        self._watches[name] = Watch(slot, name, nothing)
        return self._watches[name]

    def note(self, time: int, values: Iterable[tuple[int, float]]) -> None:
        """To be called when the detectors have seen a sample: (slot of the metric, value)."""
        entry = _TIME.pack(time) + b"".join([_VALUE.pack(slot, value) for slot, value in values])
        self._changed[JOURNAL + bytes([self._scored % CHECKPOINT])] = entry
        self._scored += 1
        if self._scored % CHECKPOINT == 0:
            for watch in self._watches.values():
                self._changed.update(watch.checkpoint())

    def changes(self) -> Parts:
        out: Parts = [(REPEAT + _SLOT.pack(slot), raw) for slot, raw in self.memory.changes()]
        out += self._changed.items()
        self._changed.clear()
        created = 0
        for name, watch in self._watches.items():
            if name in metrics.BY_NAME:
                created |= 1 << watch.slot
            out += watch.changes()
        counts = (self.newest, self.memory.count, self._scored, self.repeats, self.late, created, len(self._extras))
        head = _HEAD.pack(*counts)
        if head != self._stored:
            out.append((HEAD, head))
            self._stored = head
        return out


def _stored(read: Read, part: bytes) -> bytes:
    """A part that must be there. Raises Halt: without it, what follows would be wrong for every sample."""
    raw = read(part)
    if raw is None:
        raise Halt(f"the state of a host lacks its part {part!r}: its changelog is incomplete")
    return raw
