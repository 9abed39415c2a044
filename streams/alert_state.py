"""State of the alert agent: one entry per fingerprint of a tenant, kept until it is resolved and a day old."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, ClassVar, Self

from models import alerts
from schemas import topics
from schemas.codec import DecodeError
from streams.runtime import StateVersionError

RETAIN_MS = 24 * alerts.HOUR_MS
"""A resolved entry is forgotten this long after the tenant last heard of its fingerprint (tenant's clock)."""

HEAD = b"head"
_HEAD = struct.Struct(">qI")
_SLOT = struct.Struct(">I")
_EPISODE = struct.Struct(">qqq?")


@dataclass(slots=True)
class Episode:
    """The newest alert of a fingerprint and what decides about the next one.

    Attributes:
        alert: the record on the alerts topic as of its last version, with what changed since.
        quiet_until: until this event time no second alert opens, unless it is more severe.
        minute: minute of event time of the last version.
        held: it fires right now, but is held back by the quiet time.
        expires_at: tenant's clock at which the entry is forgotten, if it is resolved then.
    """

    alert: dict[str, Any]
    quiet_until: int
    minute: int
    held: bool = False
    expires_at: int = 0

    @property
    def active(self) -> bool:
        return self.alert["state"] in alerts.ACTIVE

    def pack(self) -> bytes:
        # What follows from other fields is left out: an entry stays well under 1 kB.
        stored = {**self.alert, "fingerprint": "", "runbook": ""}
        head = _EPISODE.pack(self.quiet_until, self.minute, self.expires_at, self.held)
        return head + topics.ALERTS.codec.encode(stored)

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        """Raises StateVersionError when a newer release wrote the alert."""
        quiet_until, minute, expires_at, held = _EPISODE.unpack_from(raw)
        try:
            alert = topics.ALERTS.codec.decode(raw[_EPISODE.size :])
        except DecodeError as error:
            raise StateVersionError(f"a stored alert cannot be read: {error}") from error
        alert["fingerprint"] = alerts.fingerprint(
            alert["tenant_id"], alert["kind"], alert["subject"], alert["metric"], alert["direction"]
        )
        alert["runbook"] = alerts.KINDS[alert["kind"]].runbook
        return cls(alert, quiet_until, minute, held, expires_at)


class TenantAlerts:
    """Every fingerprint of one tenant that is open or was lately, in numbered slots that are used again.

    The tenant's clock is the newest event time among its candidates.
    """

    name: ClassVar[str] = "tenant"
    version: ClassVar[int] = 1

    def __init__(self, clock: int = -1, size: int = 0) -> None:
        self.clock = clock
        self._size = size
        self._free: list[int] = []
        self._slots: dict[str, int] = {}
        self._episodes: dict[int, Episode] = {}
        self._expiring: list[tuple[int, int]] = []
        self._changed: set[int] = set()
        self._stored_head = (clock, size)

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
                continue
            episode = Episode.unpack(raw)
            tenant._episodes[slot] = episode
            tenant._slots[episode.alert["fingerprint"]] = slot
            tenant._expiring.append((episode.expires_at, slot))
        heapify(tenant._expiring)
        return tenant

    def __iter__(self) -> Iterator[Episode]:
        return iter(self._episodes.values())

    def find(self, fingerprint: str) -> Episode | None:
        slot = self._slots.get(fingerprint)
        return None if slot is None else self._episodes[slot]

    def hear(self, event_time: int) -> None:
        """Move the clock, and forget what is resolved and old by it."""
        if event_time <= self.clock:
            return
        self.clock = event_time
        while self._expiring and self._expiring[0][0] <= event_time:
            _, slot = heappop(self._expiring)
            episode = self._episodes[slot]
            if episode.active or episode.expires_at > event_time:
                heappush(self._expiring, (max(episode.expires_at, event_time + RETAIN_MS), slot))
                continue
            del self._episodes[slot], self._slots[episode.alert["fingerprint"]]
            heappush(self._free, slot)
            self._changed.add(slot)

    def keep(self, episode: Episode) -> None:
        """Store an episode that is new or changed, in the place of an earlier one of its fingerprint."""
        episode.expires_at = self.clock + RETAIN_MS
        fingerprint = episode.alert["fingerprint"]
        slot = self._slots.get(fingerprint)
        if slot is None:
            if self._free:
                slot = heappop(self._free)
            else:
                slot = self._size
                self._size += 1
            self._slots[fingerprint] = slot
            heappush(self._expiring, (episode.expires_at, slot))
        self._episodes[slot] = episode
        self._changed.add(slot)

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        out: list[tuple[bytes, bytes | None]] = []
        for slot in sorted(self._changed):
            episode = self._episodes.get(slot)
            out.append((_SLOT.pack(slot), None if episode is None else episode.pack()))
        self._changed.clear()
        head = (self.clock, self._size)
        if head != self._stored_head:
            out.append((HEAD, _HEAD.pack(*head)))
            self._stored_head = head
        return out
