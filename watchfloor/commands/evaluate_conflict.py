"""`watchfloor evaluate conflict`: what models of sync conflicts are worth on syncs that they have not learned from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Column, Table

from models.conflict.evaluation import CONTENDERS, PRESUMED, YES, Cases, Entry, compete, judge
from watchfloor import sync_files as files
from watchfloor.commands.evaluate_text import AS_JSON, TRAIN_UNTIL, figure, plain, show_refused, span, write_scores
from watchfloor.commands.files import FILE, reading
from watchfloor.event_files import Refused, truths


@click.command()
@click.option("--events", "events_file", type=FILE, required=True, help="Syncs, as in events.sync.")
@click.option("--outcomes", type=FILE, required=True, help="What came of them, as in outcomes.sync.")
@TRAIN_UNTIL
@click.option(
    "--truth",
    type=FILE,
    help="A simulation's truth.jsonl: judge by it instead of by outcomes. Nothing learns from it.",
)
@click.option(
    "--scores",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write a line of JSON for each later sync and model.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is drawn in training.")
@AS_JSON
def conflict(
    events_file: Path,
    outcomes: Path,
    train_until: int | None,
    truth: Path | None,
    scores: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Measure the models of sync conflicts, trained on all tenants together, beside the documented rule.

    All syncs are replayed by the agents of the stream. A sync of which nothing came within 24 hours counts as one
    without a conflict. Files are JSONL, CSV (both also .gz) or Parquet. Lines that are no records are left out, counted
    and quoted in the report.
    """
    refused = Refused()
    with reading() as told:
        given = files.syncs(events_file, refused, told)
        said = files.outcomes(outcomes, refused, told)
        conflicts = None if truth is None else truths(truth)
        if not given:
            raise click.ClickException(f"{events_file} has no events ({'; '.join(refused.examples) or 'it is empty'})")
        times = span(given, train_until)
        until = times.until
        cases = files.cases(given, said, until, told, conflicts)
        entries = []
        for place, contender in enumerate(CONTENDERS):
            told("training", place / len(CONTENDERS))
            entries.append(compete(cases, until, contender, seed))
    later = cases.later(until)
    write_scores(scores, (line for entry in entries for line in entry.lines(later)))
    result = {
        "events": len(given),
        "predictions": len(cases.ids),
        **times.about,
        "judged_by": "outcomes" if truth is None else "truth",
        "presumed": int((later.late == PRESUMED).sum()),
        "refused": refused.about,
        "all": {str(entry.contender): judge(entry, later.late) for entry in entries},
        "tenants": _by_tenant(entries, later),
    }
    if as_json:
        click.echo(json.dumps(plain(result), allow_nan=False))
    else:
        _show(result)


def _by_tenant(entries: list[Entry], later: Cases) -> dict[str, Any]:
    out = {}
    for tenant in sorted(set(later.tenants.tolist())):
        rows = np.flatnonzero(later.tenants == tenant)
        labels = later.late[rows]
        out[tenant] = {
            "events": len(rows),
            "conflicts": int((labels == YES).sum()),
            "models": {str(entry.contender): judge(entry.of(rows), labels) for entry in entries},
        }
    return out


def _show(result: Mapping[str, Any]) -> None:
    numbers = ("syncs", "conflicts", "ROC-AUC", "PR-AUC", "Brier", "p said", "p came", "HIGH", "precision", "covered")
    table = Table("model", *[Column(name, justify="right") for name in numbers])
    for name, one in result["all"].items():
        high = one["cuts"]["HIGH"]
        covered = one["coverage"].get("venn_abers")
        table.add_row(
            name,
            f"{one['rows']:,}",
            f"{one['positives']:,}",
            *(figure(one[key], "{:.3f}") for key in ("roc_auc", "pr_auc")),
            figure(one["brier"], "{:.4f}"),
            *(figure(one[key], "{:.2%}") for key in ("mean_probability", "prevalence")),
            *(figure(high[key], "{:.1%}") for key in ("share", "precision")),
            "" if covered is None else f"{covered['all']['coverage']['0.90']:.0%}",
        )
    Console().print(table)
    for name, one in result["all"].items():
        if one["fallback"]:
            click.echo(f"{name}: the heuristic scores instead: {one['fallback']}")
    click.echo(
        f"{result['predictions']:,} predictions of {result['events']:,} syncs from {result['first']} to "
        f"{result['last']}; models learned from what was known before {result['train_until']}, and are judged on what "
        f"came later by {result['judged_by']}, {result['presumed']:,} of it presumed. HIGH: share at the cut HIGH or "
        "above, and how many of these conflict. Covered: groups of syncs whose conflicts fit the intervals at 90 %."
    )
    show_refused(result["refused"])
