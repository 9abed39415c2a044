"""`watchfloor upgrade`: whether a release can still be taken back, and the step after which it cannot."""

import asyncio
import getpass
import json
import time
from collections.abc import Iterable
from dataclasses import asdict

import click
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from models.control import EVERYONE
from streams.runtime import Halt, kafka
from streams.runtime.formats import LEVEL, finalised
from streams.topology import AGENTS
from watchfloor.commands.control import ask, read_control
from watchfloor.settings import Settings
from watchfloor.upgrade import Member, Standing, standing

LOOK_S = 1.0
NOT_DONE = 3
"""Exit code when the upgrade is finalised, and some partitions are not there yet."""
NOTHING = "This release changes no format of state: there is nothing to finalise, and it can be taken back at any time."


@click.group()
def command() -> None:
    """Show and finalise an upgrade to this release.

    A release that changes how state is stored writes the formats of the release before until the upgrade is finalised:
    so workers of both may run, and the release can be taken back. Afterwards it cannot: docs/upgrades.md.
    """
    kafka.prepare()


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show in which formats each partition's state is stored, and which workers run.

    Reads every changelog whole. Changes nothing.
    """
    found = _look(Settings())
    if as_json:
        partitions = [{**asdict(each), "left": each.left} for each in found.partitions]
        members = [asdict(each) for each in found.members]
        about = {"level": found.level, "finalised": found.finalised, "done": found.done}
        click.echo(json.dumps({**about, "partitions": partitions, "workers": members}))
        return
    table = Table("agent", "partition", "level", "values by part and format", "in the format before")
    for each in found.partitions:
        values = ", ".join(
            f"{count:,} {part} {version}"
            for part, formats in sorted(each.values.items())
            for version, count in sorted(formats.items())
        )
        level = "not begun" if each.level is None else f"{each.level} of {each.newest}"
        table.add_row(each.agent, str(each.partition), level, values or "none", f"{each.old:,}")
    Console().print(table)
    if found.older:
        click.echo(f"Workers of the release before: {_named(found.older)}.")
    if not found.level and not found.left:
        click.echo(NOTHING)
    elif found.done:
        click.echo(f"Finalised at level {found.level}: nothing is left in the format before.")
    elif found.finalised < found.level:
        click.echo(
            f"Not finalised: this release can be taken back. `watchfloor upgrade finalize` raises the level from "
            f"{found.finalised} to {found.level}."
        )
    else:
        click.echo("\n".join([f"Finalised at level {found.finalised}, and not done yet:", *found.left]))


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", default="upgrade", show_default=True, help="Why; kept in the history and the audit.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who decided; kept with it.")
@click.option(
    "--wait",
    type=click.FloatRange(min=1.0),
    default=60.0,
    show_default=True,
    help="Seconds to wait until everything is stored in the new formats.",
)
def finalize(yes: bool, reason: str, by: str, wait: float) -> None:
    """Write the formats of this release from now on, and store in them what is in those before. There is no way back.

    Refused while workers of the release before are in the agents' groups. Run it again to see whether it is done: exit
    code 0 only when nothing is left in a format before; 3 when the change is refused, or when something is left after
    --wait, which is then named; 4 when no worker of the agent `control` answers.
    """
    settings = Settings()
    found = _look(settings)
    if not found.level and not found.left:
        click.echo(NOTHING)
        return
    if not found.done:
        if newer := [each.left for each in found.partitions if each.level is not None and each.level > each.newest]:
            raise click.ClickException("\n".join(["this is not the newest release:", *newer]))
        if found.older:
            raise click.ClickException(
                f"workers of the release before are running: {_named(found.older)}. They could not open a partition "
                "again once it is finalised: stop them, or start this release in their place (of a group that "
                "rebalances all are named: then ask again)"
            )
        if found.finalised < found.level:
            _ask(found, yes)
            ask(
                10.0, False, action="set", tenant=EVERYONE, name=LEVEL[1], value=str(found.level),
                expected_version=None, by=by, reason=reason,
            )  # fmt: skip
        found = _await(settings, wait)
    if not found.done:
        click.echo(
            "\n".join(
                [
                    f"Finalised at level {found.level}, and not done yet. A partition follows when a worker of this "
                    "release has it open; one that is paused, when it is released.",
                    *found.left,
                ]
            ),
            err=True,
        )
        raise SystemExit(NOT_DONE)
    click.echo(f"Done: all state is stored at level {found.level}, nothing is left in a format before.")


def _ask(found: Standing, yes: bool) -> None:
    running = sorted({each.name for each in found.members})
    click.echo(
        f"Level {found.finalised} becomes {found.level}: state will be stored in the formats of this release, which "
        "the release before cannot read. There is no way back. Workers that run, all of this release: "
        f"{', '.join(running) or 'none'}. One of the release before that is started later leaves its partitions closed."
    )
    if not yes:
        click.confirm("Finalise the upgrade?", abort=True)


def _await(settings: Settings, wait: float) -> Standing:
    deadline = time.monotonic() + wait
    while not (found := _look(settings)).done and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return found


def _look(settings: Settings) -> Standing:
    level = finalised(read_control(settings))
    try:
        return asyncio.run(standing(settings, AGENTS, level))
    except (KafkaError, TimeoutError, LookupError, Halt) as error:
        raise click.ClickException(f"Kafka at {settings.kafka}: {error or type(error).__name__}") from error


def _named(members: Iterable[Member]) -> str:
    agents: dict[tuple[str, str], list[str]] = {}
    for each in members:
        agents.setdefault((each.name, each.host), []).append(each.agent)
    return ", ".join(f"{name} at {host} ({', '.join(names)})" for (name, host), names in sorted(agents.items()))
