"""State of the metrics agent: one object per host, stored as many small parts.

The detectors of nine metrics change some kilobytes with every sample. What is written instead is the sample (a
journal entry, some 90 bytes); the detectors' own parts follow every CHECKPOINT samples. Loading reads those parts
and lets the detectors see the journal again, which gives the same detectors, bit by bit.
"""

import struct
from collections.abc import Sequence
from typing import ClassVar, Self

from models import metrics
from models.alerts import MINUTE_MS
from models.anomaly import detector, panel, standing, static_limit
from models.anomaly.conformal import Calibration, mixed
from models.anomaly.novelty import Novelty
from models.anomaly.panel import Panel
from models.anomaly.parts import Parts, Read, nothing, under, within
from models.anomaly.samples import LARGEST
from streams.repeats import Repeats
from streams.runs import Run
from streams.runtime import Halt

EXTRA_LIMIT = 32
"""Custom metrics scored per host; those that come first stay."""

DIGITS = 4
"""Of scores, wherever they are told."""

CHECKPOINT = 32
"""Samples between two times that the detectors are stored."""

JUDGES = (Novelty.name, *panel.NAMES)
"""Detectors whose scores are calibrated, in the order of `Watch.scores`."""

UNSCORED = (0.0,) * len(JUDGES)

HEAD, REPEAT, JOURNAL, NAME, NOVELTY, STATIC, RUN = b"h", b"i", b"j", b"n", b"d", b"s", b"r"
PANEL, CALIBRATION, STANDING = b"e", b"c", b"t"
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


class Watch:
    """One metric of one host: its detectors, and those of its fingerprints that fire.

    Attributes:
        slot: number of the metric in the host's state; the nine come first, in their order.
        scores: of the last sample, by JUDGES; novelty's, which decides, to four digits as it is told.
        passed: score of the static limit of the last sample, 0 without a limit.
        stands: score of the standing value, which decides what pages once the series is known, to four digits.
        runs: by (kind of alert, direction).
    """

    __slots__ = ("_touched", "limit", "name", "novelty", "panel", "passed", "runs", "scores", "slot",
                 "standing", "stands")  # fmt: skip

    def __init__(self, slot: int, name: str, read: Read) -> None:
        self.slot, self.name = slot, name
        place = bytes([slot])
        self.novelty = detector(name)
        self.novelty.load(within(NOVELTY + place, read))
        self.standing = standing(name)
        self.standing.load(within(STANDING + place, read))
        self.panel = Panel()
        self.panel.load(within(PANEL + place, read))
        self.limit = static_limit(name)
        if self.limit is not None:
            self.limit.load(within(STATIC + place, read))
        self.scores = UNSCORED
        self.passed = self.stands = 0.0
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
        """Let every detector see a sample, for the first time or again from the journal."""
        if not -LARGEST < value < LARGEST:
            self.scores, self.passed, self.stands = UNSCORED, 0.0, 0.0
            return
        self.stands = round(self.standing.update_ms(time, value), DIGITS)
        novelty = round(self.novelty.update_ms(time, value), DIGITS)
        self.scores = (novelty, *self.panel.judge(time, value))
        if self.limit is not None:
            self.passed = round(self.limit.update_ms(time, value), DIGITS)

    def checkpoint(self) -> Parts:
        """What changed in the detectors since the last checkpoint."""
        place = bytes([self.slot])
        out = under(NOVELTY + place, self.novelty.changes()) + under(PANEL + place, self.panel.changes())
        out += under(STANDING + place, self.standing.changes())
        if self.limit is not None:
            out += under(STATIC + place, self.limit.changes())
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
        calibration: how rare scores are on this host, by JUDGES, its metrics pooled.
    """

    name: ClassVar[str] = "host"
    version: ClassVar[int] = 1

    def __init__(self, read: Read) -> None:
        self._stored = read(HEAD) or _HEAD.pack(-1, 0, 0, 0, 0, 0, 0)
        self.newest, remembered, self._scored, self.repeats, self.late, created, extras = _HEAD.unpack(self._stored)
        self.memory = Repeats.load(remembered, lambda page: read(REPEAT + _SLOT.pack(page)))
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
        self.calibration = Calibration(len(JUDGES))
        self.calibration.load(within(CALIBRATION, read))
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
            seen = []
            for slot, value in _VALUE.iter_unpack(raw[_TIME.size :]):
                seen.append(by_slot[slot])
                seen[-1].see(time, value)
            self._calibrate(time, seen)

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

    def _calibrate(self, time: int, seen: Sequence[Watch]) -> None:
        """Remember the scores of one of the sample's metrics, whichever a fixed sequence chooses for this minute."""
        if seen and self.calibration.awaits(time):
            watch = seen[mixed(time // MINUTE_MS) % len(seen)]
            self.calibration.learn(time, watch.scores)

    def note(self, time: int, seen: Sequence[tuple[Watch, float]]) -> None:
        """To be called when these metrics have seen their value of a sample."""
        self._calibrate(time, [watch for watch, _ in seen])
        entry = _TIME.pack(time) + b"".join([_VALUE.pack(watch.slot, value) for watch, value in seen])
        self._changed[JOURNAL + bytes([self._scored % CHECKPOINT])] = entry
        self._scored += 1
        if self._scored % CHECKPOINT == 0:
            for watch in self._watches.values():
                self._changed.update(watch.checkpoint())
            self._changed.update(under(CALIBRATION, self.calibration.changes()))

    def changes(self) -> Parts:
        out: Parts = [(REPEAT + _SLOT.pack(page), raw) for page, raw in self.memory.changes()]
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
