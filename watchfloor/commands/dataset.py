"""`watchfloor dataset`: what models learn from, for a notebook."""

import json
import os
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet

from models.registry import version_at
from watchfloor.commands.alert_text import moment
from watchfloor.commands.db import QUERY_LIMIT_S, ask, open_store
from watchfloor.commands.replay import Time
from watchfloor.datasets import LABELLED, OCR_IMAGES, Dataset, Range, first_ms, labelled_cases, ocr_images
from watchfloor.event_files import progress
from watchfloor.settings import Settings

FORMAT = 2


@click.group()
def command() -> None:
    """Take out what models learn from."""


@command.command()
@click.argument("name", metavar="NAME", type=click.Choice([*LABELLED, OCR_IMAGES]))
@click.option("--tenant", required=True, help="Whose cases.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Parquet file to write.")
@click.option("--since", type=Time(), help="First event time: ISO 8601 with a zone. Without it, as training does.")
@click.option("--until", type=Time(), help="Last event time. Without it, --as-of.")
@click.option("--as-of", type=Time(), help="As it was known at this time. Without it, now.")
@click.option("--feature-set", help="Which features; without it, all. Not of ocr.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
def export(
    name: str,
    tenant: str,
    out: Path,
    since: int | None,
    until: int | None,
    as_of: int | None,
    feature_set: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a tenant's labelled cases to a Parquet file, as they were known at a time.

    NAME is a model, fraud, conflict or ocr_trust: a row is a case by event time, with ids, the label with its source
    and time, the version that scored with its probability, and each feature as it was when it scored (null where it is
    missing). Or it is ocr: a row is an image of which somebody said what it shows, for whoever trains the engine:
    image_uri, label, split and provenance, all of it without personal data, as it is stored.

    Beside it OUT.json says how many rows of which time there are, their version, and their digest: of a model's cases
    the one that `watchfloor train` reports when it learns from the same cases. The same --as-of gives the same bytes
    again, whatever has come to be known since: docs/models.md, "Datasets".

    \b
    watchfloor dataset export fraud --tenant acme --out fraud.parquet
    watchfloor dataset export ocr --tenant acme --as-of 2026-11-01T00:00:00Z --out images.parquet
    """
    about = out.with_name(f"{out.name}.json")
    if not force and (there := [each for each in (out, about) if each.exists()]):
        raise click.ClickException(f"{there[0]} exists; --force overwrites it")
    if not out.parent.is_dir():
        raise click.ClickException(f"there is no folder {out.parent}")
    features = _features(name, feature_set)
    now = int(datetime.now(UTC).timestamp() * 1000)
    known = now if as_of is None else as_of
    if known > now:
        raise click.UsageError(f"--as-of {moment(known)} is still to come")
    last = known if until is None else until
    first = first_ms(name, min(last, known)) if since is None else since
    if first > last:
        raise click.UsageError(f"--since {moment(first)} is after --until {moment(last)}")
    settings = Settings()
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    asked = Range(tenant, first, last, known)
    found = ocr_images(store, asked) if features is None else labelled_cases(store, name, features[0], asked)
    part = out.with_name(f"{out.name}.part")
    try:
        rows = ask(settings, lambda: _write(part, found, first, last))
        if not rows["rows"]:
            raise click.ClickException(
                f"there are no labelled cases of {name} of tenant {tenant} from {moment(first)} to {moment(last)} "
                f"that were known at {moment(known)}"
            )
        with part.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "dataset": name,
            "tenant": tenant,
            "version": version_at(datetime.fromtimestamp(known / 1000, UTC)),
            "as_of_ms": known,
            "since_ms": first,
            "until_ms": last,
            **({} if features is None else {"feature_set": features[0], "features": list(features[1])}),
            **rows,
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
    kind, special = ("wrong", "wrong") if features is None else ("positives", "positive")
    click.echo(f"{out}: {rows['rows']:,} cases of {name} of {tenant}, {rows[kind]:,} of them {special}")
    click.echo(f"  from {moment(rows['first_ms'])} to {moment(rows['last_ms'])}, as of {moment(known)}")
    click.echo(f"  digest {rows['digest']}; more in {about}")


def _features(name: str, feature_set: str | None) -> tuple[str, tuple[str, ...]] | None:
    """Name and features of the set that is asked for; None of a data set without. Raises BadParameter."""
    of_model = LABELLED.get(name)
    if of_model is None:
        if feature_set is not None:
            raise click.BadParameter(f"{name} has no features", param_hint="--feature-set")
        return None
    chosen = feature_set or of_model.largest
    if chosen not in of_model.feature_sets:
        raise click.BadParameter(
            f"{name} has {', '.join(of_model.feature_sets)}, not {chosen[:50]!r}", param_hint="--feature-set"
        )
    return chosen, of_model.feature_sets[chosen]


def _write(path: Path, found: Dataset, first_ms: int, last_ms: int) -> dict[str, Any]:
    """Write the rows, a row group for each part of them; what the manifest says of them. Raises OSError, and as it."""
    with progress() as tell, pyarrow.parquet.ParquetWriter(path, found.schema, compression="zstd") as writer:
        for table, reached in found.parts:
            writer.write_table(table)
            tell("cases", (reached - first_ms) / max(1, last_ms - first_ms))
    return found.about()
