"""`watchfloor train ocr_trust`: a model of trust in OCR readings of a tenant's judged ones."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from models.classifiers import Examples, TooFewLabels
from models.ocr.artifact import NAME
from models.ocr.evaluation import UNKNOWN
from models.ocr.features import NAMES, OCR_V1
from models.ocr.prevalence import prevalence
from models.ocr.training import KINDS, SPAN_MS, Sample, learn
from sinks import labeling
from sinks.labelled import Wanted, labelled
from sinks.tables import LAST_MS
from watchfloor import ocr_files
from watchfloor.commands.db import QUERY_LIMIT_S, ask, open_store
from watchfloor.commands.files import FILE, reading
from watchfloor.commands.replay import Time
from watchfloor.commands.train_text import AS_JSON, DRY_RUN, SEED, open_shelf, published, show, tell_left_out, too_few
from watchfloor.event_files import Refused
from watchfloor.settings import Settings

CASES = "{rows:,} readings, {positives:,} wrong"
SAMPLED = 5_000
"""So many of the newest readings stand for all that the model is asked about."""


@click.command("ocr_trust")
@click.option("--tenant", required=True, help="Whose model.")
@click.option("--kind", type=click.Choice(list(KINDS)), default="xgboost", show_default=True, help="Of the model.")
@click.option("--until", type=Time(), help="Leave out readings and corrections after this time: ISO 8601 with a zone.")
@click.option("--events", "events_file", type=FILE, help="Readings of a file instead of ClickHouse; with --outcomes.")
@click.option("--outcomes", type=FILE, help="Corrections, as in outcomes.ocr.")
@SEED
@DRY_RUN
@AS_JSON
def ocr_trust(
    tenant: str,
    kind: str,
    until: int | None,
    events_file: Path | None,
    outcomes: Path | None,
    seed: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a model of trust on a tenant's judged readings of the newest 90 days.

    From ClickHouse it takes the features as they were when a reading was scored, with the newest verdicts; from files
    it replays the readings. The oldest cases train, newer ones calibrate, the newest 15 % measure. At least 200 judged
    readings are needed, 20 of them wrong. `watchfloor models activate ocr_trust` lets the version serve.

    People judge what strikes them, so judged readings are wrong more often than all are. Once 30 random labeling tasks
    of these days are answered, the probabilities are made as high as they call for (docs/ocr.md).

    Exit code 3 when there are too few cases.
    """
    if (events_file is None) != (outcomes is None):
        raise click.UsageError("--events and --outcomes come together")
    settings = Settings()
    shelf = open_shelf(settings, dry_run)
    last = until or LAST_MS
    if events_file is None or outcomes is None:
        source, examples = {"source": "clickhouse"}, _stored(settings, tenant, last)
        sample = _sample(settings, tenant, last)
    else:
        source, examples = {"source": events_file.name}, _replayed(events_file, outcomes, tenant, last)
        sample = None
    try:
        result = learn(examples, kind, seed, sample)
    except TooFewLabels as error:
        too_few(error)
    report = published(result, tenant, source, shelf)
    if as_json:
        click.echo(json.dumps(report))
    else:
        lines = [_measured(report["metrics"]), _level(report["training"]["sample"])]
        show(report, "{kind}", CASES, lines, settings.model_store)


def _sample(settings: Settings, tenant: str, until_ms: int) -> Sample | None:
    """What random tasks say of all readings; None where too few were answered."""
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    last = min(until_ms, int(datetime.now(UTC).timestamp() * 1000))
    wrong = prevalence(ask(settings, lambda: labeling.weeks(store, tenant, last - SPAN_MS, last)))
    if wrong is None:
        return None
    features = ask(settings, lambda: labeling.newest(store, tenant, last, SAMPLED))
    return Sample(features, wrong) if len(features) else None


def _stored(settings: Settings, tenant: str, until_ms: int) -> Examples:
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    since = min(until_ms, int(datetime.now(UTC).timestamp() * 1000)) - SPAN_MS
    wanted = Wanted(NAME, tenant, OCR_V1, len(NAMES), since, until_ms, until_ms)
    return Examples.of(*ask(settings, lambda: labelled(store, wanted)))


def _replayed(events: Path, outcomes: Path, tenant: str, until_ms: int) -> Examples:
    refused = Refused()
    with reading() as told:
        given, said = ocr_files.read(events, outcomes, refused, told)
    tell_left_out(refused)
    mine = [event for event in given if event["tenant_id"] == tenant and event["occurred_at"] <= until_ms]
    if not mine:
        raise click.ClickException(f"{events} has no readings of tenant {tenant}")
    cases = ocr_files.measured(mine, [each for each in said if each["tenant_id"] == tenant], until_ms)[tenant]
    rows = np.flatnonzero(cases.early != UNKNOWN)
    return Examples.of(cases.times_ms[rows], cases.vectors[rows], cases.early[rows] == 1)


def _measured(metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return "measure    the newest readings are all wrong or all right: nothing can be said of its worth"
    return (
        f"measure    {metrics['rows']:,} judged readings, {metrics['positives']:,} wrong: PR-AUC "
        f"{metrics['pr_auc']:.3f} (heuristic {metrics['heuristic_pr_auc']:.3f}); the top 10 % have "
        f"{metrics['caught_10']:.0%} of the wrong ones (confidence alone {metrics['confidence_caught_10']:.0%})"
    )


def _level(sample: Mapping[str, Any] | None) -> str:
    if sample is None:
        return "level      that of judged readings: too few random tasks are answered, so trust the order alone"
    return f"level      {sample['wrong']:.1%} of all readings are wrong, by random tasks"
