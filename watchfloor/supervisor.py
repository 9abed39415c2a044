"""Runs everything of one home on this machine: broker, database, workers, sink, notifier, collector.

Starts them in order, starts again what dies, stops them in reverse order. One instance per home; homes side by side
take free ports. Were the supervisor itself killed by force, the kernel would end its children (see leash.py).
"""

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil
from rich.console import Console as Terminal
from rich.table import Column, Table

from watchfloor.embedded.clickhouse import Engine
from watchfloor.embedded.jars import JavaError
from watchfloor.embedded.kafka import Broker
from watchfloor.embedded.server import Server, ServerError
from watchfloor.output import Console
from watchfloor.service import CommandFailed, Plan, Service, once, server_plan
from watchfloor.settings import ENDPOINTS, Settings, variable

STATUS = "run/supervisor.json"
SERVER_LIMIT_S = 120.0
SETUP_LIMIT_S = 120.0
READY_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
ORPHAN_LIMIT_S = 5.0


class UpError(click.ClickException):
    """The instance could not be started; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What an instance runs: servers of its own first, then what prepares them, then processes in two stages.

    Everything in `work` stops before the servers, and `sources` before `work`.
    """

    servers: list[Server] = field(default_factory=list)
    setup: list[Plan] = field(default_factory=list)
    work: list[Plan] = field(default_factory=list)
    sources: list[Plan] = field(default_factory=list)


def layout(settings: Settings, workers: int, collector: bool) -> Layout:
    """The product's layout. Kafka and ClickHouse are used, not started, where the environment names them."""
    servers: list[Server] = []
    if settings.profile != "prod" and variable("kafka") not in os.environ:
        servers.append(Broker(settings.home))
    if settings.profile != "prod" and variable("clickhouse") not in os.environ:
        servers.append(
            Engine(
                settings.home, password=settings.clickhouse_password.get_secret_value(), user=settings.clickhouse_user
            )
        )
    return Layout(
        servers,
        setup=[command(settings, "topics", "topics", "apply"), command(settings, "db", "db", "migrate")],
        work=[
            *(
                command(settings, f"worker-{n}", "worker", "--name", f"worker-{n}", what="stream agents")
                for n in range(workers)
            ),
            command(settings, "sink-0", "sink", "--name", "sink-0", what="topics to ClickHouse"),
            *([command(settings, "notify", "notify", what="alerts to people")] if settings.notify else []),
        ],
        sources=[command(settings, "collect", "collect", what="this host's metrics")] if collector else [],
    )


def command(settings: Settings, name: str, *arguments: str, what: str = "") -> Plan:
    """A command of this package; a long-running one is ready when it has said in HOME/run where its figures are."""
    home = settings.home.absolute()
    return Plan(
        name=name,
        command=lambda: [sys.executable, "-m", "watchfloor", *arguments],
        ready=lambda pid: bool(announced(home, pid)),
        environment=lambda: os.environ | {variable("home"): str(home), variable("profile"): settings.profile},
        what=what,
        where=lambda pid: str(announced(home, pid).get("metrics", "")),
        ended=lambda pid: withdraw(home, pid),
    )


def announcements(home: Path, pid: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files that a process wrote about itself in HOME/run."""
    for path in (home / "run").glob("*.json"):
        try:
            found = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):  # removed or being written at this moment
            continue
        if found.get("kind") and found.get("pid") == pid:
            yield path, found


def announced(home: Path, pid: int) -> dict[str, Any]:
    """What a running process says about itself; nothing when it has not spoken (yet)."""
    return next((found for _, found in announcements(home, pid)), {})


def withdraw(home: Path, pid: int) -> None:
    """Removes what a process said about itself: it has ended."""
    for path, _ in announcements(home, pid):
        path.unlink(missing_ok=True)


class Supervisor:
    """One instance. `run` returns when it was told to stop and everything has ended."""

    def __init__(self, settings: Settings, layout: Layout, quiet: bool = False) -> None:
        self.home = settings.home.absolute()
        self.layout = layout
        plans = [*layout.setup, *layout.work, *layout.sources]
        self.console = Console([*(server.name for server in layout.servers), *(plan.name for plan in plans)], quiet)
        self.stages: list[list[Service]] = []
        self.ready = False
        self.stop_requested = asyncio.Event()
        self.hurry = asyncio.Event()

    async def run(self) -> None:
        """Raises UpError when another instance has the home, or when a part does not come up the first time."""
        with taken(self.home):
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.request_stop)
            starting = asyncio.create_task(self.start())
            stop = asyncio.create_task(self.stop_requested.wait())
            try:
                await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
                if starting.done():
                    starting.result()
                    await stop
            except (ServerError, JavaError, CommandFailed) as error:
                raise UpError(str(error)) from error
            finally:
                starting.cancel()
                stop.cancel()
                await asyncio.gather(starting, stop, return_exceptions=True)
                await self.stop()

    def request_stop(self) -> None:
        """The first time in order, the second time at once."""
        if self.stop_requested.is_set():
            self.hurry.set()
        self.stop_requested.set()

    async def start(self) -> None:
        servers = self.stage([server_plan(server) for server in self.layout.servers])
        if servers:
            self.console.say(f"starting {' and '.join(service.plan.name for service in servers)}")
        await asyncio.gather(*(service.first_ready(SERVER_LIMIT_S) for service in servers))
        write_private(self.home / ENDPOINTS, endpoints(self.layout.servers))
        await asyncio.gather(*(once(plan, self.console, self.logs, SETUP_LIMIT_S) for plan in self.layout.setup))
        waited_for = [*self.stage(self.layout.work), *self.stage(self.layout.sources)]
        waits = [asyncio.create_task(service.is_ready.wait()) for service in waited_for]
        if waits:
            await asyncio.wait(waits, timeout=READY_LIMIT_S)
        for wait in waits:
            wait.cancel()
        self.show()
        self.ready = True
        self.write_status()

    @property
    def logs(self) -> Path:
        folder = self.home / "logs"
        folder.mkdir(exist_ok=True)
        return folder

    def stage(self, plans: list[Plan]) -> list[Service]:
        """Begins to keep these processes running."""
        services = [Service(plan, self.console, self.logs, self.write_status) for plan in plans]
        self.stages.append(services)
        for service in services:
            service.start()
        return services

    async def stop(self) -> None:
        """Ends the stages in reverse order, each within its limit."""
        self.console.say("stopping")
        self.ready = False
        hurry = asyncio.create_task(self.hurry.wait())
        for services in reversed(self.stages):
            ends = [asyncio.create_task(service.stop(STOP_LIMIT_S)) for service in services]
            done = asyncio.gather(*ends)
            either: set[asyncio.Future[Any]] = {done, hurry}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                for service in services:
                    service.kill()
            for service, in_time in zip(services, await done, strict=True):
                if not in_time:
                    self.console.say(f"{service.plan.name} had to be killed: no end in {STOP_LIMIT_S:.0f} s", bad=True)
        hurry.cancel()
        for path in (ENDPOINTS, STATUS):
            (self.home / path).unlink(missing_ok=True)
        self.console.say("stopped")

    def write_status(self) -> None:
        services = [service.figures() for stage in self.stages for service in stage]
        try:
            write_private(self.home / STATUS, {"pid": os.getpid(), "ready": self.ready, "services": services})
        except OSError as error:  # a full disk must not end the supervision
            self.console.say(f"{self.home / STATUS} could not be written: {error}", bad=True)

    def show(self) -> None:
        """What runs where, for people."""
        table = Table("process", Column("where", no_wrap=True), "pid", "state", "what")
        for stage in self.stages:
            for service in stage:
                now = service.figures()
                table.add_row(service.plan.name, now["where"], str(now["pid"]), now["state"], now["what"])
        Terminal(stderr=True, width=None if sys.stderr.isatty() else 120).print(table)
        late = [service.plan.name for stage in self.stages for service in stage if not service.is_ready.is_set()]
        if late:
            self.console.say(f"not ready yet, and tried on: {', '.join(late)}; logs are in {self.logs}", bad=True)
        self.console.say(f"running in {self.home}; Ctrl-C stops everything, `watchfloor top` shows what flows")


def endpoints(servers: list[Server]) -> dict[str, str]:
    """What clients need to know, by the names of Settings' fields."""
    found: dict[str, str] = {}
    for server in servers:
        match server:
            case Broker():
                found["kafka"] = server.address
            case Engine():
                found["clickhouse"] = server.url
                found["clickhouse_user"] = server.user
                found["clickhouse_password"] = server.password
    return found


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON that only this user can read; readers see the old or the new content, never a part."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, indent=1)
    temporary.replace(path)


@contextmanager
def taken(home: Path) -> Iterator[None]:
    """Holds the home for one instance. Raises UpError when another one has it."""
    run = home / "run"
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (run / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UpError(
                f"{home} is in use by `watchfloor up` with pid {lock.read().strip() or 'unknown'}. "
                f"Stop that one, or start a second instance with {variable('home')}=ANOTHER_FOLDER."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        end_orphans(home / STATUS)
        for path in run.glob("*.json"):
            if not lives(path):
                path.unlink(missing_ok=True)
        yield


def lives(path: Path) -> bool:
    """Whether the process that wrote this file about itself still runs."""
    try:
        pid = json.loads(path.read_text()).get("pid")
    except ValueError:
        return False
    return isinstance(pid, int) and psutil.pid_exists(pid)


def end_orphans(status: Path) -> None:
    """Waits for the children of a supervisor that was killed; they hold its ports and files until they are gone."""
    if not status.exists():
        return
    try:
        services = json.loads(status.read_text())["services"]
    except (ValueError, KeyError):
        return
    left = []
    for service in services:
        try:
            process = psutil.Process(service["pid"])
        except (psutil.NoSuchProcess, ValueError, TypeError):
            continue
        if process.create_time() == service["created"]:
            left.append(process)
    _, left = psutil.wait_procs(left, timeout=ORPHAN_LIMIT_S)
    for process in left:  # only where there is no leash: other systems than Linux
        process.kill()
    psutil.wait_procs(left, timeout=ORPHAN_LIMIT_S)
