"""Metric samples out of the database, for models that learn from them."""

from collections.abc import Sequence

import numpy as np
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from models.anomaly.history import History
from models.metrics import NAMES
from sinks.store import Store, quoted, sorted_error

_RANGE = "tenant_id = {tenant:String} AND occurred_at <= fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC')"
_SINCE = " AND occurred_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')"


def counts(
    store: Store, tenant: str, until_ms: int, span_ms: int, hosts: Sequence[str] = ()
) -> tuple[int, dict[str, int]]:
    """How many samples each host has in the span before the newest sample, by name, and where the span begins.

    Args:
        tenant: whose hosts.
        until_ms: samples after it are left out, epoch milliseconds.
        span_ms: length of the span in milliseconds.
        hosts: only these; all where none is given.
    Returns:
        The beginning of the span in epoch milliseconds (0 without samples), and the counts, ascending by name.
    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    table = f"{quoted(store.database)}.v_metric_samples"
    where = _RANGE + (" AND host IN {hosts:Array(String)}" if hosts else "")
    about = {"tenant": tenant, "until_ms": until_ms, "hosts": list(hosts)}
    # The newest is the same with rows that are there twice, so FINAL can be spared.
    newest = store.query(
        f"SELECT count() AS n, toUnixTimestamp64Milli(max(occurred_at)) AS last "
        f"FROM {quoted(store.database)}.metric_samples WHERE {where}",
        about,
    )[0]
    if not newest["n"]:
        return 0, {}
    since_ms = newest["last"] - span_ms
    rows = store.query(
        f"SELECT host, count() AS n FROM {table} WHERE {where}{_SINCE} GROUP BY host ORDER BY host",
        about | {"since_ms": since_ms},
    )
    return since_ms, {row["host"]: row["n"] for row in rows}


def history(store: Store, tenant: str, host: str, found: int, since_ms: int, until_ms: int, every: int) -> History:
    """The samples of a host.

    Args:
        found: how many it has: what `counts` returned.
        since_ms, until_ms: first and last time, epoch milliseconds.
        every: one of so many is taken, chosen by their ids: the same ones each time. 1 takes all.
    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    values = ", ".join(f"ifNull({quoted(name)}, nan)" for name in NAMES)
    statement = (
        f"SELECT toUnixTimestamp64Milli(occurred_at), {values} FROM {quoted(store.database)}.v_metric_samples "
        f"WHERE {_RANGE}{_SINCE} AND host = {{host:String}} AND cityHash64(event_id) % {{every:UInt64}} = 0 "
        "ORDER BY occurred_at, event_id"
    )
    about = {"tenant": tenant, "host": host, "since_ms": since_ms, "until_ms": until_ms, "every": every}
    client = store.client()
    try:
        columns = client.query(statement, parameters=about, column_oriented=True).result_columns
    except (ClickHouseError, HTTPError, OSError) as error:
        raise sorted_error(error) from error
    if not columns:
        return History((host,), np.empty(0, dtype=np.int64), np.empty((0, len(NAMES))), found)
    times = np.asarray(columns[0], dtype=np.int64)
    vectors = np.stack([np.asarray(column, dtype=np.float64) for column in columns[1:]], axis=1)
    return History((host,), times, vectors, found)
