"""`watchfloor top`: watch throughput, lag and alerts."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sinks import queries
from sinks.errors import Mismatch, Refused, Unavailable
from sinks.store import Store
from watchfloor.commands.db import open_store
from watchfloor.settings import Settings
from watchfloor.vitals import Vitals, vitals

COLOURS = {"INFO": "cyan", "WARNING": "yellow", "HIGH": "dark_orange", "CRITICAL": "bold red"}

# What each kind of process does per second, what waits for it, and what it gave up.
RATES = {
    "worker": ("watchfloor_events_total", "watchfloor_frames_total"),
    "sink": ("watchfloor_sink_rows_total", "watchfloor_sink_inserts_total"),
    "collect": ("watchfloor_collector_published_total", "watchfloor_collector_samples_total"),
    "notify": ("watchfloor_notify_sent_total", ""),
}
WAITING = {
    "worker": "watchfloor_lag_records",
    "sink": "watchfloor_sink_lag_records",
    "collect": "watchfloor_collector_waiting",
    "notify": "watchfloor_notify_lag_records",
}
GIVEN_UP = {
    "worker": "watchfloor_dead_letters_total",
    "sink": "watchfloor_sink_dead_letters_total",
    "collect": "watchfloor_collector_dropped_total",
    "notify": "watchfloor_notify_refused_total",
}


@dataclass(slots=True)
class View:
    """One look at everything."""

    time: str
    processes: list[dict[str, Any]] = field(default_factory=list)
    topics: list[dict[str, Any]] = field(default_factory=list)
    clickhouse: str = "up"
    alerts_open: int | None = None
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        workers = [each for each in self.processes if each["kind"] == "worker" and each["trouble"] is None]
        return {
            "time": self.time,
            "events_per_s": round(sum(each["per_s"] for each in workers), 2),
            "lag": sum(each["waiting"] for each in workers),
            "dead_letters": sum(each["given_up"] for each in workers),
            "alerts_open": self.alerts_open,
            "clickhouse": self.clickhouse,
            "processes": self.processes,
            "topics": self.topics,
            "alerts": self.alerts,
        }


class Watch:
    """Looks again and again; rates are over the time between two looks."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._before: dict[tuple[str, int], tuple[float, Vitals]] = {}

    def look(self) -> View:
        view = View(datetime.now(UTC).isoformat(timespec="seconds"))
        for each in vitals(self._settings.run):
            view.processes.append(self._process(each))
        try:
            view.topics = queries.freshness(self._store)
            view.alerts_open, view.alerts = queries.open_alerts(self._store)
        except (Unavailable, Refused, Mismatch) as error:
            view.clickhouse = str(error)
        return view

    def _process(self, now: Vitals) -> dict[str, Any]:
        key = now.name, now.pid
        moment = time.monotonic()
        earlier, before = self._before.get(key, (moment, now))
        if now.trouble is None:
            self._before[key] = moment, now
        else:
            self._before.pop(key, None)
        seconds = moment - earlier

        def rate(figure: str) -> float:
            return round(max(0.0, now.total(figure) - before.total(figure)) / seconds, 2) if seconds else 0.0

        done, batches = RATES.get(now.kind, ("", ""))
        return {
            "name": now.name,
            "kind": now.kind,
            "pid": now.pid,
            "trouble": now.trouble,
            "per_s": rate(done),
            "batches_per_s": rate(batches),
            "waiting": int(now.total(WAITING.get(now.kind, ""))),
            "given_up": int(now.total(GIVEN_UP.get(now.kind, ""))),
            "halted": int(now.total("watchfloor_halted_partitions") + now.total("watchfloor_paused")),
        }


@click.command()
@click.option("--once", is_flag=True, help="Show it once, with rates over one interval, and exit.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object per look; implies --once unless --follow.")
@click.option("--follow", is_flag=True, help="With --json: go on until interrupted.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 60.0), default=2.0, show_default=True, help="Seconds between two looks."
)
def command(once: bool, as_json: bool, follow: bool, interval: float) -> None:
    """Watch the processes of this home (events/s, frames, lag, dead letters) and the open alerts.

    Works while parts are away, and says which.
    """
    settings = Settings()
    watch = Watch(settings, open_store(settings, enter=True))
    console = Console(highlight=False)
    watch.look()
    try:
        if once or as_json:
            while True:
                time.sleep(interval)
                view = watch.look()
                if as_json:
                    click.echo(json.dumps(view.as_dict()))
                else:
                    console.print(drawn(view, settings))
                if once or not follow:
                    return
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                live.update(drawn(watch.look(), settings), refresh=True)
    except KeyboardInterrupt:
        return


def drawn(view: View, settings: Settings) -> RenderableType:
    """The view for people."""
    return Group(
        Text(f"watchfloor {settings.home}  {view.time}", style="bold"),
        processes(view) if view.processes else Text("No process runs here (watchfloor up).", style="yellow"),
        Text(""),
        *database(view),
        Text(""),
        *alerts(view),
    )


def processes(view: View) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("process", "does", "per s", "batches per s", "waiting", "given up"):
        table.add_column(name, justify="left" if name in ("process", "does") else "right")
    does = {"worker": "events in frames", "sink": "rows in inserts", "collect": "samples", "notify": "notifications"}
    for each in view.processes:
        if each["trouble"]:
            table.add_row(each["name"], Text(each["trouble"], style="red"), "", "", "", "")
            continue
        halted = f", {each['halted']} partitions halted" if each["halted"] else ""
        table.add_row(
            each["name"],
            Text(does.get(each["kind"], each["kind"]) + halted, style="red" if halted else ""),
            f"{each['per_s']:,.1f}",
            f"{each['batches_per_s']:,.1f}",
            f"{each['waiting']:,}",
            Text(f"{each['given_up']:,}", style="yellow" if each["given_up"] else ""),
        )
    return table


def database(view: View) -> list[RenderableType]:
    if view.clickhouse != "up":
        return [Text(f"ClickHouse is away: {view.clickhouse}", style="red")]
    if not view.topics:
        return [Text("ClickHouse is up; no sink has written yet.")]
    behind = ", ".join(f"{each['topic']} {each['seconds_behind']:,.0f} s" for each in view.topics)
    return [Text(f"ClickHouse is up; complete but for the last: {behind}")]


def alerts(view: View) -> list[RenderableType]:
    if view.alerts_open is None:
        return []
    if not view.alerts_open:
        return [Text("No alert is open.", style="green")]
    lines: list[RenderableType] = [Text(f"{view.alerts_open} open alerts, the newest first", style="bold")]
    for each in view.alerts:
        opened = datetime.fromtimestamp(each["opened_at"] / 1000, UTC)
        lines.append(
            Text.assemble(
                (f"{opened:%Y-%m-%d %H:%M:%S}Z ", "dim"),
                (f"{each['severity']:<8} ", COLOURS.get(each["severity"], "")),
                f"{each['state']:<12} {each['tenant_id']} {each['summary']}",
            )
        )
    return lines
