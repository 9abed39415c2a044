"""A thousand hosts at one sample a second on one worker: the product's own worker, metrics agent and broker."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import click
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.cluster import Cluster, cluster
from benchmarks.detectors import CHANGELOG_LIMIT, DAY_S, Sample, record, samples
from benchmarks.process import Running
from benchmarks.report import Table, finish, say, usual
from benchmarks.restore import figures, wait
from schemas import topics
from streams.metrics import METRICS
from watchfloor.embedded.leash import leashed
from watchfloor.embedded.ports import free_port
from watchfloor.settings import Settings

PREFIX = "hosts."
PARTITIONS = 2
HISTORY_DAYS, HISTORY_STEP_S = 8, 1800
"""Of each host before it is measured: after 8 days all detectors have something to say."""
START_LIMIT_S, CATCH_UP_LIMIT_S, LATE_LIMIT_S = 60.0, 3600.0, 30.0
SETTLE_S = 20
"""At a sample a second before it counts: the detectors listen first when the rate has risen."""

Outputs = tuple[int, float]
"""(event time, latency), both in milliseconds."""


@contextmanager
def worker(cluster: Cluster, port: int) -> Iterator[Running]:
    """The product's worker with the metrics agent alone, its topics made."""
    environment = {
        **os.environ,
        "WATCHFLOOR_HOME": str(cluster.folder / "home"),
        "WATCHFLOOR_KAFKA": cluster.address,
        "WATCHFLOOR_PREFIX": PREFIX,
        "WATCHFLOOR_PARTITIONS": str(PARTITIONS),
        "WATCHFLOOR_METRICS_PORT": str(port),
    }
    product = [sys.executable, "-m", "watchfloor"]
    subprocess.run([*product, "topics", "apply"], env=environment, check=True, capture_output=True, timeout=60)
    log = cluster.folder / "worker.log"
    command = leashed([*product, "worker", "--agents", METRICS.name, "--log-level", "warning"])
    with log.open("w") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said, text=True)
    running = Running(process, "the worker", Path(log))
    try:
        yield running
    finally:
        running.stop()


class Predictions:
    """Reads the committed predictions of what was sent from a time on, and keeps their latency."""

    def __init__(self, address: str) -> None:
        self.since = 0
        self.seen: list[Outputs] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read)
        settings = {
            "bootstrap.servers": address,
            "group.id": "bench-hosts",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
            "log_level": 0,
        }
        self._reader = Consumer(settings)

    def begin(self) -> None:
        """From the present end of the topic on."""
        name = PREFIX + topics.PREDICTIONS_ANOMALY.name
        ends = [self._reader.get_watermark_offsets(TopicPartition(name, n), 30)[1] for n in range(PARTITIONS)]
        self._reader.assign([TopicPartition(name, n, end) for n, end in enumerate(ends)])
        self.since = now_ms()
        self._thread.start()

    def _read(self) -> None:
        decode = topics.PREDICTIONS_ANOMALY.codec.decode
        while not self._stopped.is_set():
            for message in self._reader.consume(1000, 0.1):
                if message.error() is None:
                    sent = decode(message.value() or b"")["event_time"]
                    self.seen.append((sent, now_ms() - sent))

    def close(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._reader.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Source:
    """Sends samples of so many hosts."""

    def __init__(self, address: str, hosts: int) -> None:
        self.names = [f"web-{number:04d}" for number in range(hosts)]
        self.sent = 0
        self._writer = Producer(
            {
                "bootstrap.servers": address,
                "linger.ms": 5,
                "log_level": 0,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 500_000,
            }
        )

    def send(self, host: str, sample: Sample) -> None:
        made = record(self.sent, sample, host)
        while True:
            try:
                self._writer.produce(PREFIX + topics.EVENTS_METRICS.name, made.value, made.key)
                break
            except BufferError:
                self._writer.poll(0.1)
        self.sent += 1
        if self.sent % 100 == 0:
            self._writer.poll(0)

    def flush(self) -> None:
        if self._writer.flush(120):
            raise click.ClickException("the broker did not take all samples")

    def history(self, days: int) -> None:
        """Days of samples until now, all hosts in the order of time."""
        count = days * DAY_S // HISTORY_STEP_S
        begin = now_ms() - 1000 * days * DAY_S
        chance = random.Random(1)
        for rows in zip(*(samples(begin, HISTORY_STEP_S, count, chance) for _ in self.names), strict=True):
            for host, sample in zip(self.names, rows, strict=True):
                self.send(host, sample)
        self.flush()

    def live(self, seconds: int) -> None:
        """Each host once a second, evenly over the second, stamped with the time at which it is sent."""
        chance = random.Random(2)
        made: Iterable[Sample] = samples(now_ms(), 1, seconds * len(self.names), chance)
        begin = time.monotonic()
        for number, (_, values) in enumerate(made):
            while (left := begin + number / len(self.names) - time.monotonic()) > 0:
                self._writer.poll(0)
                time.sleep(min(left, 0.005))
            self.send(self.names[number % len(self.names)], (now_ms(), values))
        self.flush()


def measure(cluster: Cluster, hosts: int, seconds: int, days: int) -> dict[str, float]:
    port = free_port()
    with worker(cluster, port) as process, closing(Predictions(cluster.address)) as predictions:
        wait(lambda: figures(port).get("watchfloor_partitions", 0) >= PARTITIONS, START_LIMIT_S, process)
        rss, source = process.figures.memory_info().rss, Source(cluster.address, hosts)
        say(f"{days} days of {hosts:,} hosts, a sample each {HISTORY_STEP_S // 60} minutes")
        begin, cpu = time.monotonic(), process.cpu()
        source.history(days)
        wait(lambda: processed(port) >= source.sent, CATCH_UP_LIMIT_S, process)
        caught_up = {"history_per_s": source.sent / (time.monotonic() - begin)}
        caught_up["history_us"] = (process.cpu() - cpu) / source.sent * 1e6
        say(f"caught up at {caught_up['history_per_s']:,.0f} samples/s; now each host once a second")
        source.live(SETTLE_S)
        predictions.begin()
        before, cpu, broker, begin = figures(port), process.cpu(), cluster.cpu(), time.monotonic()
        source.live(seconds)
        took = time.monotonic() - begin
        cpu, broker = process.cpu() - cpu, cluster.cpu() - broker
        wait(lambda: processed(port) >= source.sent, LATE_LIMIT_S, process)
        after = figures(port)
        wait(lambda: len(of(predictions)) >= hosts * seconds, LATE_LIMIT_S, process)
        late = sorted(latency for _, latency in of(predictions))
        return caught_up | {
            "hosts": hosts,
            "rate": hosts * seconds / took,
            "core": cpu / took,
            "us": cpu / (hosts * seconds) * 1e6,
            "broker_core": broker / took,
            "changelog_bytes": of_both("watchfloor_changelog_bytes_total", before, after) / (hosts * seconds),
            "frame_records": hosts * seconds / of_both("watchfloor_frames_total", before, after),
            "p50_ms": late[len(late) // 2],
            "p99_ms": late[len(late) * 99 // 100],
            "max_ms": late[-1],
            "memory_kb": (process.figures.memory_info().rss - rss) / hosts / 1000,
            "rss_mb": process.figures.memory_info().rss / 2**20,
        }


def processed(port: int) -> float:
    return figures(port).get("watchfloor_events_total", 0.0)


def of(predictions: Predictions) -> list[Outputs]:
    return [each for each in predictions.seen if each[0] >= predictions.since]


def of_both(name: str, before: Mapping[str, float], after: Mapping[str, float]) -> float:
    return after[name] - before[name]


def tables(found: Mapping[str, float]) -> list[Table]:
    rows = [
        ["samples per second", f"{found['rate']:,.0f}", ""],
        ["the worker's share of a core", f"{found['core']:.0%}", "100%"],
        ["its CPU per sample, us", f"{found['us']:,.0f}", ""],
        ["the broker's share of a core", f"{found['broker_core']:.0%}", ""],
        ["changelog, bytes per sample", f"{found['changelog_bytes']:,.0f}", f"{CHANGELOG_LIMIT:,}"],
        ["samples in a frame", f"{found['frame_records']:.1f}", ""],
        ["from sample to committed prediction, median ms", f"{found['p50_ms']:,.0f}", ""],
        ["the same, p99 ms", f"{found['p99_ms']:,.0f}", ""],
        ["the worker's memory, MB", f"{found['rss_mb']:,.0f}", ""],
        ["of it for each host, kB", f"{found['memory_kb']:,.0f}", ""],
        ["backlog of the history: samples per second", f"{found['history_per_s']:,.0f}", ""],
        ["its CPU per sample, us ", f"{found['history_us']:,.0f}", ""],
    ]
    title = f"{found['hosts']:,} hosts, nine metrics, a sample a second each, one worker"
    return [Table(title, ("what", "measured", "required under"), rows)]


@click.command()
@click.option("--hosts", default=1000, show_default=True, help="Hosts that send.")
@click.option("--seconds", default=60, show_default=True, help="Length of the measurement.")
@click.option("--days", default=HISTORY_DAYS, show_default=True, help="Of history, a sample each 30 minutes.")
@click.option("--write/--no-write", default=None, help="Keep the results; by default only with the usual settings.")
def command(hosts: int, seconds: int, days: int, write: bool | None) -> None:
    """A thousand hosts at a sample a second on one worker: CPU, latency, changelog, memory."""
    with cluster(Settings().home.absolute()) as running_cluster:
        found = measure(running_cluster, hosts, seconds, days)
    finish(
        "hosts",
        settings={"hosts": hosts, "seconds": seconds, "partitions": PARTITIONS, "days of history": days},
        rounds=[found],
        medians=found,
        tables=tables(found),
        write=usual() if write is None else write,
    )
