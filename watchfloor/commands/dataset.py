"""`watchfloor dataset`: what models learn from, for a notebook."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow
import pyarrow.parquet

from models.classifiers import Examples
from models.fraud.artifact import NAME
from models.fraud.features import FEATURE_SETS, FEATURES_V2, LARGEST
from models.fraud.training import SPAN_MS
from sinks.labelled import Labelled, Told, Wanted, counted, told
from sinks.store import Store
from sinks.tables import LAST_MS
from watchfloor.commands.alert_text import moment
from watchfloor.commands.db import ask, open_store
from watchfloor.commands.replay import Time
from watchfloor.event_files import progress
from watchfloor.settings import Settings

FORMAT = 1
QUERY_LIMIT_S = 600.0
TIME = pyarrow.timestamp("ms", tz="UTC")
ABOUT = {
    "event_id": pyarrow.string(),
    "prediction_id": pyarrow.string(),
    "subject": pyarrow.string(),
    "event_time": TIME,
    "label": pyarrow.bool_(),
    "source": pyarrow.string(),
    "decided_by": pyarrow.string(),
    "decided_at": TIME,
    "model_version": pyarrow.string(),
    "probability": pyarrow.float64(),
}
"""Columns before those of the features."""


@click.group()
def command() -> None:
    """Take out what models learn from."""


@command.command()
@click.argument("model", type=click.Choice([NAME]))
@click.option("--tenant", required=True, help="Whose cases.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Parquet file to write.")
@click.option("--since", type=Time(), help="First event time: ISO 8601 with a zone. Without it, half a year before.")
@click.option("--until", type=Time(), help="Last event time. Without it, the newest.")
@click.option(
    "--feature-set", type=click.Choice(list(FEATURE_SETS)), default=LARGEST, show_default=True, help="Which features."
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
def export(
    model: str,
    tenant: str,
    out: Path,
    since: int | None,
    until: int | None,
    feature_set: str,
    force: bool,
    as_json: bool,
) -> None:
    """Write a tenant's labelled cases of MODEL to a Parquet file, as training would see them now.

    A row is a case, by event time: ids, subject, label with its source and time, the version that scored with its
    probability, and each feature by name as it was when it scored (null where it is missing). Beside it OUT.json says
    how many rows of which time there are, and their digest: the one that `watchfloor train` reports when it learns
    from the same cases.

    \b
    watchfloor dataset export fraud --tenant acme --out fraud.parquet
    """
    about = out.with_name(f"{out.name}.json")
    if not force and (there := [each for each in (out, about) if each.exists()]):
        raise click.ClickException(f"{there[0]} exists; --force overwrites it")
    if not out.parent.is_dir():
        raise click.ClickException(f"there is no folder {out.parent}")
    settings = Settings()
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    now = int(datetime.now(UTC).timestamp() * 1000)
    last = LAST_MS if until is None else until
    first = min(last, now) - SPAN_MS if since is None else since
    if first > last:
        raise click.UsageError(f"--since {moment(first)} is after --until {moment(last)}")
    wanted = Wanted(model, tenant, LARGEST, len(FEATURES_V2), first, last, LAST_MS)
    rows, oldest, newest = ask(settings, lambda: counted(store, wanted))
    if not rows:
        to = "on" if until is None else f"to {moment(until)}"
        raise click.ClickException(
            f"there are no labelled cases of {model} of tenant {tenant} from {moment(first)} {to}"
        )
    names = FEATURE_SETS[feature_set]
    found = _found(store, replace(wanted, since_ms=oldest, until_ms=newest), rows)
    part = out.with_name(f"{out.name}.part")
    try:
        examples = ask(settings, lambda: _write(part, found, names))
        with part.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "model": model,
            "tenant": tenant,
            "feature_set": feature_set,
            "features": list(names),
            "rows": len(examples),
            "positives": examples.positives,
            "since_ms": first,
            "until_ms": until,
            "first_ms": oldest,
            "last_ms": newest,
            "queried_ms": now,
            "digest": examples.digest,
            "file": {"name": out.name, "bytes": part.stat().st_size, "sha256": digest},
        }
        about.unlink(missing_ok=True)
        os.replace(part, out)
        about.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    if as_json:
        click.echo(json.dumps(manifest))
        return
    click.echo(f"{out}: {len(examples):,} cases of {model} of {tenant}, {examples.positives:,} of them positive")
    click.echo(f"  from {moment(oldest)} to {moment(newest)}, {feature_set}")
    click.echo(f"  digest {examples.digest}; more in {about}")


def _found(store: Store, wanted: Wanted, rows: int) -> Iterator[Told]:
    done = 0
    with progress() as tell:
        for some in told(store, wanted):
            done += len(some.cases.times_ms)
            tell("cases", min(1.0, done / rows))
            yield some


def _write(path: Path, found: Iterator[Told], names: Sequence[str]) -> Examples:
    """Write the cases, a row group for each part of them, and return them. Raises OSError, and as `told`."""
    schema = pyarrow.schema([*ABOUT.items(), *((name, pyarrow.float64()) for name in names)])
    parts = [Labelled(np.empty(0, np.int64), np.empty((0, len(names))), np.empty(0, np.bool_))]
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for some in found:
            times, features, labels = some.cases
            columns: dict[str, Any] = {**some.columns, "event_time": times, "label": labels}
            columns |= {name: features[:, place] for place, name in enumerate(names)}
            arrays = [pyarrow.array(columns[field.name], field.type, from_pandas=True) for field in schema]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            parts.append(Labelled(times, features[:, : len(names)], labels))
    times, features, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Examples.of(times, features, labels)
