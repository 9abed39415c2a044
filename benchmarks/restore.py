"""Starting with a million keys, and coming back after kill -9."""

import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import click
from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.cluster import EPOCH_US, PARTITIONS, Cluster, cluster, event, write
from benchmarks.contenders import CONTENDERS
from benchmarks.latency import Source, Watcher, now_us, wait_until_serving
from benchmarks.process import Running, running
from benchmarks.report import Table, finish, say, usual
from watchfloor.embedded.ports import free_port
from watchfloor.settings import Settings

OURS = CONTENDERS["watchfloor"]
RESTORE_LIMIT_S = 10.0
RECOVERY_LIMIT_S = 15.0
RATE = 500
POLL_S = 0.02


def wait(condition: Callable[[], bool], limit_s: float, process: Running) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline or process.process.poll() is not None:
            raise click.ClickException(f"{process.name} was not ready in {limit_s:.0f} s. It said:\n{process.tail()}")
        time.sleep(POLL_S)


def figures(port: int) -> dict[str, float]:
    """The runtime's own figures, each over all its labels; empty while it does not serve them yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] += sample.value
    return dict(found)


def committed(cluster: Cluster, topic: str) -> list[int]:
    """End of each partition of a topic."""
    reader = Consumer({"bootstrap.servers": cluster.address, "group.id": "bench-ends"})
    try:
        return [reader.get_watermark_offsets(TopicPartition(topic, n), 30)[1] for n in range(PARTITIONS)]
    finally:
        reader.close()


def fill(cluster: Cluster, name: str, keys: int) -> None:
    """Lets a worker build the state: one event for each of `keys` persons with keys of 16 bytes."""
    cluster.create(f"{name}-in")
    cluster.prepare(name, OURS.changelog)
    write(
        cluster.address,
        f"{name}-in",
        ((b"%016d" % person, event(person, person, EPOCH_US + person)) for person in range(keys)),
    )
    settings = {"BENCH_INPUT": f"{name}-in", "BENCH_OUTPUT": f"{name}-out", "BENCH_EVENTS": str(keys)}
    with running(OURS, OURS.build(cluster.folder), cluster, name, settings) as process:
        next(mark for mark in process.marks(600) if mark.events >= keys)


def restoring(cluster: Cluster, name: str, number: int) -> dict[str, float]:
    """A fresh worker on that state: seconds from its start to open partitions and to its first outputs."""
    port = free_port()
    probe = Source(cluster.address, f"{name}-in")
    probe.run(1000, 0.1)
    before = committed(cluster, f"{name}-out")
    settings = {"BENCH_INPUT": f"{name}-in", "BENCH_OUTPUT": f"{name}-out", "BENCH_METRICS_PORT": str(port)}
    started = time.monotonic()
    with running(OURS, OURS.build(cluster.folder), cluster, name, settings) as process:
        wait(lambda: figures(port).get("watchfloor_partitions", 0) >= PARTITIONS, 120, process)
        opened = time.monotonic() - started
        seconds = figures(port)["watchfloor_restore_seconds_sum"] / PARTITIONS
        wait(lambda: all(b > a for a, b in zip(before, committed(cluster, f"{name}-out"), strict=True)), 60, process)
        outputs = time.monotonic() - started
        memory = process.figures.memory_info().rss / 2**20
    return {
        "round": number,
        "restore_s": seconds,
        "start_to_open_s": opened,
        "start_to_outputs_s": outputs,
        "memory_mb": memory,
    }


def recovering(cluster: Cluster, number: int, session_ms: int) -> dict[str, float]:
    """Two workers under load, one killed: seconds without outputs on the partitions that it had."""
    name = f"bench-recovery-{number}-{time.time_ns() // 1_000_000}"
    cluster.create(f"{name}-in")
    cluster.prepare(name, OURS.changelog)
    settings = {"BENCH_INPUT": f"{name}-in", "BENCH_OUTPUT": f"{name}-out", "BENCH_SESSION_MS": str(session_ms)}
    command = OURS.build(cluster.folder)
    source, watcher = Source(cluster.address, f"{name}-in"), Watcher(cluster.address, f"{name}-out")
    try:
        with (
            running(OURS, command, cluster, name, settings | {"BENCH_METRICS_PORT": str(a := free_port())}) as first,
            running(OURS, command, cluster, name, settings | {"BENCH_METRICS_PORT": str(b := free_port())}) as second,
        ):
            wait_until_serving(first, source, watcher)
            half = PARTITIONS // 2
            wait(lambda: [figures(p).get("watchfloor_partitions") for p in (a, b)] == [half, half], 60, second)
            source.run(RATE, 3)
            killed = now_us()
            second.kill()
            begin, end = source.run(RATE, 2 * session_ms / 1000)
            expected = int(RATE * 2 * session_ms / 1000)
            wait(lambda: sum(begin <= sent <= end for sent, _ in list(watcher.seen)) >= expected, 60, first)
    finally:
        watcher.close()
        cluster.delete(name)
    # The event that waited longest was produced right after the kill; it came out when its partition was back.
    back = max(sent + late for sent, late in watcher.seen if killed <= sent <= killed + 500_000)
    return {"round": number, "recovery_s": (back - killed) / 1e6, "session_timeout_s": session_ms / 1000}


def tables(
    medians: dict[str, float], keys: int, restores: Sequence[dict[str, float]], recoveries: Sequence[dict[str, float]]
) -> list[Table]:
    found = []
    if restores:
        rows = [
            [
                "restore of a partition's state, all of them at once",
                f"{medians['restore_s']:.1f}",
                f"{RESTORE_LIMIT_S:.0f}",
            ],
            ["process start to all partitions open", f"{medians['start_to_open_s']:.1f}", ""],
            ["process start to new outputs on all partitions", f"{medians['start_to_outputs_s']:.1f}", ""],
        ]
        title = f"A fresh worker with {keys:,} keys (16-byte keys, 97-byte values, {PARTITIONS} partitions), seconds"
        found.append(Table(title, ("what", "measured", "required under"), rows))
    if recoveries:
        worst = max(of["recovery_s"] for of in recoveries)
        session = recoveries[0]["session_timeout_s"]
        row = [f"{medians['recovery_s']:.1f}", f"{worst:.1f}", f"{session:.0f}", f"{RECOVERY_LIMIT_S:.0f}"]
        columns = ("what", "median", "worst", "of which session timeout, up to", "required under")
        found.append(Table("kill -9 of one of two workers, seconds", columns, [["to outputs on its partitions", *row]]))
    return found


@click.command()
@click.option("--keys", default=1_000_000, show_default=True, help="Keys in the changelog.")
@click.option("--rounds", default=3, show_default=True, help="How often a worker starts, and how often one is killed.")
@click.option("--session-ms", default=10_000, show_default=True, help="Session timeout of the group.")
@click.option("--only", type=click.Choice(["restore", "recovery"]), help="Only this half.")
@click.option("--write/--no-write", default=None, help="Keep the results; by default only with the usual settings.")
def command(keys: int, rounds: int, session_ms: int, only: str | None, write: bool | None) -> None:
    """A fresh worker that restores its state, and recovery after kill -9 with two workers."""
    restores: list[dict[str, float]] = []
    recoveries: list[dict[str, float]] = []
    with cluster(Settings().home.absolute()) as running_cluster:
        if only != "recovery":
            name = f"bench-restore-{time.time_ns() // 1_000_000}"
            say(f"building the state of {keys:,} keys")
            fill(running_cluster, name, keys)
            for number in range(rounds):
                restores.append(of := restoring(running_cluster, name, number))
                say(
                    f"round {number + 1}: restored in {of['restore_s']:.1f} s, "
                    f"outputs {of['start_to_outputs_s']:.1f} s after the start"
                )
            running_cluster.delete(name)
        if only != "restore":
            for number in range(rounds):
                recoveries.append(of := recovering(running_cluster, number, session_ms))
                say(f"round {number + 1}: back {of['recovery_s']:.1f} s after kill -9")
    medians = {
        key: median(of[key] for of in results)
        for results in (restores, recoveries)
        if results
        for key in results[0]
        if key != "round"
    }
    rounds_done: list[dict[str, Any]] = [*restores, *recoveries]
    finish(
        "restore",
        settings={"keys": keys, "rounds": rounds, "session timeout ms": session_ms, "events/s at the kill": RATE},
        rounds=rounds_done,
        medians=medians,
        tables=tables(medians, keys, restores, recoveries),
        write=usual() if write is None else write,
    )
