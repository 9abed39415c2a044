"""A server process of this machine: started, awaited, stopped, killed, and started again with the same data."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO

from watchfloor.embedded.leash import leashed


class ServerError(RuntimeError):
    """A server did not come up; the text says why and what to do."""


class Server(ABC):
    """One server with its data in `folder`. Subclasses say how it is prepared, started and asked whether it answers.

    start(), stop() and kill() are for tests and scripts; the supervisor runs `command()` itself, after `prepare()`.
    Start it from a thread that lives as long as the server should: it dies with that thread (see leash.py).
    """

    name: str
    what: str
    start_limit_s = 60.0
    stop_limit_s = 20.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Makes ready what the process needs: data folder, configuration, ports. Does nothing the second time."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command line of the process."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether clients are served now. Returns within about a second."""

    @property
    @abstractmethod
    def where(self) -> str:
        """Where clients reach it."""

    def environment(self) -> dict[str, str]:
        """The environment of the process."""
        return dict(os.environ)

    @property
    def log(self) -> Path:
        """What the process printed when it was started by start()."""
        return self.folder / f"{self.name}.log"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ServerError(f"{self.name} was not started")
        return self.process.pid

    def start(self) -> None:
        """Starts the process and returns when it answers.

        Raises ServerError when it ends instead, or does not answer within `start_limit_s`.
        """
        if self.alive:
            return
        self.prepare()
        with self.log.open("ab") as log:
            self.process = self.spawn(log)
        deadline = time.monotonic() + self.start_limit_s
        while not self.answers():
            if not self.alive:
                raise ServerError(f"{self.name} ended with code {self.process.returncode}.\n{self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.name} did not answer within {self.start_limit_s:.0f} s.\n{self.tail()}")
            time.sleep(0.05)

    def spawn(self, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """The bare process, in a session of its own so that Ctrl-C of a terminal reaches only whoever stops it."""
        return subprocess.Popen(
            leashed(self.command()),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=self.environment(),
            cwd=self.folder,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ends the process in order; after `stop_limit_s` by force."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.stop_limit_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends the process like a crash (kill -9). start() brings it back with its data, on the same port."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def tail(self, lines: int = 20) -> str:
        """The end of its log without Java's stack frames, for error texts."""
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        text = [line for line in text if not line.startswith("\tat ")]
        return "\n".join([f"The end of {self.log}:", *text[-lines:]]) if text else f"{self.log} is empty."
