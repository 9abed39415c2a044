"""What the running system says about itself: the database's answer, the agents' lag, the workers' figures.

Each source reads with short time limits, in a thread of its own; a reading that is late is missing, not awaited.
"""

import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from prometheus_client.parser import text_string_to_metric_families

from producers.offsets import settled

log = logging.getLogger(__name__)

LIMIT_S = 1.0

CONNECTIONS = """
SELECT sum(value) FROM system.metrics WHERE metric IN
('TCPConnection', 'HTTPConnection', 'MySQLConnection', 'PostgreSQLConnection', 'InterserverConnection')
"""

Reading = Mapping[str, float | None]


class SourceError(Exception):
    """A source that could not be read; the text says why."""


class Source(Protocol):
    name: str

    def read(self) -> Reading:
        """Metrics now. Raises SourceError; returns or raises within a few seconds whatever happens."""
        ...


class Database:
    """ClickHouse over HTTP: connections that it counts, and the time of this very query."""

    name = "clickhouse"

    def __init__(self, url: str, user: str = "default", password: str = "") -> None:
        self._url = urlsplit(url)
        self._headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}

    def read(self) -> Reading:
        started = time.perf_counter()
        try:
            connections = float(self._ask(CONNECTIONS))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceError(f"{type(error).__name__}: {error}") from error
        took_ms = (time.perf_counter() - started) * 1000
        # A server that counts no connection while it answers us does not count them.
        return {"db_connections": connections or None, "db_query_ms": round(took_ms, 3)}

    def _ask(self, query: str) -> str:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "127.0.0.1", self._url.port, timeout=LIMIT_S)
        with closing(connection):
            connection.request("POST", "/", body=query, headers=self._headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}: {text[:200].strip()}")
        return text


class Lag:
    """Records that the agents have not processed, over their consumer groups."""

    name = "kafka"

    def __init__(self, kafka: str, groups: Iterable[str]) -> None:
        # Without an error callback and with log_level 0 the client says nothing on its own: read() does.
        settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": kafka,
            "socket.timeout.ms": int(LIMIT_S * 1000),
            "log_level": 0,
        }
        self._admin = AdminClient(settings)
        # Consumers that never join: the admin client crashes (a null pointer in librdkafka 2.16) when it asks for a
        # group's offsets while the group's coordinator is not there yet.
        self._groups = tuple(Consumer(settings | {"group.id": group}) for group in groups)

    def read(self) -> Reading:
        try:
            topics = self._topics()
            positions = [position for group in self._groups for position in self._positions(group, topics)]
            ends = self._ends(positions)
        except (KafkaException, TimeoutError) as error:
            raise SourceError(str(error)) from error
        lag = sum(max(0, end - position.offset) for position, end in zip(positions, ends, strict=True))
        return {"queue_depth": float(lag) if positions else None}

    def _topics(self) -> list[TopicPartition]:
        """All partitions that there are."""
        return [
            TopicPartition(name, number)
            for name, topic in self._admin.list_topics(timeout=LIMIT_S).topics.items()
            if topic.error is None and not name.startswith("__")
            for number in topic.partitions
        ]

    @staticmethod
    def _positions(group: Consumer, topics: list[TopicPartition]) -> list[TopicPartition]:
        found = settled(lambda: group.committed(topics, timeout=LIMIT_S), 3 * LIMIT_S) if topics else []
        return [partition for partition in found if partition.error is None and partition.offset >= 0]

    def _ends(self, positions: Sequence[TopicPartition]) -> list[int]:
        if not positions:
            return []
        # One request per topic partition, also where several groups read the same one.
        wanted = {(p.topic, p.partition): TopicPartition(p.topic, p.partition) for p in positions}
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(dict.fromkeys(wanted.values(), latest), request_timeout=LIMIT_S)
        ends = {(p.topic, p.partition): future.result(LIMIT_S).offset for p, future in asked.items()}
        return [ends[p.topic, p.partition] for p in positions]


class Workers:
    """The workers' Prometheus figures, found by what they write into the run folder.

    request_latency_ms: mean time from taking a frame to its commit; error_rate: share of events that became dead
    letters; both since the last reading, None without any event since.
    """

    name = "workers"

    def __init__(self, run: Path) -> None:
        self._run = run
        self._last: dict[str, dict[str, float]] = {}

    def read(self) -> Reading:
        urls = [str(each["metrics"]) for each in running(self._run) if each.get("kind") == "worker"]
        figures: dict[str, dict[str, float]] = {}
        failures = []
        for url in urls:
            try:
                with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
                    figures[url] = totals(answer.read().decode())
            except (OSError, ValueError) as error:
                failures.append(f"{url}: {error}")
        last, self._last = self._last, figures
        if failures and not figures:
            raise SourceError("; ".join(failures))
        since = [
            {name: value - last[url].get(name, 0.0) for name, value in now.items()}
            for url, now in figures.items()
            if url in last
        ]

        def total(name: str) -> float:
            return sum(max(0.0, each.get(name, 0.0)) for each in since)

        events, frames = total("watchfloor_events_total"), total("watchfloor_transaction_seconds_count")
        seconds = total("watchfloor_process_seconds_sum") + total("watchfloor_transaction_seconds_sum")
        return {
            "request_latency_ms": round(1000 * seconds / frames, 3) if frames else None,
            "error_rate": min(1.0, total("watchfloor_dead_letters_total") / events) if events else None,
        }


class Sources:
    """Reads all sources side by side, without ever waiting for one."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._pool = ThreadPoolExecutor(max(1, len(sources)), "source")
        self._under_way: dict[str, Future[Reading]] = {}
        self._awaited: set[str] = set()
        self._failing: set[str] = set()
        self.failures = {source.name: 0 for source in sources}

    def start(self) -> None:
        """Begin a reading of every source that is not still busy with an earlier one."""
        self._awaited = set()
        for source in self._sources:
            earlier = self._under_way.get(source.name)
            if earlier is None or earlier.done():
                self._under_way[source.name] = self._pool.submit(source.read)
                self._awaited.add(source.name)

    def take(self) -> dict[str, float | None]:
        """What has come since start(). A reading that comes later is given up: it would be old by then."""
        metrics: dict[str, float | None] = {}
        for source in self._sources:
            reading = self._under_way.get(source.name)
            if source.name not in self._awaited or reading is None or not reading.done():
                self._failed(source.name, "did not answer in time")
                continue
            del self._under_way[source.name]
            error = reading.exception()
            if error is not None:
                self._failed(source.name, str(error), None if isinstance(error, SourceError) else error)
                continue
            metrics.update(reading.result())
            if source.name in self._failing:
                self._failing.discard(source.name)
                log.info("%s answers again", source.name)
        return metrics

    def _failed(self, name: str, reason: str, unexpected: BaseException | None = None) -> None:
        self.failures[name] += 1
        if name not in self._failing:
            self._failing.add(name)
            log.warning("%s: %s; its metrics are left out until it answers", name, reason, exc_info=unexpected)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def running(run: Path) -> list[dict[str, object]]:
    """What the processes of this instance wrote about themselves."""
    found = []
    for path in sorted(run.glob("*.json")):
        try:
            said = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # being written, or removed, right now
        if isinstance(said, dict) and "metrics" in said:
            found.append(said)
    return found


def totals(text: str) -> dict[str, float]:
    """Figures in Prometheus' text format, summed over their labels."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
