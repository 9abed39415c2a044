"""A worker, as a process of its own, for tests of what it serves."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.faults.processes import Process


@contextmanager
def serving(environment: Mapping[str, str], *agents: str) -> Iterator[Process]:
    """A worker of these agents, of all without a name, that must live until the end and then leave in order.

    Args:
        environment: the variables of its instance. What it says goes to worker.out in its home.
    """
    chosen = ["--agents", ",".join(agents)] if agents else []
    command = [sys.executable, "-m", "watchfloor", "worker", *chosen]
    worker = Process("worker", command, environment, Path(environment["WATCHFLOOR_HOME"]) / "worker.out")
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(within=30)
        assert worker.popen is not None
        assert worker.popen.returncode == 0, worker.tail()
