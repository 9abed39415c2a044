"""From an event's production to its committed output, at a trickle and at a steady rate."""

import threading
import time
from collections.abc import Sequence
from itertools import count
from statistics import median
from typing import Any

import click
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.cluster import PARTITIONS, PERSONS, Cluster, cluster, event, event_time
from benchmarks.contenders import Contender, chosen, peer_versions
from benchmarks.process import Running, running
from benchmarks.report import Table, finish, say, usual
from watchfloor.settings import Settings

USUAL = ("watchfloor", "watchfloor-25ms", "streams", "quix", "quix-100ms", "bytewax")
WARM_UP_RATE = 1000
START_LIMIT_S = 60.0
SETTLE_S = 2.0
# Promised for Watchfloor, by events per second: figure and its limit in milliseconds.
PROMISED = {10: ("p50", 20.0), 1000: ("p99", 100.0)}


def now_us() -> int:
    return time.time_ns() // 1000


class Watcher:
    """Reads committed outputs as they come and keeps (event time, latency) of each, in microseconds."""

    def __init__(self, address: str, topic: str) -> None:
        self.seen: list[tuple[int, int]] = []
        self.reader = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "bench-latency",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
            }
        )
        self.reader.assign([TopicPartition(topic, n, 0) for n in range(PARTITIONS)])
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self) -> None:
        while not self.stopped.is_set():
            message = self.reader.poll(0.1)
            if message is not None and message.error() is None:
                arrived = now_us()
                sent = event_time(message.value() or b"")
                self.seen.append((sent, arrived - sent))

    def close(self) -> None:
        self.stopped.set()
        self.thread.join()
        self.reader.close()


class Source:
    """Produces events of 5,000 persons at a rate."""

    def __init__(self, address: str, topic: str) -> None:
        self.topic = topic
        self.numbers = count()
        # The linger of 5 ms is the default of this client and of Kafka's own.
        self.writer = Producer({"bootstrap.servers": address, "linger.ms": 5, "partitioner": "murmur2_random"})

    def run(self, rate: float, seconds: float) -> tuple[int, int]:
        """Produces for some seconds; returns the first and the last possible event time."""
        begin, started = now_us(), time.monotonic()
        for number in range(int(rate * seconds)):
            while (left := started + number / rate - time.monotonic()) > 0:
                self.writer.poll(0)
                time.sleep(min(left, 0.005))
            total = next(self.numbers)
            person = total * 7919 % PERSONS
            self.writer.produce(self.topic, event(total, person, now_us()), b"%d" % person)
        self.writer.flush(10)
        return begin, now_us()


def wait_until_serving(process: Running, source: Source, watcher: Watcher) -> None:
    """Sends a few events a second until outputs come: the contender has joined its group and runs."""
    deadline = time.monotonic() + START_LIMIT_S
    while not watcher.seen:
        if time.monotonic() > deadline or process.process.poll() is not None:
            raise click.ClickException(f"{process.name} gives no outputs. It said:\n{process.tail()}")
        source.run(20, 0.5)


def latencies(
    cluster: Cluster, contender: Contender, command: list[str], rates: Sequence[int], warm_up: float, seconds: float
) -> list[dict[str, Any]]:
    """One measurement of a contender at each rate, after a warm-up at 1,000/s."""
    name = f"bench-{contender.name}-{time.time_ns() // 1_000_000}"
    cluster.create(f"{name}-in")
    cluster.prepare(name, contender.changelog)
    watcher = Watcher(cluster.address, f"{name}-out")
    source = Source(cluster.address, f"{name}-in")
    found = []
    try:
        settings = {"BENCH_INPUT": f"{name}-in", "BENCH_OUTPUT": f"{name}-out"}
        with running(contender, command, cluster, name, settings) as process:
            wait_until_serving(process, source, watcher)
            source.run(WARM_UP_RATE, warm_up)
            for rate in rates:
                time.sleep(SETTLE_S)
                cpu, started = process.cpu(), time.monotonic()
                begin, end = source.run(rate, seconds)
                cpu = (process.cpu() - cpu) / (time.monotonic() - started)
                deadline = time.monotonic() + 10
                while (got := sum(begin <= sent <= end for sent, _ in list(watcher.seen))) < int(rate * seconds):
                    if time.monotonic() > deadline:
                        raise click.ClickException(
                            f"{contender.name} gave {got} outputs for {rate * seconds:.0f} events"
                        )
                    time.sleep(0.1)
                sample = sorted(late / 1000 for sent, late in watcher.seen if begin <= sent <= end)
                percentiles = {f"p{p}": sample[min(len(sample) * p // 100, len(sample) - 1)] for p in (50, 95, 99)}
                found.append(
                    {"contender": contender.name, "rate": rate, "outputs": len(sample)}
                    | percentiles
                    | {"max": sample[-1], "cpu": cpu}
                )
    finally:
        watcher.close()
        cluster.delete(name)
    return found


def tables(medians: dict[str, dict[str, Any]], contenders: Sequence[Contender], rates: Sequence[int]) -> list[Table]:
    found = []
    for rate in rates:
        rows = [
            [
                contender.title,
                contender.guarantee,
                *(f"{of[key]:.0f}" for key in ("p50", "p95", "p99", "max")),
                f"{of['cpu']:.0%}",
            ]
            for contender in contenders
            for of in [medians[f"{contender.name} {rate}/s"]]
        ]
        title = f"{rate:,} events/s: milliseconds from produce to committed output"
        if rate in PROMISED:
            figure, limit = PROMISED[rate]
            title += f" (required of Watchfloor: {figure} under {limit:.0f})"
        columns = ("worker", "guarantee", "p50", "p95", "p99", "most", "CPU of a core")
        found.append(Table(title, columns, rows))
    return found


@click.command()
@click.option(
    "--rate", "rates", multiple=True, type=int, default=(1000, 10), show_default=True, help="Events per second."
)
@click.option("--seconds", default=15.0, show_default=True, help="Length of each measurement.")
@click.option(
    "--warm-up", default=40.0, show_default=True, help="Seconds at 1,000/s before the first; the broker gets warm, too."
)
@click.option("--rounds", default=1, show_default=True, help="How often every contender runs, in turns.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this contender; may be given several times.")
@click.option("--write/--no-write", default=None, help="Keep the results; by default only with the usual settings.")
def command(
    rates: tuple[int, ...], seconds: float, warm_up: float, rounds: int, only: tuple[str, ...], write: bool | None
) -> None:
    """Latency from produce to a read_committed output, beside the peers."""
    contenders = chosen(only, USUAL)
    home = Settings().home.absolute()
    commands = {contender.name: contender.build(home / "bench" / "tools") for contender in contenders}
    results: list[dict[str, Any]] = []
    with cluster(home) as running_cluster:
        for number in range(rounds):
            for contender in contenders:
                for of in latencies(running_cluster, contender, commands[contender.name], rates, warm_up, seconds):
                    results.append(of)
                    say(
                        f"round {number + 1}: {contender.name} at {of['rate']}/s: p50 {of['p50']:.0f} ms, "
                        f"p99 {of['p99']:.0f} ms, CPU {of['cpu']:.0%}"
                    )
    medians = {
        f"{contender.name} {rate}/s": {
            key: median(of[key] for of in results if of["contender"] == contender.name and of["rate"] == rate)
            for key in ("p50", "p95", "p99", "max", "cpu")
        }
        for contender in contenders
        for rate in rates
    }
    finish(
        "latency",
        settings={"seconds": seconds, "warm-up seconds": warm_up, "rounds": rounds, "partitions": PARTITIONS},
        rounds=results,
        medians=medians,
        tables=tables(medians, contenders, rates),
        peers=peer_versions(),
        write=usual() if write is None else write,
    )
