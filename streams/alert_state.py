"""State of the alert agent, by tenant: an entry for each fingerprint that is open or was lately, each older alert that
still takes a verdict, each silence, each incident that is not closed. Every entry is small and stored by itself.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import Any, ClassVar, Self, TypeVar, cast

from models import alerts, incidents
from schemas import topics
from schemas.codec import Codec, DecodeError
from streams.runtime import StateVersionError

RETAIN_MS = 24 * alerts.HOUR_MS
"""A resolved entry is forgotten this long after the tenant last heard of its fingerprint (tenant's clock)."""

PAST_MS = 14 * alerts.DAY_MS
"""Verdicts on an alert are taken for this long after it opened (tenant's clock), as long as tuning looks at it."""
MOST_PAST = 1000
"""So many older alerts of a tenant are remembered for that, those that opened last; some 0.6 kB each."""

NEVER = (1 << 63) - 1

REMEMBERED = 32
"""So many commands of a tenant are recognised when they come again."""

HEAD, DONE = b"head", b"done"
_HEAD = struct.Struct(">qI")
_SLOT = struct.Struct(">I")
_FIRST = struct.Struct(">qqq?")
_EPISODE = struct.Struct(">qqqqqq3q?")
_INCIDENT = struct.Struct(">qq")


@dataclass(slots=True)
class Episode:
    """The newest alert of a fingerprint and what decides about the next one. Times are event times.

    Attributes:
        alert: the record on the alerts topic as of its last version, with what changed since.
        quiet_until: until then no second alert opens, unless it is more severe.
        minute: minute of the last version.
        fired_at: of the newest firing sample.
        held: it fires right now, but is held back by the quiet time.
        expires_at: tenant's clock at which the entry is forgotten, if it is resolved then.
        escalate_at: when it is escalated, if nobody has taken it by then.
        settle_at: when an alert that flaps, or that nothing clears, resolves, if it stays calm.
        ends: when the fingerprint last ceased to fire; at most FLAPS of them.
    """

    alert: dict[str, Any]
    quiet_until: int
    minute: int
    fired_at: int
    held: bool = False
    expires_at: int = 0
    escalate_at: int = NEVER
    settle_at: int = NEVER
    ends: tuple[int, ...] = ()

    FORMAT: ClassVar[bytes] = b"E"

    @property
    def name(self) -> str:
        found: str = self.alert["fingerprint"]
        return found

    @property
    def active(self) -> bool:
        return self.alert["state"] in alerts.ACTIVE

    @property
    def deadline(self) -> int:
        """When time alone changes something."""
        if not self.active:
            return self.expires_at
        return min(self.escalate_at, self.settle_at, self.alert["snoozed_until"] or NEVER)

    def pack(self) -> bytes:
        ends = (*self.ends, 0, 0, 0)[: alerts.FLAPS]
        times = (self.quiet_until, self.minute, self.fired_at, self.expires_at, self.escalate_at, self.settle_at)
        return _EPISODE.pack(*times, *ends, self.held) + _reduced(self.alert)

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        *times, end1, end2, end3, held = _EPISODE.unpack_from(raw)
        alert = _complete(_decode(topics.ALERTS.codec, raw[_EPISODE.size :]))
        quiet_until, minute, fired_at, expires_at, escalate_at, settle_at = times
        ends = tuple(end for end in (end1, end2, end3) if end)
        return cls(alert, quiet_until, minute, fired_at, held, expires_at, escalate_at, settle_at, ends)

    @classmethod
    def unpack_first(cls, raw: bytes) -> Self:
        """Of the first format: without escalation, flapping and the time of the newest firing sample."""
        quiet_until, minute, expires_at, held = _FIRST.unpack_from(raw)
        alert = _complete(_decode(topics.ALERTS.codec, raw[_FIRST.size :]))
        episode = cls(alert, quiet_until, minute, alert["updated_at"], held, expires_at)
        if alert["state"] == "open" and alert["severity"] in alerts.ESCALATE_MS:
            episode.escalate_at = alert["updated_at"] + alerts.ESCALATE_MS[alert["severity"]]
        return episode


def _reduced(alert: Mapping[str, Any]) -> bytes:
    """An alert as it is stored: what follows from other fields, or is said once, is left out. Well under 1 kB."""
    unsaid: dict[str, Any] = {"fingerprint": "", "runbook": "", "links": [], "muted": None, "note": None}
    return topics.ALERTS.codec.encode({**alert, **unsaid})


def _complete(alert: dict[str, Any]) -> dict[str, Any]:
    alert["fingerprint"] = alerts.fingerprint(
        alert["tenant_id"], alert["kind"], alert["subject"], alert["metric"], alert["direction"]
    )
    kind = alerts.KINDS[alert["kind"]]
    alert["runbook"] = kind.runbook
    alert["links"] = alerts.links(kind, alert["subject"])
    return alert


@dataclass(slots=True)
class Past:
    """An alert that is over and no longer the newest of its fingerprint, or forgotten: it still takes a verdict."""

    alert: dict[str, Any]

    FORMAT: ClassVar[bytes] = b"P"

    @property
    def name(self) -> str:
        found: str = self.alert["alert_id"]
        return found

    @property
    def deadline(self) -> int:
        opened_at: int = self.alert["opened_at"]
        return opened_at + PAST_MS

    def pack(self) -> bytes:
        return _reduced(self.alert)

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        return cls(_complete(_decode(topics.ALERTS.codec, raw)))


@dataclass(slots=True)
class Silence:
    """A silence as its command asked for it: whom it mutes, from when, until when, by whom, why."""

    command: dict[str, Any]

    FORMAT: ClassVar[bytes] = b"S"

    @property
    def name(self) -> str:
        found: str = self.command["command_id"]
        return found

    @property
    def deadline(self) -> int:
        until: int = self.command["until"]
        return until

    def covers(self, alert: Mapping[str, Any]) -> bool:
        """Whether it is about this alert, whatever the time."""
        asked = self.command
        return all(asked[part] in (None, alert[part]) for part in ("kind", "subject", "metric")) and (
            asked["severity"] is None or alerts.RANK[alert["severity"]] <= alerts.RANK[asked["severity"]]
        )

    def lasts(self, clock: int) -> bool:
        """Whether it holds at this time of the tenant's clock."""
        begins: int = self.command["begins_at"]
        return begins <= clock < self.deadline

    def pack(self) -> bytes:
        return topics.COMMANDS_ALERTS.codec.encode(self.command)

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        return cls(_decode(topics.COMMANDS_ALERTS.codec, raw))


@dataclass(slots=True)
class Incident:
    """An incident that is not closed.

    Attributes:
        record: as on the incidents topic as of its last version.
        joined_at: when the newest of its alerts opened.
        close_at: when it closes, if no alert of it is active by then.
    """

    record: dict[str, Any]
    joined_at: int
    close_at: int = NEVER

    FORMAT: ClassVar[bytes] = b"I"

    @property
    def name(self) -> str:
        found: str = self.record["incident_id"]
        return found

    @property
    def deadline(self) -> int:
        return self.close_at

    @property
    def links(self) -> list[str]:
        """What its alerts are about."""
        return [self.record["link"], *self.record["links"]]

    def takes(self, link: str, time: int) -> bool:
        """Whether an alert with this link that opens at this time belongs to it."""
        record = self.record
        return (
            link in self.links
            and abs(time - self.joined_at) <= incidents.RELATED_MS
            and time - record["opened_at"] < incidents.TAKES_MS
            and record["alerts"] < incidents.MOST_ALERTS
        )

    def pack(self) -> bytes:
        return _INCIDENT.pack(self.joined_at, self.close_at) + topics.INCIDENTS.codec.encode(
            {**self.record, "note": None}
        )

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        joined_at, close_at = _INCIDENT.unpack_from(raw)
        return cls(_decode(topics.INCIDENTS.codec, raw[_INCIDENT.size :]), joined_at, close_at)


Entry = Episode | Past | Silence | Incident
E = TypeVar("E", Episode, Past, Silence, Incident)

FORMATS: dict[bytes, Callable[[bytes], Entry]] = {
    kind.FORMAT: kind.unpack for kind in (Episode, Past, Silence, Incident)
}


def _decode(codec: Codec, raw: bytes) -> dict[str, Any]:
    """Raises StateVersionError when a newer release wrote the record."""
    try:
        found: dict[str, Any] = codec.decode(raw)
    except DecodeError as error:
        raise StateVersionError(f"a stored alert cannot be read: {error}") from error
    return found


def _unpack(raw: bytes) -> Entry:
    """Raises StateVersionError for a format that this release does not know."""
    if raw[0] == 0:
        # The first format said nothing about itself: it began with a time, whose highest byte is 0.
        return Episode.unpack_first(raw)
    unpack = FORMATS.get(raw[:1])
    if unpack is None:
        raise StateVersionError(f"a stored alert is in format {raw[:1]!r}, which this release does not know")
    return unpack(raw[1:])


@dataclass(slots=True)
class Done:
    """The commands that were carried out lately, oldest first, as 8-byte hashes."""

    hashes: list[bytes] = field(default_factory=list)

    @staticmethod
    def _hash(command_id: str) -> bytes:
        return blake2b(command_id.encode(), digest_size=8).digest()

    def __contains__(self, command_id: str) -> bool:
        return self._hash(command_id) in self.hashes

    def add(self, command_id: str) -> None:
        self.hashes = [*self.hashes, self._hash(command_id)][-REMEMBERED:]


class TenantAlerts:
    """The entries of one tenant, in numbered slots that are used again.

    The tenant's clock is the newest event time among its candidates and commands.
    """

    name: ClassVar[str] = "tenant"
    version: ClassVar[int] = 1

    def __init__(self, clock: int = -1, size: int = 0) -> None:
        self.clock = clock
        self.done = Done()
        self._size = size
        self._free: list[int] = []
        self._slots: dict[type[Entry], dict[str, int]] = {Episode: {}, Past: {}, Silence: {}, Incident: {}}
        self._entries: dict[int, Entry] = {}
        self._linked: dict[str, set[int]] = {}
        self._due: list[tuple[int, int]] = []
        self._armed: dict[int, int] = {}
        self._changed: set[int] = set()
        self._stored_head = (clock, size)
        self._stored_done = self.done.hashes

    @classmethod
    def load(cls, key: bytes, read: Callable[[bytes], bytes | None]) -> Self:
        head = read(HEAD)
        if head is None:
            return cls()
        clock, size = _HEAD.unpack(head)
        tenant = cls(clock, size)
        for slot in range(size):
            raw = read(_SLOT.pack(slot))
            if raw is None:
                tenant._free.append(slot)
            else:
                tenant._place(slot, _unpack(raw))
        heapify(tenant._free)
        done = read(DONE) or b""
        tenant.done.hashes = tenant._stored_done = [done[at : at + 8] for at in range(0, len(done), 8)]
        return tenant

    def every(self, kind: type[E]) -> list[E]:
        """All entries of a kind in the order of their slots: what is told of several must survive a restart."""
        return [cast(E, self._entries[slot]) for slot in sorted(self._slots[kind].values())]

    def find(self, kind: type[E], name: str) -> E | None:
        """The entry of a fingerprint, a silence_id or an incident_id."""
        slot = self._slots[kind].get(name)
        return None if slot is None else cast(E, self._entries[slot])

    def linked(self, link: str) -> Iterator[Episode]:
        """The episodes that have this link, in the order of their slots."""
        for slot in sorted(self._linked.get(link, ())):
            entry = self._entries[slot]
            if isinstance(entry, Episode):
                yield entry

    def next_due(self, clock: int) -> Entry | None:
        """The entry with the earliest deadline up to this time, if there is one; of several the one in the lowest slot.

        What it is due for must change its deadline or drop it.
        """
        while self._due and self._due[0][0] <= clock:
            time, slot = self._due[0]
            entry = self._entries.get(slot)
            if entry is not None and entry.deadline == time:
                return entry
            # It was put off, or its slot is free or another's: what is there now is armed anew.
            heappop(self._due)
            if self._armed.get(slot) == time:
                del self._armed[slot]
                if entry is not None:
                    self._arm(slot, entry)
        return None

    def nearest(self) -> int | None:
        """The earliest deadline of all; None when nothing waits."""
        entry = self.next_due(NEVER - 1)
        return None if entry is None else entry.deadline

    def keep(self, entry: Entry) -> None:
        """Store an entry that is new or changed, in the place of an earlier one of its name."""
        if isinstance(entry, Episode):
            entry.expires_at = self.clock + RETAIN_MS
            before = self.find(Episode, entry.name)
            if before is not None and before.alert["alert_id"] != entry.alert["alert_id"]:
                self._remember(before)
        slot = self._slots[type(entry)].get(entry.name)
        if slot is None:
            if self._free:
                slot = heappop(self._free)
            else:
                slot = self._size
                self._size += 1
        self._place(slot, entry)
        self._changed.add(slot)

    def forget(self, episode: Episode) -> None:
        """Drop an episode that is over; verdicts on its alert are still taken for a while."""
        self.drop(episode)
        self._remember(episode)

    def _remember(self, episode: Episode) -> None:
        past = Past(episode.alert)
        if past.deadline <= self.clock:
            return
        if len(self._slots[Past]) >= MOST_PAST:
            oldest = min(self.every(Past), key=lambda each: each.deadline)
            if past.deadline < oldest.deadline:
                return
            self.drop(oldest)
        self.keep(past)

    def drop(self, entry: Entry) -> None:
        slot = self._slots[type(entry)].pop(entry.name)
        del self._entries[slot]
        if isinstance(entry, Episode):
            for link in entry.alert["links"]:
                self._linked[link].discard(slot)
                if not self._linked[link]:
                    del self._linked[link]
        heappush(self._free, slot)
        self._changed.add(slot)

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        out: list[tuple[bytes, bytes | None]] = []
        for slot in sorted(self._changed):
            entry = self._entries.get(slot)
            out.append((_SLOT.pack(slot), None if entry is None else entry.FORMAT + entry.pack()))
        self._changed.clear()
        head = (self.clock, self._size)
        if head != self._stored_head:
            out.append((HEAD, _HEAD.pack(*head)))
            self._stored_head = head
        if self.done.hashes is not self._stored_done:
            out.append((DONE, b"".join(self.done.hashes)))
            self._stored_done = self.done.hashes
        return out

    def _place(self, slot: int, entry: Entry) -> None:
        self._slots[type(entry)][entry.name] = slot
        self._entries[slot] = entry
        if isinstance(entry, Episode):
            for link in entry.alert["links"]:
                self._linked.setdefault(link, set()).add(slot)
        self._arm(slot, entry)

    def _arm(self, slot: int, entry: Entry) -> None:
        """See to it that the entry is looked at by its deadline; what is put off is armed again at the earlier time."""
        deadline = entry.deadline
        if deadline < self._armed.get(slot, NEVER):
            self._armed[slot] = deadline
            heappush(self._due, (deadline, slot))
