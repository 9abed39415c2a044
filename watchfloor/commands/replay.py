"""`watchfloor replay`: publish the events of a file."""

import json
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from producers.publish import Publisher
from producers.records import epoch_ms, reader
from producers.replay import BadLine, Change, NotAcknowledged, Replay, Summary, latest
from producers.tables import FileError, Line, lines
from schemas.topics import CATALOGUE, EVENTS_METRICS, Topic
from watchfloor.commands.files import FILE
from watchfloor.settings import Settings

EVENTS = [name for name in CATALOGUE if name.startswith("events.")]
INPUTS = [*EVENTS, *(name for name in CATALOGUE if name.startswith("outcomes."))]
LIMIT_S = 15.0
BAD_FILE, BAD_LINE, NO_KAFKA, STOPPED = 2, 3, 4, 130


class Speed(click.ParamType):
    name = "speed"

    def convert(
        self, value: str | float | None, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        if value is None or isinstance(value, float):
            return value
        if value == "max":
            return None
        match = re.fullmatch(r"(\d+(?:\.\d+)?)x?", value)
        if match is None or not 0.001 <= float(match[1]) <= 1e9:
            self.fail(f"{value!r} is no speed; expected 1x, 60x, ... or max", param, ctx)
        return float(match[1])


class Time(click.ParamType):
    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return epoch_ms(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--topic", "name", type=click.Choice(INPUTS), default=EVENTS_METRICS.name, show_default=True, help="Its topic."
)
@click.option(
    "--speed", type=Speed(), default="max", show_default=True, help="1x: as it happened; 60x: an hour in a minute; max."
)
@click.option("--shift-to-now", is_flag=True, help="Move all times so that the last event is now.")
@click.option("--end-at", type=Time(), help="Move all times so that the last event is at this time.")
@click.option("--tenant", help="Publish all events as this tenant's.")
@click.option("--host", help="Publish all events as this host's.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many records.")
@click.option(
    "--original-timestamps",
    is_flag=True,
    help="Event times as Kafka timestamps: only where topics keep everything (demo and test prefixes).",
)
@click.option(
    "--skip-bad",
    "rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="REJECTS",
    help="Go on after bad lines; they are added to this file with line number, field and reason.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: Path,
    name: str,
    speed: float | None,
    shift_to_now: bool,
    end_at: int | None,
    tenant: str | None,
    host: str | None,
    limit: int | None,
    original_timestamps: bool,
    rejects: Path | None,
    as_json: bool,
) -> None:
    """Publish the events of FILE: JSONL, CSV (both also .gz) or Parquet with the fields of the topic's schema.

    Times are ISO 8601 with a zone or epoch milliseconds; an empty cell is null. The whole file is checked on the
    way: a bad line ends the replay and is named with its field, unless --skip-bad says where such lines go.
    Exit codes: 2 the file cannot be read, 3 a bad line, 4 Kafka does not acknowledge, 130 interrupted.
    """
    topic, settings = CATALOGUE[name], Settings()
    if shift_to_now and end_at is not None:
        raise click.UsageError("--shift-to-now and --end-at exclude each other")
    if (shift_to_now or end_at is not None) and name not in EVENTS:
        raise click.UsageError(f"only events can be moved in time; {name} names what has an id and a time already")
    if host is not None and "host" not in reader(topic).fields:
        raise click.UsageError(f"{name} has no host")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        end = time.time_ns() // 1_000_000 if shift_to_now else end_at
        shift_ms = 0 if end is None else end - last_time(file, topic, limit)
        with (
            Publisher(settings.kafka, prefix=settings.prefix, client="replay", limit_s=LIMIT_S) as publisher,
            bar(Console(stderr=True)) as progress,
        ):
            task = progress.add_task(file.name, total=1.0, published=0, rate=0)
            began = time.monotonic()

            def told(so_far: Summary, share: float) -> None:
                rate = so_far.published / max(time.monotonic() - began, 0.001)
                progress.update(task, completed=share, published=so_far.published, rate=rate)

            change = Change(shift_ms, tenant, host)
            replay = Replay(topic, publisher, change, speed, original_timestamps, rejects, told, stop)
            summary = replay.run(islice(lines(file, reader(topic)), limit))
    except FileError as error:
        fail(str(error), BAD_FILE)
    except BadLine as error:
        fail(f"{file}, {error}. --skip-bad REJECTS goes on after such lines and keeps them.", BAD_LINE)
    except NotAcknowledged as error:
        fail(f"{error} (broker: {settings.kafka})", NO_KAFKA)
    if as_json:
        click.echo(json.dumps(asdict(summary) | {"topic": settings.prefix + name, "shift_ms": shift_ms}))
    else:
        rate = summary.published / max(summary.seconds, 0.001)
        click.echo(
            f"{summary.published:,} events published to {settings.prefix}{name} and acknowledged, {rate:,.0f}/s"
            + (f"; {summary.skipped:,} bad lines are in {rejects}" if summary.skipped else "")
        )
    if summary.stopped:
        again = "the same command again"
        if shift_to_now:  # another now would make other events of them
            again = f"the same command with --end-at {end} instead of --shift-to-now"
        click.echo(f"To go on: {again}; what was published already is dropped as repeats.", err=True)
        sys.exit(STOPPED)


def last_time(file: Path, topic: Topic, limit: int | None) -> int:
    """Event time of the last event that will be published. Raises FileError when there is none."""
    found: Iterator[Line] = islice(lines(file, reader(topic)), limit)
    last = latest(found, topic)
    if last is None:
        raise FileError(f"{file}: no event in it, so there is no time to shift")
    return last


def bar(terminal: Console) -> Progress:
    """Share of the file, records, rate, and the time that is left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[published]:,} events, {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )


def fail(text: str, code: int) -> NoReturn:
    click.echo(f"Error: {text}", err=True)
    sys.exit(code)
