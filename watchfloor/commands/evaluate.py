"""`watchfloor evaluate`: what models are worth on events of files that they have not learned from."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from models.fraud.evaluation import (
    CONTENDERS,
    GLOBAL,
    SERVED,
    Cases,
    Entry,
    Labels,
    compete,
    compete_shared,
    judge,
    rung,
    share,
    together,
)
from models.registry import EVERYONE
from watchfloor import attendance_files as files
from watchfloor.commands.evaluate_audit import audit
from watchfloor.commands.evaluate_conflict import conflict
from watchfloor.commands.evaluate_ocr import ocr_trust
from watchfloor.commands.evaluate_text import AS_JSON, TRAIN_UNTIL, figure, plain, show_refused, span, write_scores
from watchfloor.commands.files import FILE, reading
from watchfloor.event_files import Refused, Told, truths


@click.group()
def command() -> None:
    """Measure models: on files of events and outcomes, in the order of time, or what serves by its audit."""


command.add_command(audit)
command.add_command(conflict)
command.add_command(ocr_trust)


@command.command()
@click.option("--events", "events_file", type=FILE, required=True, help="Check-ins, as in events.attendance.")
@click.option("--outcomes", type=FILE, required=True, help="Verdicts, as in outcomes.attendance.")
@click.option("--sites", type=FILE, help="As in control.sites; without it what needs a site is unknown.")
@click.option("--calendars", type=FILE, help="As in control.calendars: weekends and own holidays.")
@click.option("--rosters", type=FILE, help="As in control.rosters: who may work where.")
@TRAIN_UNTIL
@click.option(
    "--truth",
    type=FILE,
    help="A simulation's truth.jsonl: judge by it instead of by verdicts. Nothing learns from it.",
)
@click.option(
    "--scores",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write a line of JSON for each later event and model. Its decision is that of auto mode.",
)
@click.option(
    "--pool",
    multiple=True,
    metavar="TENANT",
    help="Also train a global model of this tenant's labels (* for all's), and say whom it would serve; repeatable.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is drawn in training and audit.")
@AS_JSON
def fraud(
    events_file: Path,
    outcomes: Path,
    sites: Path | None,
    calendars: Path | None,
    rosters: Path | None,
    train_until: int | None,
    truth: Path | None,
    scores: Path | None,
    pool: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Measure the models of attendance fraud, for each tenant, beside the documented rule.

    All events are replayed by the code of the stream. Files are JSONL, CSV (both also .gz) or Parquet. Lines that are
    no records are left out, counted and quoted in the report.
    """
    refused = Refused()
    with reading() as told:
        known = files.references(sites, calendars, rosters, refused, told)
        given = files.events(events_file, refused, told)
        said = files.verdicts(outcomes, refused, told)
        frauds = None if truth is None else truths(truth)
        if not given:
            raise click.ClickException(f"{events_file} has no events ({refused.why})")
        times = span(given, train_until)
        until = times.until
        tenants = files.cases(given, known, said, until, told, frauds)
        found = _compete(tenants, until, pool, seed, told)
    write_scores(scores, _lines(found, until))
    result = {
        "events": len(given),
        **times.about,
        "served": str(SERVED),
        "judged_by": "verdicts" if truth is None else "truth",
        "refused": refused.about,
        "tenants": {tenant: _report(entries, cases.later(until), seed) for tenant, (cases, entries) in found.items()},
        "all": _all(found, until),
    }
    if as_json:
        click.echo(json.dumps(plain(result), allow_nan=False))
    else:
        _show(result)


Found = dict[str, tuple[Cases, list[Entry]]]


def _compete(tenants: Mapping[str, Cases], until: int, pool: tuple[str, ...], seed: int, told: Told) -> Found:
    found: Found = {}
    shared = None
    if pool:
        told("training", 0.0)
        try:
            shared = share(tenants, until, tenants if EVERYONE in pool else pool, seed)
        except ValueError as error:
            raise click.ClickException(f"there is no global model: {error}") from error
    for number, (tenant, cases) in enumerate(tenants.items()):
        entries = []
        for place, contender in enumerate(CONTENDERS):
            told("training", (number + place / len(CONTENDERS)) / len(tenants))
            entries.append(compete(cases, until, contender, seed))
        if shared is not None:
            entries.append(compete_shared(cases, until, shared))
        found[tenant] = cases, entries
    return found


def _report(entries: list[Entry], later: Cases, seed: int) -> dict[str, Any]:
    models = {str(entry.contender): judge(entry, later.late, seed) for entry in entries}
    own, last = entries[CONTENDERS.index(SERVED)], entries[-1]
    climbed = {"ladder": rung(own, last, later.late, seed).about} if last.contender == GLOBAL else {}
    return {"events": len(later.ids), "labelled": int((later.late >= 0).sum()), "models": models} | climbed


def _all(found: Found, until: int) -> dict[str, Any]:
    columns: dict[str, list[tuple[Entry, Labels]]] = {}
    for cases, entries in found.values():
        for entry in entries:
            columns.setdefault(str(entry.contender), []).append((entry, cases.later(until).late))
    return {name: together(parts) for name, parts in columns.items()}


def _lines(found: Found, until: int) -> Iterator[dict[str, Any]]:
    for tenant, (cases, entries) in found.items():
        later = cases.later(until)
        for entry in entries:
            for line in entry.lines(later):
                yield {"tenant_id": tenant, **line}


def _show(result: Mapping[str, Any]) -> None:
    console = Console()
    for tenant, part in [*result["tenants"].items(), ("all", {"models": result["all"]})]:
        numbers = (
            "labelled",
            "frauds",
            "PR-AUC",
            "P at 80 % R",
            "FPR",
            "HIGH",
            "Brier",
            "tickets",
            "precision",
            "auto",
        )
        columns = [Column(name, justify="right") for name in numbers]
        table = Table("model", *columns, title=tenant, title_justify="left")
        notes = []
        for name, one in part["models"].items():
            if one.get("fallback") and one["fallback"] not in notes:
                notes.append(one["fallback"])
            if not one["rows"]:
                table.add_row(name, "0")
                continue
            high, decided = one["cuts"]["HIGH"], one["decisions"]
            table.add_row(
                name,
                f"{one['rows']:,}",
                f"{one['positives']:,}",
                *(figure(one[key], "{:.3f}") for key in ("pr_auc", "precision_at_80_recall")),
                *(figure(high[key], "{:.1%}") for key in ("false_positive_rate", "share")),
                figure(one["brier"], "{:.5f}"),
                f"{decided['tickets']:,}",
                figure(decided["ticket_precision"], "{:.0%}"),
                figure(decided["automated"], "{:.1%}"),
            )
        console.print(table)
        if "ladder" in part:
            click.echo(f"{tenant}: to serve: {part['ladder']['serves']}: {part['ladder']['why']}")
        for note in notes:
            click.echo(f"{tenant}: where a model is missing the heuristic scores: {note}")
    click.echo(
        f"{result['events']:,} events from {result['first']} to {result['last']}; models learned from what was known "
        f"before {result['train_until']}, and are judged on what came later by {result['judged_by']}. FPR and HIGH: at "
        "the cut HIGH. Tickets: if auto mode were on and certified."
    )
    show_refused(result["refused"])
