"""What is done to the system, scenario by scenario."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.stage import Kind, Stage
from tests.faults.topology import BUG


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run: what is started, how much flows, what is done.

    rate: records per second. settle: seconds of quiet load before the first fault. session_ms: the group's session
    timeout. bad: bad records mixed in, over `bad_seconds`. odd: repeats, conflicts and late samples, too.
    reference: another system, run for comparison; what it loses is a finding, not a failure.
    bug: error class of a bug that the script plants.
    """

    name: str
    title: str
    script: Callable[[Stage], None]
    agents: Kind = "product"
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


def planted_bug(stage: Stage) -> None:
    """A release whose agent raises over every record is rolled out, restarted once by its operators, and mended."""
    for _ in range(2):
        stage.cluster.processes["worker-0"].stop()
        stage.start_worker("worker-0", **{BUG: "yes"})
        stage.note("bug rolled out", counted=False)
        stage.rest(12, 15)
    stage.cluster.processes["worker-0"].stop()
    stage.start_worker("worker-0")
    stage.note("bug removed")
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

SHORT = Scenario(
    "short", "5 kills of worker and sink, broker and database once each", short, workers=2, sinks=1, rate=200
)

LONG: tuple[Scenario, ...] = (
    Scenario(
        "kills",
        "20 kill -9 of 3 workers and 2 sinks",
        mixed_kills(20, "worker", "worker", "sink"),
        workers=3,
        sinks=2,
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
)
