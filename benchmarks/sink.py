"""Rows per second into ClickHouse: a full topic of predictions, one sink process, broker and engine beside it."""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks import report
from benchmarks.cluster import Cluster, write
from schemas import topics
from sinks.figures import Figures
from sinks.migrate import migrate
from sinks.store import Store
from sinks.tables import ROUTES
from sinks.writer import Options, Sink
from watchfloor.embedded.clickhouse import Engine
from watchfloor.embedded.leash import leashed

TOPIC = topics.PREDICTIONS_ANOMALY
PASSWORD = "WATCHFLOOR_CLICKHOUSE_PASSWORD"
METRICS = ("cpu_percent", "memory_percent", "disk_read_bytes_per_s", "disk_write_bytes_per_s", "db_query_ms")


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Predictions in the topic.")
@click.option("--rounds", default=3, show_default=True, help="Times that the topic is stored, each in a new database.")
@click.option("--home", type=click.Path(path_type=Path), default=Path(".watchfloor"), help="Home folder with the jars.")
@click.option("--plain", is_flag=True, help="Without the compiled parts.")
@click.option("--write/--no-write", default=True, help="Keep the results in benchmarks/results.")
def command(rows: int, rounds: int, home: Path, plain: bool, write: bool) -> None:
    """How fast one sink process stores predictions, flat out, and what it costs in CPU."""
    folder = home / "bench" / "sink"
    shutil.rmtree(folder, ignore_errors=True)
    cluster = Cluster(folder)
    engine = Engine(folder)
    engine.start()
    try:
        cluster.create(*(route.topic.name for route in ROUTES if route.topic.name not in cluster.topics()))
        report.say(f"writing {rows:,} predictions to Kafka")
        write_predictions(cluster.address, rows)
        results = [measure(cluster, engine, rows, plain, number) for number in range(rounds)]
    finally:
        engine.stop()
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    medians = {key: statistics.median(result[key] for result in results) for key in results[0]}
    table = report.Table(
        "Sink: predictions into ClickHouse, one process",
        ("", "rows/s", "sink CPU s/million", "engine CPU s/million", "broker CPU s/million", "inserts/s"),
        [
            (
                "watchfloor sink" + (" (plain Python)" if plain else ""),
                f"{medians['rows_per_s']:,.0f}",
                *(f"{medians[f'{who}_cpu_s_per_million']:.1f}" for who in ("sink", "engine", "broker")),
                f"{medians['inserts_per_s']:.1f}",
            )
        ],
    )
    settings = {"rows": rows, "rounds": rounds, "plain": plain, "value_bytes": value_bytes()}
    report.finish("sink", settings=settings, rounds=results, medians=medians, tables=[table], write=write)


def predictions(rows: int) -> Iterator[dict[str, Any]]:
    """Predictions of 50 hosts at 1 Hz, as the metrics agent writes them: five metrics with two detectors each."""
    start = int(time.time() * 1000) - rows * 20
    base = {
        "tenant_id": "local",
        "model": "anomaly",
        "model_version": "detectors_v2",
        "calibration_version": "none",
        "feature_set": "metrics-1",
        "slot": "champion",
        "risk_level": "LOW",
        "decision": "clear",
        "certified": False,
        "control_offset": -1,
        "held_out": False,
        "scored_by": "stream",
    }
    names = [f"{metric}/{detector}" for metric in METRICS for detector in ("novelty", "static")]
    for number in range(rows):
        host = f"host-{number % 50:02d}"
        score = (number * 7919 % 10_007) / 10_007
        yield {
            **base,
            "prediction_id": str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128))),
            "event_id": f"{host}-{number:012d}",
            "subject": host,
            "event_time": start + number * 20,
            "probability": score,
            "features": [score * 100, 41.5, score * 1e6, number % 977 * 1e3, score, None, None, None, None],
            "detail": dict.fromkeys(names, 0.02) | {names[0]: score},
        }


def write_predictions(address: str, rows: int) -> None:
    encode, key_of = TOPIC.codec.encode, TOPIC.key_of
    write(address, TOPIC.name, ((key_of(record), encode(record)) for record in predictions(rows)))


def value_bytes() -> int:
    return len(TOPIC.codec.encode(next(predictions(1))))


def measure(cluster: Cluster, engine: Engine, rows: int, plain: bool, number: int) -> dict[str, float]:
    """One process stores the whole topic in a new database."""
    database = f"bench{number}"
    store = Store(engine.url, engine.user, engine.password, database)
    migrate(store)
    before = cluster.cpu(), cpu(engine.pid)
    environment = {**os.environ, PASSWORD: engine.password, "WATCHFLOOR_PURE": "1" if plain else "0"}
    arguments = [sys.executable, "-m", "benchmarks.sink", cluster.address, engine.url, database]
    done = subprocess.run(leashed(arguments), env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds, sink_cpu, inserts = json.loads(done.stdout)
    broker_cpu, engine_cpu = cluster.cpu() - before[0], cpu(engine.pid) - before[1]
    stored = store.query(f"SELECT uniqExact(prediction_id) AS n FROM {database}.predictions")[0]["n"]
    if stored != rows:
        raise click.ClickException(f"{stored:,} of {rows:,} predictions are in the table")
    store.command(f"DROP DATABASE {database} SYNC")
    result = {
        "rows_per_s": rows / seconds,
        "seconds": seconds,
        "inserts_per_s": inserts / seconds,
        "sink_cpu_s_per_million": sink_cpu / rows * 1e6,
        "engine_cpu_s_per_million": engine_cpu / rows * 1e6,
        "broker_cpu_s_per_million": broker_cpu / rows * 1e6,
    }
    report.say(", ".join(f"{key} {value:,.1f}" for key, value in result.items()))
    return result


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def child(address: str, url: str, database: str) -> None:
    """Store everything and print seconds (from the assignment to the end), CPU seconds and inserts."""
    figures = Figures()
    sink = Sink(
        Store(url, "default", os.environ[PASSWORD], database),
        Options(servers=address, sink=database, once=True),
        figures,
    )
    started: list[tuple[float, float]] = []

    def watch() -> None:
        while not figures.registry.get_sample_value("watchfloor_sink_partitions"):
            time.sleep(0.005)
        started.append((time.monotonic(), used()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    sink.run()
    ended = time.monotonic(), used()
    watcher.join()
    inserts = figures.registry.get_sample_value("watchfloor_sink_inserts_total", {"table": "predictions"})
    print(json.dumps([ended[0] - started[0][0], ended[1] - started[0][1], inserts]))


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    child(*sys.argv[1:])
