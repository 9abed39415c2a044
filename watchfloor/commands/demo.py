"""`watchfloor demo`: show the product on this machine, from nothing to an alert and a ticket."""

import asyncio
import json
import sys
from typing import Any

import click

from watchfloor.demo.run import Demo
from watchfloor.settings import Settings


async def demonstrate(settings: Settings, seconds: float | None) -> tuple[int, dict[str, Any]]:
    return await Demo(settings, seconds).run()


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(40.0, clamp=True),
    envvar="DEMO_SECONDS",
    show_envvar=True,
    help="Sample this machine for so many seconds (40 at least), and end by itself; else 60, and Ctrl-C ends it.",
)
def command(seconds: float | None) -> None:
    """Show the product on this machine, from nothing to an alert and a ticket.

    Starts Kafka, ClickHouse, a worker and the sink; replays a recorded week at this machine's level; samples this
    machine each second; then loads CPU and disk for real, for 12 seconds, and shows the alert and its rows. Then months
    of check-ins of three simulated employers are scored, models of fraud trained and activated, and three days played
    live; then the same with syncs of mobile users, their conflicts and advice, and with readings of meters and plates
    that people correct. The last line of stdout is a summary as JSON. Topics, tables and models of the demo are made
    anew each time; nothing else is touched.

    Exit codes: 1 something was lost, doubled, or no alert came in time; 130 stopped before anything was measured.
    """
    code, report = asyncio.run(demonstrate(Settings(), seconds))
    click.echo(json.dumps(report))
    sys.exit(code)
