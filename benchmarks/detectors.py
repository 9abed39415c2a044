"""What a sample costs in the metrics agent: time, bytes on the changelog, memory of its host."""

import gc
import math
import random
import time
from collections.abc import Callable, Iterator
from statistics import median

import click
import psutil

from benchmarks.report import Table, finish, say, usual
from models.anomaly import DETECTORS, Detector
from models.metrics import NAMES
from schemas import topics
from streams.host_state import HostState
from streams.metrics import METRICS
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from streams.runtime.state import State, Store

COST_LIMIT_US, CHANGELOG_LIMIT, STATE_LIMIT = 500.0, 1000, 300_000
START_MS = 1_748_822_400_000
"""2025-06-02T00:00Z, a Monday."""
DAY_S = 86_400
SLICE = 250
"""Samples that are timed together: the median of such slices is not moved by what else the machine does."""
COPIES = 50
"""Hosts that are loaded to see what one takes in memory."""

LEVELS = (20.0, 50.0, 4e5, 1e6, 20.0, 3.0, 3.0, 45.0, 0.004)
"""Of the nine metrics, in their order."""

Sample = tuple[int, tuple[float, ...]]


def samples(start_ms: int, step_s: int, count: int, chance: random.Random) -> Iterator[Sample]:
    """(time, the nine metrics) of a host with a day, a weekend, noise, rare bursts and whole-number counts."""
    for number in range(count):
        at = start_ms + 1000 * step_s * number
        day, second = divmod((at - START_MS) // 1000, DAY_S)
        load = 0.6 + 0.4 * math.sin(second / DAY_S * 2 * math.pi) * (1.0 if day % 7 < 5 else 0.3)
        burst = 3.0 if chance.random() < 0.002 else 1.0
        made = [level * load * burst * chance.lognormvariate(0.0, 0.15) for level in LEVELS]
        made[0], made[1] = min(made[0], 100.0), min(40.0 + made[1] / 5, 100.0)
        made[4], made[6] = float(round(made[4])), float(round(made[6]))
        yield at, tuple(made)


def record(number: int, sample: Sample, host: str = "web-1") -> InputRecord:
    """The sample as the agent reads it."""
    at, values = sample
    event = {"tenant_id": "acme", "event_id": f"{host}-{number}", "host": host, "occurred_at": at, "extra": {}}
    event |= dict(zip(NAMES, values, strict=True))
    topic = topics.EVENTS_METRICS
    return InputRecord(topic.key_of(event), topic.codec.encode(event), at, number)


def sliced(see: Callable[[int, tuple[float, ...]], object], fast: list[Sample]) -> float:
    """Microseconds of processor time for a sample."""
    slices = []
    for first in range(0, len(fast), SLICE):
        begin = time.process_time()
        for at, values in fast[first : first + SLICE]:
            see(at, values)
        slices.append((time.process_time() - begin) / SLICE * 1e6)
    return median(slices)


def alone(history: list[Sample], fast: list[Sample]) -> dict[str, float]:
    """Microseconds of each detector, by itself, for the nine metrics of a sample."""
    found = {}
    for name, make in DETECTORS.items():
        nine = [make() for _ in NAMES]

        def see(at: int, values: tuple[float, ...], nine: list[Detector] = nine) -> None:
            for detector, value in zip(nine, values, strict=True):
                detector.update_ms(at, value)

        for at, values in history:
            see(at, values)
        found[name] = sliced(see, fast)
    return found


def together(outcome: Outcome, fast: list[Sample]) -> float:
    """Microseconds of all detectors for the nine metrics of a sample, as the agent runs them, checkpoints included."""
    host = State(outcome.store).live(b"acme|web-1", HostState)

    def see(at: int, values: tuple[float, ...]) -> None:
        seen = []
        for name, value in zip(NAMES, values, strict=True):
            watch = host.watch(name)
            assert watch is not None
            watch.see(at, value)
            seen.append((watch, value))
        host.note(at, seen)
        host.changes()

    length = fast[-1][0] - fast[0][0] + 1000
    return sliced(see, [(at + length, values) for at, values in fast])


def agent(history: list[Sample], fast: list[Sample]) -> tuple[dict[str, float], Outcome]:
    """The whole agent over the same samples, a frame for each of the fast ones: time, bytes, state of the host."""
    outcome = run(METRICS, (record(number, sample) for number, sample in enumerate(history)))
    written, number = outcome.written, len(history)

    def see(at: int, values: tuple[float, ...]) -> None:
        nonlocal number
        run(METRICS, [record(number, (at, values))], start=outcome)
        number += 1

    us = sliced(see, fast)
    values = sum(map(len, outcome.state.values()))
    return {
        "agent_us": us,
        "changelog_bytes": (outcome.written - written) / len(fast),
        "state_bytes": values + sum(map(len, outcome.state)),
        "entries": len(outcome.state),
    }, outcome


def memory(outcome: Outcome) -> float:
    """Bytes that a host takes in a worker's memory: its stored parts and its detectors, loaded from them."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    held = []
    for number in range(COPIES):
        host = b"acme|copy-%d" % number
        committed = {key.replace(b"acme|web-1", host, 1): bytes(bytearray(raw)) for key, raw in outcome.state.items()}
        store = Store(committed, timers=False)
        State(store).live(host, HostState)
        held.append(store)
    gc.collect()
    return (psutil.Process().memory_info().rss - before) / len(held)


def tables(found: dict[str, float], each: dict[str, float]) -> list[Table]:
    ours = {name: us for name, us in each.items() if name != "static"}
    rows = [[name, f"{us / len(NAMES):.1f}", f"{us:.0f}"] for name, us in ours.items()]
    rows.append(
        ["all of them, as the agent runs them", f"{found['all_us'] / len(NAMES):.1f}", f"{found['all_us']:.0f}"]
    )
    floors = [
        ["all detectors over nine metrics, us", f"{found['all_us']:.0f}", f"{COST_LIMIT_US:.0f}"],
        ["a frame of one sample, encoded, scored and its prediction encoded, us", f"{found['agent_us']:.0f}", ""],
        ["changelog, bytes per sample", f"{found['changelog_bytes']:.0f}", f"{CHANGELOG_LIMIT}"],
        [
            "stored state of the host with its keys, kB",
            f"{found['state_bytes'] / 1000:.0f}",
            f"{STATE_LIMIT / 1000:.0f}",
        ],
        ["entries in it", f"{found['entries']:,}", ""],
        ["the host in a worker's memory, kB", f"{found['memory_bytes'] / 1000:.0f}", ""],
    ]
    return [
        Table("Each detector alone, microseconds", ("detector", "a metric", "nine metrics"), rows),
        Table("A host at one sample a second, after its weeks", ("what", "measured", "required under"), floors),
    ]


@click.command()
@click.option("--days", default=28, show_default=True, help="Of history at a sample a minute.")
@click.option("--seconds", default=5000, show_default=True, help="At a sample a second after it, which are measured.")
@click.option("--write/--no-write", default=None, help="Keep the results; by default only with the usual settings.")
def command(days: int, seconds: int, write: bool | None) -> None:
    """Cost of a sample: each detector, all of them, the changelog, a host's memory."""
    chance = random.Random(1)
    history = list(samples(START_MS, 60, days * DAY_S // 60, chance))
    fast = list(samples(START_MS + 1000 * days * DAY_S, 1, seconds // SLICE * SLICE, chance))
    say("a host's weeks through the agent")
    found, outcome = agent(history, fast)
    found["memory_bytes"] = memory(outcome)
    say("the detectors together")
    found["all_us"] = together(outcome, fast)
    say("each detector alone")
    each = alone(history, fast)
    finish(
        "cost",
        settings={"days": days, "seconds": len(fast), "metrics": len(NAMES)},
        rounds=[],
        medians=found | {f"{name}_us": us for name, us in each.items()},
        tables=tables(found, each),
        write=usual() if write is None else write,
    )
