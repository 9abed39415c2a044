"""`watchfloor jobs run active-learning`: ask people to look at the readings that models learn most from."""

import json
import time
from datetime import UTC, datetime

import click

from jobs import active_learning
from jobs.active_learning import Batch
from producers.publish import Accepted, Publisher
from schemas import topics
from watchfloor.commands.db import QUERY_LIMIT_S, ask, open_store
from watchfloor.settings import Settings


@click.command("active-learning")
@click.option("--for", "day", type=click.DateTime(["%Y-%m-%d"]), help="Day (UTC) of the batch; without it today.")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked for, and ask for nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all tasks.")
def active_learning_(day: datetime | None, tenant: str | None, dry_run: bool, as_json: bool) -> None:
    """Weekly: open 50 labeling tasks of each tenant, for OCR readings of the week before.

    30 that the model is least sure of and that differ, 10 by chance, 5 that it was sure of and people corrected, 5 that
    are judged already, to see whether people agree. Run again for the same day it adds what is missing: docs/ocr.md,
    "Labeling".
    """
    settings = Settings()
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    wanted = datetime.now(UTC) if day is None else day
    midnight = int(datetime(wanted.year, wanted.month, wanted.day, tzinfo=UTC).timestamp() * 1000)
    now = int(time.time() * 1000)
    if midnight > now:
        raise click.BadParameter("that day is still to come", param_hint="--for")

    def planned() -> list[Batch]:
        chosen = active_learning.tenants(store, midnight) if tenant is None else [tenant]
        return [active_learning.plan(store, each, midnight) for each in chosen]

    batches: list[Batch] = ask(settings, planned)
    tasks = [task for batch in batches for task in batch.tasks(now)]
    if tasks and not dry_run:
        with Publisher(settings.kafka, prefix=settings.prefix, client="watchfloor-active-learning") as publisher:
            wrong = [
                one for one in publisher.publish(topics.OCR_LABELING_TASKS, tasks) if not isinstance(one, Accepted)
            ]
        if wrong:
            raise click.ClickException(
                f"{len(wrong)} of {len(tasks)} tasks are not in Kafka, run this again: {wrong[0].reason}"
            )
    if as_json:
        told = [
            {
                "tenant": batch.tenant,
                "batch": batch.name,
                "readings": batch.readings,
                "before": batch.before,
                "tasks": batch.tasks(now),
                "missing": batch.missing,
            }
            for batch in batches
        ]
        click.echo(json.dumps({"published": not dry_run, "batches": told}))
        return
    for batch in batches:
        _show(batch, dry_run)
    if not batches:
        click.echo("There are no readings of the week before.")


def _show(batch: Batch, dry_run: bool) -> None:
    kinds = ", ".join(f"{count} {reason}" for reason, count in batch.counts.items() if count) or "none"
    before = sum(batch.before.values())
    there = f", {before} are there already" if before else ""
    asked = " (--dry-run: not published)" if dry_run else ""
    click.echo(
        f"{batch.tenant}, {batch.name}: {len(batch.picks)} of {batch.readings:,} readings{asked}: {kinds}{there}"
    )
    for reason, count in batch.missing.items():
        click.echo(f"  {count} {reason} fewer than there should be: there are no more such readings")
