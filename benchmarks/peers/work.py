"""The work of every Python contender, and the figures it prints.

One attendance event (72 bytes of Avro) changes 96 bytes of its person's state and yields one prediction (about
140 bytes). Every contender evaluates the same expressions in the same order, so that the outputs are equal to the
byte. Settings come from the environment (BENCH_*), so that a contender needs nothing of the product.
"""

import json
import os
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

State = tuple[Any, ...]

ATTENDANCE: dict[str, Any] = {
    "type": "record",
    "name": "Attendance",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "tenant", "type": "string"},
        {"name": "person", "type": "long"},
        {"name": "ts", "type": "long"},
        {"name": "lat", "type": "double"},
        {"name": "lon", "type": "double"},
        {"name": "face", "type": "double"},
        {"name": "kind", "type": "string"},
    ],
}
PREDICTION: dict[str, Any] = {
    "type": "record",
    "name": "Prediction",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "tenant", "type": "string"},
        {"name": "person", "type": "long"},
        {"name": "ts", "type": "long"},
        {"name": "model", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "score", "type": "double"},
        {"name": "threshold", "type": "double"},
        {"name": "count", "type": "long"},
        {"name": "sum", "type": "double"},
        {"name": "mean", "type": "double"},
        {"name": "var", "type": "double"},
        {"name": "label", "type": "string"},
    ],
}
ZERO: State = (0,) + (0.0,) * 11  # one long and eleven doubles: 96 bytes

BOOTSTRAP = os.environ.get("BENCH_BOOTSTRAP", "127.0.0.1:9092")
INPUT = os.environ.get("BENCH_INPUT", "in")
OUTPUT = os.environ.get("BENCH_OUTPUT", "out")
GROUP = os.environ.get("BENCH_GROUP", "bench")  # also the prefix of the changelog, where the contender names it
STATE = os.environ.get("BENCH_STATE", "state")  # folder for what the contender keeps on disk
EVENTS = int(os.environ.get("BENCH_EVENTS", "0"))  # 0: run until stopped
GUARANTEE = os.environ.get("BENCH_GUARANTEE", "")
COMMIT_MS = int(os.environ.get("BENCH_COMMIT_MS", "1000"))


def step(state: State, event: dict[str, Any]) -> tuple[State, dict[str, Any]]:
    """New state and prediction of one event."""
    n, total, m2, level, _, _, _, a, b, c, d, e = state
    x = event["face"]
    n += 1
    total += x
    mean = total / n
    deviation = x - mean
    m2 += deviation * deviation  # not ** 2, which differs from Java's product in the last bit
    level = 0.9 * level + 0.1 * x
    new = (n, total, m2, level, event["lat"], event["lon"], float(event["ts"]), a, b, c, d, e)
    return new, {
        "event_id": event["event_id"],
        "tenant": event["tenant"],
        "person": event["person"],
        "ts": event["ts"],
        "model": "attendance-anomaly-hst-ensemble-v3",
        "version": "2026-01-01",
        "score": abs(x - level),
        "threshold": 0.5,
        "count": n,
        "sum": total,
        "mean": mean,
        "var": m2 / n,
        "label": "normal",
    }


def fastavro_step() -> Callable[[State, bytes], tuple[State, bytes]]:
    """The step over encoded records, with fastavro: (state, raw event) -> (state, raw prediction)."""
    import fastavro

    attendance, prediction = fastavro.parse_schema(ATTENDANCE), fastavro.parse_schema(PREDICTION)
    read, write = fastavro.schemaless_reader, fastavro.schemaless_writer

    def raw_step(state: State, raw: bytes) -> tuple[State, bytes]:
        state, result = step(state, read(BytesIO(raw), attendance))
        out = BytesIO()
        write(out, prediction, result)
        return state, out.getvalue()

    return raw_step


class Meter:
    """Prints, at the first event and at each quarter, the seconds and CPU seconds since the first event."""

    def __init__(self, events: int = EVENTS) -> None:
        self.marks = [max(events * n // 4, 1) for n in (1, 2, 3, 4)] if events else []
        self.seen = 0
        self.running = False
        self.started = self.cpu = 0.0

    def begin(self) -> None:
        """Call before the work of every event or batch; the first call starts the clocks."""
        if not self.running:
            self.running = True
            self.started, self.cpu = time.perf_counter(), time.process_time()
            self.print()

    def add(self, count: int = 1) -> None:
        self.seen += count
        if self.marks and self.seen >= self.marks[0]:
            self.print()
            self.marks = [mark for mark in self.marks if mark > self.seen]

    def print(self) -> None:
        seconds, cpu = time.perf_counter() - self.started, time.process_time() - self.cpu
        mark = {"events": self.seen, "seconds": seconds, "cpu": cpu}
        os.write(1, json.dumps(mark).encode() + b"\n")  # past any redirection of sys.stdout by a framework
