"""What is done to the system, scenario by scenario."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.stage import Kind, Stage


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run: what is started, how much flows, what is done.

    rate: records per second. settle: seconds of quiet load before the first fault. session_ms: the group's session
    timeout. bad: bad records mixed in, over `bad_seconds`. odd: repeats, conflicts and late samples, too.
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


def kills(times: int, kind: str = "worker", low: float = 2.0, high: float = 5.0) -> Callable[[Stage], None]:
    """That many kill -9 of random processes, some before the last one's successor is up again."""

    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(low, high)
            stage.kill(kind)
        stage.wait_recovered()

    return script


def paced_kills(times: int, within: float = 90.0) -> Callable[[Stage], None]:
    """That many kill -9, each after the last one's recovery: the same for systems that recover in 3 s or in 60."""

    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(4, 7)
            stage.kill("worker")
            stage.wait_recovered(within)

    return script


def joins_and_leaves(times: int) -> Callable[[Stage], None]:
    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(3, 5)
            stage.join("worker-extra")
            stage.rest(4, 6)
            stage.leave("worker-extra")
        stage.wait_recovered()

    return script


def zombies(times: int, seconds: float) -> Callable[[Stage], None]:
    """One worker after the other sleeps beyond its session and wakes up as a zombie."""

    def script(stage: Stage) -> None:
        names = [process.name for process in stage.cluster.named("worker")]
        for number in range(times):
            stage.rest(4, 6)
            stage.suspend(names[number % len(names)], seconds)
        stage.rest(4, 6)
        stage.wait_recovered()

    return script


def broker_kills(times: int, away: float = 2.0) -> Callable[[Stage], None]:
    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(5, 8)
            stage.kill_broker(away)
            stage.wait_recovered()

    return script


def database_kills(times: int) -> Callable[[Stage], None]:
    def script(stage: Stage) -> None:
        for _ in range(times):
            stage.rest(4, 7)
            stage.kill_database(stage.draw.uniform(0.5, 4))
        stage.rest(2, 3)

    return script


def calm(seconds: float) -> Callable[[Stage], None]:
    def script(stage: Stage) -> None:
        stage.rest(seconds, seconds)

    return script
