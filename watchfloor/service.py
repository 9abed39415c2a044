"""One supervised process: started on a leash, awaited until ready, started again when it ends, stopped in time."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from watchfloor.embedded.leash import leashed
from watchfloor.embedded.server import Server, ServerError
from watchfloor.output import Console, Log

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STEADY_S = 60.0  # one that ran so long is taken to be well: the next delay is the first one again
LOUD_AFTER = 5


class CommandFailed(RuntimeError):
    """A command that the instance needs before it can run did not end well; the text has its last lines."""


def nothing() -> None:
    """Many processes need no preparation."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one process is run.

    `ready`, `where` and `ended` are given its pid; `ready` and `prepare` may block, for about a second.
    """

    name: str
    command: Callable[[], list[str]]
    ready: Callable[[int], bool]
    prepare: Callable[[], None] = nothing
    environment: Callable[[], dict[str, str]] = field(default=lambda: dict(os.environ))
    what: str = ""
    where: Callable[[int], str] = field(default=lambda pid: "")
    ended: Callable[[int], None] = field(default=lambda pid: None)


def server_plan(server: Server) -> Plan:
    """How an embedded server is run."""
    return Plan(
        name=server.name,
        command=server.command,
        ready=lambda _: server.answers(),
        prepare=server.prepare,
        environment=server.environment,
        what=server.what,
        where=lambda _: server.where,
    )


class Service:
    """Keeps one process running until stop()."""

    def __init__(self, plan: Plan, console: Console, logs: Path, changed: Callable[[], None] = nothing) -> None:
        self.plan = plan
        self.console = console
        self.log = Log(logs, plan.name)
        self.changed = changed
        self.process: asyncio.subprocess.Process | None = None
        self.state = "stopped"
        self.restarts = 0
        self.stopping = False
        self.is_ready = asyncio.Event()
        self.keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    def start(self) -> asyncio.Task[None]:
        """Begins to keep the process running. The task ends after stop(), or with what `prepare` raised at first."""
        self.keeper = asyncio.create_task(self.keep())
        return self.keeper

    async def keep(self) -> None:
        await asyncio.to_thread(self.plan.prepare)
        failures = 0
        while not self.stopping:
            began = time.monotonic()
            try:
                end = ending(await self.run())
            except OSError as error:  # no memory, no descriptors: that passes
                end = f"could not be started: {error}"
            if self.stopping:
                break
            failures = 0 if time.monotonic() - began > STEADY_S else failures + 1
            delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** max(0, failures - 1)) * random.uniform(0.7, 1.3)
            self.restarts += 1
            self.console.say(
                f"{self.plan.name} ended ({end}); starting it again in {delay:.1f} s "
                f"(restart {self.restarts}, its words are in {self.log.path})",
                bad=True,
            )
            if failures >= LOUD_AFTER:
                self.console.say(f"{self.plan.name} has not stayed up for {failures} starts. Its last lines:", bad=True)
                self.console.say(self.log.tail(5), bad=True)
            self.move("waiting to start again")
            await asyncio.sleep(delay)

    async def run(self) -> int:
        """One life of the process. Returns its exit code; negative: the signal that ended it."""
        self.move("starting")
        self.process = await asyncio.create_subprocess_exec(
            *leashed(self.plan.command()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.plan.environment() | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        printing = asyncio.create_task(self.print_lines(self.process.stdout))
        watching = asyncio.create_task(self.watch(self.process.pid))
        try:
            code = await self.process.wait()
            # A grandchild may hold the pipe open; what the process itself said is there by now.
            await asyncio.wait({printing}, timeout=1.0)
        finally:
            watching.cancel()
            printing.cancel()
            self.is_ready.clear()
            self.plan.ended(self.process.pid)
            self.move("stopped")
        return code

    async def first_ready(self, limit_s: float) -> None:
        """Returns when the process is ready for the first time.

        Raises what `prepare` raised, or ServerError when it ends instead or is not ready within `limit_s`.
        """
        assert self.keeper is not None
        deadline = time.monotonic() + limit_s
        while not self.is_ready.is_set():
            await asyncio.wait({self.keeper}, timeout=0.05)
            if self.keeper.done():
                self.keeper.result()
            if self.restarts:
                raise ServerError(
                    f"{self.plan.name} ended as soon as it was started. Its last lines:\n{self.log.tail()}"
                )
            if time.monotonic() > deadline:
                raise ServerError(f"{self.plan.name} did not answer within {limit_s:.0f} s.\n{self.log.tail()}")

    async def watch(self, pid: int) -> None:
        while not await asyncio.to_thread(self.plan.ready, pid):
            await asyncio.sleep(0.1)
        self.move("running")
        self.is_ready.set()

    async def print_lines(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        rest = b""
        while chunk := await stream.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.print(line)
        if rest:
            self.print(rest)

    def print(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self.log.write(text)
        self.console.line(self.plan.name, text)

    async def stop(self, limit_s: float) -> bool:
        """Ends the process and stays down. Returns False when it had to be killed after `limit_s`."""
        self.stopping = True
        in_time = True
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), limit_s)
            except TimeoutError:
                in_time = False
                self.kill()
                await self.process.wait()
        if self.keeper is not None:
            if self.process is None or self.state.startswith("waiting"):
                self.keeper.cancel()
            await asyncio.gather(self.keeper, return_exceptions=True)
        self.log.close()
        return in_time

    def kill(self) -> None:
        """Ends the process at once."""
        if self.pid is not None and self.process is not None:
            self.process.kill()

    def move(self, state: str) -> None:
        self.state = state
        self.changed()

    def figures(self) -> dict[str, Any]:
        """What HOME/run/supervisor.json says of it. `created` tells it from a later process of the same pid."""
        created = None
        if self.pid is not None and psutil.pid_exists(self.pid):
            created = psutil.Process(self.pid).create_time()
        return {
            "name": self.plan.name,
            "what": self.plan.what,
            "where": self.plan.where(self.pid) if self.pid is not None else "",
            "pid": self.pid,
            "created": created,
            "state": self.state,
            "restarts": self.restarts,
            "log": str(self.log.path),
        }


async def once(plan: Plan, console: Console, logs: Path, limit_s: float) -> None:
    """Runs a process that is expected to end. Raises CommandFailed unless it ends well within `limit_s`."""
    service = Service(plan, console, logs)
    try:
        code = await asyncio.wait_for(service.run(), limit_s)
        if code != 0:
            raise CommandFailed(f"{plan.name} failed ({ending(code)}):\n{service.log.tail()}")
    except TimeoutError:
        raise CommandFailed(f"{plan.name} did not end within {limit_s:.0f} s.\n{service.log.tail()}") from None
    finally:
        await service.stop(1.0)


def ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
