"""`watchfloor calibrate`: newer labels for a model that stays as it is."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from models.calibration import ARRAYS, Calibration, TooFewCases, calibrate, pack
from models.classifiers import Examples
from models.classifiers.artifact import describe_calibration
from models.classifiers.examples import DAY_MS
from models.evaluation.measures import brier
from models.fraud.artifact import CALIBRATION, NAME, FraudModel, unpack
from models.fraud.features import FEATURES_V2, LARGEST
from models.fraud.ladder import raw
from models.registry import EVERYONE, Manifest, Place, Registry, version_at
from sinks.labelled import Wanted, labelled
from sinks.tables import LAST_MS
from watchfloor.commands.alerts import Since
from watchfloor.commands.db import QUERY_LIMIT_S, ask, open_store
from watchfloor.commands.files import FILE
from watchfloor.commands.train_text import AS_JSON, too_few
from watchfloor.registry import Shelf, in_words, open_registry
from watchfloor.serving_now import serving_now
from watchfloor.settings import Settings

LABELS = {"1": 1, "0": 0, "true": 1, "false": 0, "fraud": 1, "genuine": 0}


@click.group()
def command() -> None:
    """Calibrate what serves on newer labels, as a version of its own."""


@command.command()
@click.option("--tenant", required=True, help="Whose calibration.")
@click.option("--version", help="Of this version of the model instead of the one that serves the tenant.")
@click.option("--from", "owner", metavar="TENANT", help="Whose that version is: the tenant's own, or * for all's.")
@click.option("--since", type=Since(), default="90d", show_default=True, help="On cases since then: 30d, or a time.")
@click.option(
    "--csv",
    "file",
    type=FILE,
    help="On the lines of a file instead: score (the model's own, 0 to 1), label (fraud or genuine, 1 or 0), and "
    "maybe segment.",
)
@click.option("--segment", help="Of the file, only the lines of this segment.")
@click.option("--dry-run", is_flag=True, help="Calibrate and report, store nothing; needs no signing key.")
@AS_JSON
def fraud(
    tenant: str,
    version: str | None,
    owner: str | None,
    since: int,
    file: Path | None,
    segment: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Calibrate a model of fraud: intervals, label sets and cuts of the risk, on the newest labels.

    From ClickHouse it takes labelled cases, with the features as they were, that are at least a day later than those
    that the model learned from. `watchfloor models activate fraud_calibration --tenant ...` lets the calibration
    serve: workers then score with it as long as this very version of the model serves. A certificate of the tenant's
    covers nothing of it before `watchfloor certify fraud`.

    Exit code 3 when there are fewer than 100 cases, or than 10 of a label.
    """
    if owner is not None and version is None:
        raise click.UsageError("--from goes with --version")
    if segment is not None and file is None:
        raise click.UsageError("--segment goes with --csv")
    settings = Settings()
    with in_words():
        shelf = None if dry_run else Shelf.open(settings)
        registry = open_registry(settings) if shelf is None else shelf.registry
    manifest, model = _model(settings, registry, tenant, version, owner)
    if file is None:
        source: dict[str, Any] = {"source": "clickhouse"}
        cases = _cases(settings, tenant, manifest, since)
        scores, labels = raw(model.scorer, cases.features), cases.labels
        source |= {"first_ms": int(cases.times_ms[0]), "last_ms": int(cases.times_ms[-1])} if len(cases) else {}
    else:
        source = {"source": file.name, "segment": segment}
        scores, labels = _read(file, segment)
    try:
        made = calibrate(scores, labels)
    except TooFewCases as error:
        too_few(error)
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from error
    about = describe_calibration(made, manifest, tenant, version_at(datetime.now(UTC)), source)
    older: list[str] = []
    if shelf is not None:
        with in_words():
            older = shelf.publish(about, {ARRAYS: pack(made)})
    told = {
        "tenant": tenant,
        "version": about.version,
        "calibrates": {"model": str(manifest.place), "version": manifest.version},
        "rows": made.rows,
        "frauds": made.ones,
        "cuts": {"MEDIUM": made.cuts.medium, "HIGH": made.cuts.high, "CRITICAL": made.cuts.critical},
        "brier": {"raw": brier(labels, scores), "trained": _trained(model, scores, labels)},
        "older": older,
        "stored": not dry_run,
    }
    click.echo(json.dumps(told) if as_json else _text(told, made, manifest))


def _model(
    settings: Settings, registry: Registry, tenant: str, version: str | None, owner: str | None
) -> tuple[Manifest, FraudModel]:
    """The version that is to be calibrated."""
    if version is None:
        served = serving_now(settings, registry, tenant)
        place, version = served.place, served.version
        assert place is not None, "a model that serves has a place"
    else:
        if owner not in (None, tenant, EVERYONE):
            raise click.BadParameter(f"{tenant} can use its own versions and those of *", param_hint="--from")
        place = Place(NAME, owner or tenant)
    with in_words():
        found = registry.load(place, version)
        return found.manifest, unpack(found)


def _cases(settings: Settings, tenant: str, manifest: Manifest, since: int) -> Examples:
    """Labelled cases that the classifier did not learn from. Those that calibrated it are no worse for this."""
    learned = manifest.training["train"]["last_ms"]
    wanted = Wanted(NAME, tenant, LARGEST, len(FEATURES_V2), max(since, learned + DAY_MS), LAST_MS, LAST_MS)
    store = open_store(settings, timeout_s=QUERY_LIMIT_S)
    return Examples.of(*ask(settings, lambda: labelled(store, wanted)))


def _read(file: Path, segment: str | None) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, Any]]:
    """Scores and labels of a CSV file."""
    scores, labels = [], []
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            wanted = {"score", "label", *(["segment"] if segment is not None else [])}
            if missing := wanted - set(reader.fieldnames or ()):
                raise click.ClickException(f"{file} has no column {min(missing)}")
            for number, line in enumerate(reader, 2):
                if segment is not None and line["segment"] != segment:
                    continue
                try:
                    scores.append(float(line["score"]))
                    labels.append(LABELS[(line["label"] or "").strip().lower()])
                except (TypeError, ValueError, KeyError) as error:
                    raise click.ClickException(
                        f"{file}, line {number}: expected a score from 0 to 1 and a label fraud or genuine, 1 or 0, "
                        f"got {line['score']!r} and {line['label']!r}"
                    ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise click.ClickException(f"{file} cannot be read: {error}") from error
    return np.array(scores, dtype=np.float64), np.array(labels, dtype=np.int8) == 1


def _trained(model: FraudModel, scores: Any, labels: Any) -> float | None:
    """The Brier score on these cases of the calibration that the model was trained with."""
    calibration = model.scorer.calibration
    if calibration is None:
        return None
    interval = calibration.venn_abers.interval(scores)
    return brier(labels, interval.high / (1.0 - interval.low + interval.high))


def _text(told: dict[str, Any], made: Calibration, manifest: Manifest) -> str:
    before = told["brier"]
    was = "" if before["trained"] is None else f", {before['trained']:.5f} as the model was calibrated when trained"
    end = f"watchfloor models activate {CALIBRATION} --tenant {told['tenant']} --reason ... lets it serve"
    return (
        f"calibration {told['version']} of {manifest.place}, {manifest.version}, for {told['tenant']}\n"
        f"  {made.rows:,} cases, {made.ones:,} frauds; Brier score of them {before['raw']:.5f} without one{was}\n"
        f"  cuts: {', '.join(f'{name} from {cut:.4g}' for name, cut in told['cuts'].items())}\n"
        + (end if told["stored"] else "stored nowhere (--dry-run)")
    )
