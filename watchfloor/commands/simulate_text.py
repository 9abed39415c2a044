"""What the simulations share: where they write, how they go on, and what is said of them in the end."""

import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import click

from producers.simulator.files import FORMATS
from watchfloor.event_files import progress

FORMAT = click.option("--format", type=click.Choice(FORMATS), default="jsonl", show_default=True, help="Of the files.")
OUT = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for the files.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")


class Day(Protocol):
    """Of any simulation."""

    @property
    def day(self) -> date: ...


def simulate(
    write: Callable[..., dict[str, Any]], simulation: Any, out: Path, format: str, as_json: bool, said: str
) -> None:
    """Run a simulation into files, and tell what each tenant has.

    Args:
        write: of the simulation's domain.
        said: a format of the counts of a tenant, and of the `share` of its events that are in the truth.
    Raises:
        ClickException: the folder cannot be written.
    """
    began, days = time.monotonic(), 0
    with progress() as told:
        told("simulating", 0.0)

        def tell(day: Day, events: int) -> None:
            nonlocal days
            days += 1
            told(f"{day.day}: {events:,} events", days / (simulation.scenario.days + 1))

        try:
            about = write(simulation, out, format, tell)
        except OSError as error:
            raise click.ClickException(f"{out} cannot be written: {error}. Name another folder with --out") from error
    if as_json:
        click.echo(json.dumps(about, default=str))
        return
    for tenant, count in about["tenants"].items():
        events, _, true = count.values()
        click.echo(f"{tenant}: {said.format(**count, share=true / max(1, events))}")
    click.echo(f"Written to {out} in {time.monotonic() - began:.0f} s")
