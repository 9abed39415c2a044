"""Operating-system processes that a fault test starts, kills, freezes and thaws."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from watchfloor.embedded.leash import leashed


@dataclass(slots=True)
class Process:
    """One restartable process. What all its lives print is appended to `log`.

    It dies with the thread that started it, so start it from the main thread.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    log: Path
    lives: int = 0
    popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start, or start again. Raises RuntimeError when the last life has not ended."""
        if self.alive:
            raise RuntimeError(f"{self.name} runs already as process {self.pid}")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            out.write(f"--- life {self.lives + 1}\n".encode())
            self.popen = subprocess.Popen(
                leashed(list(self.command)),
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.lives += 1

    @property
    def alive(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    @property
    def pid(self) -> int:
        if self.popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self.popen.pid

    def kill(self) -> None:
        """kill -9, and wait until the system has buried it."""
        if self.popen is not None and self.popen.poll() is None:
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait()

    def freeze(self) -> None:
        """SIGSTOP: the process lives and holds its connections, but does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self, within: float = 15.0, with_signal: signal.Signals = signal.SIGTERM) -> bool:
        """End it in order, after `within` seconds by force. Returns whether it left by itself."""
        if self.popen is None or self.popen.poll() is not None:
            return True
        self.thaw()
        self.popen.send_signal(with_signal)
        try:
            self.popen.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def said(self, words: str) -> int:
        """How often the log holds these words."""
        return self.log.read_text(errors="replace").count(words) if self.log.exists() else 0

    def tail(self, lines: int = 30) -> str:
        """The end of the log, for a failure's message."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
