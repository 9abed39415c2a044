"""Seeded load of the relay: halves of meetings, gauges of devices, changes of settings, and what is wrong with some."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from models import metrics
from schemas import topics
from schemas.topics import Topic
from tests.faults.recovery import birth_mark
from tests.faults.relay import DEVICE, GAUGE, LEFT, PATIENCE, POISON, RIGHT, SHARE, SOUR, SPOILT
from tests.faults.samples import TENANTS, Message

PERSONS, DEVICES = 600, 60
LATE_MS = 200
CONTROL_SHARE = 0.0005
PROBE = "probe"
UNSEEN = [name for name in metrics.NAMES if name != "cpu_percent"]
"""Metrics that nobody looks at here."""


class Traffic:
    """An endless stream of messages to the relay's inputs and to control; equal seeds mean equal persons and faults.

    partitions: of the inputs; an event says from which of them it comes, so that every way through is watched.
    """

    def __init__(self, seed: int, partitions: int) -> None:
        self.random = random.Random(seed)
        self.partitions = partitions
        self.count = 0
        self.versions: Counter[bytes] = Counter()

    def next(self) -> Message:
        draw = self.random
        roll = draw.random()
        if roll < CONTROL_SHARE:
            return self._change()
        tenant, device = draw.choice(TENANTS), draw.randrange(DEVICES)
        extra: dict[str, float] = {DEVICE: float(device)}
        if roll < 0.05:
            return self._message("gauge", GAUGE, tenant, f"d{device}", extra)
        person = f"p{draw.randrange(PERSONS)}"
        topic = LEFT if draw.random() < 0.5 else RIGHT
        if roll < 0.0502:
            return self._message(POISON, topic, tenant, person, extra | {POISON: 1.0})
        if roll < 0.0504:
            return self._message(SOUR, RIGHT, tenant, person, extra | {SOUR: 1.0})
        if roll < 0.0506:
            return self._message(SPOILT, LEFT, tenant, person, extra | {SPOILT: 1.0})
        if roll < 0.052:
            return self._noise(topic, tenant, person)
        if roll < 0.07:
            extra[PATIENCE] = 20.0 * draw.randrange(100)
        return self._message("good", topic, tenant, person, extra)

    def probes(self, topic: Topic, count: int, patience_ms: int) -> Iterator[Message]:
        """One half of a meeting of each of `count` persons who do nothing else: first `LEFT`, later `RIGHT`."""
        for number in range(count):
            extra = {DEVICE: float(number % DEVICES), PATIENCE: float(patience_ms)}
            yield self._message(PROBE, topic, TENANTS[0], f"{PROBE}{number}", extra)

    def _message(self, intent: str, topic: Topic, tenant: str, host: str, extra: dict[str, float]) -> Message:
        now = time.time()
        self.count += 1
        source = topic.partition_of(f"{tenant}|{host}".encode(), self.partitions)
        mark = f"{intent if intent == PROBE else ''}{self.count:08d}"
        sample: dict[str, Any] = {
            "tenant_id": tenant,
            "event_id": f"{mark}{birth_mark(now)}{source}.",
            "host": host,
            "occurred_at": int(now * 1000) - self.random.randrange(LATE_MS),
            "cpu_percent": round(self.random.uniform(0, 2), 4),
            **dict.fromkeys(UNSEEN),
            "extra": extra,
        }
        return Message(intent, topic.key_of(sample), topic.codec.encode(sample), topic)

    def _noise(self, topic: Topic, tenant: str, host: str) -> Message:
        return Message("noise", f"{tenant}|{host}".encode(), self.random.randbytes(40), topic)

    def _change(self) -> Message:
        """A change of the setting on which every value depends: for all or one tenant, now or soon; or an undo."""
        topic, draw = topics.CONTROL_COMMANDS, self.random
        now = int(time.time() * 1000)
        command: dict[str, Any] = {
            "tenant_id": draw.choice(("*", *TENANTS)),
            "command_id": f"change-{self.count}-{now}",
            "action": "set",
            "name": SHARE,
            "value": repr(round(draw.random(), 3)),
            "valid_from": draw.choice((None, now + 500, now - 500)),
            "requested_at": now,
            "by": "load",
            "reason": "so that the values change",
        }
        key = topic.key_of(command)
        command["expected_version"] = self.versions[key]
        if self.versions[key] and draw.random() < 0.2:
            command |= {"action": "undo", "value": None}
        self.versions[key] += 1
        return Message("control", key, topic.codec.encode(command), topic)
