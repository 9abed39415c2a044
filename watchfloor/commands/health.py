"""`watchfloor health`: say whether the whole is well."""

import click

from watchfloor.commands.doctor import report
from watchfloor.health import Limits, examine
from watchfloor.settings import Settings

USUAL = Limits()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of findings.")
@click.option(
    "--dead-letters",
    type=click.IntRange(0),
    default=USUAL.dead_letters,
    show_default=True,
    help="More than this in the last 5 minutes is not well.",
)
@click.option(
    "--behind",
    type=click.FloatRange(1),
    default=USUAL.behind_s,
    show_default=True,
    help="Views that lack more than the last so many seconds are not well.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.5, 60),
    default=USUAL.interval_s,
    show_default=True,
    help="Seconds between two looks at the lag.",
)
def command(as_json: bool, dead_letters: int, behind: float, interval: float) -> None:
    """Check servers, topics, tables, processes, lag, halted partitions, dead letters and how fresh the views are.

    Exit code 0 when all is well, else 1; each line that is not well says what to do. Processes are those of this home;
    the rest is seen through Kafka and ClickHouse.
    """
    report(examine(Settings(), Limits(dead_letters, behind, interval)), as_json)
