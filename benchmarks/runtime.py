"""The runtime beside its peers: the same work, one pinned core, alternating in one run, outputs compared."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import click

from benchmarks.cluster import PERSONS, Cluster, Outputs, cluster, load
from benchmarks.contenders import Contender, chosen, peer_versions
from benchmarks.process import Mark, Running, last_core, running
from benchmarks.report import Table, finish, say, usual
from watchfloor.settings import Settings

USUAL = ("watchfloor", "streams", "watchfloor-pure", "bytewax", "quix", "quix-100ms", "stock", "stock-eo")
# Least ratio of Watchfloor's rate over all events to the peer's, as promised; for its own pure form the least ratio
# of that to Kafka Streams.
PROMISED = {"streams": 1.0, "quix": 5.0, "quix-100ms": 5.0, "bytewax": 2.5, "stock": 70.0, "stock-eo": 70.0}
PROMISED_PURE = 0.6
COMMIT_LIMIT_S = 90.0
EQUAL, REORDERED, DIFFERENT = VERDICTS = ("equal", "equal, other order", "DIFFERENT")


def throughput(
    cluster: Cluster, contender: Contender, command: list[str], events: int, sizes: Mapping[int, Sequence[int]]
) -> dict[str, Any]:
    """One measurement of one contender. Topics and state are its own and are gone afterwards.

    sizes: records per partition of each input that is a prefix of this one, this one included.
    """
    name = f"bench-{contender.name}-{time.time_ns() // 1_000_000}"
    cluster.prepare(name, contender.changelog)
    settings = {"BENCH_EVENTS": str(events), "BENCH_INPUT": input_of(events), "BENCH_OUTPUT": f"{name}-out"}
    outputs = Outputs(cluster.address, f"{name}-out", {size: sizes[size] for size in sizes if size <= events})
    try:
        with running(contender, command, cluster, name, settings, last_core()) as process:
            marks, broker = watch(cluster, process, events)
            complete = outputs.until(events, COMMIT_LIMIT_S)
        outputs.rest()
        if not complete or sum(outputs.read) != events:
            raise click.ClickException(f"{contender.name} committed {sum(outputs.read)} outputs for {events} events")
    finally:
        outputs.close()
        cluster.delete(name)
    first, last = marks[1], marks[-1]
    spans = [(b.events - a.events) / (b.seconds - a.seconds) for a, b in pairwise(marks)]
    return {
        "contender": contender.name,
        "events": events,
        "rate": events / last.seconds,
        "rate_first": first.events / first.seconds,
        "rate_last": spans[-1],
        "cpu_s_per_million": last.cpu / events * 1e6,
        "cpu_s_per_million_last": (last.cpu - marks[-2].cpu) / (last.events - marks[-2].events) * 1e6,
        "broker_cpu_s_per_million": broker / events * 1e6,
        "checksums": {
            size: [[of[n].ordered, of[n].total] for n in sorted(of)] for size, of in outputs.checksums.items()
        },
    }


def watch(cluster: Cluster, process: Running, events: int) -> tuple[list[Mark], float]:
    """The marks up to the last event, and the broker's CPU seconds from the first to the last."""
    marks: list[Mark] = []
    started = 0.0
    for mark in process.marks(limit_s=120 + events / 500):
        if not marks:
            started = cluster.cpu()
        marks.append(mark)
        if mark.events >= events:
            break
    return marks, cluster.cpu() - started


def input_of(events: int) -> str:
    return f"bench-input-{events}"


def compare(rounds: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """By contender: whether its committed outputs are those that the first with the most events has for the same."""
    reference = max(rounds, key=lambda result: result["events"])
    found: dict[str, str] = {}
    for result in rounds:
        mine, expected = result["checksums"][result["events"]], reference["checksums"][result["events"]]
        if mine == expected:
            verdict = EQUAL
        elif [total for _, total in mine] == [total for _, total in expected]:
            verdict = REORDERED
        else:
            verdict = DIFFERENT
        found[result["contender"]] = max(found.get(result["contender"], EQUAL), verdict, key=VERDICTS.index)
    return found


def summary(rounds: Sequence[Mapping[str, Any]], contenders: Sequence[Contender]) -> dict[str, dict[str, float]]:
    figures = (
        "rate",
        "rate_first",
        "rate_last",
        "cpu_s_per_million",
        "cpu_s_per_million_last",
        "broker_cpu_s_per_million",
    )
    out: dict[str, dict[str, float]] = {}
    for contender in contenders:
        of = [result for result in rounds if result["contender"] == contender.name]
        out[contender.name] = {"events": of[0]["events"]} | {
            key: median(result[key] for result in of) for key in figures
        }
    return out


def tables(
    medians: Mapping[str, Mapping[str, float]], contenders: Sequence[Contender], verdicts: Mapping[str, str]
) -> list[Table]:
    rows = [
        [
            contender.title,
            contender.guarantee,
            f"{of['events']:,.0f}",
            f"{of['rate']:,.0f}",
            f"{of['rate_first']:,.0f}",
            f"{of['rate_last']:,.0f}",
            f"{of['cpu_s_per_million']:.1f}",
            f"{of['cpu_s_per_million_last']:.1f}",
            f"{of['broker_cpu_s_per_million']:.1f}",
            verdicts[contender.name],
        ]
        for contender in contenders
        for of in [medians[contender.name]]
    ]
    columns = (
        "worker",
        "guarantee",
        "events",
        "events/s",
        "first quarter",
        "last quarter",
        "CPU s per M",
        "CPU s per M, last quarter",
        "broker CPU s per M",
        "outputs",
    )
    found = [Table("Throughput on one core", columns, rows)]
    ours = medians.get("watchfloor")
    if ours:
        ratios = [
            [
                contender.title,
                f"{ours['rate'] / medians[contender.name]['rate']:.2f}",
                f"{PROMISED[contender.name]:.1f}",
            ]
            for contender in contenders
            if contender.name in PROMISED
        ]
        pure, streams = medians.get("watchfloor-pure"), medians.get("streams")
        found.append(
            Table("Watchfloor's rate over all events, as a multiple of", ("peer", "measured", "required"), ratios)
        )
        if pure and streams:
            row = ["Kafka Streams", f"{pure['rate'] / streams['rate']:.2f}", f"{PROMISED_PURE:.1f}"]
            found.append(Table("Without a compiler, as a multiple of", ("peer", "measured", "required"), [row]))
    return found


@click.command()
@click.option(
    "--events", default=4_000_000, show_default=True, help="Events for the fast contenders; slow ones get a part."
)
@click.option("--rounds", default=2, show_default=True, help="How often every contender runs, in turns.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this contender; may be given several times.")
@click.option("--write/--no-write", default=None, help="Keep the results; by default only with the usual settings.")
def command(events: int, rounds: int, only: tuple[str, ...], write: bool | None) -> None:
    """Throughput of the runtime beside Kafka Streams, bytewax, quixstreams and stock Faust."""
    contenders = chosen(only, USUAL)
    home = Settings().home.absolute()
    commands = {contender.name: contender.build(home / "bench" / "tools") for contender in contenders}
    given = {contender.name: max(int(events * contender.share), 1000) for contender in contenders}
    results: list[dict[str, Any]] = []
    with cluster(home) as running_cluster:
        sizes = {}
        for size in sorted(set(given.values())):
            say(f"writing {size:,} events")
            running_cluster.create(input_of(size))
            load(running_cluster.address, input_of(size), size)
            sizes[size] = running_cluster.counts(input_of(size))
        for number in range(rounds):
            for contender in contenders:
                of = throughput(running_cluster, contender, commands[contender.name], given[contender.name], sizes)
                results.append(of)
                say(
                    f"round {number + 1}: {contender.name} {of['rate']:,.0f}/s (first quarter {of['rate_first']:,.0f}, "
                    f"last {of['rate_last']:,.0f}), CPU {of['cpu_s_per_million']:.1f} s/M, "
                    f"broker {of['broker_cpu_s_per_million']:.1f} s/M"
                )
    verdicts = compare(results)
    wrong = [name for name, verdict in verdicts.items() if verdict == DIFFERENT]
    medians = summary(results, contenders)
    finish(
        "runtime",
        settings={
            "events": events,
            "rounds": rounds,
            "partitions": 4,
            "persons": PERSONS,
            "pinned": last_core() is not None,
        },
        rounds=results,
        medians=medians,
        tables=tables(medians, contenders, verdicts),
        peers=peer_versions(),
        write=(usual() and not wrong) if write is None else write,
    )
    if wrong:
        raise click.ClickException(f"the outputs of {', '.join(wrong)} differ from those of {contenders[0].name}")
