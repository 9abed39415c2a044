"""`watchfloor train fraud`: a model of attendance fraud of a tenant's labelled check-ins."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np

from models.classifiers import Examples, TooFewLabels
from models.fraud import ladder
from models.fraud.artifact import NAME, unpack
from models.fraud.evaluation import UNKNOWN, Cases
from models.fraud.features import FEATURE_SETS, FEATURES_V2, LARGEST
from models.fraud.training import KINDS, SPAN_MS, Result, learn
from models.registry import EVERYONE, Place, Registry
from sinks.labelled import Wanted, labelled, tenants
from sinks.tables import LAST_MS
from watchfloor import attendance_files as files
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
from watchfloor.registry import in_words
from watchfloor.settings import Settings

CASES = "{rows:,} cases, {positives:,} frauds"


@click.command()
@click.option("--tenant", help="Whose model.")
@click.option("--pool", is_flag=True, help="The global model, of all tenants whose flag pool_data is on.")
@click.option("--pooled", multiple=True, metavar="TENANT", help="With --pool: of these instead of by flag; repeatable.")
@click.option(
    "--feature-set", type=click.Choice(list(FEATURE_SETS)), default=LARGEST, show_default=True, help="What it sees."
)
@click.option("--kind", type=click.Choice(list(KINDS)), default="xgboost", show_default=True, help="Of the model.")
@click.option("--until", type=Time(), help="Leave out events and verdicts after this time: ISO 8601 with a zone.")
@click.option("--events", "events_file", type=FILE, help="Check-ins of a file instead of ClickHouse; with --outcomes.")
@click.option("--outcomes", type=FILE, help="Verdicts, as in outcomes.attendance.")
@click.option("--sites", type=FILE, help="As in control.sites.")
@click.option("--calendars", type=FILE, help="As in control.calendars.")
@click.option("--rosters", type=FILE, help="As in control.rosters.")
@SEED
@DRY_RUN
@AS_JSON
def fraud(
    tenant: str | None,
    pool: bool,
    pooled: tuple[str, ...],
    feature_set: str,
    kind: str,
    until: int | None,
    events_file: Path | None,
    outcomes: Path | None,
    sites: Path | None,
    calendars: Path | None,
    rosters: Path | None,
    seed: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a model of fraud on a tenant's labelled check-ins of the newest half year, or the global one with --pool.

    From ClickHouse it takes the features as they were when an event was scored, with the newest verdicts; from files it
    replays the events. The oldest cases train, newer ones calibrate, the newest 15 % measure. At least 200 labelled
    cases are needed, 20 of them frauds. `watchfloor models activate fraud` lets the version serve.

    A tenant's model learns from nobody else. The report says whether it or the newest global one is to serve: its own
    where it is better in a paired test on cases that neither learned from. What --pool learns from is said by tenant.

    \b
    watchfloor train fraud --tenant acme
    watchfloor train fraud --pool
    watchfloor train fraud --tenant acme --events events.jsonl --outcomes outcomes.jsonl --sites sites.jsonl

    Exit code 3 when there are too few cases.
    """
    if (tenant is None) != pool:
        raise click.UsageError("give a --tenant, or --pool")
    if pooled and not pool:
        raise click.UsageError("--pooled goes with --pool")
    if (events_file is None) != (outcomes is None):
        raise click.UsageError("--events and --outcomes come together")
    if events_file is None and (sites or calendars or rosters):
        raise click.UsageError("--sites, --calendars and --rosters go with --events")
    settings = Settings()
    shelf = open_shelf(settings, dry_run)
    last = until or LAST_MS
    if events_file is None or outcomes is None:
        source: dict[str, Any] = {"source": "clickhouse"}
        chosen: _Cases = _Stored(settings, last)
    else:
        source = {"source": events_file.name}
        chosen = _replayed(events_file, outcomes, sites, calendars, rosters, tenant, last)
    try:
        if tenant is None:
            names = list(pooled) or pooling(settings, chosen.tenants())
            parts = {name: chosen.cases(name) for name in names}
            examples = ladder.pooled(parts, names)
            source["tenants"] = {name: {"rows": len(part), "positives": part.positives} for name, part in parts.items()}
        else:
            examples = chosen.cases(tenant)
        result = learn(examples, feature_set, kind, seed)
    except TooFewLabels as error:
        too_few(error)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if tenant is not None and shelf is not None:
        source["ladder"] = _rung(shelf.registry, result, seed).about
    report = published(result, tenant or EVERYONE, source, shelf)
    if as_json:
        click.echo(json.dumps(report))
    else:
        show(report, "{kind} on {feature_set}", CASES, _lines(report, result), settings.model_store)


class _Cases(Protocol):
    """Labelled cases by tenant."""

    def tenants(self) -> list[str]: ...

    def cases(self, tenant: str) -> Examples: ...


@dataclass(frozen=True, slots=True)
class _Stored:
    """Those of ClickHouse, of the half year before a time (epoch milliseconds)."""

    settings: Settings
    until_ms: int

    @property
    def since_ms(self) -> int:
        return min(self.until_ms, int(datetime.now(UTC).timestamp() * 1000)) - SPAN_MS

    def tenants(self) -> list[str]:
        store = open_store(self.settings, timeout_s=QUERY_LIMIT_S)
        return ask(self.settings, lambda: tenants(store, NAME, self.since_ms))

    def cases(self, tenant: str) -> Examples:
        store = open_store(self.settings, timeout_s=QUERY_LIMIT_S)
        wanted = Wanted(NAME, tenant, LARGEST, len(FEATURES_V2), self.since_ms, self.until_ms, self.until_ms)
        return Examples.of(*ask(self.settings, lambda: labelled(store, wanted)))


@dataclass(frozen=True, slots=True)
class _Replayed:
    """Those of a file."""

    name: str
    found: Mapping[str, Cases]

    def tenants(self) -> list[str]:
        return list(self.found)

    def cases(self, tenant: str) -> Examples:
        cases = self.found.get(tenant)
        if cases is None:
            raise click.ClickException(f"{self.name} has no events of tenant {tenant}")
        rows = np.flatnonzero(cases.early != UNKNOWN)
        return Examples.of(cases.times_ms[rows], cases.vectors[rows], cases.early[rows] == 1)


def _replayed(
    events: Path,
    outcomes: Path,
    sites: Path | None,
    calendars: Path | None,
    rosters: Path | None,
    tenant: str | None,
    until_ms: int,
) -> _Cases:
    """Of all tenants, or of one."""
    refused = Refused()
    with reading() as told:
        known = files.references(sites, calendars, rosters, refused, told)
        given = [event for event in files.events(events, refused, told) if event["occurred_at"] <= until_ms]
        said = files.verdicts(outcomes, refused, told)
        tell_left_out(refused)
        mine = [event for event in given if tenant in (None, event["tenant_id"])]
        return _Replayed(str(events), files.cases(mine, known, said, until_ms, told))


def _rung(registry: Registry, result: Result, seed: int) -> ladder.Rung:
    """What is to serve the tenant: its new model, or the newest global one."""
    place = Place(NAME, EVERYONE)
    with in_words():
        version = next(reversed(registry.versions(place)), None)
        found = None if version is None else registry.load(place, version)
        shared = None if found is None else unpack(found)
    if found is None or shared is None:
        return ladder.climb(result.scorer, None, result.measured)
    until = ladder.learned_until(found.manifest.training)
    return ladder.climb(result.scorer, shared.scorer, result.measured, until, seed)


def _lines(report: Mapping[str, Any], result: Result) -> Iterator[str]:
    training, metrics = report["training"], report["metrics"]
    if result.model is None or result.rule is None:
        yield "measure    the newest cases have no frauds, or nothing else: nothing can be said of its worth"
    else:
        yield (
            f"measure    {CASES.format(**result.model)}: PR-AUC {metrics['pr_auc']:.3f} (heuristic "
            f"{metrics['heuristic_pr_auc']:.3f}), precision at 80 % recall "
            f"{metrics['precision_at_80_recall']:.0%}, HIGH {metrics['high_share']:.1%} of all"
        )
    for tenant, part in training.get("tenants", {}).items():
        yield f"of {tenant}: {CASES.format(**part)}"
    if "ladder" in training:
        serves = {ladder.OWN: "this model", ladder.SHARED: "the global model"}[training["ladder"]["serves"]]
        yield f"to serve   {serves}: {training['ladder']['why']}"
