"""`watchfloor jobs`: run the scheduled jobs by hand, and see what they would do."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import click
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Column, Table

from jobs import budget, joining, parity
from jobs.tuning import Plan, Step, newest, tune
from models.control import CUTS, DEFAULTS
from models.tuning import WINDOW_MS, Share
from producers.publish import Accepted, Publisher
from schemas import topics
from sinks import archive
from sinks.errors import Unavailable
from sinks.letters import Letters
from streams.runtime import Control, Halt
from streams.runtime.follower import Follower
from streams.runtime.frame import InputRecord
from watchfloor.commands.alerts import Since, versions
from watchfloor.commands.control import UNANSWERED
from watchfloor.commands.db import ask, open_store
from watchfloor.commands.jobs_labeling import active_learning_
from watchfloor.log import messages
from watchfloor.settings import Settings

DIFFERS = 1
QUERY_LIMIT_S = 600.0
PUBLISHED = 5000
"""Labels that are published at a time."""

TROUBLE = (KafkaError, KafkaException, TimeoutError, LookupError, Halt)


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


run.add_command(active_learning_)


def daily(job: Callable[..., None]) -> Callable[..., None]:
    """Options of every job that changes settings."""
    for option in (
        click.option("--tenant", help="Only this tenant."),
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, with all figures and whole ids."),
        click.option(
            "--now",
            type=Since(),
            callback=_moment,
            help="Judge as of this time: an ISO 8601 time, or 2d for two days ago. What is set holds from there on.",
        ),
        click.option(
            "--wait",
            type=click.FloatRange(min=0.1),
            default=10.0,
            show_default=True,
            help="Seconds to wait for each answer.",
        ),
    ):
        job = option(job)
    return job


def _moment(_: click.Context, __: click.Parameter, now: int | None) -> int:
    """The time as of which a job judges, epoch milliseconds."""
    actual = int(time.time() * 1000)
    if now is not None and now > actual:
        raise click.BadParameter("that time is still to come")
    return actual if now is None else now


@run.command("tune-alerts")
@daily
def tune_alerts(tenant: str | None, dry_run: bool, as_json: bool, now: int, wait: float) -> None:
    """Daily: raise what detectors need to fire where people call too many of their alerts false.

    Exit code 4 when no worker answers. What it goes by, and how to undo it: docs/alerts.md, "Tuning".
    """
    settings = Settings()
    try:
        alerts = newest(versions(settings.kafka, settings.prefix + topics.ALERTS.name, now - WINDOW_MS, follow=False))
        options: dict[str, Any] = {"prefix": settings.prefix, "tenant": tenant, "dry_run": dry_run, "limit_s": wait}
        plans, steps = asyncio.run(tune(settings.kafka, alerts, now, **options))
    except TROUBLE as error:
        raise click.ClickException(f"Kafka at {settings.kafka}: {error or type(error).__name__}") from error
    if as_json:
        click.echo(json.dumps({"tenants": [_told(each) for each in plans], "steps": [_done(each) for each in steps]}))
    else:
        _show(plans, steps)
    if any(step.outcome == "unanswered" for step in steps):
        raise SystemExit(UNANSWERED)


@run.command("alert-budget")
@daily
def alert_budget(tenant: str | None, dry_run: bool, as_json: bool, now: int, wait: float) -> None:
    """Daily: hold back so many of the least rare anomalies that each tenant's alerts keep to its alert_budget.

    Exit code 4 when no worker answers. What it goes by, and how to undo it: docs/alerts.md, "The alert budget".
    """
    settings = Settings()
    since = now - budget.WINDOW_MS
    try:
        anomalies = budget.without_cuts(_candidates(settings, since, now), since)
        options: dict[str, Any] = {"prefix": settings.prefix, "tenant": tenant, "dry_run": dry_run, "limit_s": wait}
        plans, steps = asyncio.run(budget.keep(settings.kafka, anomalies, now, **options))
    except TROUBLE as error:
        raise click.ClickException(f"Kafka at {settings.kafka}: {error or type(error).__name__}") from error
    if as_json:
        told = {"tenants": [_budgeted(each) for each in plans], "steps": [_set(each) for each in steps]}
        click.echo(json.dumps(told))
    else:
        _show_budgets(plans, steps)
    if any(step.outcome == "unanswered" for step in steps):
        raise SystemExit(UNANSWERED)


@run.command("join-outcomes")
@click.option("--model", type=click.Choice(list(joining.JOINS)), help="Only this model's predictions.")
@click.option("--tenant", help="Only this tenant's.")
@click.option(
    "--since",
    type=Since(),
    default="3d",
    show_default=True,
    help="Look at outcomes that were published since then: an ISO 8601 time, or 3d for three days.",
)
@click.option("--dry-run", is_flag=True, help="Count the labels, and publish none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, by model.")
def join_outcomes(model: str | None, tenant: str | None, since: int, dry_run: bool, as_json: bool) -> None:
    """Every 10 minutes: label predictions whose outcome came after the stream had forgotten them (48 hours or more).

    It makes the labels that the stream would have made, and none that is there already. An outcome that is 30 days
    older than that, and whose event nobody ever scored, becomes a dead letter: docs/outcomes.md.
    """
    settings = Settings()
    store = open_store(settings)
    now = int(time.time() * 1000)
    reach = max(0, since - joining.REACH_MS), now - joining.REACH_MS

    def missing(name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        labels = list(joining.late(store, name, since, now, tenant))
        return labels, list(joining.unmatched(store, name, settings.prefix, *reach, tenant))

    done = {}
    for name in joining.JOINS if model is None else [model]:
        labels, lost = ask(settings, partial(missing, name))
        if not dry_run:
            _label(settings, name, labels)
            _bury(settings, lost)
        done[name] = {"labels": len(labels), "published": 0 if dry_run else len(labels), "unmatched": len(lost)}
        if as_json:
            continue
        said = " (--dry-run: not published)" if dry_run else ", published"
        click.echo(f"{name}: {len(labels):,} labels were missing{said}")
        if lost:
            became = "left (--dry-run)" if dry_run else f"dead letters now: watchfloor dlq list --agent {joining.AGENT}"
            click.echo(f"{name}: {len(lost):,} outcomes of events that nobody scored are {became}")
    if as_json:
        click.echo(json.dumps(done))


def _label(settings: Settings, model: str, labels: list[dict[str, Any]]) -> None:
    """Publish labels of a model's predictions. Raises ClickException."""
    if not labels:
        return
    with Publisher(settings.kafka, prefix=settings.prefix, client="watchfloor-join-outcomes") as publisher:
        for first in range(0, len(labels), PUBLISHED):
            said = publisher.publish(joining.JOINS[model].labelled, labels[first : first + PUBLISHED])
            wrong = [one for one in said if not isinstance(one, Accepted)]
            if wrong:
                raise click.ClickException(
                    f"{len(wrong)} of {len(labels)} labels of {model} are not in Kafka, run this again: "
                    f"{wrong[0].reason}"
                )


def _bury(settings: Settings, lost: list[dict[str, Any]]) -> None:
    """Write dead letters. Raises ClickException."""
    if not lost:
        return
    try:
        Letters(settings.kafka, settings.prefix).bury(lost)
    except Unavailable as error:
        raise click.ClickException(f"Kafka at {settings.kafka}: {error}") from error


@run.command("parity")
@click.option("--for", "day", type=click.DateTime(["%Y-%m-%d"]), help="Day (UTC) of the events; without it yesterday.")
@click.option("--days", type=click.IntRange(1), default=1, show_default=True, help="So many days, that day the last.")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all figures.")
def check_parity(day: datetime | None, days: int, tenant: str | None, as_json: bool) -> None:
    """Daily: compute the features of a day's check-ins again from the raw events; compare them with the logged ones.

    Exit code 1 when more than 0.1 % of a tenant's events differ in any bit: docs/models.md, "Training".
    """
    settings = Settings()
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    last = datetime.now(UTC) - timedelta(1) if day is None else day
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(1)
    since, until = (int(each.timestamp() * 1000) for each in (end - timedelta(days), end))
    try:
        control = asyncio.run(_references(settings))
    except TROUBLE as error:
        raise click.ClickException(f"Kafka at {settings.kafka}: {error or type(error).__name__}") from error

    def checked() -> list[parity.Parity]:
        chosen = archive.tenants(store, since, until) if tenant is None else [tenant]
        return [parity.check(store, control, each, since, until) for each in chosen]

    found: list[parity.Parity] = ask(settings, checked)
    if as_json:
        told = [asdict(each) | {"share": each.share, "alarming": each.alarming} for each in found]
        click.echo(json.dumps({"since": since, "until": until, "tenants": told}))
    else:
        _show_parity(found)
    if any(each.alarming for each in found):
        raise SystemExit(DIFFERS)


async def _references(settings: Settings) -> Control:
    """All versions of sites, calendars and rosters."""
    names = (topics.CONTROL_REFERENCES,)
    async with Follower(settings.kafka, names, prefix=settings.prefix, defaults=DEFAULTS) as follower:
        return follower.control


def _show_parity(found: list[parity.Parity]) -> None:
    for each in found:
        left = f", {each.left_out:,} of another feature set left out" if each.left_out else ""
        click.echo(f"{each.tenant}: {each.events:,} events, {each.different:,} differ ({each.share:.3%}){left}")
        for one in each.first:
            told = [f"{name} was {was!r}, is {now!r}" for name, (was, now) in one.features.items()]
            click.echo(f"  {one.event_id} of {one.person_id}: {one.why or '; '.join(told)}")
    if not found:
        click.echo("There are no check-ins of that time.")


def _candidates(settings: Settings, since: int, until: int) -> Iterator[tuple[int, InputRecord]]:
    """What was published to alerts.candidates in a time, with its partition. Raises KafkaException."""
    name = settings.prefix + topics.ALERTS_CANDIDATES.name
    for message in messages(settings.kafka, name, since, follow=False):
        offset, partition, (_, timestamp) = message.offset(), message.partition(), message.timestamp()
        assert offset is not None
        assert partition is not None
        if timestamp <= until:
            yield partition, InputRecord(message.key(), message.value(), timestamp, offset)


def _budgeted(plan: budget.Plan) -> dict[str, Any]:
    return {
        "tenant": plan.tenant,
        "held": plan.held,
        "per_shift": plan.per_shift,
        "told": plan.budget.told,
        "held_back": plan.budget.held_back,
        "cuts": {CUTS[name]: cut for name, cut in plan.budget.cuts.items()},
        "left": plan.left,
    }


def _set(step: budget.Step) -> dict[str, Any]:
    change = step.change
    return {
        "tenant": change.tenant,
        "setting": change.setting,
        "value": change.value,
        "outcome": step.outcome,
        "message": step.message,
    }


def _show_budgets(plans: list[budget.Plan], steps: list[budget.Step]) -> None:
    table = Table("tenant", "budget per 8 h", "anomalies in 7 days", "told", "held back", *CUTS.values())
    for plan in plans:
        found = plan.budget
        counts = (plan.per_shift, found.told + found.held_back, found.told, found.held_back)
        table.add_row(plan.tenant, *map(str, counts), *(f"{found.cuts[name]:g}" for name in CUTS))
    if table.row_count:
        Console().print(table)
    for plan in plans:
        for said in plan.left if plan.held is None else [f"held, because {plan.held}"]:
            click.echo(f"{plan.tenant}: {said}")
    for step in steps:
        click.echo(f"{step.change.tenant}: {step.change.setting}: {step.outcome}: {step.message}")
    if not steps:
        click.echo("No cut is to be changed.")


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
