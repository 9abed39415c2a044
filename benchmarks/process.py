"""A contender at work: its process, its figures, and what it said when it fails."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from benchmarks.cluster import Cluster
from benchmarks.contenders import Contender, python_path
from watchfloor.embedded.leash import leashed


@dataclass(frozen=True, slots=True)
class Mark:
    """Figures at one point: events so far, seconds and CPU seconds (user and system) since the first event."""

    events: int
    seconds: float
    cpu: float


class Running:
    """The process of a contender."""

    def __init__(self, process: "subprocess.Popen[str]", name: str, log: Path) -> None:
        self.process = process
        self.name = name
        self.log = log
        self.figures = psutil.Process(process.pid)

    def cpu(self) -> float:
        """CPU seconds since its start."""
        times = self.figures.cpu_times()
        return float(times.user + times.system)

    def marks(self, limit_s: float) -> Iterator[Mark]:
        """The figures it prints, as they come. ClickException when it ends or says nothing more within the limit."""
        assert self.process.stdout is not None
        timer = threading.Timer(limit_s, self.process.kill)
        timer.start()
        try:
            for line in self.process.stdout:
                if line.startswith('{"events":'):
                    yield Mark(**json.loads(line))
        finally:
            timer.cancel()
        raise click.ClickException(f"{self.name} ended, or took longer than {limit_s:.0f} s. It said:\n{self.tail()}")

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Ends it in order, after 15 s by force."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Ends it like a crash."""
        self.process.kill()
        self.process.wait()


def last_core() -> str | None:
    """The core to pin a worker to, None where pinning is not possible."""
    if shutil.which("taskset") is None or not hasattr(os, "sched_getaffinity"):
        return None
    return str(max(os.sched_getaffinity(0)))


@contextmanager
def running(
    contender: Contender,
    command: list[str],
    cluster: Cluster,
    name: str,
    settings: Mapping[str, str],
    core: str | None = None,
) -> Iterator[Running]:
    """Runs a contender with BENCH_* settings, pinned to a core if given, and ends it.

    `name` isolates it: its group, its changelog and its state folder carry that name.
    """
    folder = cluster.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "output.log"
    environment = {
        **os.environ,
        "PYTHONPATH": python_path(),
        "BENCH_BOOTSTRAP": cluster.address,
        "BENCH_GROUP": name,
        "BENCH_STATE": str((folder / "state").absolute()),
        **contender.environment,
        **settings,
    }
    pinned = ["taskset", "-c", core, *command] if core else command
    with log.open("a") as errors:
        process = subprocess.Popen(
            leashed(pinned), env=environment, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True
        )
    found = Running(process, contender.name, log)
    try:
        yield found
    finally:
        found.stop()
        if process.stdout is not None:
            process.stdout.close()
