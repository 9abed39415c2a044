"""What is done to the system, scenario by scenario."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from streams.runtime.frame import order
from tests.faults.oracle import Oracle
from tests.faults.relay import LEFT, MET, PAIR, RIGHT
from tests.faults.stage import Kind, Stage
from tests.faults.topology import BUG
from tests.faults.traffic import PROBE, Traffic


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run: what is started, how much flows, what is done.

    rate: records per second. settle: seconds of quiet load before the first fault. session_ms: the group's session
    timeout. bad: bad records mixed in, over `bad_seconds`. odd: repeats, conflicts and late samples, too.
    reference: another system, run for comparison; what it loses is a finding, not a failure.
    domains: of tests.faults.domains, whose traffic flows through the product's agents, each in the same share.
    bug: error class of a bug that the script plants. check: what must be true beside the comparison; its complaints.
    """

    name: str
    title: str
    script: Callable[[Stage], None]
    agents: Kind = "product"
    domains: tuple[str, ...] = ("metrics",)
    workers: int = 2
    sinks: int = 0
    partitions: int = 4
    rate: float = 300.0
    dynamic: bool = False
    bad: int = 0
    bad_seconds: float = 60.0
    settle: float = 5.0
    odd: bool = True
    reference: bool = False
    bug: str | None = None
    check: Callable[[Stage, Oracle], list[str]] | None = None


def kills(times: int, kind: str = "worker", low: float = 2.0, high: float = 5.0) -> Callable[[Stage], None]:
    """That many kill -9 of random processes, some before the last one's successor is up again."""

    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(low, high)
            stage.kill(kind)
        stage.wait_recovered()

    return script


def mixed_kills(times: int, *kinds: str) -> Callable[[Stage], None]:
    """That many kill -9, each of a random process of a random kind; half of them before the last one is over."""

    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(1, 4)
            stage.kill(stage.draw.choice(kinds))
            if stage.draw.random() < 0.5:
                stage.wait_recovered()
        stage.wait_recovered()

    return script


def paced_kills(times: int, within: float = 120.0) -> Callable[[Stage], None]:
    """That many kill -9, each after the last one's recovery: the same for systems that recover in 3 s or in 60."""

    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(2, 5)
            stage.kill("worker")
            stage.wait_recovered(within)

    return script


def joins_and_leaves(times: int) -> Callable[[Stage], None]:
    def script(stage: Stage) -> None:
        for number in range(times):
            stage.rest(1, 3)
            stage.join(f"worker-extra-{number}")
            stage.rest(1, 3)
            stage.leave(f"worker-extra-{number}")
        stage.wait_recovered()

    return script


def zombies(times: int, seconds: float, kind: str = "worker") -> Callable[[Stage], None]:
    """One process after the other sleeps beyond its session and wakes up as a zombie."""

    def script(stage: Stage) -> None:
        names = [process.name for process in stage.cluster.named(kind)]
        for number in range(times):
            stage.rest(3, 5)
            stage.suspend(names[number % len(names)], seconds)
        stage.wait_recovered()

    return script


def broker_kills(times: int, away: float = 2.0) -> Callable[[Stage], None]:
    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(3, 5)
            stage.kill_broker(away)
            stage.wait_recovered()

    return script


def database_kills(times: int) -> Callable[[Stage], None]:
    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(2, 5)
            stage.kill_database(stage.draw.uniform(0.5, 4))
        stage.rest(2, 3)

    return script


def database_away(seconds: float) -> Callable[[Stage], None]:
    def script(stage: Stage) -> None:
        stage.rest(3, 5)
        stage.kill_database(seconds)
        stage.rest(3, 5)

    return script


FLOOD = "PoisonFloodError"


def planted_bug(stage: Stage) -> None:
    """A release whose agent raises over every record is rolled out to a worker, restarted once, and mended."""
    for _ in range(2):
        before = stage.cluster.processes["worker-0"].said(FLOOD)
        stage.cluster.processes["worker-0"].stop()
        stage.start_worker("worker-0", **{BUG: "yes"})
        stage.note("bug rolled out", counted=False)
        stage.wait_said("worker-0", FLOOD, before + 1)
        stage.rest(6, 8)
    stage.cluster.processes["worker-0"].stop()
    stage.start_worker("worker-0")
    stage.note("bug removed")
    stage.wait_recovered()


PILING, PILED = "pile up", "piled up"


def backlog(records: int, times: int) -> Callable[[Stage], None]:
    """All workers are away while records pile up; then they are killed amid frames of full size."""

    def script(stage: Stage) -> None:
        stage.load.paused.set()
        workers = [process.name for process in stage.cluster.named("worker")]
        for name in workers:
            stage.leave(name, counted=False)
        stage.note(PILING, counted=False)
        stage.load.publish(islice(iter(stage.load.fleet.next, None), records))
        stage.note(PILED, counted=False)
        stage.load.paused.clear()
        for name in workers:
            stage.cluster.processes[name].start()
        for _ in range(times):
            stage.rest(4, 10)
            stage.kill("worker", counted=False)

    return script


def merged_whole(stage: Stage, oracle: Oracle) -> list[str]:
    """Whether what had piled up in two logs was taken in the order of its timestamps, by whichever worker."""
    begin, end = (int(fault.at * 1000) for fault in stage.faults if fault.kind in (PILING, PILED))
    complaints = []
    for partition, parts in enumerate(oracle.segments(PAIR)):
        piled = [order(one) for part in parts for one in part.records if begin <= one.timestamp < end]
        if piled != sorted(piled):
            complaints.append(f"pair-{partition} took what had piled up in another order")
        if len({topic for _, topic, _ in piled}) < len(PAIR.inputs):
            complaints.append(f"pair-{partition} had nothing to merge")
    return complaints


def clock_jumps(stage: Stage) -> None:
    """Each worker's time of day jumps by 30 days, one after the other, forwards and backwards, and comes right."""
    for number, days in enumerate((30, -30, 30)):
        stage.rest(4, 5)
        stage.jump(f"worker-{number}", days)
        stage.wait_recovered()
        # Partitions are opened by a worker with a wrong clock, too.
        stage.kill("worker")
        stage.wait_recovered()
    for number in range(3):
        stage.rest(2, 3)
        stage.jump(f"worker-{number}", 0)
    stage.wait_recovered()


PROBES = 2_000
PATIENCE_MS = 900_000


def hour_away(stage: Stage) -> None:
    """Many are waited for while the broker is away for an hour, and come when it is back; nobody was given up."""
    traffic = cast(Traffic, stage.load.fleet)
    stage.rest(2, 3)
    # What is silent counts time by ticks: this is where an hour could slip in.
    stage.load.paused.set()
    stage.rest(1, 2)
    stage.load.publish(traffic.probes(LEFT, PROBES, PATIENCE_MS))
    stage.rest(4, 5)
    stage.lose_an_hour([process.name for process in stage.cluster.named("worker")])
    stage.rest(4, 5)
    stage.load.publish(traffic.probes(RIGHT, PROBES, PATIENCE_MS))
    stage.load.paused.clear()
    stage.wait_recovered()


def all_joined(_: Stage, oracle: Oracle) -> list[str]:
    """Whether every probe of `hour_away` was met, and no timer of one has fired."""
    said: Counter[str] = Counter()
    for records in oracle.log(MET.name):
        for one in records:
            met = MET.codec.decode(one.value or b"")
            if met["event_id"].startswith(PROBE):
                said[met["advice"].split(" ")[0]] += 1
    return [] if said == {"joined": PROBES} else [f"of {PROBES} that were waited for: {dict(said)}"]


def relay_short(stage: Stage) -> None:
    """Something of everything that the relay is there for."""
    for _ in range(3):
        stage.rest(2, 3)
        stage.kill("worker")
    stage.wait_recovered()
    stage.jump("worker-0", 30)
    stage.load.paused.set()  # time passes by ticks
    stage.rest(2, 3)
    stage.load.paused.clear()
    stage.kill_broker(0.5)
    stage.wait_recovered()


def calm(seconds: float) -> Callable[[Stage], None]:
    def script(stage: Stage) -> None:
        stage.rest(seconds, seconds)

    return script


def short(stage: Stage) -> None:
    """Something of everything, for every test run."""
    for kind in ("worker", "sink", "worker", "sink", "worker"):
        stage.rest(2, 4)
        stage.kill(kind)
    stage.wait_recovered()
    stage.kill_database(0.5)
    stage.rest(2, 3)
    stage.kill_broker(0.5)
    stage.wait_recovered()


PEERS: dict[Kind, str] = {
    "counter": "5 kill -9, counting per key, Watchfloor",
    "at_least_once": "the same on stock Faust with a Table, at_least_once",
    "exactly_once": "the same on stock Faust with a Table, exactly_once",
}

ALL = ("metrics", "attendance", "sync", "ocr")

SHORT = Scenario(
    "short",
    "5 kills of worker and sink, broker and database once each, all four domains",
    short,
    domains=ALL,
    workers=2,
    partitions=2,
    sinks=1,
    rate=200,
)

RELAY_SHORT = Scenario(
    "relay-short",
    "Relay: 3 kills, a jump of the clock, a silence, a kill of the broker",
    relay_short,
    agents="relay",
    workers=2,
    rate=300,
)


def relayed(name: str, title: str, script: Callable[[Stage], None], **more: Any) -> Scenario:
    """A scenario of the relay: two inputs merged, a repartition topic, a third input, timers, changing settings."""
    return Scenario(
        f"relay-{name}", f"Relay: {title}", script, **{"agents": "relay", "workers": 3, "rate": RATE} | more
    )


RATE = 600.0

RELAY: tuple[Scenario, ...] = (
    relayed("kills", "20 kill -9 of 3 workers", mixed_kills(20, "worker")),
    relayed("backlog", "10 kill -9 while 500,000 records wait", backlog(500_000, 10), check=merged_whole),
    relayed("rebalances", "10 joins and 10 leaves of a fourth worker", joins_and_leaves(10), dynamic=True),
    relayed("zombies", "SIGSTOP beyond the session, then SIGCONT", zombies(4, 14)),
    relayed("broker", "3 kill -9 of the broker", broker_kills(3)),
    relayed("clocks", "Clocks of workers 30 days wrong", clock_jumps),
    relayed("hour", "Broker away for an hour of the workers' clocks", hour_away, check=all_joined),
    relayed("bug", "A bug that hits every record of one of 3 workers", planted_bug, bug="KeyError"),
)

LONG: tuple[Scenario, ...] = (
    Scenario(
        "kills",
        "20 kill -9 of 3 workers and 2 sinks, all four domains",
        mixed_kills(20, "worker", "worker", "sink"),
        domains=ALL,
        workers=3,
        sinks=2,
        rate=120,
    ),
    Scenario(
        "rebalances",
        "10 joins and 10 leaves of a third worker",
        joins_and_leaves(10),
        sinks=1,
        dynamic=True,
    ),
    Scenario("zombies", "SIGSTOP beyond the session, then SIGCONT", zombies(4, 14), workers=3, sinks=1),
    Scenario("zombie-sinks", "SIGSTOP of a sink beyond the session", zombies(4, 14, "sink"), workers=1, sinks=2),
    Scenario("broker", "3 kill -9 of the broker", broker_kills(3), workers=3, sinks=1),
    Scenario("broker-away", "Broker away for 90 s", broker_kills(1, away=90), workers=3, sinks=1),
    Scenario("database", "5 kill -9 of the database", database_kills(5), workers=1, sinks=1),
    Scenario("database-away", "Database away for 5 min", database_away(300), workers=1, sinks=1, rate=150),
    Scenario(
        "bad-input",
        "10,000 bad records in live traffic",
        calm(60),
        workers=3,
        sinks=1,
        rate=150,
        bad=10_000,
        bad_seconds=55,
    ),
    Scenario(
        "poison-kills",
        "5 kill -9 among 1,000 bad records",
        kills(5, low=3, high=6),
        agents="counter",
        bad=1_000,
        bad_seconds=25,
    ),
    Scenario("planted-bug", "A bug that hits every record", planted_bug, agents="counter", workers=1, bug="KeyError"),
    *(
        Scenario(
            f"compare-{kind}".replace("_", "-"),
            title,
            paced_kills(5),
            agents=kind,
            workers=1,
            # Not more: stock Faust reads its whole changelog back after every kill, at some hundred records a second.
            rate=100,
            odd=False,
            reference=kind != "counter",
        )
        for kind, title in PEERS.items()
    ),
    *RELAY,
)
