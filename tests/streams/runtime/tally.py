"""An agent without a domain: it counts samples per host. What is to go wrong with a sample, the sample itself says."""

import struct
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

from schemas import topics
from streams.runtime import Agent, Frame, Halt, Part
from streams.runtime.frame import InputRecord
from tests.faults.counting import STATE, ZERO, Count, step

NOW = 1_790_000_000_000
POISON, REFUSE, FORGET, STOP = "poison", "refuse", "forget", "stop"
"""Names in `extra`: raise over it; reject it; delete the host's state; halt while the agent is told to."""
TOPIC = topics.EVENTS_METRICS
OUTPUT = topics.PREDICTIONS_ANOMALY


def _pack(count: Count) -> bytes:
    return STATE.pack(*count)


def _unpack(raw: bytes) -> Count:
    number, total, moving = STATE.unpack(raw)
    return number, total, moving


COUNT = Part("count", version=1, pack=_pack, unpack=_unpack)


class Seen:
    """How many samples came with each CPU figure modulo 3, decoded between frames; one stored part per remainder."""

    name: ClassVar[str] = "seen"
    version: ClassVar[int] = 1
    PARTS = (b"0", b"1", b"2")

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts
        self.changed: set[int] = set()

    @classmethod
    def load(cls, key: bytes, read: Callable[[bytes], bytes | None]) -> Self:
        return cls([0 if (raw := read(part)) is None else struct.unpack("<q", raw)[0] for part in cls.PARTS])

    def add(self, number: int) -> int:
        self.counts[number % 3] += 1
        self.changed.add(number % 3)
        return sum(self.counts)

    def clear(self) -> None:
        self.changed |= {place for place, count in enumerate(self.counts) if count}
        self.counts = [0, 0, 0]

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        changed, self.changed = sorted(self.changed), set()
        return [
            (self.PARTS[place], struct.pack("<q", self.counts[place]) if self.counts[place] else None)
            for place in changed
        ]


def tally(
    name: str = "tally",
    halted: Callable[[], bool] = lambda: False,
    part: Part[Count] = COUNT,
    kind: type[Seen] = Seen,
) -> Agent:
    """The agent. It counts in a stored part and in a live object, and says both counts with every sample."""

    def process(frame: Frame) -> None:
        out = []
        events = frame.decode()
        for record, event in zip(frame.records, events, strict=True):
            key, orders = record.key or b"", event["extra"]
            if STOP in orders and halted():
                raise Halt("told to stop")
            seen = frame.state.live(key, kind)
            if REFUSE in orders:
                frame.reject(record, "Refused", f"{event['event_id']} asked for it")
                continue
            if FORGET in orders:
                frame.state.delete(key, part)
                seen.clear()
                continue
            count, output = step(frame.state.get(key, part) or ZERO, event)
            frame.state.put(key, part, count)
            output["detail"]["live"] = float(seen.add(int(event["cpu_percent"])))
            # After the changes, so that whatever is left of them would show.
            if POISON in orders:
                raise ValueError(f"{event['event_id']} is poison")
            out.append(output)
        frame.send(OUTPUT, out)

    return Agent(name=name, inputs=(TOPIC,), outputs=(OUTPUT,), process=process)


def sample(number: int, *orders: str, host: str | None = None, tenant: str = "acme", at: int = NOW) -> dict[str, Any]:
    """The sample of a number: its host and its figures follow from it."""
    return {
        "tenant_id": tenant,
        "event_id": f"e{number}",
        "host": host or f"h{number % 5}",
        "occurred_at": at,
        "cpu_percent": float(number % 101),
        "memory_percent": None,
        "disk_read_bytes_per_s": None,
        "disk_write_bytes_per_s": None,
        "db_connections": None,
        "db_query_ms": None,
        "queue_depth": None,
        "request_latency_ms": None,
        "error_rate": None,
        "extra": dict.fromkeys(orders, 1.0),
    }


def record(event: dict[str, Any], offset: int, **changes: Any) -> InputRecord:
    """An event as it would lie in its topic, published when it happened."""
    made = InputRecord(TOPIC.key_of(event), TOPIC.codec.encode(event), event["occurred_at"], offset)
    return made._replace(**changes)


def records(events: Iterable[dict[str, Any]]) -> list[InputRecord]:
    return [record(event, offset) for offset, event in enumerate(events)]
