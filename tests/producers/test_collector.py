"""The collector: its schedule, what it does while Kafka is away, and the command on this machine."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from producers.collector import Backlog, Collector, Figures, Schedule, event_id, sample_event
from producers.publish import Accepted, Outcome, Publisher, Unacknowledged
from producers.sources import Sources
from schemas.topics import EVENTS_METRICS, Topic
from tests.producers.conftest import decoded
from tests.producers.test_sources import until
from watchfloor.embedded.ports import free_port


def test_the_schedule_does_not_drift() -> None:
    schedule = Schedule(1.0, 100.0)
    times = []
    for _ in range(1000):
        times.append(schedule.due)
        assert schedule.advance(schedule.due + 0.3) == 0  # each sample takes a while
    assert times == [101.0 + number for number in range(1000)]


def test_what_was_slept_through_is_skipped_and_counted() -> None:
    schedule = Schedule(60.0, 0.0)
    assert schedule.advance(60.0 + 3 * 60.0 + 1.0) == 3
    assert schedule.due == 300.0


@given(st.floats(1, 3600), st.lists(st.floats(0, 10_000), max_size=50))
def test_every_time_is_sampled_or_counted_as_missed(interval: float, naps: list[float]) -> None:
    schedule, now, missed = Schedule(interval, 0.0), 0.0, 0
    for nap in naps:
        now = max(schedule.due, now + nap)
        missed += schedule.advance(now)
        assert schedule.due > now
    assert schedule.due == pytest.approx(interval * (1 + len(naps) + missed))


def test_the_id_is_that_of_tenant_host_and_time() -> None:
    assert event_id("acme", "web1", 5) == event_id("acme", "web1", 5)
    ids = {event_id(t, h, at) for t in ("a", "ab") for h in ("b", "bb") for at in (1, 11)}
    assert len(ids) == 8


def samples(count: int) -> list[dict[str, Any]]:
    now = time.time_ns() // 1_000_000
    return [sample_event("acme", "web1", now + number, {"cpu_percent": 1.0}) for number in range(count)]


class Gate:
    """A publisher whose Kafka is away while `away` is set; otherwise it notes what it is given."""

    def __init__(self) -> None:
        self.away = threading.Event()
        self.calls = 0
        self.taken: list[str] = []

    def publish(self, topic: Topic, records: list[dict[str, Any]]) -> list[Outcome]:
        self.calls += 1
        if self.away.is_set():
            # One of the batch had made it before the line broke.
            self.taken.append(records[-1]["event_id"])
            return [*[Unacknowledged("away")] * (len(records) - 1), Accepted(0, 0)]
        self.taken += [record["event_id"] for record in records]
        return [Accepted(0, 0)] * len(records)


def test_samples_wait_and_the_oldest_go_when_too_many_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    figures, gate = Figures(), Gate()
    gate.away.set()
    backlog = Backlog(gate, figures, tmp_path / "spool.jsonl", limit=5)  # type: ignore[arg-type]
    events = samples(8)
    backlog.add(events[0])
    until(lambda: gate.calls >= 1)
    for event in events[1:]:
        backlog.add(event)
    gate.away.clear()
    until(lambda: not backlog._waiting)
    given_up = re.findall(r"given up, because 5 samples wait: (\S+)", caplog.text)
    assert len(given_up) == figures.registry.get_sample_value("watchfloor_collector_dropped_total")
    assert {*gate.taken, *given_up} == {event["event_id"] for event in events}
    assert backlog.close() == 0


@pytest.mark.kafka
def test_what_kafka_did_not_take_is_sent_by_the_next_collector(
    kafka: str, topics: str, tmp_path: Path, written: Callable[[], list[Message]]
) -> None:
    spool, events = tmp_path / "collect" / "spool.jsonl", samples(20)
    with Publisher(f"127.0.0.1:{free_port()}", limit_s=0.5) as nowhere:
        backlog = Backlog(nowhere, Figures(), spool)
        for event in events[:15]:
            backlog.add(event)
        assert backlog.close() == 15
    with Publisher(kafka, prefix=topics) as publisher:
        backlog = Backlog(publisher, Figures(), spool)
        for event in events[15:]:
            backlog.add(event)
        until(lambda: not backlog._waiting)
        assert backlog.close() == 0
    assert not spool.exists()
    assert [record["event_id"] for record in decoded(written())] == [event["event_id"] for event in events]


class Slow:
    name = "slow"

    def __init__(self) -> None:
        self.let = threading.Event()

    def read(self) -> dict[str, float | None]:
        self.let.wait(30)
        return {"queue_depth": 1.0}


def test_a_source_that_hangs_delays_no_sample() -> None:
    slow, taken = Slow(), list[tuple[float, dict[str, Any]]]()
    stop = threading.Event()

    def add(event: dict[str, Any]) -> None:
        taken.append((time.monotonic(), event))
        if len(taken) == 4:
            stop.set()

    sources = Sources([slow])
    collector = Collector("acme", "web1", 0.25, sources, add, Figures())
    start = collector._schedule.due - 0.25
    collector.run(stop)
    slow.let.set()
    sources.close()
    assert all(event["queue_depth"] is None for _, event in taken)
    # A busy test machine may miss a place, but every sample stands in one.
    for at, _ in taken:
        assert (at - start) % 0.25 < 0.2
    assert len({event["event_id"] for _, event in taken}) == 4


def collect(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "watchfloor", "collect", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.kafka
def test_the_command_publishes_until_it_is_told_to_stop(
    kafka: str, topics: str, tmp_path: Path, written: Callable[[], list[Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(written())
    for name, value in {"HOME": str(tmp_path), "KAFKA": kafka, "PREFIX": topics, "HOST": "h", "TENANT": "t"}.items():
        monkeypatch.setenv(f"WATCHFLOOR_{name}", value)
    process = collect(dict(os.environ), "--interval", "1")
    until(lambda: len(written()) >= before + 2, 60)
    said = json.loads((tmp_path / "run" / "collect.json").read_text())
    assert (said["pid"], said["kind"]) == (process.pid, "collect")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    mine = [record for record in decoded(written()) if record["host"] == "h"]
    assert len(mine) >= 2
    assert all(record["cpu_percent"] is not None and record["tenant_id"] == "t" for record in mine)
    EVENTS_METRICS.codec.encode(mine[0])


def test_one_sample_for_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_HOME", str(tmp_path))
    process = collect(dict(os.environ), "--once", "--json")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    sample = json.loads(output)
    assert sample["cpu_percent"] is not None
    assert sample["queue_depth"] is None
    assert not (tmp_path / "run" / "collect.json").exists()
