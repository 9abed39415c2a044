"""What commands that train share: options, the tenants that pool, publishing, and how the report is shown."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Never, Protocol

import click

from models.classifiers import Scorer, artifact
from models.registry import Manifest, version_at
from streams.serving import FLAGS
from watchfloor.commands.control import read_control
from watchfloor.event_files import Refused
from watchfloor.registry import Shelf, in_words
from watchfloor.settings import Settings

TOO_FEW = 3
"""The exit code where there is too little to learn from."""

SEED = click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of what is drawn.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Train and report, store nothing; needs no key.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")


class Result(Protocol):
    """A trained classifier of any domain."""

    @property
    def scorer(self) -> Scorer: ...

    def manifest(self, tenant: str, version: str, source: Mapping[str, Any]) -> Manifest: ...


def too_few(why: object) -> Never:
    """End the command."""
    click.echo(f"Error: {why}", err=True)
    raise SystemExit(TOO_FEW)


def open_shelf(settings: Settings, dry_run: bool) -> Shelf | None:
    """Where to publish; None in a dry run. Raises ClickException."""
    with in_words():
        return None if dry_run else Shelf.open(settings)


def pooling(settings: Settings, names: Iterable[str]) -> list[str]:
    """Those of the tenants whose labels may train the global model."""
    control, now = read_control(settings), int(datetime.now(UTC).timestamp() * 1000)
    return [name for name in names if control.get(FLAGS, name, "pool_data", now)]


def tell_left_out(refused: Refused) -> None:
    if refused.count:
        click.echo(f"{refused.count:,} lines are no records and left out: {'; '.join(refused.examples)}", err=True)


def published(result: Result, owner: str, source: Mapping[str, Any], shelf: Shelf | None) -> dict[str, Any]:
    """The report of a model, as a version of its owner's that is stored now if there is a shelf."""
    manifest = result.manifest(owner, version_at(datetime.now(UTC)), source)
    older: list[str] = []
    if shelf is not None:
        with in_words():
            older = shelf.publish(manifest, artifact.pack(result.scorer))
    about = manifest.about()
    named = {name: about[name] for name in ("model", "tenant", "version", "feature_set", "training", "metrics")}
    return named | {"older": older, "stored": shelf is not None}


def too_old(report: Mapping[str, Any]) -> str:
    """Of which versions are beyond the five newest, in words."""
    return f"{', '.join(report['older'])}: `watchfloor models delete --old` deletes what nothing needs any more"


def show(report: Mapping[str, Any], what: str, cases: str, lines: Iterable[str], store: str) -> None:
    """The report for people.

    Args:
        what: a format of what was trained, of its `kind` and `feature_set`.
        cases: a format of what it learned from, of `rows` and `positives`.
        lines: what the domain has to say, between what was learned from and where it is stored.
        store: where versions are stored.
    """
    training = report["training"]
    trained = what.format(kind=training["kind"], feature_set=report["feature_set"])
    click.echo(f"{report['model']} of {report['tenant']}, {report['version']}: {trained}")
    for name in ("train", "calibrate"):
        click.echo(f"  {name:<10} {cases.format(**training[name])}")
    if training["uncalibrated"]:
        click.echo(f"  without intervals: {training['uncalibrated']}")
    for line in lines:
        click.echo(f"  {line}")
    if report["older"]:
        click.echo(f"  older      {too_old(report)}")
    click.echo(f"stored at {store}" if report["stored"] else "stored nowhere (--dry-run)")
