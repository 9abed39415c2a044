"""`watchfloor train`: models from what is stored, published as signed versions."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from models.anomaly.forest_artifact import describe, pack
from models.anomaly.forest_trainer import LEAST, LONGEST_MS, MOST, TooFewSamples, train
from models.anomaly.history import History, together
from models.identity import TENANT
from models.registry import Manifest, Place, version_at
from producers.replay import BadLine
from producers.tables import FileError
from sinks import samples
from sinks.tables import LAST_MS
from watchfloor import sample_files
from watchfloor.commands.db import QUERY_LIMIT_S, ask, open_store
from watchfloor.commands.files import FILE
from watchfloor.commands.replay import Time
from watchfloor.commands.train_conflict import conflict
from watchfloor.commands.train_fraud import fraud
from watchfloor.commands.train_ocr import ocr_trust
from watchfloor.commands.train_text import AS_JSON, DRY_RUN, open_shelf, too_few, too_old
from watchfloor.registry import Shelf, in_words
from watchfloor.settings import Settings

SHOWN_SKIPPED = 10


@click.group()
def command() -> None:
    """Train a model and store it as a signed version.

    Versions are signed with the key that `watchfloor models keygen` makes, and never change. docs/models.md says more.
    """


command.add_command(fraud)
command.add_command(conflict)
command.add_command(ocr_trust)


def _tenant(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not TENANT.fullmatch(value):
        raise click.BadParameter(f"expected 1 to 63 of a-z, 0-9, _ and -, got {value!r}")
    return value


@command.command()
@click.option("--tenant", callback=_tenant, show_default="WATCHFLOOR_TENANT", help="Whose hosts.")
@click.option("--host", "hosts", multiple=True, help="Only this host; may be repeated.")
@click.option("--each-host", is_flag=True, help="A forest of its own for each host, instead of one for all of them.")
@click.option(
    "--file",
    type=FILE,
    help="Samples from this file (JSONL, CSV or Parquet in the fields of events.metrics) instead of ClickHouse.",
)
@click.option("--until", type=Time(), help="Leave out samples after this time: ISO 8601 with a zone.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the random splits.")
@DRY_RUN
@AS_JSON
def forest(
    tenant: str | None,
    hosts: tuple[str, ...],
    each_host: bool,
    file: Path | None,
    until: int | None,
    seed: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train the isolation forest on the newest 30 days of metric samples of a tenant.

    One forest serves the host that is named, or all hosts of the tenant, which should then be of one kind; with
    --each-host every host gets its own. Of the samples the oldest 80 % train and the newest 20 % calibrate. At least
    1,000 samples are needed; with --each-host, hosts with fewer are left out and named. Older versions than the five
    newest are named: `watchfloor models delete --old` deletes those that nothing needs.

    \b
    watchfloor train forest --tenant acme --each-host
    watchfloor train forest --tenant acme --file samples.csv --dry-run

    Exit code 3 when nothing had enough samples.
    """
    if len(hosts) > 1 and not each_host:
        raise click.UsageError(
            "several hosts need --each-host: a forest is stored for one host, or for all of a tenant"
        )
    settings = Settings()
    tenant = tenant or settings.tenant
    shelf = open_shelf(settings, dry_run)
    about = {"source": "clickhouse" if file is None else file.name}
    maker = _Maker(tenant, version_at(datetime.now(UTC)), seed, about, shelf)
    with _bar() as progress:
        task = progress.add_task("Reading samples", total=None)
        if file is not None:
            read = _from_file(file, tenant, hosts, until or LAST_MS, progress, task)
        else:
            read = _from_database(settings, tenant, hosts, each_host, until or LAST_MS, progress, task)
        # Host by host, so that only one host's samples are in memory.
        for history in read if each_host else _together(read):
            host = history.hosts[0] if each_host or hosts else ""
            progress.update(task, description=f"Training {host or tenant}")
            with in_words():
                maker.make(history, host)
    if not maker.trained and not maker.skipped:
        source = file or f"ClickHouse at {settings.clickhouse}"
        whose = f"{', '.join(hosts)} of tenant {tenant}" if hosts else f"tenant {tenant}"
        too_few(f"there are no samples of {whose} in {source}")
    if as_json:
        click.echo(json.dumps({"trained": maker.trained, "skipped": maker.skipped, "stored": not dry_run}))
    else:
        for report in maker.trained:
            _show(report)
        _show_skipped(maker.skipped)
        if maker.trained:
            where = "stored nowhere (--dry-run)" if dry_run else f"stored at {settings.model_store}"
            click.echo(f"{len(maker.trained)} trained, {where}")
    if not maker.trained:
        too_few(f"nothing was trained: a forest needs {LEAST:,} samples of 30 days")


class _Maker:
    """Trains and publishes one forest after the other.

    Attributes:
        trained: a report of each forest.
        skipped: hosts without enough samples, with the reason.
    """

    def __init__(
        self,
        tenant: str,
        version: str,
        seed: int,
        about: dict[str, Any],
        shelf: Shelf | None,
    ) -> None:
        self.trained: list[dict[str, Any]] = []
        self.skipped: list[dict[str, Any]] = []
        self._tenant, self._version, self._seed, self._about = tenant, version, seed, about
        self._shelf = shelf

    def make(self, history: History, host: str) -> None:
        """Raises StorageError, VersionExists, ArtifactRefused."""
        used = history.newest(LONGEST_MS)
        try:
            forest, training = train(used.times, used.vectors, seed=self._seed)
        except TooFewSamples as error:
            self.skipped.append({"host": host, "samples": len(used.times), "reason": str(error)})
            return
        about = self._about | {"hosts": len(used.hosts), "samples": used.found}
        manifest = describe(forest, training, self._version, self._tenant, host, about)
        older: list[str] = []
        if self._shelf is not None:
            older = self._shelf.publish(manifest, pack(forest))
        self.trained.append(_report(manifest) | {"older": older})


def _report(manifest: Manifest) -> dict[str, Any]:
    about = manifest.about()
    named = {name: about[name] for name in ("model", "tenant", "subject", "version")}
    return named | {"training": about["training"], "metrics": about["metrics"]}


def _together(histories: Iterator[History]) -> list[History]:
    found = list(histories)
    return [together(found)] if found else []


def _from_file(
    file: Path, tenant: str, hosts: Sequence[str], until_ms: int, progress: Progress, task: TaskID
) -> Iterator[History]:
    progress.update(task, total=1.0)
    try:
        yield from sample_files.histories(
            file, tenant, hosts, until_ms, lambda share: progress.update(task, completed=share)
        )
    except (FileError, BadLine) as error:
        raise click.ClickException(str(error)) from error


def _from_database(
    settings: Settings,
    tenant: str,
    hosts: Sequence[str],
    each_host: bool,
    until_ms: int,
    progress: Progress,
    task: TaskID,
) -> Iterator[History]:
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    since_ms, found = ask(settings, lambda: samples.counts(store, tenant, until_ms, LONGEST_MS, hosts))
    progress.update(task, total=len(found))
    for host, count in found.items():
        progress.update(task, description=f"Reading samples of {host}")
        # The trainer spreads MOST of them evenly; of more than twice as many some never leave the database.
        every = max(1, (count if each_host else sum(found.values())) // (2 * MOST))
        yield ask(settings, partial(samples.history, store, tenant, host, count, since_ms, until_ms, every))
        progress.advance(task)


def _show(report: dict[str, Any]) -> None:
    training, metrics = report["training"], report["metrics"]
    place = Place(report["model"], report["tenant"], report["subject"])
    click.echo(f"{place}, {report['version']}")
    used = training["trained"] + training["calibrated"]
    click.echo(f"  range     {_moment(training['first_ms'])} to {_moment(training['last_ms'])}")
    click.echo(
        f"  samples   {training['samples']:,} of {training['hosts']:,} host{'s' * (training['hosts'] != 1)}, {used:,} "
        f"used: {training['trained']:,} trained, the newest {training['calibrated']:,} calibrated"
    )
    missing = ", ".join(f"{name} {share:.1%}" for name, share in training["missing"].items() if share) or "none"
    click.echo(f"  missing   {missing}")
    click.echo(
        f"  nominal   a score of {metrics['nominal']:.3f} was reached by {training['contamination']:.0%} of what "
        f"trained, and by {metrics['nominal_p']:.1%} of what calibrated"
    )
    scores = [
        f"{p} from a score of {metrics[f'score_at_{p}']:.3f}"
        for p in ("0.05", "0.01", "0.001")
        if metrics[f"score_at_{p}"] < 1
    ]
    click.echo(f"  p-value   {', '.join(scores)}; the least is {metrics['least_p']:.2g}")
    if report["older"]:
        click.echo(f"  older     {too_old(report)}")


def _show_skipped(skipped: list[dict[str, Any]]) -> None:
    for each in skipped[:SHOWN_SKIPPED]:
        click.echo(f"left out: {each['host'] or 'the tenant'}: {each['reason']}", err=True)
    if len(skipped) > SHOWN_SKIPPED:
        click.echo(f"and {len(skipped) - SHOWN_SKIPPED} more: --json has all", err=True)


@contextmanager
def _bar() -> Iterator[Progress]:
    terminal = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        yield progress


def _moment(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
