"""`watchfloor train conflict`: a model of sync conflicts of labelled syncs."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from models.classifiers import TooFewLabels
from models.conflict.artifact import NAME
from models.conflict.evaluation import KINDS, UNKNOWN, Labels, stored, weights
from models.conflict.features import FEATURE_SETS, FEATURES, LARGEST
from models.conflict.training import SPAN_MS, Result, learn
from models.registry import EVERYONE
from sinks.labelled import Wanted, tenants, told
from sinks.tables import LAST_MS
from streams.outcomes import TIMEOUT
from watchfloor import sync_files as files
from watchfloor.commands.db import QUERY_LIMIT_S, ask, open_store
from watchfloor.commands.files import FILE, reading
from watchfloor.commands.replay import Time
from watchfloor.commands.train_text import (
    AS_JSON,
    DRY_RUN,
    SEED,
    open_shelf,
    pooling,
    published,
    show,
    tell_left_out,
    too_few,
)
from watchfloor.event_files import Refused
from watchfloor.settings import Settings

CASES = "{rows:,} syncs, {positives:,} conflicts"


class Found(NamedTuple):
    """Labelled syncs by time: epoch milliseconds (rows,), all features (rows, features), labels and weights (rows,)."""

    times_ms: NDArray[np.int64]
    vectors: NDArray[np.float64]
    labels: Labels
    weights: NDArray[np.float64]


@click.command()
@click.option("--tenant", help="Whose model, of that tenant's syncs alone. Without it the global one.")
@click.option(
    "--feature-set", type=click.Choice(list(FEATURE_SETS)), default=LARGEST, show_default=True, help="What it sees."
)
@click.option("--kind", type=click.Choice(list(KINDS)), default="logistic", show_default=True, help="Of the model.")
@click.option("--until", type=Time(), help="Leave out syncs and outcomes after this time: ISO 8601 with a zone.")
@click.option("--events", "events_file", type=FILE, help="Syncs of a file instead of ClickHouse; with --outcomes.")
@click.option("--outcomes", type=FILE, help="What came of them, as in outcomes.sync.")
@SEED
@DRY_RUN
@AS_JSON
def conflict(
    tenant: str | None,
    feature_set: str,
    kind: str,
    until: int | None,
    events_file: Path | None,
    outcomes: Path | None,
    seed: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a model of conflicts on labelled syncs of the newest 90 days.

    From ClickHouse it takes the features as they were when a sync was scored, without the syncs whose client was told
    what to do; the few that were held out stand for those. The global one learns from the tenants whose flag pool_data
    is on; from files it learns from all of them. The oldest cases train, newer ones calibrate, the newest 15 % measure.
    At least 100 labelled cases are needed, 20 of them conflicts. `watchfloor models activate conflict` lets the version
    serve, with --slot shadow:boosted one of --kind boosted beside it.

    \b
    watchfloor train conflict
    watchfloor train conflict --tenant acme --events events.sync.jsonl --outcomes outcomes.sync.jsonl

    Exit code 3 when there are too few cases.
    """
    if (events_file is None) != (outcomes is None):
        raise click.UsageError("--events and --outcomes come together")
    settings = Settings()
    shelf = open_shelf(settings, dry_run)
    last = until or LAST_MS
    if events_file is None or outcomes is None:
        source: dict[str, Any] = {"source": "clickhouse"}
        found = logged(settings, tenant, last)
    else:
        source = {"source": events_file.name}
        found = _replayed(events_file, outcomes, tenant, last)
    try:
        result = learn(*found, feature_set, kind, seed)
    except TooFewLabels as error:
        too_few(error)
    report = published(result, tenant or EVERYONE, source, shelf)
    if as_json:
        click.echo(json.dumps(report))
    else:
        show(report, "{kind} on {feature_set}", CASES, [_measured(report["metrics"], result)], settings.model_store)


def logged(settings: Settings, tenant: str | None, until_ms: int) -> Found:
    """The labelled syncs of a tenant, or of all that pool their data, as ClickHouse has them until an event time."""
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    last = min(until_ms, int(datetime.now(UTC).timestamp() * 1000))
    since = last - SPAN_MS
    names = [tenant] if tenant is not None else pooling(settings, ask(settings, lambda: tenants(store, NAME, since)))
    times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    vectors: list[NDArray[np.float64]] = [np.empty((0, len(FEATURES)))]
    labels: list[Labels] = [np.empty(0, np.int8)]
    shares: list[NDArray[np.float64]] = [np.empty(0)]
    for name in names:
        wanted = Wanted(NAME, name, LARGEST, len(FEATURES), since, last, until_ms, unadvised=True)
        for some in ask(settings, lambda wanted=wanted: list(told(store, wanted))):  # type: ignore[misc]
            times.append(some.cases.times_ms)
            vectors.append(some.cases.features)
            presumed = np.array([source == TIMEOUT for source in some.columns["source"]])
            held_out = np.array(some.columns["held_out"], dtype=np.bool_)
            codes, share = stored(some.cases.labels, presumed, held_out)
            labels.append(codes)
            shares.append(share)
    every = np.concatenate(times)
    order = np.argsort(every, kind="stable")
    rest = (np.concatenate(labels)[order], np.concatenate(shares)[order])
    return Found(every[order], np.concatenate(vectors)[order], *rest)


def _replayed(events: Path, outcomes: Path, tenant: str | None, until_ms: int) -> Found:
    refused = Refused()
    with reading() as tell:
        given = files.syncs(events, refused, tell)
        said = files.outcomes(outcomes, refused, tell)
        tell_left_out(refused)
        mine = [event for event in given if tenant in (None, event["tenant_id"]) and event["occurred_at"] <= until_ms]
        if not mine:
            raise click.ClickException(f"{events} has no events" + (f" of tenant {tenant}" if tenant else ""))
        ends = min(until_ms, mine[-1]["occurred_at"])
        cases = files.cases(mine, [one for one in said if one["decided_at"] <= until_ms], ends, tell)
    rows = np.flatnonzero(cases.early != UNKNOWN)
    return Found(cases.times_ms[rows], cases.vectors[rows], cases.early[rows], weights(cases.early[rows]))


def _measured(metrics: Mapping[str, Any], result: Result) -> str:
    if result.model is None or result.rule is None:
        return "measure    the newest syncs have no conflicts, or nothing else: nothing can be said of its worth"
    return (
        f"measure    {CASES.format(**result.model)}: ROC-AUC {metrics['roc_auc']:.3f} (heuristic "
        f"{metrics['heuristic_roc_auc']:.3f}), PR-AUC {metrics['pr_auc']:.3f}, HIGH {metrics['high_share']:.1%} of all"
    )
