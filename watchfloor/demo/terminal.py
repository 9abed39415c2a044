"""What the demonstration prints: the story on stdout, its waiting on stderr."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from models.metrics import NAMES, show, show_range

WIDTH, LINE_WIDTH = 100, 96
BARS = " ▁▂▃▄▅▆▇█"
CPU, MEMORY, WRITES = (NAMES.index(name) for name in ("cpu_percent", "memory_percent", "disk_write_bytes_per_s"))
SEVERITY = {"INFO": "cyan", "WARNING": "yellow", "HIGH": "dark_orange", "CRITICAL": "bold red"}
SHORT = {"cpu_percent": "CPU", "memory_percent": "memory", "disk_write_bytes_per_s": "disk writes"}
THRESHOLD = 0.5


class Terminal:
    """Prints the story. On no terminal it has no colours and nothing moves."""

    def __init__(self) -> None:
        self.out = Console(highlight=False)
        self.width = min(self.out.width, WIDTH) if sys.stdout.isatty() else WIDTH
        self.out.width = max(self.width, LINE_WIDTH)
        self.err = Console(stderr=True)

    def say(self, text: str = "") -> None:
        self.out.print(text)

    def title(self, text: str) -> None:
        self.out.print(f"\n[bold]{text}[/bold]", width=self.width)

    def done(self, step: str, text: str, seconds: float | None = None) -> None:
        took = f" [dim]{seconds:.1f} s[/dim]" if seconds is not None else ""
        self.entry("[green]✓[/green]", f"[bold]{step}[/bold]", f"{text}{took}")

    def note(self, text: str) -> None:
        self.entry("", "", f"[dim]{text}[/dim]")

    def warn(self, text: str) -> None:
        self.entry("[yellow]![/yellow]", "", text)

    def next(self, command: str, what: str) -> None:
        """A command to try, and what it does."""
        self.out.print(f"  {escape(command):<56} [dim]{what}[/dim]")

    def entry(self, mark: str, head: str, text: str) -> None:
        """A mark, a word, and a text that is wrapped beside them."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(width=7)
        grid.add_column()
        grid.add_row(mark, head, text)
        self.out.print(grid, width=self.width)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A spinner while something takes its time; on no terminal the words alone."""
        if self.err.is_terminal:
            with self.err.status(text):
                yield
        else:
            self.err.print(f"... {text}", soft_wrap=True)
            yield

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        columns = (
            TextColumn("  {task.description:<24}"),
            BarColumn(),
            TextColumn("{task.completed:>7,.0f} of {task.total:,.0f}  {task.fields[rate]:>7,.0f}/s"),
            TimeElapsedColumn(),
        )
        if not self.err.is_terminal:
            self.err.print("... replaying the recorded week", soft_wrap=True)
        with Progress(*columns, console=self.err, transient=True, disable=not self.err.is_terminal) as progress:
            yield progress

    def sample(self, prediction: Mapping[str, Any], at: int) -> None:
        """One line of what was measured and how new it is."""
        values = prediction["features"]
        detail = prediction["detail"]
        score = prediction["probability"]
        strongest = max(detail, key=detail.__getitem__).partition("/")[0] if score >= THRESHOLD else ""
        line = Text(f"  {clock(prediction['event_time'])}  cpu ")
        cpu = values[CPU]
        line.append(bar(cpu, 100.0) + (f" {cpu:5.1f} %" if cpu is not None else "       -"), heat(cpu, 100.0))
        line.append("  disk writes ")
        writes = values[WRITES]
        line.append(f"{writes / 1e6:6.1f} MB/s" if writes is not None else "          -", heat(writes, 64e6))
        memory = values[MEMORY]
        line.append(f"  memory {memory:4.1f} %" if memory is not None else "  memory      -")
        line.append("  news ")
        line.append(f"{bar(score, 1.0)} {score:.2f}", "bold red" if score >= THRESHOLD else "dim")
        line.append(f"  {at - prediction['event_time']:3d} ms", "dim")
        line.append(f"  {SHORT.get(strongest, strongest)}", "red")
        self.out.print(line, no_wrap=True)

    def alert(self, alert: Mapping[str, Any], seconds: float | None) -> None:
        """A version of an alert; `seconds` since the burst began where the burst caused it."""
        after = f"{seconds:.1f} s after the burst began" if seconds is not None else ""
        what = f"[bold]{alert['metric']}[/bold] {alert['direction']}"
        if alert["seq"] > 1:
            what += f", {alert['state']}: {alert['reason']}"
        mark = "▲" if alert["state"] != "resolved" else "▼"
        colour = SEVERITY[alert["severity"]]
        self.out.print(f"{mark} [{colour}]ALERT {alert['severity']}[/] {what}  [bold]{after}[/bold]")
        if alert["seq"] == 1:
            self.out.print(f"  {escape(alert['summary'])}", width=self.width)

    def case(self, kind: str, tenant: str, severity: str, summary: str) -> None:
        """A ticket or an alert about a person."""
        line = f"▲ [{SEVERITY[severity]}]{kind} {severity}[/] [bold]{escape(tenant)}[/bold]  {escape(summary)}"
        self.out.print(line, width=self.width)

    def rows(self, metric: str, value: float | None, prediction: Mapping[str, Any], alert: Mapping[str, Any]) -> None:
        """A prediction and the alert that it opened, as ClickHouse has them."""
        grid = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        grid.add_row("[bold]v_predictions[/bold]", "event_id", str(prediction["event_id"]))
        grid.add_row("", "event_time", stamp(prediction["event_time"]))
        grid.add_row("", "probability, risk_level", f"{prediction['probability']:.2f}, {prediction['risk_level']}")
        grid.add_row("", "model_version, decision", f"{prediction['model_version']}, {prediction['decision']}")
        grid.add_row("[bold]v_alerts[/bold]", "alert_id", str(alert["alert_id"]))
        grid.add_row("", "opened_at", stamp(alert["opened_at"]))
        grid.add_row("", "metric, direction", f"{metric}, {alert['direction']}")
        grid.add_row("", "value, expected", f"{known(metric, value)}, {known(metric, alert['expected'])}")
        grid.add_row("", "state, severity, seq", f"{alert['state']}, {alert['severity']}, {alert['seq']}")
        grid.add_row("", "record_time", f"{stamp(alert['record_time'])} (of this version, in Kafka)")
        self.out.print(Padding(grid, (0, 0, 0, 2)))

    def table(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Figures: what, how much, and where the number comes from."""
        grid = Table(box=None, padding=(0, 2), show_header=False)
        grid.add_column(justify="left")
        grid.add_column(justify="right", style="bold")
        grid.add_column(style="dim")
        for row in rows:
            grid.add_row(*row)
        self.out.print(grid)


def known(metric: str, value: float | None) -> str:
    return "-" if value is None else show(metric, value)


def usual(name: str, middle: float, high: float) -> str:
    """A metric's level here, for people."""
    return f"{SHORT.get(name, name)} {show_range(name, middle, high)}"


def bar(value: float | None, full: float) -> str:
    """One character that is as high as the value."""
    return " " if value is None else BARS[min(len(BARS) - 1, max(0, round(value / full * (len(BARS) - 1))))]


def heat(value: float | None, full: float) -> str:
    share = 0.0 if value is None else value / full
    return "bold red" if share > 0.8 else "yellow" if share > 0.4 else "green"


def clock(epoch_ms: int) -> str:
    """Local time of day."""
    return datetime.fromtimestamp(epoch_ms / 1000).astimezone().strftime("%H:%M:%S")


def stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d} UTC"


def shown_path(path: Path) -> str:
    """A path as short as it can be said from here."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)
