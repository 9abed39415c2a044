"""`watchfloor label`: the readings that people are asked to look at, and what they say of them."""

import getpass
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from models.alerts import MoveRefused, move
from models.evaluation.agreement import agreement
from models.ocr.labeling import BY_PEOPLE, MOVES, outcome_id, shown
from models.readings import CORRECTABLE_DAYS, CORRECTION_TYPES, OCR_ERROR, UNSURE, WRONG_READING
from producers.corrections import Refused, correction
from producers.publish import Accepted, Publisher
from schemas import topics
from schemas.topics import DAY_MS, Topic
from sinks import labeling
from watchfloor.commands.alerts import Since
from watchfloor.commands.db import ask, open_store
from watchfloor.settings import Settings

Task = dict[str, Any]

WHY = ("unreadable", "no_image", "other")
"""Why a task has no answer. Never in free words, which might hold personal data."""


@click.group()
def command() -> None:
    """Work on labeling tasks: say what the images of OCR readings show.

    Where tasks come from, and what an answer does: docs/ocr.md, "Labeling".
    """


@command.command(name="list")
@click.option("--tenant", help="Only this tenant's tasks.")
@click.option("--by", help="Without readings that this person judged before: a second look is for another one.")
@click.option(
    "--all", "everything", is_flag=True, help="All tasks: also those that are done, or too old for an answer."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
def list_open(tenant: str | None, by: str | None, everything: bool, as_json: bool) -> None:
    """List the tasks that wait for an answer, the oldest reading first, as ClickHouse has them."""
    settings = Settings()
    store = open_store(settings)
    since = _now() - CORRECTABLE_DAYS * DAY_MS
    found: list[Task] = ask(
        settings,
        lambda: labeling.tasks(store, tenant) if everything else labeling.waiting(store, tenant, since, by),
    )
    for task in found:
        click.echo(json.dumps(shown(task), ensure_ascii=False) if as_json else _line(task))
    if not found and not as_json:
        click.echo("Nothing waits for an answer." if tenant is None else f"Nothing of {tenant} waits for an answer.")


@command.command()
@click.argument("start", metavar="ID")
@click.option("--tenant", help="Its tenant, where more than one has such an ID.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(start: str, tenant: str | None, as_json: bool) -> None:
    """Show the task whose id begins with ID."""
    task = shown(_find(start, tenant))
    if as_json:
        click.echo(json.dumps(task, ensure_ascii=False))
        return
    for name in ("occurred_at", "updated_at"):
        task[name] = _moment(task[name])
    for name, value in task.items():
        if value is not None:
            click.echo(f"{name:<12} {value}")


def _acting(action: Callable[..., None]) -> Callable[..., None]:
    """What every command has that changes a task."""
    for option in (
        click.argument("start", metavar="ID"),
        click.option("--tenant", help="Its tenant, where more than one has such an ID."),
        click.option("--by", default=getpass.getuser, show_default="your user name", help="Who says so."),
        click.option("--json", "as_json", is_flag=True, help="Print the task as JSON, for scripts."),
    ):
        action = option(action)
    return action


@command.command()
@_acting
def take(start: str, tenant: str | None, by: str, as_json: bool) -> None:
    """Say that you work on the task whose id begins with ID. Others may answer it all the same."""
    task = _moved(_find(start, tenant), "take", by)
    with _publisher() as publisher:
        _publish(publisher, topics.OCR_LABELING_TASKS, task)
    _told(task, as_json, f"{by} works on it")


@command.command()
@_acting
@click.argument("text", required=False)
@click.option(
    "--type",
    "correction_type",
    type=click.Choice(CORRECTION_TYPES),
    default=OCR_ERROR,
    show_default=True,
    help=f"Why it differs from what was read, if it does; {WRONG_READING}: the image is of something else.",
)
def answer(start: str, tenant: str | None, by: str, as_json: bool, text: str | None, correction_type: str) -> None:
    """Say what the image of the task whose id begins with ID shows: TEXT, which is asked for if it is not given.

    It is published as a correction, or as a confirmation where the same was read: the gold label of the reading.
    """
    task = _find(start, tenant)
    done = _moved(task, "answer", by)
    if _now() > task["occurred_at"] + CORRECTABLE_DAYS * DAY_MS:
        raise click.ClickException(
            f"the reading is of {_moment(task['occurred_at'])}; it can be corrected for {CORRECTABLE_DAYS} days. "
            "`watchfloor label skip` closes the task"
        )
    given = {
        "source_type": task["source_type"],
        "source_id": task["source_id"],
        "corrected_text": click.prompt("What the image shows") if text is None else text,
        "correction_type": correction_type,
        "corrected_by": by,
    }
    whose = [(task["tenant_id"], task["asset_id"])]
    try:
        record = correction(given, task["tenant_id"], lambda *_: whose, done["updated_at"], outcome_id(task))
    except Refused as error:
        raise click.ClickException(str(error)) from error
    with _publisher() as publisher:
        # The answer first: a task that is still open can be answered again, and the newest answer holds.
        _publish(publisher, topics.OUTCOMES_OCR, record)
        _publish(publisher, topics.OCR_LABELING_TASKS, done)
    _told(done, as_json, "labelled")


@command.command()
@_acting
@click.option("--why", type=click.Choice(WHY), default=WHY[0], show_default=True, help="Why there is none.")
def skip(start: str, tenant: str | None, by: str, as_json: bool, why: str) -> None:
    """Close the task whose id begins with ID without an answer: nobody can tell what the image shows."""
    task = _moved(_find(start, tenant), "skip", by) | {"note": why}
    with _publisher() as publisher:
        _publish(publisher, topics.OCR_LABELING_TASKS, task)
    _told(task, as_json, "skipped")


@command.command()
@click.option("--tenant", help="Only this tenant's.")
@click.option(
    "--since", type=Since(), default="90d", show_default=True, help="Of second looks since then: 30d, or a time."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per tenant, for scripts.")
def quality(tenant: str | None, since: int, as_json: bool) -> None:
    """Say how far people agree on readings that were judged twice, the second time without being told.

    They agree where both said that a reading was right, or both that it was wrong. kappa is 1 for full agreement and 0
    for what chance would give: docs/ocr.md, "Labeling".
    """
    settings = Settings()
    store = open_store(settings)
    rows = ask(settings, lambda: labeling.pairs(store, tenant, since))
    for name in sorted({row["tenant_id"] for row in rows}):
        found = _agreed([row for row in rows if row["tenant_id"] == name])
        click.echo(json.dumps({"tenant": name} | found) if as_json else f"{name}: {_worded(found)}")
    if not rows and not as_json:
        click.echo("Nothing was judged twice since then.")


def _agreed(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    verdicts = [(row["first_verdict"], row["second_verdict"]) for row in rows]
    known = [pair for pair in verdicts if UNSURE not in pair]
    return agreement(known) | {
        "unsure": len(verdicts) - len(known),
        "by_two_people": sum(row["first_by"] != row["second_by"] for row in rows),
    }


def _worded(found: Mapping[str, Any]) -> str:
    if not found["pairs"]:
        return f"{found['unsure']} readings were judged twice, and none of them can be compared"
    kappa = "no kappa, because all verdicts are the same" if found["kappa"] is None else f"kappa {found['kappa']:.2f}"
    unsure = f"; {found['unsure']} more cannot be compared" if found["unsure"] else ""
    return (
        f"people agree on {found['agreed']} of {found['pairs']} readings that were judged twice "
        f"({found['agreement']:.0%}, 90 % interval {found['low']:.0%} to {found['high']:.0%}), {kappa}; "
        f"{found['by_two_people']} by two people{unsure}"
    )


def _find(start: str, tenant: str | None) -> Task:
    """The task whose id begins so. Raises ClickException when there is none or more than one."""
    settings = Settings()
    store = open_store(settings)
    found: list[Task] = ask(settings, lambda: labeling.tasks(store, tenant, start.lower()))
    if len(found) != 1:
        raise click.ClickException(
            f"no task has an id that begins with {start!r}"
            if not found
            else f"more than one task has an id that begins with {start!r}; give more of it, or --tenant"
        )
    return found[0]


def _moved(task: Task, action: str, by: str) -> Task:
    """The next version of a task. Raises ClickException where its state does not allow the action."""
    try:
        state = move(task["state"], action, MOVES, "task", BY_PEOPLE)
    except MoveRefused as error:
        raise click.ClickException(f"{error}; {task['by']} did that at {_moment(task['updated_at'])}") from error
    return task | {"seq": task["seq"] + 1, "state": state, "by": by, "updated_at": _now()}


def _publisher() -> Publisher:
    settings = Settings()
    return Publisher(settings.kafka, prefix=settings.prefix, client="watchfloor-label")


def _publish(publisher: Publisher, topic: Topic, record: Mapping[str, Any]) -> None:
    (outcome,) = publisher.publish(topic, [record])
    if not isinstance(outcome, Accepted):
        raise click.ClickException(f"{topic.name} did not take it: {outcome.reason}")


def _told(task: Task, as_json: bool, what: str) -> None:
    click.echo(json.dumps(shown(task), ensure_ascii=False) if as_json else f"{task['task_id']}: {what}")


def _line(task: Task) -> str:
    state = f"assigned to {task['by']}" if task["state"] == "assigned" else task["state"]
    read = f"read as {task['text']}"
    about = f"{task['source_type']} of {task['asset_id']}"
    parts = (task["task_id"], task["tenant_id"], about, _moment(task["occurred_at"]), state, read, task["image_uri"])
    return "  ".join(parts)


def _moment(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _now() -> int:
    return time.time_ns() // 1_000_000
