"""`watchfloor jobs`: run the scheduled jobs by hand, and see what they would do."""

import asyncio
import json
import time
from typing import Any

import click
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Column, Table

from jobs.tuning import Plan, Step, newest, tune
from models.tuning import WINDOW_MS, Share
from schemas import topics
from streams.runtime import Halt
from watchfloor.commands.alerts import Since, versions
from watchfloor.commands.control import UNANSWERED
from watchfloor.settings import Settings


@click.group()
def command() -> None:
    """List and run the scheduled jobs."""


@command.command(name="list")
def list_jobs() -> None:
    """Show every job and what it does."""
    for name, job in sorted(run.commands.items()):
        click.echo(f"{name}  {job.get_short_help_str(200)}")


@command.group()
def run() -> None:
    """Run one job now."""


@run.command("tune-alerts")
@click.option("--tenant", help="Only this tenant's detectors.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the whole ids of the alerts concerned.")
@click.option(
    "--now",
    type=Since(),
    help="Judge as of this time: an ISO 8601 time, or 2d for two days ago. What is set then holds from there on.",
)
@click.option(
    "--wait", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds to wait for each answer."
)
def tune_alerts(tenant: str | None, dry_run: bool, as_json: bool, now: int | None, wait: float) -> None:
    """Daily: raise what detectors need to fire where people call too many of their alerts false.

    Exit code 4 when no worker answers. What it goes by, and how to undo it: docs/alerts.md, "Tuning".
    """
    settings = Settings()
    actual = int(time.time() * 1000)
    if now is not None and now > actual:
        raise click.BadParameter("that time is still to come", param_hint="--now")
    moment = actual if now is None else now
    try:
        alerts = newest(
            versions(settings.kafka, settings.prefix + topics.ALERTS.name, moment - WINDOW_MS, follow=False)
        )
        options: dict[str, Any] = {"prefix": settings.prefix, "tenant": tenant, "dry_run": dry_run, "limit_s": wait}
        plans, steps = asyncio.run(tune(settings.kafka, alerts, moment, **options))
    except (KafkaError, KafkaException, TimeoutError, LookupError, Halt) as error:
        raise click.ClickException(f"Kafka at {settings.kafka}: {error or type(error).__name__}") from error
    if as_json:
        click.echo(json.dumps({"tenants": [_told(each) for each in plans], "steps": [_done(each) for each in steps]}))
    else:
        _show(plans, steps)
    if any(step.outcome == "unanswered" for step in steps):
        raise SystemExit(UNANSWERED)


def _share(share: Share) -> dict[str, Any]:
    return {"reviewed": share.reviewed, "false": share.false, "false_alert_share": round(share.value, 4)}


def _told(plan: Plan) -> dict[str, Any]:
    return {
        "tenant": plan.tenant,
        "held": plan.held,
        "detectors": [{"detector": name} | _share(share) for name, share in sorted(plan.detectors.items())],
        "scopes": [{"scope": str(scope)} | _share(share) for scope, share in plan.scopes.items()],
    }


def _done(step: Step) -> dict[str, Any]:
    found = step.proposal
    return {
        "tenant": step.tenant,
        "setting": found.scope.setting,
        **_share(found.share),
        "old": found.old,
        "new": found.new,
        "vanished": found.vanished,
        "lost": found.lost,
        "outcome": step.outcome,
        "message": step.message,
    }


def _show(plans: list[Plan], steps: list[Step]) -> None:
    table = Table("tenant", Column("detector, and where", overflow="fold"), "judged", "false", "share")
    for plan in plans:
        rows = [(name, share) for name, share in sorted(plan.detectors.items())]
        for where, share in [*rows, *((str(scope), share) for scope, share in plan.scopes.items())]:
            table.add_row(plan.tenant, where, str(share.reviewed), str(share.false), f"{share.value:.0%}")
    if table.row_count:
        Console().print(table)
    for plan in plans:
        if plan.held is not None:
            click.echo(f"{plan.tenant}: held, because {plan.held}")
    for step in steps:
        click.echo(f"{step.tenant}: {step.proposal.scope.setting}: {step.outcome}: {step.message}")
    if not steps:
        click.echo("Nothing is to be tuned.")
