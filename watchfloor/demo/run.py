"""The demonstration as a story: start, level, history, live, burst, books."""

import asyncio
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click
from confluent_kafka import KafkaException

from models.registry import Signer, trust
from producers.replay import BadLine, NotAcknowledged, Summary
from producers.sources import Lag, SourceError
from sinks.errors import Mismatch, Refused, Unavailable
from sinks.store import quoted
from streams.topology import AGENTS
from watchfloor.commands.collect import open_sources
from watchfloor.commands.db import open_store
from watchfloor.demo import history
from watchfloor.demo.conflicts import Conflicts
from watchfloor.demo.fraud import Fraud
from watchfloor.demo.level import Level, levels
from watchfloor.demo.live import Live, Outcome
from watchfloor.demo.readings import Readings
from watchfloor.demo.summary import faults, remarks, report, show
from watchfloor.demo.tally import count, scored, tally
from watchfloor.demo.terminal import Terminal, shown_path, usual
from watchfloor.demo.watch import Seen, Watch, event_ids
from watchfloor.embedded.jars import JavaError
from watchfloor.embedded.server import ServerError
from watchfloor.output import Console
from watchfloor.service import CommandFailed, Plan
from watchfloor.settings import Settings, variable
from watchfloor.supervisor import Layout, Supervisor, UpError, command, layout, taken

CATCH_UP_LIMIT_S = 180.0
ROWS_LIMIT_S = 20.0
TROUBLE = (KafkaException, TimeoutError, NotAcknowledged, BadLine, Unavailable, Refused, Mismatch)
"""What a broker or a database that is away, or does not do what it is asked, makes of the story."""

COLLECTOR_LIMIT_S = 15.0
MARKED = sum(not topic.inbound for agent in AGENTS for topic in agent.inputs)
"""Inputs that agents write: at the end of each partition stands a mark that nobody reads."""

ANOMALY = "anomaly"
"""The model that judges hosts."""

LIVE_S = 60.0
"""So long this machine is watched where nobody says how long."""

BUSY_PERCENT = 85.0
STOPPED = 130
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

PROGRAM = shown_path(Path(sys.argv[0])) if Path(sys.argv[0]).name == "watchfloor" else "watchfloor"

NEXT = (
    ("up", "the product, until Ctrl-C"),
    ("alerts tail", "beside it: alerts as they come"),
    ("top", "beside it: what flows"),
    ('sql "SELECT * FROM demo.v_alerts"', "beside it: what this demo left"),
)

ACTS = (Fraud, Conflicts, Readings)
"""What follows the machine's own metrics, each about a domain."""

SHOWN = ("cpu_percent", "memory_percent", "disk_write_bytes_per_s")

ROW = """
SELECT event_id, event_time, probability, risk_level, model_version, decision
FROM {database}.v_predictions WHERE event_id = {{event:String}}
"""
ALERT_ROW = """
SELECT alert_id, opened_at, direction, state, severity, seq, value, expected, record_time
FROM {database}.v_alerts WHERE toString(alert_id) = {{alert:String}}
"""
HISTORIC = """
SELECT metric, count() AS n FROM {database}.v_alerts
WHERE subject = {{host:String}} AND opened_at < fromUnixTimestamp64Milli({{until:Int64}})
GROUP BY metric ORDER BY metric
"""


class OnlyTrouble(Console):
    """The demonstration tells in its own words what starts and stops."""

    def say(self, text: str, bad: bool = False) -> None:
        if bad:
            super().say(text, bad)


class Cast(Supervisor):
    """Supervises the demonstration's processes, without a word as long as all is well."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        super().__init__(settings, layout, quiet=True)
        self.console = OnlyTrouble([], quiet=True)

    def show(self) -> None:
        """The story does."""


def isolated(settings: Settings, keys: Path) -> Settings:
    """The same instance with a prefix, a database, models and keys of the demonstration's own, for the processes
    started, too. The key that signs lives in the folder `keys`, the secret of plates' fingerprints nowhere.
    """
    if settings.profile == "prod":
        raise click.ClickException("The demonstration loads the machine and has no place in profile prod.")
    os.environ[variable("prefix")] = f"{settings.prefix}demo."
    os.environ[variable("database")] = "demo" if settings.database == "watchfloor" else f"{settings.database}_demo"
    home = settings.home.absolute()
    os.environ[variable("home")] = str(home)
    os.environ[variable("ocr_secret")] = secrets.token_hex(32)
    models, trusted, key = home / "demo" / "models", home / "demo" / "trusted-keys", keys / "signing-key"
    shutil.rmtree(models, ignore_errors=True)
    trusted.unlink(missing_ok=True)
    signer = Signer.generate("demo")
    signer.write(key)
    trust(trusted, signer.public)
    for name, path in (("models", models), ("trusted_keys", trusted), ("signing_key", key)):
        os.environ[variable(name)] = str(path)
    return Settings()


def parts(settings: Settings) -> Layout:
    """Servers, one worker and the sink; the topics and tables are made anew; the collector comes later."""
    usual_parts = layout(settings, workers=1, collector=False)
    prepare = Plan(
        name="prepare",
        command=lambda: [sys.executable, "-m", "watchfloor.demo.prepare"],
        ready=lambda _: True,
    )
    return Layout(usual_parts.servers, [prepare], usual_parts.work, [])


class Demo:
    """One demonstration over one home. `run` gives the exit code and the report."""

    def __init__(self, settings: Settings, seconds: float | None) -> None:
        self.keys = tempfile.TemporaryDirectory(prefix="watchfloor-demo-")
        self.settings = isolated(settings, Path(self.keys.name))
        self.seconds = seconds
        self.terminal = Terminal()
        self.supervisor = Cast(self.settings, parts(self.settings))
        self.stop = asyncio.Event()
        self.stop_threads = threading.Event()
        self.watching = self.busy = False
        self.began = time.monotonic()
        self.report: dict[str, Any] = {"host": self.settings.host}
        self.rows_shown: asyncio.Task[None] | None = None

    async def run(self) -> tuple[int, dict[str, Any]]:
        """Everything that was started has ended when this returns, or raises UpError or ClickException."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.request_stop)
        self.terminal.title("Watchfloor on this machine")
        self.terminal.note(
            "A real Kafka broker, the real ClickHouse engine, this machine's own metrics. Everything is stored in "
            f"{shown_path(self.settings.home)}: topics {self.settings.prefix}*, database {self.settings.database}."
        )
        with taken(self.supervisor.home):
            # The producers' own words go where those of the processes are, not between the lines of the story.
            logging.basicConfig(filename=self.supervisor.logs / "demo.log", level="INFO", format=LOG_FORMAT)
            story = asyncio.create_task(self.story())
            stopped = asyncio.create_task(self.stop.wait())
            try:
                await asyncio.wait({story, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not story.done() and not self.watching:
                    story.cancel()
                return await story, self.report
            except asyncio.CancelledError:
                return STOPPED, self.report | {"stopped": "before anything was measured"}
            except (ServerError, JavaError, CommandFailed) as error:
                raise UpError(str(error)) from error
            except TROUBLE as error:
                logs = shown_path(self.supervisor.logs)
                raise UpError(f"{error} ({type(error).__name__}; what the processes said is in {logs})") from error
            finally:
                stopped.cancel()
                self.stop_threads.set()
                with self.terminal.waiting("stopping everything"):
                    await self.supervisor.stop()
                self.keys.cleanup()

    def request_stop(self) -> None:
        """The first time to the books, the second time at once."""
        if self.stop.is_set():
            self.supervisor.hurry.set()
        self.stop.set()
        self.stop_threads.set()

    async def story(self) -> int:
        await self.start()
        here = await self.level()
        await self.calm(here, await self.history(here))
        self.report["set_up_seconds"] = round(time.monotonic() - self.began, 1)
        outcome = await self.live()
        for act in ACTS:
            if not self.stop.is_set():
                self.report[act.name] = await act(self.settings, self.store, self.terminal, self.stop).run()
        if self.seconds is None and not self.stop.is_set():
            self.terminal.title("Everything runs on, this machine's samples too; Ctrl-C ends the demonstration")
            self.terminal.note(f"From another terminal: {self.said('tickets', 'list')}")
            await self.stop.wait()
        await self.supervisor.stages.pop()[0].stop(COLLECTOR_LIMIT_S)
        return await self.books(outcome)

    async def start(self) -> None:
        began = time.monotonic()
        with self.terminal.waiting("starting Kafka, ClickHouse, a worker and the sink"):
            await self.supervisor.start()
        for service in (service for stage in self.supervisor.stages for service in stage):
            if not service.is_ready.is_set():
                raise CommandFailed(f"{service.plan.name} did not come up. Its last words:\n{service.log.tail()}")
        # What they chose (ports, password) is known only now.
        self.settings = Settings()
        self.store = open_store(self.settings)
        self.lag = Lag(self.settings.kafka, [self.settings.prefix + agent.name for agent in AGENTS])
        kafka, clickhouse = self.settings.kafka, self.settings.clickhouse.removeprefix("http://")
        took = time.monotonic() - began
        self.terminal.done("Start", f"Kafka at {kafka}, ClickHouse at {clickhouse}, a worker, the sink", took)

    async def level(self) -> dict[str, Level]:
        """This machine's level, so that the history can be put there."""
        with self.terminal.waiting("listening to this machine, so that the recorded week can be put at its level"):
            sources = open_sources(self.settings)
            samples = await asyncio.to_thread(history.listen, self.settings, sources, self.stop_threads)
            sources.close()
        here = levels(samples)
        said = ", ".join(usual(name, at.middle, at.high) for name, at in here.items() if name in SHOWN)
        self.terminal.done("Level", f"this machine, median and usual high: {said}")
        cpu = here.get("cpu_percent")
        self.busy = cpu is not None and cpu.high > BUSY_PERCENT
        if cpu is not None and self.busy:
            self.terminal.warn(
                f"This machine is busy already (CPU {cpu.high:.0f} %): more load on it is no news, and what others do "
                "here may raise alerts before the burst. The disk part of the burst should still be news."
            )
        self.listened = history.SETTLING + len(samples)
        return here

    async def history(self, here: dict[str, Level]) -> int:
        """Replays the week, waits until all of it is scored and stored; gives its last event time."""
        week = await asyncio.to_thread(history.Week.load, here)
        with self.terminal.progress() as progress:
            sent = progress.add_task("a week into Kafka", total=len(week.lines), rate=0)
            stored = progress.add_task("scored, in ClickHouse", total=len(week.lines), rate=0)
            began = time.monotonic()

            def told(summary: Summary, _: float) -> None:
                rate = summary.published / max(time.monotonic() - began, 0.001)
                progress.update(sent, completed=summary.published, rate=rate)

            replay = asyncio.create_task(
                asyncio.to_thread(history.replay, self.settings, week, self.stop_threads, told)
            )
            deadline = time.monotonic() + CATCH_UP_LIMIT_S
            done = 0
            while not replay.done() or done < replay.result().published or await self.behind():
                done = await asyncio.to_thread(count, self.store, "v_predictions") - self.listened
                took = time.monotonic() - began
                progress.update(stored, completed=max(0, done), rate=max(0, done) / took)
                if time.monotonic() > deadline:
                    raise CommandFailed(
                        f"the pipeline did not catch up within {CATCH_UP_LIMIT_S:.0f} s; the logs of the worker and "
                        f"the sink are in {shown_path(self.supervisor.logs)}"
                    )
                await asyncio.sleep(0.2)
        published, took = replay.result().published, time.monotonic() - began
        self.report["replayed"] = published
        self.report["replay_events_per_second"] = round(published / took)
        self.terminal.done(
            "History", f"{published:,} samples, a week: Kafka, scored, in ClickHouse ({published / took:,.0f}/s)", took
        )
        self.terminal.note(
            f"Recorded on other servers (Numenta Anomaly Benchmark: {', '.join(week.scales)}; {len(week.incidents)} "
            "incidents labelled by people) and put at this machine's level: median on median, usual high on usual "
            "high, incidents above that in proportion, but CPU well below 100 %."
        )
        return replay.result().last or 0

    async def historic(self, until_ms: int) -> dict[str, int]:
        """Alerts by metric that were opened by history, as ClickHouse has them."""
        where = {"host": self.settings.host, "until": until_ms}
        query = HISTORIC.format(database=quoted(self.store.database))
        rows = await asyncio.to_thread(self.store.query, query, where)
        return {row["metric"]: int(row["n"]) for row in rows}

    async def behind(self) -> bool:
        """Whether an agent has records to read."""
        try:
            lag = (await asyncio.to_thread(self.lag.read))["queue_depth"]
        except SourceError:
            return True
        return lag is None or lag > MARKED * self.settings.partitions

    async def calm(self, here: dict[str, Level], week_end: int) -> None:
        """Let the machine come back to its level after the replay's work."""
        with self.terminal.waiting("waiting for the machine to calm down after the replay"):
            calm = await asyncio.to_thread(history.calm, here, week_end, self.stop_threads)
        if not (calm or self.busy):
            self.terminal.warn("The machine did not come back to its level; that may be news to the detectors.")
        alerts = await self.historic(week_end + 1)
        words = ", ".join(f"{n} on {metric}" for metric, n in alerts.items()) or "none"
        self.terminal.note(f"Alerts of that week: {words}. They are in the books and not announced.")

    async def live(self) -> Outcome:
        loop, incoming = asyncio.get_running_loop(), asyncio.Queue[Seen]()

        def tell(seen: Seen) -> None:
            loop.call_soon_threadsafe(incoming.put_nowait, seen)

        watch = await asyncio.to_thread(Watch, self.settings.kafka, self.settings.prefix, tell)
        self.supervisor.stage(
            [command(self.settings, "collect", "collect", "--interval", "1", what="this host's metrics")]
        )
        self.watching = True
        self.terminal.title("This machine, once a second")
        self.terminal.note(
            "news: how new the strangest metric is to this host's own past, 0 to 1; an alert from 0.50. "
            "ms: from the sample to its committed score."
        )
        self.terminal.note(f"From another terminal: {self.said('alerts', 'tail')}")
        running = {service.plan.name: service.pid for stage in self.supervisor.stages for service in stage}
        self.terminal.note(f"Or kill -9 {running['worker-0']}, the worker: it comes back, and the books stay right.")
        live = Live(self.settings.host, self.terminal, incoming, self.show_rows)
        try:
            await live.run(self.settings.home.absolute(), self.seconds or LIVE_S, self.stop)
        finally:
            await asyncio.to_thread(watch.stop)
        if self.rows_shown is not None:
            await self.rows_shown
        return live.outcome

    def show_rows(self, alert: dict[str, Any]) -> None:
        """The rows of the first alert of the burst, once they are in ClickHouse."""
        if self.rows_shown is None:
            self.rows_shown = asyncio.create_task(self.find_rows(alert))

    async def find_rows(self, alert: dict[str, Any]) -> None:
        database = quoted(self.store.database)
        began = time.monotonic()
        while time.monotonic() - began < ROWS_LIMIT_S:
            predictions = await asyncio.to_thread(
                self.store.query, ROW.format(database=database), {"event": alert["event_id"]}
            )
            alerts = await asyncio.to_thread(
                self.store.query, ALERT_ROW.format(database=database), {"alert": alert["alert_id"]}
            )
            if predictions and alerts:
                self.terminal.rows(alert["metric"], alert["value"], predictions[0], alerts[0])
                return
            await asyncio.sleep(0.2)
        self.terminal.warn(f"The rows of that alert were not in ClickHouse within {ROWS_LIMIT_S:.0f} s.")

    async def books(self, outcome: Outcome) -> int:
        """Everything that went in against everything that came out; the summary; the exit code."""
        with self.terminal.waiting("closing the books: every event id against every prediction"):
            events = await asyncio.to_thread(event_ids, self.settings.kafka, self.settings.prefix)
            deadline = time.monotonic() + CATCH_UP_LIMIT_S
            wanted = len(set(events))
            while await asyncio.to_thread(scored, self.store, ANOMALY) < wanted or await self.behind():
                if time.monotonic() > deadline:
                    break  # the books will say what is missing
                await asyncio.sleep(0.2)
            found = await asyncio.to_thread(tally, self.store, events, ANOMALY)
        until_ms = outcome.began or time.time_ns() // 1_000_000
        self.report["historic_alerts"] = sum((await self.historic(until_ms)).values())
        self.report |= report(outcome, found)
        self.report["faults"] = faults(self.report)
        self.report["remarks"] = remarks(self.report, self.busy)
        show(self.terminal, self.report)
        self.terminal.title("What next")
        for arguments, what in NEXT:
            self.terminal.next(f"{PROGRAM} {arguments}", what)
        return 1 if self.report["faults"] else 0

    def said(self, *arguments: str) -> str:
        """A command that works beside this demonstration, as a person would type it."""
        named = {name: os.environ[variable(name)] for name in ("prefix", "database")}
        if self.settings.home.absolute() != Path(".watchfloor").absolute():
            named["home"] = str(self.settings.home)
        return " ".join([*(f"{variable(name)}={value}" for name, value in named.items()), PROGRAM, *arguments])
