"""Labelled predictions out of the database, for models that learn from them."""

from typing import NamedTuple

import numpy as np
from clickhouse_connect.driver.exceptions import ClickHouseError
from numpy.typing import NDArray
from urllib3.exceptions import HTTPError

from sinks.store import Store, quoted, sorted_error


class Labelled(NamedTuple):
    """Labelled cases by time: epoch milliseconds (rows,), features (rows, features) with NaN, and labels (rows,)."""

    times_ms: NDArray[np.int64]
    features: NDArray[np.float64]
    labels: NDArray[np.bool_]


def labelled(
    store: Store, model: str, tenant: str, feature_set: str, features: int, since_ms: int, until_ms: int
) -> Labelled:
    """The champion's predictions of a tenant whose label is known, with the features as they were when it scored.

    Args:
        feature_set, features: name of the set, and how many features it has.
        since_ms, until_ms: first and last event time, epoch milliseconds.
    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    name = quoted(store.database)
    statement = (
        "SELECT toUnixTimestamp64Milli(l.event_time) AS time, arrayMap(x -> ifNull(x, nan), p.features) AS features, "
        f"assumeNotNull(l.label) AS label FROM {name}.v_labelled_predictions AS l "
        f"JOIN {name}.v_predictions AS p USING (tenant_id, model, event_time, prediction_id) "
        "WHERE l.tenant_id = {tenant:String} AND l.model = {model:String} AND l.slot = 'champion' "
        "AND l.feature_set = {feature_set:String} AND NOT l.held_out AND l.label IS NOT NULL "
        "AND l.event_time >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') "
        "AND l.event_time <= fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC') "
        "ORDER BY l.event_time, l.event_id"
    )
    about = {
        "model": model,
        "tenant": tenant,
        "feature_set": feature_set,
        "since_ms": since_ms,
        "until_ms": until_ms,
    }
    try:
        columns = store.client().query(statement, parameters=about, column_oriented=True).result_columns
    except (ClickHouseError, HTTPError, OSError) as error:
        raise sorted_error(error) from error
    if not columns:
        return Labelled(np.empty(0, np.int64), np.empty((0, features)), np.empty(0, np.bool_))
    times, vectors, labels = columns
    return Labelled(
        np.asarray(times, dtype=np.int64),
        np.array([list(vector) for vector in vectors], dtype=np.float64).reshape(len(times), features),
        np.asarray(labels, dtype=np.bool_),
    )
