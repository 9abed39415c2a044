"""`watchfloor topics`: show the topics, or make the cluster match the catalogue."""

import json
from typing import Any

import click
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Column, Table

from schemas.apply import Cluster, Plan, TopicsRefused, Wanted, wanted
from schemas.topics import CATALOGUE
from watchfloor.settings import Settings

REFUSED = 2


@click.group()
def command() -> None:
    """Show the topics, or make the cluster match the catalogue."""


def all_wanted(settings: Settings, forever: bool = False) -> list[Wanted]:
    """Every topic of the catalogue and the changelog of every agent, as the settings want them."""
    from streams.topology import AGENTS

    return wanted(
        CATALOGUE.values(),
        {agent.changelog: agent.input.partitions for agent in AGENTS},
        prefix=settings.prefix,
        partitions=settings.partitions,
        replication=settings.replication,
        forever=forever,
    )


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_topics(as_json: bool) -> None:
    """Show every topic with its key, partitions and retention, and whether the cluster has it."""
    settings = Settings()
    topics = all_wanted(settings)
    cluster = Cluster(settings.kafka, limit_s=5)
    try:
        found = cluster.found(topic.name for topic in topics)
    except KafkaException as error:
        raise unreachable(settings, error) from error
    rows = [row(topic, settings.prefix, found[topic.name].partitions if topic.name in found else 0) for topic in topics]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    table = Table(Column("topic", no_wrap=True), "key", "partitions", "cleanup", "days", "holds")
    for each in rows:
        partitions = str(each["partitions"]) if each["exists"] else f"[yellow]{each['partitions']} (missing)"
        table.add_row(each["name"], each["key"], partitions, each["cleanup"], each["days"], each["doc"])
    Console().print(table)
    if any(not each["exists"] for each in rows):
        click.echo("Some topics are missing: `watchfloor topics apply` creates them.", err=True)


def row(topic: Wanted, prefix: str, partitions: int) -> dict[str, Any]:
    """What `topics list` says about a topic that has `partitions` in the cluster, 0 when it is not there."""
    known = CATALOGUE.get(topic.name.removeprefix(prefix))
    retention = topic.config.get("retention.ms")
    key = "the source's" if known is None or known.key is None else "|".join(("tenant_id", *known.key))
    return {
        "name": topic.name,
        "key": key if known else "of the state",
        "partitions": partitions or topic.partitions,
        "cleanup": topic.config["cleanup.policy"],
        "days": f"{int(retention) / 86_400_000:g}" if retention else "ever",
        "exists": partitions > 0,
        "doc": known.doc if known else "State of an agent, and where it goes on after a restart.",
    }


@command.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--retention-forever", is_flag=True, help="Never delete records by age: for demo and test prefixes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def apply(dry_run: bool, retention_forever: bool, as_json: bool) -> None:
    """Create and change topics until the cluster matches the catalogue. Safe to repeat.

    What would delete records or move keys away from their state is refused in plain words, and then nothing at
    all is changed: exit code 2.
    """
    settings = Settings()
    topics = all_wanted(settings, retention_forever)
    try:
        cluster = Cluster(settings.kafka)
        done = cluster.plan(topics) if dry_run else cluster.apply(topics)
    except TopicsRefused as error:
        done = Plan(refused=tuple(error.reasons))
    except (KafkaException, TimeoutError) as error:
        raise unreachable(settings, error) from error
    if as_json:
        result = {"topics": [topic.name for topic in topics], "steps": done.lines(), "refused": list(done.refused)}
        click.echo(json.dumps({**result, "dry_run": dry_run}))
    else:
        for line in done.lines():
            click.echo(f"would {line}" if dry_run else line)
        if not done.lines() and not done.refused:
            click.echo(f"The {len(topics)} topics at {settings.kafka} match the catalogue.")
        for reason in done.refused:
            click.echo(f"refused: {reason}", err=True)
    if done.refused:
        raise click.exceptions.Exit(REFUSED)


def unreachable(settings: Settings, error: Exception) -> click.ClickException:
    """An error of the cluster in plain words."""
    return click.ClickException(
        f"the Kafka cluster at {settings.kafka} did not do it: {error}\n"
        f"Is it running? `watchfloor up` starts one on this machine; WATCHFLOOR_KAFKA names another."
    )
