"""Predictions out of the database as they stood at a time, for whoever joins them with what is known by then."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sinks.store import Store, quoted

STEP_MS = 7 * 86_400_000
"""Event time whose predictions are asked for at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The champion's predictions of a tenant.

    Attributes:
        feature_set: name of the set that was measured.
        since_ms, until_ms: first and last event time, epoch milliseconds.
        as_of_ms: predictions that were made later are left out.
        unadvised: without the events on which advice was given, which may have changed what came of them.
        judged: only of events that this table has an outcome of by then; None: of all.
    """

    model: str
    tenant: str
    feature_set: str
    since_ms: int
    until_ms: int
    as_of_ms: int
    unadvised: bool = False
    judged: str | None = None


COLUMNS = {
    "event_time": "toUnixTimestamp64Milli(p.event_time)",
    "features": "arrayMap(x -> ifNull(x, nan), p.features)",
    "event_id": "p.event_id",
    "prediction_id": "toString(p.prediction_id)",
    "subject": "toString(p.subject)",
    "model_version": "toString(p.model_version)",
    "probability": "p.probability",
    "held_out": "p.held_out",
    "record_time": "toUnixTimestamp64Milli(p.record_time)",
}
"""By name, times in epoch milliseconds; NaN for missing features."""


def predicted(store: Store, asked: Asked) -> Iterator[Mapping[str, Sequence[Any]]]:
    """COLUMNS of the predictions by event time and id, a week at a time.

    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    times = ("toUnixTimestamp64Milli(min(p.event_time))", "toUnixTimestamp64Milli(max(p.event_time))", "count()")
    (first,), (last,), (rows,) = _ask(store, asked, times, "tuple()", asked.since_ms, asked.until_ms)
    for since in range(first, last + 1, STEP_MS) if rows else ():
        until = min(since + STEP_MS - 1, last)
        columns = _ask(store, asked, tuple(COLUMNS.values()), "p.event_time, p.event_id", since, until)
        if columns:
            yield dict(zip(COLUMNS, columns, strict=True))


def _ask(
    store: Store, asked: Asked, fields: Sequence[str], order: str, since_ms: int, until_ms: int
) -> Sequence[Sequence[Any]]:
    """Columns of the predictions; none without rows."""
    name, known = quoted(store.database), "record_time <= fromUnixTimestamp64Milli({as_of_ms:Int64}, 'UTC')"
    of_tenant = f"tenant_id = {{tenant:String}} AND {known}"
    judged = f"AND p.event_id IN (SELECT event_id FROM {name}.{asked.judged} WHERE {of_tenant})" if asked.judged else ""
    statement = (
        f"SELECT {', '.join(f'{field} AS c{number}' for number, field in enumerate(fields))} "
        f"FROM {name}.v_predictions AS p "
        "WHERE p.tenant_id = {tenant:String} AND p.model = {model:String} AND p.slot = 'champion' "
        f"AND p.feature_set = {{feature_set:String}} {'AND p.advice IS NULL' if asked.unadvised else ''} "
        "AND p.event_time >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') "
        "AND p.event_time <= fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC') "
        f"AND p.{known} {judged} ORDER BY {order}"
    )
    parameters = {
        "model": asked.model,
        "tenant": asked.tenant,
        "feature_set": asked.feature_set,
        "since_ms": since_ms,
        "until_ms": until_ms,
        "as_of_ms": asked.as_of_ms,
    }
    return store.columns(statement, parameters)
