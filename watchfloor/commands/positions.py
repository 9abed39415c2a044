"""`watchfloor positions`: where the agents stand in their inputs, and the way past records that are gone."""

import asyncio
import getpass
import json
from itertools import chain

import click
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from streams.runtime import Agent, Halt, kafka, skip
from streams.runtime.skip import Standing
from streams.topology import AGENTS
from watchfloor.settings import Settings

NAMES = {agent.name: agent for agent in AGENTS}
LOST = 3
"""Exit code when a partition's next record is gone."""


@click.group()
def command() -> None:
    """Show where the agents stand; go on past lost records.

    An agent's position is in its changelog and moves only with a frame. When the record that comes next is not in the
    input's log any more, the partition stops rather than guess; `skip` lets it go on, and leaves a dead letter.
    """
    kafka.prepare()


async def _all(settings: Settings) -> list[tuple[Agent, list[Standing]]]:
    found = []
    for agent in AGENTS:
        count = await skip.partitions_of(settings.kafka, settings.prefix + agent.input.name)
        each = [skip.standing(agent, settings.kafka, settings.prefix, number) for number in range(count)]
        found.append((agent, sorted(chain(*await asyncio.gather(*each)), key=lambda one: (one.topic, one.partition))))
    return found


@command.command("show")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def show(as_json: bool) -> None:
    """Position, log and lag of every partition. Exit code 3 when records are lost."""
    settings = Settings()
    try:
        found = asyncio.run(_all(settings))
    except (KafkaError, TimeoutError, LookupError, Halt) as error:
        raise click.ClickException(f"Kafka at {settings.kafka}: {error or type(error).__name__}") from error
    if as_json:
        rows = [
            {
                "agent": agent.name, "topic": each.topic, "partition": each.partition,
                "position": each.position, "begin": each.begin, "end": each.end, "lost": each.lost,
            }
            for agent, partitions in found for each in partitions
        ]  # fmt: skip
        click.echo(json.dumps(rows))
    else:
        table = Table()
        for name in ("agent", "topic", "partition", "position", "log", "waiting", "state"):
            table.add_column(name, justify="left" if name in ("agent", "topic", "state") else "right")
        for agent, partitions in found:
            for each in partitions:
                state = each.lost or ("not begun" if each.mark is None else "ok")
                log, waiting = f"{each.begin} - {each.end}", max(0, each.end - each.position)
                table.add_row(agent.name, each.topic, str(each.partition), str(each.position), log, str(waiting), state)
        Console().print(table)
    if any(each.lost for _, partitions in found for each in partitions):
        raise SystemExit(LOST)


@command.command("skip")
@click.argument("agent", type=click.Choice(sorted(NAMES)))
@click.argument("partition", type=click.IntRange(min=0))
@click.option("--reason", required=True, help="Why; kept in the dead letter.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who decided; kept with it.")
def go_on(agent: str, partition: int, reason: str, by: str) -> None:
    """Let a stopped partition go on at the first record that is still there.

    Refused unless records are lost. The dead letter of class RecordsLost names the offsets.
    """
    settings = Settings()

    async def run() -> list[Standing]:
        count = await skip.partitions_of(settings.kafka, settings.prefix + NAMES[agent].input.name)
        if partition >= count:
            raise click.BadParameter(f"{agent} has the partitions 0 to {count - 1}", param_hint="PARTITION")
        return await skip.skip(NAMES[agent], settings.kafka, settings.prefix, partition, by=by, reason=reason)

    try:
        stood = asyncio.run(run())
    except skip.NothingLostError as error:
        raise click.ClickException(str(error)) from error
    except (KafkaError, TimeoutError, LookupError, Halt) as error:
        raise click.ClickException(f"Kafka at {settings.kafka}: {error or type(error).__name__}") from error
    for each in stood:
        click.echo(f"{agent}[{partition}] in {each.topic}: {each.lost}; it goes on at {each.begin}")
