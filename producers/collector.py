"""The collector: this machine's metrics as events, at steady intervals, also while Kafka is away."""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from models.identity import derived_id
from models.metrics import NAMES
from producers.host import Host
from producers.publish import Accepted, Publisher
from producers.records import Rejected
from producers.sources import Sources
from schemas.topics import EVENTS_METRICS

log = logging.getLogger(__name__)

HELD_SAMPLES = 50_000
"""Samples kept while Kafka is away: 34 days at 60 s, 13 hours at 1 s; about 100 MB at most."""

BATCH = 500
LEAD_S = 1.0  # other processes are asked so long before the sample is due, at most half an interval
RETRY_S = (0.5, 1.0, 2.0, 5.0)
SAY_EVERY_S = 60.0


def event_id(tenant: str, host: str, occurred_at: int) -> str:
    """The id of a collector's sample: the same for the same tenant, host and millisecond."""
    return derived_id("sample", tenant, host, str(occurred_at))


def sample_event(tenant: str, host: str, occurred_at: int, values: Mapping[str, float | None]) -> dict[str, Any]:
    """An event of events.metrics; what `values` lacks is null."""
    return {
        "tenant_id": tenant,
        "event_id": event_id(tenant, host, occurred_at),
        "host": host,
        "occurred_at": occurred_at,
        **{name: values.get(name) for name in NAMES},
        "extra": {},
    }


class Schedule:
    """Times `interval_s` apart on the monotonic clock; a late caller skips times, the others keep their places."""

    def __init__(self, interval_s: float, now: float) -> None:
        self.interval_s = interval_s
        self._start = now
        self._number = 1

    @property
    def due(self) -> float:
        return self._start + self._number * self.interval_s

    def advance(self, now: float) -> int:
        """Move to the first time after `now`; how many were passed over beside the one that was due."""
        last = self._number
        self._number = max(last, int((now - self._start) // self.interval_s)) + 1
        if self.due <= now:  # the division was rounded down
            self._number += 1
        return self._number - last - 1


class Figures:
    """Every figure that a collector publishes."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.registry = registry

        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self.samples = counter("watchfloor_collector_samples", "Samples taken.")
        self.published = counter("watchfloor_collector_published", "Samples that Kafka acknowledged.")
        self.missed = counter("watchfloor_collector_missed", "Samples not taken in their time.")
        self.dropped = counter(
            "watchfloor_collector_dropped", "Samples given up: the oldest when too many wait, and refused ones."
        )
        self.waiting = gauge("watchfloor_collector_waiting", "Samples that Kafka has not acknowledged yet.")
        self.failures = gauge("watchfloor_collector_source_failures", "Readings that failed or came late.", "source")


class Backlog:
    """Samples on their way to Kafka, in order; a thread of its own publishes them.

    While Kafka is away they wait, at most `limit`; then the oldest go, counted and logged. What still waits at the
    end is written to `spool` and sent by the next collector.
    """

    def __init__(self, publisher: Publisher, figures: Figures, spool: Path, limit: int = HELD_SAMPLES) -> None:
        self._publisher = publisher
        self._figures = figures
        self._spool = spool
        self._limit = limit
        self._waiting: deque[dict[str, Any]] = deque()
        self._some = threading.Condition()
        self._closing = threading.Event()
        self._said = 0.0
        self._restore()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
        self._thread.start()

    def add(self, event: dict[str, Any]) -> None:
        with self._some:
            self._waiting.append(event)
            self._trim()
            self._some.notify()

    def close(self, limit_s: float = 8.0) -> int:
        """Publish what waits, for at most `limit_s`; how many samples had to be put into the spool."""
        self._closing.set()
        with self._some:
            self._some.notify()
        self._thread.join(limit_s)
        with self._some:
            if self._waiting:
                self._spool.parent.mkdir(parents=True, exist_ok=True)
                self._spool.write_text("".join(json.dumps(event) + "\n" for event in self._waiting))
                log.warning("%d samples wait in %s for the next start", len(self._waiting), self._spool)
            return len(self._waiting)

    def _restore(self) -> None:
        if self._spool.exists():
            self._waiting.extend(json.loads(line) for line in self._spool.read_text().splitlines())
            log.info("%d samples of the last run are sent first", len(self._waiting))

    def _trim(self) -> None:
        while len(self._waiting) > self._limit:
            gone = self._waiting.popleft()
            self._figures.dropped.inc()
            log.error("given up, because %d samples wait: %s", self._limit, gone["event_id"])
        self._figures.waiting.set(len(self._waiting))

    def _run(self) -> None:
        failed = 0
        while True:
            with self._some:
                self._some.wait_for(lambda: self._waiting or self._closing.is_set())
                batch = [self._waiting[index] for index in range(min(BATCH, len(self._waiting)))]
            if not batch:
                return
            failed = 0 if self._publish(batch) else failed + 1
            if failed and self._closing.is_set():
                return
            if failed:
                self._closing.wait(RETRY_S[min(failed, len(RETRY_S)) - 1])

    def _publish(self, batch: list[dict[str, Any]]) -> bool:
        """Whether the whole batch is settled; what is not stays in its place."""
        outcomes = self._publisher.publish(EVENTS_METRICS, batch)
        settled = set()
        for event, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Accepted):
                self._figures.published.inc()
            elif isinstance(outcome, Rejected):
                self._figures.dropped.inc()
                log.error("given up, because it is refused (%s): %s", outcome, event)
            else:
                self._say(outcome.reason)
                continue
            settled.add(event["event_id"])
        with self._some:
            tried = {event["event_id"] for event in batch}
            again = []
            while self._waiting and self._waiting[0]["event_id"] in tried:
                event = self._waiting.popleft()
                if event["event_id"] not in settled:
                    again.append(event)
            self._waiting.extendleft(reversed(again))
            self._figures.waiting.set(len(self._waiting))
            if not self._waiting:
                self._spool.unlink(missing_ok=True)
        return len(settled) == len(batch)

    def _say(self, reason: str) -> None:
        if time.monotonic() - self._said > SAY_EVERY_S:
            self._said = time.monotonic()
            log.warning("Kafka does not take samples (%s); %d wait, none is lost", reason, len(self._waiting))


class Collector:
    """Samples this host at steady times and hands every sample to the backlog.

    Nothing outside this process can delay a sample: other processes are asked `LEAD_S` ahead, and what has not
    come when the sample is due is null in it.
    """

    def __init__(
        self,
        tenant: str,
        host: str,
        interval_s: float,
        sources: Sources,
        add: Callable[[dict[str, Any]], None],
        figures: Figures,
    ) -> None:
        self.tenant = tenant
        self.host = host
        self._machine = Host()
        self._sources = sources
        self._add = add
        self._figures = figures
        self._schedule = Schedule(interval_s, time.monotonic())
        self._lead_s = min(LEAD_S, interval_s / 2)

    def run(self, stop: threading.Event) -> None:
        """Sample until `stop` is set."""
        schedule = self._schedule
        while not stop.wait(max(0.0, schedule.due - self._lead_s - time.monotonic())):
            self._sources.start()
            if stop.wait(max(0.0, schedule.due - time.monotonic())):
                return
            self._add(self.sample())
            missed = schedule.advance(time.monotonic())
            if missed:
                self._figures.missed.inc(missed)
                log.warning("%d samples were not taken: the machine or this process stood still", missed)

    def sample(self) -> dict[str, Any]:
        """One sample of now."""
        values = self._machine.sample() | self._sources.take()
        for name, count in self._sources.failures.items():
            self._figures.failures.labels(name).set(count)
        self._figures.samples.inc()
        return sample_event(self.tenant, self.host, time.time_ns() // 1_000_000, values)
