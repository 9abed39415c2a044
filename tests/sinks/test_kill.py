"""Real processes, killed with kill -9 under load: the sink, and the database under it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from schemas import topics
from sinks.migrate import migrate
from sinks.store import Store
from sinks.tables import (
    ALERT_EVENTS,
    ALERTS,
    INCIDENT_EVENTS,
    INCIDENTS,
    LABELLED,
    METRIC_SAMPLES,
    PREDICTIONS,
)
from tests.faults.waiting import until
from tests.sinks.conftest import Bench
from tests.sinks.records import alert, by_key, event, incident, label, prediction
from watchfloor.embedded.clickhouse import Engine

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.faults]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    engine.start()
    yield engine
    engine.stop()


class Process:
    """`watchfloor sink` as it is supervised: under one stable name."""

    def __init__(self, bench: Bench, engine: Engine, home: Path) -> None:
        self.log = home / "sink.log"
        self.command = [sys.executable, "-m", "watchfloor", "sink", "--flush-seconds", "0.1"]
        self.environment = os.environ | {
            "WATCHFLOOR_HOME": str(home),
            "WATCHFLOOR_KAFKA": bench.servers,
            "WATCHFLOOR_PREFIX": bench.options.prefix,
            "WATCHFLOOR_CLICKHOUSE": engine.url,
            "WATCHFLOOR_CLICKHOUSE_PASSWORD": engine.password,
            "WATCHFLOOR_DATABASE": bench.store.database,
        }
        self.process = self.start()

    def start(self, *more: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.command, *more], env=self.environment, stdout=log, stderr=log)
        return self.process

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def test_kills_under_load_lose_and_double_nothing(kafka: str, prefix: str, engine: Engine, tmp_path: Path) -> None:
    store = Store(engine.url, engine.user, engine.password, "killed")
    migrate(store)
    bench = Bench(kafka, f"{prefix}kill.", store)

    def load(start: int, count: int = 400) -> None:
        numbers = range(start, start + count)
        bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n) for n in numbers])
        bench.write(topics.EVENTS_METRICS, [event(n) for n in numbers])
        bench.write(topics.ALERTS, [alert(n, seq) for n in numbers if n % 20 == 0 for seq in (1, 2, 3)])
        bench.write(topics.INCIDENTS, [incident(n, seq) for n in numbers if n % 50 == 0 for seq in (1, 2, 3)])
        bench.write(topics.LABELLED_ANOMALY, [label(n, version) for n in numbers if n % 50 == 0 for version in (1, 2)])

    def stored() -> int:
        return int(store.query("SELECT count() AS n FROM killed.predictions")[0]["n"])

    def grown(before: int) -> bool:
        return stored() > before

    sink = Process(bench, engine, tmp_path)
    try:
        for round_ in range(4):
            load(round_ * 1000)
            until(partial(grown, round_ * 400), 60, "rows")
            load(round_ * 1000 + 400, 100)
            if round_ == 2:
                engine.kill()
                load(round_ * 1000 + 500, 100)
                engine.start()
                continue
            sink.kill()
            sink.start()
        until(lambda: stored() >= 2_100, 60, "all rows")
        sink.process.send_signal(signal.SIGTERM)
        assert sink.process.wait(30) == 0, sink.log.read_text()
        assert sink.start("--once").wait(60) == 0, sink.log.read_text()
    finally:
        sink.kill()

    newest = {each["alert_id"]: each for each in bench.expected(topics.ALERTS, ALERTS)}
    standing = {each["incident_id"]: each for each in bench.expected(topics.INCIDENTS, INCIDENTS)}
    held = {each["alert_id"]: each for each in bench.expected(topics.LABELLED_ANOMALY, LABELLED)}
    for table, expected, key in (
        (PREDICTIONS, bench.expected(topics.PREDICTIONS_ANOMALY, PREDICTIONS), ("prediction_id",)),
        (METRIC_SAMPLES, bench.expected(topics.EVENTS_METRICS, METRIC_SAMPLES), ("host", "event_id")),
        (ALERT_EVENTS, bench.expected(topics.ALERTS, ALERT_EVENTS), ("alert_id", "seq")),
        (ALERTS, list(newest.values()), ("alert_id",)),
        (INCIDENT_EVENTS, bench.expected(topics.INCIDENTS, INCIDENT_EVENTS), ("incident_id", "seq")),
        (INCIDENTS, list(standing.values()), ("incident_id",)),
        (LABELLED, list(held.values()), ("alert_id",)),
    ):
        found = by_key(bench.rows(table), *key)
        assert found.keys() == by_key(expected, *key).keys(), sink.log.read_text()
        assert found == by_key(expected, *key)
