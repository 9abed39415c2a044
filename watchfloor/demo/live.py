"""The live part: this machine sampled each second, a calm time, a burst, and what the pipeline makes of it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.topics import ALERTS, PREDICTIONS_ANOMALY
from watchfloor.demo.burst import SECONDS, burst
from watchfloor.demo.terminal import Terminal
from watchfloor.demo.watch import Seen

FIRST_LIMIT_S = 30.0
LOADED = ("cpu_percent", "disk_write_bytes_per_s")
"""What the burst loads: alerts on other metrics, or downward ones, are not the burst's."""

LONGEST_CALM_S, LEAST_CALM_S, LEAST_AFTER_S = 30.0, 16.0, 10.0


@dataclass(slots=True)
class Outcome:
    """What happened while the machine was watched. Times are epoch milliseconds."""

    host: str
    began: int = 0
    burst_at: int | None = None
    samples: int = 0
    latencies: list[int] = field(default_factory=list)
    calm_alerts: list[dict[str, Any]] = field(default_factory=list)
    burst_alerts: list[tuple[dict[str, Any], float]] = field(default_factory=list)
    """Alerts that the burst opened, or made severer where one was open, each with the seconds from the burst's begin
    to the Kafka timestamp."""

    @property
    def burst_to_alert_s(self) -> float | None:
        return min((seconds for _, seconds in self.burst_alerts), default=None)


class Live:
    """Prints what comes and keeps the outcome. `told` is given every alert of the burst."""

    def __init__(
        self, host: str, terminal: Terminal, incoming: "asyncio.Queue[Seen]", told: Callable[[dict[str, Any]], None]
    ) -> None:
        self.outcome = Outcome(host)
        self._terminal = terminal
        self._incoming = incoming
        self._told = told

    async def run(self, home: Path, seconds: float | None, stop: asyncio.Event) -> None:
        """Calm, burst, and afterwards until `seconds` have passed or `stop` is set."""
        stopped = asyncio.create_task(stop.wait())
        try:
            first = await self._first(stopped)
            if first is None:
                return
            self.outcome.began = first.record["event_time"]
            self.see(first)
            begin = time.monotonic()
            calm_s = LONGEST_CALM_S
            if seconds is not None:
                calm_s = min(calm_s, max(LEAST_CALM_S, seconds - SECONDS - 2 * LEAST_AFTER_S))
            if await self._until(begin + calm_s, stopped):
                return
            self.outcome.burst_at = time.time_ns() // 1_000_000
            with burst(home) as words:
                self._terminal.title(f"A real burst on this machine: {words}")
                if await self._until(time.monotonic() + SECONDS, stopped):
                    return
            self._terminal.title("The burst is over" + ("" if seconds else "; Ctrl-C ends the demonstration"))
            end = None if seconds is None else max(begin + seconds, time.monotonic() + LEAST_AFTER_S)
            await self._until(end, stopped)
        finally:
            stopped.cancel()

    async def _first(self, stopped: "asyncio.Task[bool]") -> Seen | None:
        """The first live prediction; None when there is none to come."""
        deadline = time.monotonic() + FIRST_LIMIT_S
        while time.monotonic() < deadline and not stopped.done():
            with contextlib.suppress(TimeoutError):
                seen = await asyncio.wait_for(self._incoming.get(), 0.2)
                if seen.topic == PREDICTIONS_ANOMALY.name and seen.record["subject"] == self.outcome.host:
                    return seen
        return None

    async def _until(self, end: float | None, stopped: "asyncio.Task[bool]") -> bool:
        """Show what comes until then; whether it was stopped earlier."""
        while end is None or time.monotonic() < end:
            if stopped.done():
                return True
            with contextlib.suppress(TimeoutError):
                self.see(await asyncio.wait_for(self._incoming.get(), 0.2))
        return False

    def see(self, seen: Seen) -> None:
        """Take up one record of the pipeline."""
        record, outcome = seen.record, self.outcome
        if record["subject"] != outcome.host:
            return
        if seen.topic == PREDICTIONS_ANOMALY.name:
            outcome.samples += 1
            outcome.latencies.append(seen.at - record["event_time"])
            self._terminal.sample(record, seen.at)
        elif seen.topic == ALERTS.name and record["opened_at"] >= outcome.began:
            new = record["seq"] == 1
            if outcome.burst_at is None or record["updated_at"] < outcome.burst_at:
                if new:
                    outcome.calm_alerts.append(record)
                self._terminal.alert(record, None)
            elif not (new or record["reason"] == "severity") or not of_burst(record):
                self._terminal.alert(record, None)
            else:
                seconds = (seen.at - outcome.burst_at) / 1000
                outcome.burst_alerts.append((record, seconds))
                self._terminal.alert(record, seconds)
                self._told(record)


def of_burst(alert: Mapping[str, Any]) -> bool:
    """Whether an alert speaks of what the burst does."""
    return alert["metric"] in LOADED and alert["direction"] != "down"
