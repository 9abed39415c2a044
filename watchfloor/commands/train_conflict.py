"""`watchfloor train conflict`: a model of sync conflicts of labelled syncs."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from models.classifiers import TooFewLabels, artifact
from models.conflict.advice import HELD_OUT
from models.conflict.artifact import NAME
from models.conflict.evaluation import KINDS, NO, PRESUMED, UNKNOWN, YES, Labels, weights
from models.conflict.features import FEATURE_SETS, FEATURES, LARGEST
from models.conflict.training import SPAN_MS, Result, learn
from models.registry import EVERYONE, version_at
from producers.tables import FileError
from sinks.labelled import Wanted, tenants, told
from sinks.tables import LAST_MS
from streams.outcomes import TIMEOUT
from streams.serving import FLAGS
from watchfloor import sync_files as files
from watchfloor.commands.control import read_control
from watchfloor.commands.db import ask, open_store
from watchfloor.commands.replay import Time
from watchfloor.event_files import Refused, progress
from watchfloor.registry import in_words, open_registry, open_signer, publish
from watchfloor.settings import Settings

TOO_FEW = 3
QUERY_LIMIT_S = 600.0
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


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
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of what is drawn.")
@click.option("--dry-run", is_flag=True, help="Train and report, store nothing; needs no key.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
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
    signer = None
    with in_words():
        registry = None if dry_run else open_registry(settings)
        if registry is not None:
            signer = open_signer(settings, registry)
    last = until or LAST_MS
    if events_file is None or outcomes is None:
        source: dict[str, Any] = {"source": "clickhouse"}
        found = _stored(settings, tenant, last)
    else:
        source = {"source": events_file.name}
        found = _replayed(events_file, outcomes, tenant, last)
    try:
        result = learn(*found, feature_set, kind, seed)
    except TooFewLabels as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(TOO_FEW) from error
    manifest = result.manifest(tenant or EVERYONE, version_at(datetime.now(UTC)), source)
    removed: list[str] = []
    if registry is not None and signer is not None:
        with in_words():
            removed = publish(registry, signer, manifest, artifact.pack(result.scorer))
    about = manifest.about()
    named = {name: about[name] for name in ("model", "tenant", "version", "feature_set", "training", "metrics")}
    if as_json:
        click.echo(json.dumps(named | {"removed": removed, "stored": not dry_run}))
    else:
        _show(named, result, None if dry_run else settings.model_store, removed)


def _stored(settings: Settings, tenant: str | None, until_ms: int) -> Found:
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    now = int(datetime.now(UTC).timestamp() * 1000)
    last = min(until_ms, now)
    since = last - SPAN_MS
    if tenant is None:
        control = read_control(settings)
        known = ask(settings, lambda: tenants(store, NAME, since))
        names = [name for name in known if control.get(FLAGS, name, "pool_data", now)]
    else:
        names = [tenant]
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
            codes = np.where(some.cases.labels, YES, np.where(presumed, PRESUMED, NO))
            labels.append(codes.astype(np.int8))
            # Those that were told nothing stand for all that would have been told something.
            shares.append(weights(codes) * np.where(held_out, 1 / HELD_OUT, 1.0))
    every = np.concatenate(times)
    order = np.argsort(every, kind="stable")
    rest = (np.concatenate(labels)[order], np.concatenate(shares)[order])
    return Found(every[order], np.concatenate(vectors)[order], *rest)


def _replayed(events: Path, outcomes: Path, tenant: str | None, until_ms: int) -> Found:
    refused = Refused()
    with progress() as tell:
        try:
            given = files.syncs(events, refused, tell)
            said = files.outcomes(outcomes, refused, tell)
        except FileError as error:
            raise click.ClickException(str(error)) from error
        if refused.count:
            click.echo(f"{refused.count:,} lines are no records and left out: {'; '.join(refused.examples)}", err=True)
        mine = [event for event in given if tenant in (None, event["tenant_id"]) and event["occurred_at"] <= until_ms]
        if not mine:
            raise click.ClickException(f"{events} has no events" + (f" of tenant {tenant}" if tenant else ""))
        ends = min(until_ms, mine[-1]["occurred_at"])
        cases = files.cases(mine, [one for one in said if one["decided_at"] <= until_ms], ends, tell)
    rows = np.flatnonzero(cases.early != UNKNOWN)
    return Found(cases.times_ms[rows], cases.vectors[rows], cases.early[rows], weights(cases.early[rows]))


def _show(named: dict[str, Any], result: Result, store: str | None, removed: list[str]) -> None:
    training, metrics = named["training"], named["metrics"]
    click.echo(
        f"{named['model']} of {named['tenant']}, {named['version']}: {training['kind']} on {named['feature_set']}"
    )
    for name in ("train", "calibrate"):
        part = training[name]
        click.echo(f"  {name:<10} {part['rows']:,} syncs, {part['positives']:,} conflicts")
    if training["uncalibrated"]:
        click.echo(f"  without intervals: {training['uncalibrated']}")
    if result.model is None or result.rule is None:
        click.echo("  measure    the newest syncs have no conflicts, or nothing else: nothing can be said of its worth")
    else:
        click.echo(
            f"  measure    {result.model['rows']:,} syncs, {result.model['positives']:,} conflicts: ROC-AUC "
            f"{metrics['roc_auc']:.3f} (heuristic {metrics['heuristic_roc_auc']:.3f}), PR-AUC {metrics['pr_auc']:.3f}, "
            f"HIGH {metrics['high_share']:.1%} of all"
        )
    if removed:
        click.echo(f"  removed    {', '.join(removed)}: the five newest are kept")
    click.echo(f"stored at {store}" if store else "stored nowhere (--dry-run)")
