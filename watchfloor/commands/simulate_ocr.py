"""`watchfloor simulate ocr`: readings of meters and plates, some of them wrong."""

from datetime import datetime
from pathlib import Path

import click

from producers.simulator.ocr import Scenario, Simulation
from producers.simulator.ocr.files import write
from producers.simulator.ocr.scenario import MOST_ERRORS
from watchfloor.commands.simulate_text import AS_JSON, FORMAT, OUT, simulate

DEFAULT = Scenario()


@click.command()
@click.option("--tenants", type=click.IntRange(1), default=DEFAULT.tenants, show_default=True, help="How many.")
@click.option("--meters", type=click.IntRange(0), default=DEFAULT.meters, show_default=True, help="Of each tenant.")
@click.option("--gates", type=click.IntRange(0), default=DEFAULT.gates, show_default=True, help="Of each tenant.")
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
    "--error-rate",
    type=click.FloatRange(0, MOST_ERRORS),
    default=DEFAULT.error_rate,
    show_default=True,
    help="Mean share of readings that a camera gets wrong.",
)
@click.option(
    "--corrected",
    type=click.FloatRange(0, 1),
    default=DEFAULT.corrected,
    show_default=True,
    help="Share of the wrong readings that somebody notices.",
)
@click.option(
    "--checked",
    type=click.FloatRange(0, 1),
    default=DEFAULT.checked,
    show_default=True,
    help="Share of all readings that are looked at by chance.",
)
@FORMAT
@OUT
@AS_JSON
def ocr(
    tenants: int,
    meters: int,
    gates: int,
    days: int,
    start: datetime,
    seed: int,
    error_rate: float,
    corrected: float,
    checked: float,
    format: str,
    out: Path,
    as_json: bool,
) -> None:
    """Readings of meters and of plates at gates, as cameras misread them, and what people correct.

    Writes into DIR, in the order of time: events.ocr and outcomes.ocr in the schemas of the topics of these names, for
    `watchfloor replay --topic`; truth.jsonl with the wrong readings, which no model may read; simulation.json with
    parameters and counts.
    """
    scenario = Scenario(tenants, meters, gates, days, start.date(), seed, error_rate, corrected, checked)
    said = "{events:,} readings, {wrong:,} of them wrong ({share:.1%}), {outcomes:,} corrections and confirmations"
    simulate(write, Simulation(scenario), out, format, as_json, said)
