"""`watchfloor evaluate ocr_trust`: what trust scores are worth on readings that they have not learned from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from models.ocr.evaluation import CONFIDENCE, CONTENDERS, SERVED, compete, judge, together
from watchfloor import ocr_files
from watchfloor.commands.evaluate_text import AS_JSON, Moment, figure, show_refused, span, write_scores
from watchfloor.commands.files import FILE, reading
from watchfloor.event_files import Refused, truths


@click.command("ocr_trust")
@click.option("--events", "events_file", type=FILE, required=True, help="Readings, as in events.ocr.")
@click.option("--outcomes", type=FILE, required=True, help="Corrections, as in outcomes.ocr.")
@click.option(
    "--train-until",
    type=Moment(),
    help="Models learn from what was known before this time; without it, the first 70 % of the time.",
)
@click.option(
    "--truth",
    type=FILE,
    help="A simulation's truth.jsonl: judge by it instead of by corrections. Nothing learns from it.",
)
@click.option(
    "--scores",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write a line of JSON for each later reading and score.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is drawn in training.")
@AS_JSON
def ocr_trust(
    events_file: Path,
    outcomes: Path,
    train_until: int | None,
    truth: Path | None,
    scores: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Measure trust scores of OCR readings, for each tenant, beside the engine's confidence alone.

    All readings are replayed by the code of the stream, with corrections as they came. Files are JSONL, CSV (both also
    .gz) or Parquet. What counts is the share of wrong readings among the 5 and 10 % that a person would review. Without
    --truth only readings that somebody judged count, which are not a fair sample.
    """
    refused = Refused()
    with reading() as told:
        given, said = ocr_files.read(events_file, outcomes, refused, told)
        wrong = None if truth is None else truths(truth)
        times = span(given, train_until, "reading")
        until = times.until
        told("features", 0.0)
        tenants = ocr_files.measured(given, said, until, wrong)
        found = {}
        for number, (tenant, cases) in enumerate(tenants.items()):
            told("training", number / len(tenants))
            found[tenant] = cases.later(until), [compete(cases, until, each, seed) for each in CONTENDERS]
    lines = (
        {"tenant_id": tenant, "event_id": event, "model": entry.contender.name, "score": score}
        for tenant, (later, entries) in found.items()
        for entry in entries
        for event, score in zip(later.ids, entry.answers.raw.tolist(), strict=True)
    )
    write_scores(scores, lines)
    result = {
        "events": len(given),
        **times.about,
        "served": SERVED.name,
        "judged_by": "corrections" if truth is None else "truth",
        "refused": refused.about,
        "tenants": {
            tenant: {entry.contender.name: judge(entry, later.late) for entry in entries}
            for tenant, (later, entries) in found.items()
        },
        "all": {
            each.name: together([(entries[place], later.late) for later, entries in found.values()])
            for place, each in enumerate(CONTENDERS)
        },
    }
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
    else:
        _show(result)


def _show(result: Mapping[str, Any]) -> None:
    console = Console()
    for title, models in [*result["tenants"].items(), ("all", result["all"])]:
        names = ("judged", "wrong", "PR-AUC", "ROC-AUC", "top 5 %", "times", "top 10 %", "times")
        table = Table("score", *(Column(name, justify="right") for name in names), title=title, title_justify="left")
        base = models[CONFIDENCE.name]
        for name, one in models.items():
            if not one["rows"]:
                table.add_row(name, "0")
                continue
            table.add_row(
                name,
                f"{one['rows']:,}",
                f"{one['positives']:,}",
                *(figure(one[key], "{:.3f}") for key in ("pr_auc", "roc_auc")),
                *(cell for top in ("caught_5", "caught_10") for cell in _top(one[top], base[top])),
            )
        console.print(table)
        for note in {one["fallback"] for one in models.values() if one.get("fallback")}:
            click.echo(f"{title}: where a model is missing the heuristic scores: {note}")
    click.echo(
        f"{result['events']:,} readings from {result['first']} to {result['last']}; models learned from what was known "
        f"before {result['train_until']}, and are judged on what came later by {result['judged_by']}. Top: "
        "the share of wrong readings among those of the highest scores; times: beside the confidence alone."
    )
    show_refused(result["refused"])


def _top(share: float | None, base: float | None) -> tuple[str, str]:
    return figure(share, "{:.0%}"), "" if not share or not base else f"{share / base:.1f}"
