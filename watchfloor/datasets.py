"""What `watchfloor dataset export` writes: labelled cases of a model, and OCR images that people have corrected."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from jobs.cases import cases
from models.classifiers import Examples
from models.conflict import artifact as conflict
from models.conflict import evaluation as conflict_evaluation
from models.conflict import features as conflict_features
from models.conflict.training import SPAN_MS as CONFLICT_SPAN_MS
from models.fraud import artifact as fraud
from models.fraud import features as fraud_features
from models.fraud.training import SPAN_MS as FRAUD_SPAN_MS
from models.ocr import artifact as ocr
from models.ocr import features as ocr_features
from models.ocr.split import SPLITS, split
from models.ocr.training import SPAN_MS as OCR_SPAN_MS
from sinks.predicted import Asked
from sinks.readings import gold
from sinks.store import Store
from sinks.tables import FIRST_MS
from streams.outcomes import TIMEOUT

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

TIME = pyarrow.timestamp("ms", tz="UTC")

OCR_IMAGES = "ocr"
"""Name of the data set for who trains the engine that reads; `ocr_trust` is that of the model that judges it."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is special about the cases of a model.

    Attributes:
        feature_sets: names of features by feature set; each begins the largest one.
        largest: the one that is logged.
        span_ms: training looks so far back.
        unadvised: whether training leaves out events on which advice was given.
        weights: how much cases count in training, (rows,), of their labels, which of them are presumed, and held out.
    """

    feature_sets: Mapping[str, tuple[str, ...]]
    largest: str
    span_ms: int
    unadvised: bool = False
    weights: Callable[[Flags, Flags, Flags], Floats] = lambda labels, presumed, held_out: np.ones(len(labels))


LABELLED: Mapping[str, Labelled] = {
    fraud.NAME: Labelled(fraud_features.FEATURE_SETS, fraud_features.LARGEST, FRAUD_SPAN_MS),
    conflict.NAME: Labelled(
        conflict_features.FEATURE_SETS,
        conflict_features.LARGEST,
        CONFLICT_SPAN_MS,
        unadvised=True,
        weights=lambda *about: conflict_evaluation.stored(*about)[1],
    ),
    ocr.NAME: Labelled(ocr_features.FEATURE_SETS, ocr_features.OCR_V1, OCR_SPAN_MS),
}
"""Models whose cases can be exported."""


@dataclass(frozen=True, slots=True)
class Range:
    """What is asked for: a tenant, first and last event time and the time of knowledge, epoch milliseconds."""

    tenant: str
    since_ms: int
    until_ms: int
    as_of_ms: int


@dataclass(slots=True)
class Dataset:
    """What is to be written.

    Attributes:
        schema: of all parts.
        parts: rows in their order, each with the event time of its last one, epoch milliseconds.
        about: what the manifest says of the rows, once all parts were taken.
    """

    schema: pyarrow.Schema
    parts: Iterator[tuple[pyarrow.Table, int]]
    about: Callable[[], dict[str, Any]]


CASE = {
    "event_id": pyarrow.string(),
    "prediction_id": pyarrow.string(),
    "subject": pyarrow.string(),
    "event_time": TIME,
    "label": pyarrow.bool_(),
    "source": pyarrow.string(),
    "decided_by": pyarrow.string(),
    "decided_at": TIME,
    "outcome_id": pyarrow.string(),
    "model_version": pyarrow.string(),
    "probability": pyarrow.float64(),
    "held_out": pyarrow.bool_(),
    "weight": pyarrow.float64(),
}
"""Columns before those of the features."""


@dataclass(slots=True)
class _Cases:
    """Takes note of the cases that pass."""

    times: list[Any] = field(default_factory=list)
    features: list[Any] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def about(self) -> dict[str, Any]:
        if not self.times:
            return {"rows": 0}
        parts = (self.times, self.features, self.labels, self.weights)
        examples = Examples.of(*(np.concatenate(part) for part in parts))
        return {
            "rows": len(examples),
            "positives": examples.positives,
            "first_ms": int(examples.times_ms[0]),
            "last_ms": int(examples.times_ms[-1]),
            "digest": examples.digest,
        }


def labelled_cases(store: Store, model: str, feature_set: str, asked: Range) -> Dataset:
    """A tenant's labelled cases of a model: label, where it comes from, and each feature by name.

    `parts` raises Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    of_model = LABELLED[model]
    names = of_model.feature_sets[feature_set]
    schema = pyarrow.schema([*CASE.items(), *((name, pyarrow.float64()) for name in names)])
    seen = _Cases()
    wanted = Asked(
        model,
        asked.tenant,
        of_model.largest,
        asked.since_ms,
        asked.until_ms,
        asked.as_of_ms,
        unadvised=of_model.unadvised,
    )

    def parts() -> Iterator[tuple[pyarrow.Table, int]]:
        for told in cases(store, wanted):
            times, vectors, labels = told.cases
            features = vectors[:, : len(names)]
            presumed = np.array([source == TIMEOUT for source in told.columns["source"]])
            weights = of_model.weights(labels, presumed, np.array(told.columns["held_out"], dtype=np.bool_))
            columns: dict[str, Any] = {**told.columns, "event_time": times, "label": labels, "weight": weights}
            columns |= {name: features[:, place] for place, name in enumerate(names)}
            seen.times.append(times)
            seen.features.append(features)
            seen.labels.append(labels)
            seen.weights.append(weights)
            yield _table(schema, columns), int(times[-1])

    return Dataset(schema, parts(), seen.about)


IMAGE = {
    "image_uri": pyarrow.string(),
    "label": pyarrow.string(),
    "split": pyarrow.string(),
    "source_type": pyarrow.string(),
    "asset_id": pyarrow.string(),
    "occurred_at": TIME,
    "read": pyarrow.string(),
    "confidence": pyarrow.float64(),
    "wrong": pyarrow.bool_(),
}
PROVENANCE = {
    "capture_id": pyarrow.string(),
    "version": pyarrow.int64(),
    "event_id": pyarrow.string(),
    "source_id": pyarrow.string(),
    "engine": pyarrow.string(),
    "engine_version": pyarrow.string(),
    "origin": pyarrow.string(),
    "outcome_id": pyarrow.string(),
    "decided_at": TIME,
    "correction_type": pyarrow.string(),
}
"""Where a label comes from; not by whom, which the outcome says."""


def ocr_images(store: Store, asked: Range) -> Dataset:
    """A tenant's images of which people said what they show: label, part of the set, and where the label comes from.

    Labels are as they are stored: what may be personal was taken out before (docs/ocr.md). `parts` raises Unavailable,
    Refused, Mismatch: the database does not answer as it should.
    """
    schema = pyarrow.schema([*IMAGE.items(), ("provenance", pyarrow.struct(list(PROVENANCE.items())))])
    rows = list[dict[str, Any]]()

    def parts() -> Iterator[tuple[pyarrow.Table, int]]:
        for each in gold(store, asked.tenant, asked.since_ms, asked.until_ms, asked.as_of_ms):
            part = split(each["tenant_id"], each["source_type"], each["asset_id"])
            told = each | {"label": each["corrected_text"], "split": part, "read": each["text"]}
            about = {name: each[name] for name in PROVENANCE}
            rows.append({name: told[name] for name in IMAGE} | {"provenance": about})
        if rows:
            columns = {name: [row[name] for row in rows] for name in schema.names}
            yield _table(schema, columns), rows[-1]["occurred_at"]

    def about() -> dict[str, Any]:
        if not rows:
            return {"rows": 0}
        return {
            "rows": len(rows),
            "wrong": sum(row["wrong"] is True for row in rows),
            "splits": {name: sum(row["split"] == name for row in rows) for name, _ in SPLITS},
            "first_ms": rows[0]["occurred_at"],
            "last_ms": rows[-1]["occurred_at"],
            "digest": sha256(repr([tuple(row.values()) for row in rows]).encode()).hexdigest(),
        }

    return Dataset(schema, parts(), about)


def first_ms(name: str, last_ms: int) -> int:
    """From when on a data set reaches to a time, where nobody says: so far back as training looks, else everything."""
    return last_ms - LABELLED[name].span_ms if name in LABELLED else FIRST_MS


def _table(schema: pyarrow.Schema, columns: Mapping[str, Sequence[Any]]) -> pyarrow.Table:
    arrays = [pyarrow.array(columns[each.name], each.type, from_pandas=True) for each in schema]
    return pyarrow.Table.from_arrays(arrays, schema=schema)
