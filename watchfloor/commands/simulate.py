"""`watchfloor simulate`: made events of a domain, with a known truth."""

import json
import time
from datetime import date, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from producers.simulator import LEVELS, Day, Scenario, Simulation
from producers.simulator.files import FORMATS, write
from producers.simulator.scenario import MOST_FRAUD
from watchfloor.commands.simulate_ocr import ocr
from watchfloor.commands.simulate_sync import sync

DEFAULT = Scenario()


@click.group()
def command() -> None:
    """Make events with a known truth, to try, train and measure with."""


command.add_command(sync)
command.add_command(ocr)


@command.command()
@click.option("--tenants", type=click.IntRange(1), default=DEFAULT.tenants, show_default=True, help="How many.")
@click.option(
    "--people", type=click.IntRange(1), default=DEFAULT.people, show_default=True, help="Of all tenants together."
)
@click.option("--days", type=click.IntRange(1, 3660), default=DEFAULT.days, show_default=True, help="How long.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default=DEFAULT.start.isoformat(),
    show_default=True,
    help="First day; events begin at midnight UTC.",
)
@click.option("--seed", type=int, default=DEFAULT.seed, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--fraud-rate",
    type=click.FloatRange(0, MOST_FRAUD),
    default=DEFAULT.fraud_rate,
    show_default=True,
    help="Share of events that are fraudulent, expected.",
)
@click.option(
    "--difficulty",
    type=click.Choice(list(LEVELS)),
    default="medium",
    show_default=True,
    help="How careful cheats are, and how much goes wrong for honest people.",
)
@click.option(
    "--reviewed",
    type=click.FloatRange(0, 1),
    default=DEFAULT.reviewed,
    show_default=True,
    help="Share of shifts on which a supervisor gives a verdict.",
)
@click.option("--format", type=click.Choice(FORMATS), default="jsonl", show_default=True, help="Of the files.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for the files.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def attendance(
    tenants: int,
    people: int,
    days: int,
    start: datetime,
    seed: int,
    fraud_rate: float,
    difficulty: str,
    reviewed: float,
    format: str,
    out: Path,
    as_json: bool,
) -> None:
    """Check-ins and check-outs of people at sites, with frauds among them, and the verdicts of supervisors.

    Writes into DIR, in the order of time: events.attendance, outcomes.attendance, control.sites, control.calendars
    and control.rosters in the schemas of the topics of these names, for `watchfloor replay --topic`; truth.jsonl with
    the fraudulent events and their mechanism, which no model may read; simulation.json with parameters and counts.
    """
    try:
        scenario = Scenario(tenants, people, days, _day(start), seed, fraud_rate, LEVELS[difficulty], reviewed)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    terminal, began = Console(stderr=True), time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[events]:,} events"),
        TimeRemainingColumn(),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    ) as progress:
        task = progress.add_task(scenario.start.isoformat(), total=days, events=0)

        def told(day: Day, events: int) -> None:
            progress.update(task, advance=1, description=day.day.isoformat(), events=events)

        try:
            about = write(Simulation(scenario), out, format, told)
        except OSError as error:
            raise click.ClickException(f"{out} cannot be written: {error}. Name another folder with --out") from error
    if as_json:
        click.echo(json.dumps(about, default=str))
        return
    for tenant, count in about["tenants"].items():
        share = count["frauds"] / max(1, count["events"])
        click.echo(
            f"{tenant}: {count['events']:,} events, {count['frauds']:,} of them fraudulent ({share:.2%}), "
            f"{count['outcomes']:,} verdicts"
        )
    click.echo(f"Written to {out} in {time.monotonic() - began:.0f} s")


def _day(start: datetime) -> date:
    return start.date()
