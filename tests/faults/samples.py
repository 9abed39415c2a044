"""Seeded host samples: what a fleet of machines publishes, with repeats, conflicts, late ones, incidents."""

import math
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas import topics
from schemas.topics import Topic
from tests.faults.recovery import birth_mark

TENANTS = ("acme", "globex")
STEP_MS = 60_000
HISTORY_MS = 20 * 24 * 3_600_000
"""Event time starts this long ago and advances a minute per sample and host: detectors get days of baseline
in minutes of load, and no sample is older than the 30 days after which the runtime refuses it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One record to publish. `intent` is what the generator meant it to be (good, repeat, conflict, ...)."""

    intent: str
    key: bytes | None
    value: bytes | None
    topic: Topic = topics.EVENTS_METRICS


@dataclass(slots=True)
class Host:
    tenant: str
    name: str
    level: float
    clock: int
    phase: float
    incident: int = 0
    recent: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=64))


class Fleet:
    """An endless stream of messages of many hosts of two tenants; equal seeds give equal messages."""

    def __init__(self, seed: int, hosts: int = 48, odd: bool = True) -> None:
        """odd: whether repeats, conflicting repeats and late samples are mixed in."""
        self.random = random.Random(seed)
        self.odd = odd
        self.count = 0
        start = int(time.time() * 1000) - HISTORY_MS
        self.hosts = [
            Host(
                TENANTS[number % len(TENANTS)],
                f"host-{number:03d}",
                self.random.uniform(15, 55),
                start + self.random.randrange(STEP_MS),
                self.random.uniform(0, 2 * math.pi),
            )
            for number in range(hosts)
        ]

    def __iter__(self) -> Iterator[Message]:
        while True:
            yield self.next()

    def next(self) -> Message:
        host = self.random.choice(self.hosts)
        roll = self.random.random()
        if self.odd and host.recent:
            if roll < 0.02:
                return self._message("repeat", self.random.choice(host.recent))
            if roll < 0.023:
                old = self.random.choice(host.recent)
                return self._message("conflict", {**old, "cpu_percent": 100.0 - (old["cpu_percent"] or 0.0)})
        sample = self.sample(host)
        if self.odd and roll > 0.98:
            sample["occurred_at"] -= self.random.randrange(1, 90) * STEP_MS
            return self._message("late", sample)
        host.recent.append(sample)
        return self._message("good", sample)

    def sample(self, host: Host) -> dict[str, Any]:
        """The next regular sample of a host; every thousandth starts an incident of 20 samples."""
        draw = self.random
        host.clock += STEP_MS
        self.count += 1
        if not host.incident and draw.random() < 0.001:
            host.incident = 20
        load = host.level + 12 * math.sin(host.clock / 86_400_000 * 2 * math.pi + host.phase)
        load += draw.gauss(0, 2.5) + (60 if host.incident else 0)
        host.incident = max(0, host.incident - 1)
        busy = min(100.0, max(0.0, load))
        return {
            "tenant_id": host.tenant,
            "event_id": f"{self.count:09d}{birth_mark(time.time())}",
            "host": host.name,
            "occurred_at": host.clock,
            "cpu_percent": round(busy, 3),
            "memory_percent": round(min(100.0, 35 + busy / 4 + draw.gauss(0, 1)), 3),
            "disk_read_bytes_per_s": None if draw.random() < 0.01 else round(abs(draw.gauss(4e6, 8e5)), 1),
            "disk_write_bytes_per_s": round(abs(draw.gauss(2e6, 5e5)) * (8 if host.incident else 1), 1),
            "db_connections": float(draw.randrange(5, 40)),
            "db_query_ms": round(abs(draw.gauss(12, 3)), 3),
            "queue_depth": None,
            "request_latency_ms": round(draw.lognormvariate(3, 0.4), 3),
            "error_rate": round(draw.random() * 0.01, 5),
            "extra": {"gpu_percent": round(draw.uniform(0, 100), 2)} if host.phase < 0.5 else {},
        }

    @staticmethod
    def _message(intent: str, sample: Mapping[str, Any]) -> Message:
        topic = topics.EVENTS_METRICS
        return Message(intent, topic.key_of(sample), topic.codec.encode(dict(sample)))
