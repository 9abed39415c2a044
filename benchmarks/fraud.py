"""The whole fraud path on one core: features with state, 200 trees, interval, decision, prediction, transaction.

The product's own worker with the attendance agent, beside quixstreams, which is given the product's own functions for
everything but records, state and transactions.
"""

import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

import click
import psutil
from confluent_kafka import Consumer, KafkaError, TopicPartition

from benchmarks import fraud_world
from benchmarks.cluster import PARTITIONS, Cluster, cluster, write
from benchmarks.contenders import ONCE, PEERS, Contender, environment_of
from benchmarks.fraud_world import Record, World
from benchmarks.process import Running, last_core, running
from benchmarks.report import Table, finish, say, usual
from benchmarks.restore import figures, wait
from benchmarks.runtime import watch
from producers.control import ask_all
from schemas import topics
from streams import attendance
from streams.app import GC_THRESHOLD
from streams.runtime.layout import SEPARATOR
from streams.runtime.offline import Outcome, run
from streams.runtime.state import Store
from watchfloor.embedded.leash import leashed
from watchfloor.embedded.ports import free_port
from watchfloor.settings import Settings

TENANTS = (1, 10, 100)
FEW, MANY = 1_000, 1_000_000
LEAST_RATE, LEAST_RATIO, MOST_GROWTH, MOST_BYTES = 40_000, 2.0, 1.5, 1000
"""Required: events/s, times the peer's, cost at a million people against a thousand, stored bytes of a person."""
MOST_RESTORE = 30
"""Seconds."""
PEER_SHARE = 0.1
"""Of the events, for the peer."""
LIMIT_S = 300.0
FRAME = 4000
LEAST_EVENTS = 20_000
HOUR = 50
"""Events of an hour of the simulated tenant's working day."""

OURS = "Watchfloor"
PEER = Contender(
    "quix-fraud",
    "quixstreams, commit 1 s",
    ONCE,
    PEER_SHARE,
    lambda tools: [environment_of("quixstreams-fraud", tools), str(PEERS / "quix_fraud.py")],
    {"BENCH_COMMIT_MS": "1000"},
)


def environment(cluster: Cluster, prefix: str, port: int = 0) -> dict[str, str]:
    folder = cluster.folder / prefix
    return {
        **os.environ,
        "WATCHFLOOR_HOME": str(folder / "home"),
        "WATCHFLOOR_KAFKA": cluster.address,
        "WATCHFLOOR_PREFIX": prefix,
        "WATCHFLOOR_PARTITIONS": str(PARTITIONS),
        "WATCHFLOOR_METRICS_PORT": str(port),
        "WATCHFLOOR_MODELS": str(folder / "models"),
        "WATCHFLOOR_TRUSTED_KEYS": str(folder / "trusted_keys"),
    }


@contextmanager
def worker(cluster: Cluster, prefix: str, agents: str, core: str | None = None) -> Iterator[tuple[Running, int]]:
    """The product's worker with some agents, and the port of its figures."""
    port = free_port()
    log = cluster.folder / prefix / f"{agents}.log"
    command = [sys.executable, "-m", "watchfloor", "worker", "--agents", agents, "--log-level", "warning"]
    pinned = ["taskset", "-c", core, *command] if core else command
    with log.open("w") as said:
        process = subprocess.Popen(
            leashed(pinned), env=environment(cluster, prefix, port), stdout=said, stderr=said, text=True
        )
    found = Running(process, f"the worker of {agents}", log)
    try:
        yield found, port
    finally:
        found.stop()


def prepared(cluster: Cluster, world: World, tenants: int, events: int) -> str:
    """Everything that a run needs, under a prefix: topics, models, control, and the events in the log."""
    prefix, names = f"fraud{tenants}.", fraud_world.tenants(tenants)
    folder = cluster.folder / prefix
    folder.mkdir(parents=True)
    fraud_world.store(world, folder, names)
    subprocess.run(
        [sys.executable, "-m", "watchfloor", "topics", "apply"],
        env=environment(cluster, prefix),
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )
    references = fraud_world.copied(world, events, names)
    commands = fraud_world.commands(names, references)
    with worker(cluster, prefix, "control") as (process, port):
        wait(lambda: figures(port).get("watchfloor_partitions", 0) >= 1, LIMIT_S, process)
        answers = list(ask_all(cluster.address, commands, prefix=prefix, limit_s=LIMIT_S))
    refused = [each for each in answers if each["outcome"] != "accepted"]
    if refused or len(answers) < len(commands):
        raise click.ClickException(f"control took {len(answers)} of {len(commands)} commands: {refused[:1]}")
    fraud_world.describe(folder, names, references, len(commands) - 1)
    topic = topics.ATTENDANCE_ENRICHED
    rows = ((topic.key_of(each), topic.codec.encode(each)) for each in fraud_world.copies(world, events, names))
    write(cluster.address, prefix + topic.name, rows)
    return prefix


def ours(cluster: Cluster, prefix: str, events: int) -> dict[str, float]:
    """The product's worker, from its first committed frame to the last one."""
    with worker(cluster, prefix, attendance.ATTENDANCE.name, last_core()) as (process, port):

        def done() -> float:
            return figures(port).get("watchfloor_events_total", 0.0)

        wait(lambda: done() > 0, LIMIT_S, process)
        first, began, cpu, broker = done(), time.monotonic(), process.cpu(), cluster.cpu()
        deadline = began + LIMIT_S
        while (count := done()) < events:
            if time.monotonic() > deadline or process.process.poll() is not None:
                raise click.ClickException(f"{count:,.0f} of {events:,} events were scored:\n{process.tail()}")
            time.sleep(0.1)
        took, counted = time.monotonic() - began, events - first
        return {
            "events": events,
            "rate": counted / took,
            "cpu_s_per_million": (process.cpu() - cpu) / counted * 1e6,
            "broker_cpu_s_per_million": (cluster.cpu() - broker) / counted * 1e6,
        }


def peers(cluster: Cluster, prefix: str, events: int, command: list[str]) -> dict[str, float]:
    """The peer on the same log, until it has scored its share."""
    name = f"{prefix}quix"
    cluster.prepare(name, "")
    settings = {
        "BENCH_EVENTS": str(events),
        "BENCH_INPUT": prefix + topics.ATTENDANCE_ENRICHED.name,
        "BENCH_OUTPUT": f"{name}-out",
        "BENCH_WORLD": str(cluster.folder / prefix),
    }
    with running(PEER, command, cluster, name, settings, last_core()) as process:
        marks, broker = watch(cluster, process, events)
    last = marks[-1]
    return {
        "events": events,
        "rate": last.events / last.seconds,
        "cpu_s_per_million": last.cpu / last.events * 1e6,
        "broker_cpu_s_per_million": broker / last.events * 1e6,
    }


def compared(cluster: Cluster, prefix: str, count: int) -> list[str]:
    """What differs between the predictions of both: of each event that the peer has scored."""
    theirs = committed(cluster, f"{prefix}quix-out", count)
    mine = committed(cluster, prefix + topics.PREDICTIONS_FRAUD.name, max(map(len, theirs)))
    decode = topics.PREDICTIONS_FRAUD.codec.decode
    out = []
    if sum(map(len, theirs)) < count:
        out.append(f"{prefix} the peer has committed {sum(map(len, theirs)):,} of {count:,} predictions")
    for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
        for place, (our, their) in enumerate(zip(one, other, strict=False)):
            if our != their:
                out.append(f"{prefix}, partition {number}, record {place}: {decode(our[1])} and {decode(their[1])}")
                break
    return out


def committed(cluster: Cluster, topic: str, count: int) -> list[list[tuple[bytes, bytes]]]:
    """The first so many committed records of each partition, or all that it has."""
    reader = Consumer(
        {
            "bootstrap.servers": cluster.address,
            "group.id": "bench-compare",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    found: list[list[tuple[bytes, bytes]]] = [[] for _ in range(PARTITIONS)]
    ended: set[int] = set()
    try:
        reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and len(ended) < PARTITIONS:
            for message in reader.consume(10_000, 0.5):
                number = message.partition() or 0
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise click.ClickException(f"reading {topic}: {error}")
                if error is None and len(found[number]) < count:
                    found[number].append((message.key() or b"", message.value() or b""))
                if error is not None or len(found[number]) >= count:
                    ended.add(number)
    finally:
        reader.close()
    return found


def lived(world: World, people: int) -> tuple[dict[bytes, bytes], int, int]:
    """The state of so many people, copies of the simulated ones who have lived the first half of the time.

    Returns:
        Its entries, how many people of each simulated one there are, and the clock.
    """
    tenant = fraud_world.tenants(1)[0]
    past = run(
        attendance.agent(fraud_world.Shelf(world.trained[0])),
        fraud_world.records(world.past, tenant_id=tenant),
        control=fraud_world.view(world, tenant),
    )
    lives: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for key, raw in past.state.items():
        person, _, part = key.partition(SEPARATOR)
        lives.setdefault(person, []).append((SEPARATOR + part, raw))
    copies = -(-people // len(lives))
    state = {
        b"%s-%d%s" % (person, copy, part): bytes(bytearray(raw))  # its own copy
        for copy in range(copies)
        for person, parts in lives.items()
        for part, raw in parts
    }
    return state, copies, past.clock


def costs(world: World, people: int) -> dict[str, float]:
    """Processor time of an event in the agent's own function, without Kafka, with so many people in the state.

    All of them go on living, for as many working days as make enough events: a million for one, a thousand for ten.
    """
    agent, tenant = attendance.agent(fraud_world.Shelf(world.trained[0])), fraud_world.tenants(1)[0]
    control = fraud_world.view(world, tenant)
    before = psutil.Process().memory_info().rss
    state, copies, clock = lived(world, people)
    resident = psutil.Process().memory_info().rss - before
    size, count = sum(len(key) + len(raw) for key, raw in state.items()), len(_people(state))
    store = Store(state, False)
    # As a worker does after it has restored its state.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)
    events, seconds = 0, 0.0
    made = ({**each, "person_id": f"{each['person_id']}-{copy}"} for each, copy in everybody(world, copies))
    while rows := fraud_world.records(islice(made, 25 * FRAME), tenant_id=tenant):
        began = time.process_time()
        run(agent, rows, control=control, cuts=lambda: FRAME, start=Outcome(store=store, clock=clock))
        seconds += time.process_time() - began
        events += len(rows)
    return {
        "people": count,
        "events": events,
        "us": seconds / events * 1e6,
        "stored_bytes": size / count,
        "resident_bytes": resident / count,
    }


def everybody(world: World, copies: int) -> Iterator[tuple[Record, int]]:
    """What follows the past, of so many people for each simulated one, all at the same times: event, and whose.

    Those of about an hour are mixed: hardly anybody comes twice in it, and neighbours are not alike.
    """
    made = 0
    for events in world.days:
        if made >= LEAST_EVENTS:
            return
        for begin in range(0, len(events), HOUR):
            for copy in range(copies):
                for each in events[begin : begin + HOUR]:
                    yield each, copy
        made += len(events) * copies


def _people(state: Iterable[bytes]) -> set[bytes]:
    return {key.partition(SEPARATOR)[0] for key in state}


def restores(cluster: Cluster, world: World, people: int) -> dict[str, float]:
    """Seconds in which a fresh worker has the state of so many people back from its changelog."""
    prefix, topic = prepared(cluster, world, 1, FRAME), topics.ATTENDANCE_ENRICHED
    ours(cluster, prefix, FRAME)
    state, *_ = lived(world, people)
    rows = ((key, raw, topic.partition_of(key.partition(SEPARATOR)[0], PARTITIONS)) for key, raw in state.items())
    write(cluster.address, prefix + attendance.ATTENDANCE.changelog, rows)
    began = time.monotonic()
    with worker(cluster, prefix, attendance.ATTENDANCE.name) as (process, port):
        wait(lambda: figures(port).get("watchfloor_partitions", 0) >= PARTITIONS, LIMIT_S, process)
        took = time.monotonic() - began
        wait(lambda: figures(port).get("watchfloor_state_entries", 0) >= len(state), LIMIT_S, process)
        found = figures(port)
        return {
            "entries": found["watchfloor_state_entries"],
            "restore_s": found["watchfloor_restore_seconds_sum"] / PARTITIONS,
            "start_to_open_s": took,
            "memory_mb": process.figures.memory_info().rss / 2**20,
        }


def tables(
    rounds: Sequence[Mapping[str, Any]],
    ratios: Mapping[int, float],
    people: Sequence[Mapping[str, float]],
    back: Mapping[str, float],
) -> list[Table]:
    rows = [
        [
            each["worker"],
            f"{each['tenants']}",
            f"{each['events']:,}",
            f"{each['rate']:,.0f}",
            f"{LEAST_RATE:,}" if each["worker"] == OURS else "",
            f"{each['cpu_s_per_million']:.1f}",
            f"{each['broker_cpu_s_per_million']:.1f}",
        ]
        for each in rounds
    ]
    columns = (
        "worker",
        "tenants in a frame",
        "events",
        "events/s",
        "required",
        "CPU s per M",
        "broker CPU s per M",
    )
    few, many = people
    growth = many["us"] / few["us"]
    return [
        Table("The fraud path on one core, exactly once", columns, rows),
        Table(
            "Watchfloor's rate as a multiple of that of quixstreams",
            ("tenants in a frame", "measured", "required"),
            [[f"{count}", f"{ratio:.1f}", f"{LEAST_RATIO:.1f}"] for count, ratio in ratios.items()],
        ),
        Table(
            "An event in the agent, without Kafka, by people in the state",
            ("what", f"{FEW:,} people", f"{MANY:,} people", "required"),
            [
                ["CPU per event, us", f"{few['us']:.1f}", f"{many['us']:.1f}", f"at most {MOST_GROWTH} times as much"],
                ["as a multiple", "1", f"{growth:.2f}", f"{MOST_GROWTH}"],
                [
                    "stored of a person, bytes with keys",
                    f"{few['stored_bytes']:.0f}",
                    f"{many['stored_bytes']:.0f}",
                    f"under {MOST_BYTES:,}",
                ],
                ["memory of a person in the worker, bytes", "", f"{many['resident_bytes']:.0f}", ""],
            ],
        ),
        Table(
            f"A fresh worker with {MANY:,} people ({back['entries']:,.0f} entries, {PARTITIONS} partitions)",
            ("what", "measured", "required under"),
            [
                [
                    "restore of a partition's state, all of them at once, s",
                    f"{back['restore_s']:.1f}",
                    f"{MOST_RESTORE}",
                ],
                ["process start to all partitions open, s", f"{back['start_to_open_s']:.1f}", ""],
                ["memory of the worker, MB", f"{back['memory_mb']:,.0f}", ""],
            ],
        ),
    ]


@click.command()
@click.option("--events", default=300_000, show_default=True, help="Events of a run; the peer gets a tenth.")
@click.option("--rounds", default=2, show_default=True, help="How often each runs, in turns.")
@click.option("--tenants", multiple=True, type=int, help="Tenants in a frame; may be given several times.")
@click.option("--write/--no-write", "keep", default=None, help="Keep the results; by default with the usual settings.")
def command(events: int, rounds: int, tenants: tuple[int, ...], keep: bool | None) -> None:
    """The whole fraud path beside quixstreams, with 1, 10 and 100 tenants in a frame."""
    home = Settings().home.absolute()
    peer = PEER.build(home / "bench" / "tools")
    say(f"simulating {fraud_world.SCENARIO.people:,} people and training {fraud_world.MODELS} models")
    world = fraud_world.simulated()
    results: list[dict[str, Any]] = []
    different: list[str] = []
    with cluster(home) as running_cluster:
        for count in tenants or TENANTS:
            for number in range(rounds):
                say(f"{count} tenants, round {number + 1}: preparing {events:,} events")
                prefix = prepared(running_cluster, world, count, events)
                runs: dict[str, Callable[[], dict[str, float]]] = {
                    OURS: partial(ours, running_cluster, prefix, events),
                    PEER.title: partial(peers, running_cluster, prefix, int(events * PEER.share), peer),
                }
                for name, measure in runs.items():
                    of = measure()
                    results.append({"tenants": count, "worker": name, **of})
                    say(f"{name}: {of['rate']:,.0f}/s, CPU {of['cpu_s_per_million']:.1f} s/M")
                different += compared(running_cluster, prefix, int(events * PEER.share))
                running_cluster.delete(prefix)
                # The peer's state, too: it would be ahead of the changelog of the next round.
                for each in running_cluster.folder.glob(f"{prefix}*"):
                    shutil.rmtree(each)
        say(f"restoring {MANY:,} people")
        back = restores(running_cluster, world, MANY)
    people = [costs(world, each) for each in (FEW, MANY)]
    medians = [
        {
            "tenants": count,
            "worker": name,
            **{key: median(each[key] for each in of) for key in of[0] if key not in ("tenants", "worker")},
        }
        for count in tenants or TENANTS
        for name in (OURS, PEER.title)
        for of in [[each for each in results if (each["tenants"], each["worker"]) == (count, name)]]
    ]
    by_place = {(each["tenants"], each["worker"]): each["rate"] for each in medians}
    ratios = {count: by_place[count, OURS] / by_place[count, PEER.title] for count in tenants or TENANTS}
    pins = dict(line.split("==") for line in (PEERS / "quixstreams-fraud.txt").read_text().split())
    finish(
        "fraud-path",
        settings={
            "events": events,
            "rounds": rounds,
            "partitions": PARTITIONS,
            "trees": 200,
            "pinned": last_core() is not None,
        },
        rounds=results,
        medians={"throughput": medians, "people": people, "restore": back},
        tables=tables(medians, ratios, people, back),
        peers={"quixstreams": pins["quixstreams"], "confluent-kafka of quixstreams": pins["confluent-kafka"]},
        write=(usual() and not different) if keep is None else keep,
    )
    if different:
        raise click.ClickException(f"the predictions differ: {different[0]}")
