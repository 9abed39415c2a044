"""Labelled predictions out of the database, for models that learn from them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sinks.store import Store, quoted


class Labelled(NamedTuple):
    """Labelled cases by time: epoch milliseconds (rows,), features (rows, features) with NaN, and labels (rows,)."""

    times_ms: NDArray[np.int64]
    features: NDArray[np.float64]
    labels: NDArray[np.bool_]


class Told(NamedTuple):
    """Labelled cases with what else is known of them: columns by name, times in epoch milliseconds."""

    cases: Labelled
    columns: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The champion's predictions of a tenant whose label is known.

    Attributes:
        feature_set, features: name of the set, and how many features it has.
        since_ms, until_ms: first and last event time, epoch milliseconds.
        known_ms: labels given later are left out. Of a label that took the place of an older one nothing is left then.
        unadvised: without the events on which advice was given, which may have changed what came of them.
    """

    model: str
    tenant: str
    feature_set: str
    features: int
    since_ms: int
    until_ms: int
    known_ms: int
    unadvised: bool = False


STEP_MS = 7 * 86_400_000
"""Time whose cases are asked for at once, where they are told one after the other."""

_CASE = (
    "toUnixTimestamp64Milli(l.event_time)",
    "arrayMap(x -> ifNull(x, nan), p.features)",
    "assumeNotNull(l.label)",
)
_TOLD = {
    "event_id": "l.event_id",
    "prediction_id": "toString(l.prediction_id)",
    "subject": "toString(l.subject)",
    "source": "toString(l.source)",
    "decided_by": "l.decided_by",
    "decided_at": "toUnixTimestamp64Milli(l.decided_at)",
    "model_version": "toString(l.model_version)",
    "probability": "l.probability",
    "held_out": "l.held_out",
}


def labelled(store: Store, wanted: Wanted) -> Labelled:
    """Cases with the features as they were when they were scored, and the newest labels.

    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    return _cases(_ask(store, wanted, _CASE, "l.event_time, l.event_id"), wanted)


def tenants(store: Store, model: str, since_ms: int) -> list[str]:
    """The tenants that have labelled cases since an event time, epoch milliseconds. Raises as `labelled`."""
    rows = store.query(
        f"SELECT DISTINCT toString(tenant_id) AS tenant FROM {quoted(store.database)}.labelled_predictions "
        "WHERE model = {model:String} AND event_time >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') "
        "ORDER BY tenant",
        {"model": model, "since_ms": since_ms},
    )
    return [row["tenant"] for row in rows]


def told(store: Store, wanted: Wanted) -> Iterator[Told]:
    """The cases of `labelled`, a week at a time, with what else is known of them. Raises as `labelled`."""
    for since in range(wanted.since_ms, wanted.until_ms + 1, STEP_MS):
        some = replace(wanted, since_ms=since, until_ms=min(since + STEP_MS - 1, wanted.until_ms))
        columns = _ask(store, some, (*_CASE, *_TOLD.values()), "l.event_time, l.event_id")
        if columns:
            yield Told(_cases(columns[:3], some), dict(zip(_TOLD, columns[3:], strict=True)))


def _ask(store: Store, wanted: Wanted, fields: Sequence[str], order: str) -> list[Any]:
    """Columns of the joined rows; none without rows."""
    name = quoted(store.database)
    unadvised = " AND p.advice IS NULL" if wanted.unadvised else ""
    statement = (
        f"SELECT {', '.join(f'{field} AS c{number}' for number, field in enumerate(fields))} "
        f"FROM {name}.v_labelled_predictions AS l "
        f"JOIN {name}.v_predictions AS p USING (tenant_id, model, event_time, prediction_id) "
        "WHERE l.tenant_id = {tenant:String} AND l.model = {model:String} AND l.slot = 'champion' "
        f"AND l.feature_set = {{feature_set:String}}{unadvised} AND l.label IS NOT NULL "
        "AND l.event_time >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') "
        "AND l.event_time <= fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC') "
        "AND l.decided_at <= fromUnixTimestamp64Milli({known_ms:Int64}, 'UTC') "
        f"ORDER BY {order}"
    )
    return store.columns(statement, asdict(wanted))


def _cases(columns: Sequence[Any], wanted: Wanted) -> Labelled:
    if not columns:
        return Labelled(np.empty(0, np.int64), np.empty((0, wanted.features)), np.empty(0, np.bool_))
    times, vectors, labels = columns
    return Labelled(
        np.asarray(times, dtype=np.int64),
        np.array([list(vector) for vector in vectors], dtype=np.float64).reshape(len(times), wanted.features),
        np.asarray(labels, dtype=np.bool_),
    )
