"""A worker's clocks, bent from outside: the time of day jumps, or an hour passes within seconds.

The process reads what to do from a file. Its monotonic clock runs fast until the ordered time has passed, and its event
loop waits that much less, so that it looks around as often as in a real hour.
"""

import json
import selectors
import threading
import time
from pathlib import Path
from typing import Any

VARIABLE = "WATCHFLOOR_FAULTS_CLOCK"
"""Path of the file."""
SPEED = 100.0
LOOK_S = 0.05


def order(path: Path, days: float = 0.0, passed_s: float = 0.0) -> None:
    """Tell the process: its time of day is wrong by so many days; so many seconds more have passed altogether."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"days": days, "passed_s": passed_s}))
    fresh.rename(path)


class Bent:
    """The clocks of this process."""

    def __init__(self) -> None:
        self._time, self._monotonic = time.time, time.monotonic
        self._jump_s = 0.0
        self._since, self._passed_s, self._target_s = self._monotonic(), 0.0, 0.0

    def install(self, path: Path) -> None:
        """Bend the clocks of all that asks `time` from now on, as the file says."""
        self._read(path)
        # A process that is started later was not there when the time passed.
        self._passed_s = self._target_s
        select = selectors.EpollSelector.select

        def hasty(selector: Any, timeout: float | None = None) -> Any:
            return select(selector, timeout / SPEED if timeout and timeout > 0 and self.fast else timeout)

        selectors.EpollSelector.select = hasty  # type: ignore[method-assign]
        time.time, time.monotonic = self.time, self.monotonic
        time.time_ns = lambda: int(self.time() * 1e9)
        threading.Thread(target=self._follow, args=(path,), name="clock", daemon=True).start()

    def monotonic(self) -> float:
        return self._monotonic() + self._more()

    def time(self) -> float:
        return self._time() + self._more() + self._jump_s

    @property
    def fast(self) -> bool:
        return self._more() < self._target_s

    def _more(self) -> float:
        """Seconds that have passed beside those that the system knows of."""
        if self._passed_s >= self._target_s:
            return self._passed_s
        return min(self._target_s, self._passed_s + (self._monotonic() - self._since) * (SPEED - 1))

    def _read(self, path: Path) -> None:
        if path.exists():
            told = json.loads(path.read_text())
            self._jump_s = told["days"] * 86_400.0
            if told["passed_s"] != self._target_s:
                self._since, self._passed_s, self._target_s = self._monotonic(), self._more(), told["passed_s"]

    def _follow(self, path: Path) -> None:
        wait = threading.Event().wait
        while not wait(LOOK_S):
            self._read(path)
