"""`watchfloor simulate sync`: made syncs of users who edit shared entities, with known conflicts."""

from datetime import datetime
from pathlib import Path

import click

from producers.simulator.sync import Scenario, Simulation
from producers.simulator.sync.files import write
from watchfloor.commands.simulate_text import AS_JSON, FORMAT, OUT, simulate

DEFAULT = Scenario()
SHARE = click.FloatRange(0, 1)


@click.command()
@click.option("--tenants", type=click.IntRange(1), default=DEFAULT.tenants, show_default=True, help="How many.")
@click.option(
    "--users", type=click.IntRange(1), default=DEFAULT.users, show_default=True, help="Of all tenants together."
)
@click.option("--days", type=click.IntRange(1, 3660), default=DEFAULT.days, show_default=True, help="How long.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default=DEFAULT.start.isoformat(),
    show_default=True,
    help="First day; nobody works at weekends.",
)
@click.option("--seed", type=int, default=DEFAULT.seed, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--field-share",
    type=SHARE,
    default=DEFAULT.field_share,
    show_default=True,
    help="Share of the users who are out where the network is not always there.",
)
@click.option(
    "--hidden",
    type=SHARE,
    default=DEFAULT.hidden,
    show_default=True,
    help="Edits that reach the server without a sync, as a share of the others.",
)
@click.option(
    "--reported",
    type=SHARE,
    default=DEFAULT.reported,
    show_default=True,
    help="Share of outcomes that ever come, of clients that tell of both kinds.",
)
@FORMAT
@OUT
@AS_JSON
def sync(
    tenants: int,
    users: int,
    days: int,
    start: datetime,
    seed: int,
    field_share: float,
    hidden: float,
    reported: float,
    format: str,
    out: Path,
    as_json: bool,
) -> None:
    """Syncs of users who edit shared entities, now and then without a network, and what came of them.

    Writes into DIR, in the order of time: events.sync and outcomes.sync in the schemas of the topics of these names for
    `watchfloor replay --topic`; truth.jsonl with the syncs that conflict, which no model may read; simulation.json with
    parameters and counts.
    """
    try:
        scenario = Scenario(tenants, users, days, start.date(), seed, field_share, hidden, reported)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    said = "{events:,} syncs, {conflicts:,} of them conflict ({share:.2%}), {outcomes:,} outcomes"
    simulate(write, Simulation(scenario), out, format, as_json, said)
