"""A small instance for tests of the supervisor: the real engine, and children that do nothing.

`python -m tests.watchfloor.instance HOME` supervises them; `... HOME child NAME` is such a child.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.faults.waiting import until
from watchfloor.embedded.clickhouse import Engine
from watchfloor.service import Plan
from watchfloor.settings import Settings
from watchfloor.supervisor import STATUS, Layout, Supervisor, announced


class Instance:
    """A supervisor in a process of its own, seen from a test."""

    def __init__(self, home: Path, *command: str, **environment: str) -> None:
        self.home = home
        self.output = home.with_suffix(".out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *(command or ("tests.watchfloor.instance", str(home)))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
            )

    def status(self) -> dict[str, Any]:
        path = self.home / STATUS
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def ready(self, seconds: float = 120) -> None:
        def is_ready() -> bool:
            status = self.status()
            return bool(status and status["ready"] and status["pid"] == self.process.pid)

        until(lambda: is_ready() or self.process.poll() is not None, seconds, "readiness")
        assert self.process.poll() is None, self.text()

    def service(self, name: str) -> dict[str, Any]:
        return next(service for service in self.status()["services"] if service["name"] == name)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def end(self) -> None:
        """For the end of a test, whatever happened in it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def text(self) -> str:
        return self.output.read_text()


def child_plan(home: Path, name: str) -> Plan:
    return Plan(
        name=name,
        command=lambda: [sys.executable, "-m", "tests.watchfloor.instance", str(home), "child", name],
        ready=lambda pid: bool(announced(home, pid)),
    )


def child(home: Path, name: str) -> None:
    """Says that it runs, and waits for its end."""
    about = {"pid": os.getpid(), "kind": "child", "metrics": ""}
    (home / "run" / f"{name}.json").write_text(json.dumps(about))
    print(f"{name} says hello")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(print(f"{name} says goodbye")))
    signal.pause()


def main(home: Path) -> None:
    plans = [child_plan(home, name) for name in ("one", "two")]
    settings = Settings(home=home)
    asyncio.run(Supervisor(settings, Layout([Engine(home)], work=plans)).run())


if __name__ == "__main__":
    if len(sys.argv) > 2:
        child(Path(sys.argv[1]), sys.argv[3])
    else:
        main(Path(sys.argv[1]))
