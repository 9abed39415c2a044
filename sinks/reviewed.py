"""Reviewed predictions that would have been tickets: what certificates are made of."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.decisions import Policy
from sinks.store import Store, quoted


class Reviewed(NamedTuple):
    """Cases whose label is known: p0 (rows,) and whether it was a fraud (rows,)."""

    low: NDArray[np.float64]
    frauds: NDArray[np.bool_]


def reviewed(
    store: Store, model: str, tenant: str, version: str, calibration: str, policy: Policy, since_ms: int
) -> Reviewed:
    """Those of one version and calibration that meet the policy's conditions of a ticket, whatever became of them.

    Args:
        since_ms: event time from which on, epoch milliseconds.
    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    rows: list[dict[str, Any]] = store.query(
        "SELECT assumeNotNull(interval_low) AS low, toUInt8(assumeNotNull(label)) AS fraud "
        f"FROM {quoted(store.database)}.v_labelled_predictions WHERE tenant_id = {{tenant:String}} "
        "AND model = {model:String} AND model_version = {version:String} "
        "AND calibration_version = {calibration:String} AND slot = 'champion' "
        "AND label IS NOT NULL AND source != 'timeout' "
        "AND event_time >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') "
        "AND interval_low >= {act:Float64} AND interval_high - interval_low < {narrow:Float64} ORDER BY event_id",
        {
            "tenant": tenant,
            "model": model,
            "version": version,
            "calibration": calibration,
            "since_ms": since_ms,
            "act": policy.act,
            "narrow": policy.narrow,
        },
    )
    low = np.array([row["low"] for row in rows], dtype=np.float64)
    return Reviewed(low, np.array([row["fraud"] for row in rows], dtype=np.bool_))
