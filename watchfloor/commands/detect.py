"""`watchfloor detect`: run a detector over any series and draw the result."""

import json
import re
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models.anomaly import DETECTORS
from models.anomaly.explain import short
from models.metrics import BY_NAME
from watchfloor.chart import moment, pace, save, summary
from watchfloor.commands.files import FILE
from watchfloor.episodes import Episode, Quiet, Run, steps
from watchfloor.series import Series, SeriesError, read

UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SUFFIXES = (".png", ".html", ".htm")
SHOWN = 50
"""Alerts in the table on the screen; --json and the page have all."""


class QuietType(click.ParamType):
    """A duration (90s, 15m, 1h, 2d) or a number of rows."""

    name = "duration or rows"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Quiet:
        if isinstance(value, Quiet):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])|(\d+)", value)
        if found is None:
            self.fail(f"expected a duration such as 90s, 15m, 1h or 2d, or a number of rows; got {value!r}", param, ctx)
        if found[3]:
            return Quiet(rows=int(found[3]))
        return Quiet(ms=round(float(found[1]) * UNITS_MS[found[2]]))


@click.command()
@click.argument("file", type=FILE)
@click.option("--time", metavar="COLUMN", help="Column of the times; found by itself where it can be.")
@click.option("--value", metavar="COLUMN", help="Column of the values; the first one with numbers, if not given.")
@click.option(
    "--detector",
    "name",
    type=click.Choice(list(DETECTORS)),
    default="novelty",
    show_default=True,
    help="novelty: what is new for this series. static: over 95 for 5 minutes, as for CPU. zscore, iqr, spike: out of "
    "the last hour. seasonal: off this time of the week. drift: the last day unlike the week before. "
    "standing: further out than ever at this time of day, after a week.",
)
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="A score from here on fires."
)
@click.option(
    "--quiet",
    type=QuietType(),
    default="1h",
    show_default=True,
    help="After an alert no other one opens for so long: 90s, 15m, 1h, 2d, or a number of rows.",
)
@click.option("--unit", help="Of the values, for the picture. The nine host metrics bring theirs.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="The picture: .png, or .html with the table of alerts. Default: FILE.png beside the file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: Path,
    time: str | None,
    value: str | None,
    name: str,
    threshold: float,
    quiet: Quiet,
    unit: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Run a detector over the series in FILE (CSV, JSONL, each also .gz, or Parquet) and draw the result.

    Times are ISO 8601, UTC where they name no zone, or epoch seconds, milliseconds, micro- or nanoseconds. The
    detector sees the samples in their order and nothing of what comes later, as it does in the stream.
    docs/detectors.md says what it looks for.
    """
    out = out or file.with_name(f"{file.name}.png")
    if out.suffix.lower() not in SUFFIXES:
        raise click.BadParameter(f"expected a name that ends in .png or .html, got {out.name}", param_hint="--out")
    if not out.parent.is_dir():
        raise click.BadParameter(f"there is no folder {out.parent}", param_hint="--out")
    console = Console(stderr=True, highlight=False)
    with console.status(f"Reading {file.name}"):
        try:
            series = read(file, time, value)
        except SeriesError as error:
            raise click.ClickException(str(error)) from error
        if len(series.times) < 2:
            raise click.ClickException(f"{file} has {len(series.times)} rows with a time; a series needs two or more")
    run = Run([], [], [])
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"Scoring {series.name}", total=len(series.times))
        for row in steps(DETECTORS[name](), series, threshold, quiet, run):
            if row % 1000 == 0:
                progress.update(task, completed=row)
    if unit is None:
        unit = known.unit if (known := BY_NAME.get(series.name)) else ""
    with console.status(f"Drawing {out.name}"):
        try:
            save(series, run, out, f"{file.name}: {series.name}", unit, threshold)
        except OSError as error:
            raise click.ClickException(f"{out} cannot be written: {error}. Name another place with --out") from error
    if as_json:
        click.echo(json.dumps(result(file, out, name, threshold, quiet, series, run), indent=1))
    else:
        show(console, series, run, out)


def result(
    file: Path, out: Path, name: str, threshold: float, quiet: Quiet, series: Series, run: Run
) -> dict[str, Any]:
    """What --json prints; times are epoch milliseconds."""
    return {
        "file": str(file),
        "picture": str(out),
        "detector": name,
        "threshold": threshold,
        "quiet_ms": quiet.ms,
        "quiet_rows": quiet.rows,
        "time": series.time,
        "value": series.name,
        "samples": len(series.values),
        "missing": sum(value is None for value in series.values),
        "step_s": series.step_s,
        "begin": series.times[0],
        "end": series.times[-1],
        "alerts": [alert(series, run, episode) for episode in run.episodes],
    }


def alert(series: Series, run: Run, episode: Episode) -> dict[str, Any]:
    why = episode.why
    return {
        "begin": series.times[episode.begin],
        "end": series.times[episode.end],
        "peak": series.times[episode.peak],
        "score": round(run.scores[episode.peak], 4),
        "value": series.values[episode.peak],
        "expected": why.get("expected"),
        "usual_low": why.get("usual_low"),
        "usual_high": why.get("usual_high"),
        "direction": why.get("direction"),
        "summary": summary(episode),
    }


def show(console: Console, series: Series, run: Run, out: Path) -> None:
    if series.others:
        console.print(
            f"Value column: {series.name}. Also there, for --value: {', '.join(series.others)}", soft_wrap=True
        )
    if series.moved:
        console.print(f"{series.moved} rows were not in the order of time; they were sorted.")
    found = len(run.episodes)
    if found:
        table = Table(title=f"{found} alert{'s' * (found > 1)}", title_justify="left", box=None, pad_edge=False)
        for column in ("#", "begin, UTC", "lasts", "score", "value", "why"):
            table.add_column(column, justify="right" if column in ("#", "lasts", "score", "value") else "left")
        for number, episode in enumerate(run.episodes[:SHOWN], 1):
            lasts = (series.times[episode.end] - series.times[episode.begin]) / 1000
            peak = series.values[episode.peak]
            table.add_row(
                str(number),
                moment(series.times[episode.begin]),
                pace(lasts) if lasts else "1 sample",
                f"{run.scores[episode.peak]:.2f}",
                "" if peak is None else short(peak),
                summary(episode),
            )
        Console(highlight=False, width=None if Console().is_terminal else 160).print(table)
        if found > SHOWN:
            console.print(f"and {found - SHOWN} more: --json has all")
    else:
        click.echo(f"No alert in {len(series.values):,} samples.")
    console.print(f"Picture: {out}", soft_wrap=True)
