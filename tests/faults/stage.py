"""A scenario under way: load flows, outputs are watched, and things are done to the processes."""

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.faults import clock
from tests.faults.cluster import Cluster
from tests.faults.load import Load
from tests.faults.processes import Process
from tests.faults.recovery import Fault, Watches
from tests.faults.waiting import until

Kind = Literal["product", "counter", "relay", "at_least_once", "exactly_once"]
"""What runs: the product's agents, the fault tests' own counter or relay, or the same counting on stock Faust."""

FIRST_OUTPUT_S = 90.0
JOIN_S = 60.0
HOUR_S = 3600.0


@dataclass(slots=True)
class Stage:
    """What a scenario's script works with. Every verb notes the fault at the moment when it was done."""

    cluster: Cluster
    draw: random.Random
    load: Load
    watch: Watches
    kind: Kind
    dynamic: bool = False
    faults: list[Fault] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    # -- starting -----------------------------------------------------------------------------------------

    def start_worker(self, name: str, **env: str) -> Process:
        folder = str(self.cluster.home / f"stock-{self.cluster.prefix}{name}")
        stock = ["-m", "tests.faults.stock", "--datadir", folder, "worker", "--without-web", "-l", "info"]
        options = ["--name", name, *(["--dynamic"] if self.dynamic else [])]
        match self.kind:
            case "product":
                return self.cluster.python(name, ["-m", "watchfloor", "worker", *options], **env)
            case "counter" | "relay":
                env[clock.VARIABLE] = str(self.clock_of(name))
                return self.cluster.python(name, ["-m", "tests.faults.worker", *options, "--agents", self.kind], **env)
            case guarantee:
                return self.cluster.python(name, stock, WATCHFLOOR_GUARANTEE=guarantee, **env)

    def start_sink(self, name: str = "sink-0") -> Process:
        return self.cluster.python(name, ["-m", "watchfloor", "sink", "--name", name])

    def note(self, kind: str, target: str = "", counted: bool = True) -> Fault:
        fault = Fault(time.time(), kind, target, counted)
        self.faults.append(fault)
        return fault

    # -- faults -------------------------------------------------------------------------------------------

    def rest(self, low: float, high: float) -> None:
        """Let the load flow for a seeded time between two bounds in seconds."""
        time.sleep(self.draw.uniform(low, high))

    def kill(self, kind: str, counted: bool = True) -> None:
        """kill -9 a random process of the kind, and start it again at once."""
        process = self.cluster.any(kind, self.draw)
        process.kill()
        self.note(f"kill {kind}", process.name, counted=counted and kind == "worker")
        process.start()

    def join(self, name: str) -> None:
        """Start one worker more and wait until it holds partitions; recovery counts from when it asks for them."""
        process = self.start_worker(name)
        try:
            until(lambda: process.said("Engine]: Starting"), JOIN_S, f"the engine of {name}")
            self.note("join", name)
            until(lambda: process.said(" open at "), JOIN_S, f"a partition of {name}")
        except TimeoutError as error:
            self.remarks.append(str(error))

    def leave(self, name: str, counted: bool = True) -> None:
        """End a worker in order; one that does not leave within 15 s is a defect."""
        self.note("leave", name, counted)
        if not self.cluster.processes[name].stop():
            self.remarks.append(f"{name} did not leave within 15 s")

    def suspend(self, name: str, seconds: float) -> None:
        """SIGSTOP, long enough that the group goes on without it, then SIGCONT: a zombie wakes."""
        process = self.cluster.processes[name]
        process.freeze()
        self.note("stop", name)
        time.sleep(seconds)
        process.thaw()
        self.note("continue", name)

    def kill_broker(self, away: float = 2.0) -> None:
        """kill -9 the broker and bring it back; recovery counts from the moment at which it answers again."""
        self.cluster.broker.kill()
        self.note("kill broker", counted=False)
        time.sleep(away)
        self.cluster.broker.start()
        self.note("broker back")

    def clock_of(self, name: str) -> Path:
        return self.cluster.home / f"clock-{self.cluster.prefix}{name}.json"

    def jump(self, name: str, days: float) -> None:
        """The time of day of one worker is wrong by so many days from now on; 0 sets it right."""
        clock.order(self.clock_of(name), days)
        self.note(f"clock {days:+g} days" if days else "clock right", name)

    def lose_an_hour(self, names: list[str]) -> None:
        """The broker is away, and by the clocks of these workers it is away for an hour."""
        self.cluster.broker.kill()
        self.note("kill broker", counted=False)
        for name in names:
            clock.order(self.clock_of(name), passed_s=HOUR_S)
        time.sleep(HOUR_S / clock.SPEED + 1)
        self.cluster.broker.start()
        self.note("broker back after an hour")

    def kill_database(self, away: float = 1.0) -> None:
        self.cluster.database.kill()
        self.note("kill database", counted=False)
        time.sleep(away)
        self.cluster.database.start()
        self.note("database back", counted=False)

    # -- waiting ------------------------------------------------------------------------------------------

    def wait_recovered(self, within: float = 300.0) -> None:
        """Wait until every partition has new outputs since the last fault; a scenario judges, this only paces."""
        fault = self.faults[-1]
        try:
            until(lambda: self.watch.recovery(fault) is not None, within, f"output after {fault.kind}")
        except TimeoutError as error:
            self.remarks.append(str(error))

    def wait_said(self, name: str, words: str, times: int, within: float = 120.0) -> None:
        """Wait until a process has logged these words so often; that it never did is a remark."""
        process = self.cluster.processes[name]
        try:
            until(lambda: process.said(words) >= times, within, f"{words} from {name}")
        except TimeoutError as error:
            self.remarks.append(str(error))

    def wait_flowing(self) -> None:
        """Wait for the first output of every partition. Raises RuntimeError when a process ended instead."""

        def flows() -> bool:
            for process in self.cluster.processes.values():
                if not process.alive:
                    raise RuntimeError(f"{process.name} ended by itself:\n{process.tail()}")
            return self.watch.flowing

        until(flows, FIRST_OUTPUT_S, "output of every partition")

    def wait_quiet(self, seconds: float) -> None:
        """Wait until no output has come for that long."""
        started = time.time()
        until(lambda: time.time() - max(self.watch.last, started) > seconds, 900, "the end of the outputs")
