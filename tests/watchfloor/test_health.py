"""Health: what it says of an instance that is well, and of each trouble that it knows."""

import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from schemas import topics
from schemas.apply import Cluster
from sinks.figures import Figures
from sinks.writer import Options, Sink
from tests.conftest import Access
from watchfloor import health
from watchfloor.cli import main
from watchfloor.commands.db import open_store
from watchfloor.commands.topics import all_wanted
from watchfloor.health import Look
from watchfloor.settings import Settings
from watchfloor.vitals import Vitals


def vital(name: str, kind: str, trouble: str | None = None, **figures: float) -> Vitals:
    return Vitals(name, kind, 1, trouble, {(f"watchfloor_{key}", frozenset()): value for key, value in figures.items()})


def letter(**other: Any) -> bytes:
    return topics.DEAD_LETTERS.codec.encode(
        {"source_topic": "events.metrics", "source_partition": 0, "source_offset": 0, "source_timestamp": 1,
         "agent": "metrics", "error_class": "ValueError", "message": "", "headers": []} | other
    )  # fmt: skip


def asked(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = CliRunner().invoke(main, ["health", "--json", "--interval", "0.5", *arguments])
    return done.exit_code, {one["check"]: one for one in json.loads(done.stdout)}


def test_an_instance(
    kafka: str, prefix: str, clickhouse: Access, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing topics and tables, then all well, then dead letters, a halted partition and a process that ended."""
    for name, value in {
        "WATCHFLOOR_HOME": str(tmp_path),
        "WATCHFLOOR_KAFKA": kafka,
        "WATCHFLOOR_PREFIX": f"{prefix}{uuid4().hex[:6]}.",
        **clickhouse.variables(database),
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    code, found = asked()
    assert code == 1
    assert found["topics"]["state"] == found["tables"]["state"] == "mend"
    assert found["letters"]["state"] == found["views"]["state"] == "skipped"

    Cluster(kafka).apply(all_wanted(settings))
    assert CliRunner().invoke(main, ["db", "migrate"]).exit_code == 0
    registry = CollectorRegistry()
    stopped = Gauge("watchfloor_halted_partitions", "", registry=registry)
    waiting = Gauge("watchfloor_paused", "", ("agent", "partition"), registry=registry)
    server, _ = start_http_server(0, addr="127.0.0.1", registry=registry)
    (tmp_path / "run").mkdir()
    about = {"pid": os.getpid(), "kind": "worker", "metrics": f"http://127.0.0.1:{server.server_port}/metrics"}
    (tmp_path / "run" / "worker-0.json").write_text(json.dumps(about))
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    for n in range(3):
        producer.produce(settings.prefix + "dead-letters", letter(source_offset=n))
    producer.produce(settings.prefix + "dead-letters", letter(agent="dlq", error_class="Replayed"))
    assert producer.flush(20) == 0
    Sink(
        open_store(settings), Options(servers=kafka, prefix=settings.prefix, instance="sink-0", once=True), Figures()
    ).run()

    code, found = asked("--behind", "3600")
    assert code == 0, found
    assert found["letters"]["text"] == "3 dead letters in the last 5 minutes"
    assert found["figures"]["text"] == "worker-0 answer"
    assert found["views"]["state"] == "ok"

    assert found["paused"]["text"] == "no partition is paused"

    stopped.set(2)
    waiting.labels("metrics", "1").set(1)
    code, found = asked("--dead-letters", "2", "--behind", "3600")
    assert code == 1
    assert found["letters"]["text"] == "more than 2 dead letters in the last 5 minutes"
    assert found["halted"]["text"] == "partitions stand still: 2 of worker-0"
    assert found["paused"]["text"] == "paused by too many dead letters: metrics/1"
    assert "`watchfloor control set release metrics/1 --reason ...`" in found["paused"]["mend"]
    server.shutdown()
    server.server_close()
    code, found = asked("--behind", "3600")
    assert code == 1
    assert "does not answer" in found["figures"]["text"]


def test_nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": str(tmp_path), "KAFKA": "127.0.0.1:1", "CLICKHOUSE": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(f"WATCHFLOOR_{name}", value)
    code, found = asked()
    assert code == 1
    assert found["kafka"]["state"] == found["clickhouse"]["state"] == "mend"
    assert {found[name]["state"] for name in ("letters", "views", "growth", "halted", "paused", "figures")} == {
        "skipped"
    }


def test_a_partition_that_a_newer_release_has_written() -> None:
    errors = {("watchfloor_errors_total", frozenset({("agent", "metrics"), ("error", "StateVersionError")})): 1.0}
    figures = vital("worker-0", "worker", halted_partitions=1).figures
    found = health.halted([Vitals("worker-0", "worker", 1, None, figures | errors)])
    assert found.text == "partitions stand still: 1 of worker-0; another release has written their state"
    assert "`watchfloor upgrade status`" in found.mend


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ((0, 0), (0, 0), "ok"),
        ((50_000, 0), (40_000, 0), "ok"),
        ((900, 0), (990, 0), "ok"),  # small lags come and go
        ((40_000, 0), (41_000, 0), "mend"),
        ((0, 5_000), (0, 5_001), "mend"),
    ],
)
def test_a_lag_that_grows(before: tuple[float, float], after: tuple[float, float], state: str) -> None:
    def look(agents: float, sink: float) -> Look:
        return Look([vital("worker-0", "worker"), vital("sink-0", "sink", sink_lag_records=sink)], agents)

    assert health.growth(look(*before), look(*after)).state == state


def test_a_channel_that_does_not_work() -> None:
    figures = {("watchfloor_notify_failing", frozenset({("channel", name)})): value
               for name, value in (("noc", 0.0), ("duty", 1.0))}  # fmt: skip
    (found,) = health.channels([vital("worker-0", "worker"), Vitals("notify", "notify", 1, None, figures)])
    assert found.state == "mend"
    assert found.text == "duty do not take notifications"


def test_views_that_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"topic": "p.alerts", "seconds_behind": 2.0}, {"topic": "p.gone", "seconds_behind": 1e6},
            {"topic": "p.events.metrics", "seconds_behind": 61.0}]  # fmt: skip
    monkeypatch.setattr(health.queries, "freshness", lambda store: rows)
    settings = Settings(prefix="p.")
    assert health.views(settings, 60).state == "mend"
    assert health.views(settings, 62).state == "ok"
    assert "61 s (events.metrics)" in health.views(settings, 62).text
