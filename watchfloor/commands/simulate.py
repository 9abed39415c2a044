"""`watchfloor simulate`: made events of a domain, with a known truth."""

from datetime import datetime
from pathlib import Path

import click

from producers.simulator import LEVELS, Scenario, Simulation
from producers.simulator.files import write
from producers.simulator.scenario import MOST_FRAUD
from watchfloor.commands.simulate_ocr import ocr
from watchfloor.commands.simulate_sync import sync
from watchfloor.commands.simulate_text import AS_JSON, FORMAT, OUT, simulate

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
@FORMAT
@OUT
@AS_JSON
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
        scenario = Scenario(tenants, people, days, start.date(), seed, fraud_rate, LEVELS[difficulty], reviewed)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    said = "{events:,} events, {frauds:,} of them fraudulent ({share:.2%}), {outcomes:,} verdicts"
    simulate(write, Simulation(scenario), out, format, as_json, said)
