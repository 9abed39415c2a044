"""Labeling tasks, and the readings that may become some, out of the database."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.ocr.artifact import NAME
from models.ocr.features import NAMES, OCR_V1
from models.ocr.labeling import AGAIN, PENDING, RANDOM
from models.ocr.prevalence import Week
from models.readings import RIGHT, WRONG
from schemas.topics import DAY_MS
from sinks.queries import records
from sinks.store import Store, quoted
from sinks.tables import LABELING_TASKS

Row = dict[str, Any]

SPAN_MS = 7 * DAY_MS
"""A batch asks for readings of the week before its day: they can be corrected for another week."""

_OF_TIME = (
    "{time} >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') "
    "AND {time} < fromUnixTimestamp64Milli({until:Int64}, 'UTC')"
)
_READINGS = _OF_TIME.replace("{time}", "occurred_at")


def tenants(store: Store, since: int, until: int) -> list[str]:
    """Who has readings of a time, epoch milliseconds. Raises Unavailable, Refused, Mismatch, as all of these do."""
    rows = store.query(
        f"SELECT DISTINCT toString(tenant_id) AS tenant FROM {quoted(store.database)}.events_ocr "
        f"WHERE {_READINGS} ORDER BY tenant",
        {"since": since, "until": until},
    )
    return [row["tenant"] for row in rows]


def candidates(store: Store, tenant: str, since: int, until: int) -> list[Row]:
    """A tenant's scored readings of a time, with the fields of models.ocr.selection.Candidate."""
    name = quoted(store.database)
    events = f"SELECT event_id FROM {name}.events_ocr WHERE tenant_id = {{tenant:String}} AND {_READINGS}"
    return store.query(
        "SELECT t.event_id AS event_id, toString(t.source_type) AS source_type, t.asset_id AS asset_id, "
        "t.source_id AS source_id, toUnixTimestamp64Milli(t.occurred_at) AS occurred_at, t.image_uri AS image_uri, "
        "t.text AS text, toString(t.engine) AS engine, toString(t.engine_version) AS engine_version, "
        "t.confidence AS confidence, p.probability AS probability, "
        "nullIf(o.said, '') AS verdict, k.looks > 0 AS asked, k.again > 0 AS again, k.pending > 0 AS pending "
        f"FROM {name}.v_events_ocr AS t "
        f"INNER JOIN (SELECT event_id, probability FROM {name}.v_predictions WHERE tenant_id = {{tenant:String}} "
        f"AND model = {{model:String}} AND slot = 'champion' AND {_OF_TIME.replace('{time}', 'event_time')}) AS p "
        "ON p.event_id = t.event_id "
        "LEFT JOIN (SELECT event_id, argMax(toString(verdict), (decided_at, outcome_id)) AS said "
        f"FROM {name}.outcomes_ocr WHERE tenant_id = {{tenant:String}} AND event_id IN ({events}) "
        "GROUP BY event_id) AS o ON o.event_id = t.event_id "
        "LEFT JOIN (SELECT event_id, countIf(reason NOT IN {again:Array(String)}) AS looks, "
        "countIf(reason IN {again:Array(String)}) AS again, countIf(state IN {pending:Array(String)}) AS pending "
        f"FROM {name}.v_labeling_tasks WHERE tenant_id = {{tenant:String}} AND {_READINGS} GROUP BY event_id) AS k "
        "ON k.event_id = t.event_id "
        f"WHERE t.tenant_id = {{tenant:String}} AND {_OF_TIME.replace('{time}', 't.occurred_at')} ORDER BY t.event_id",
        {
            "tenant": tenant,
            "model": NAME,
            "since": since,
            "until": until,
            "again": list(AGAIN),
            "pending": list(PENDING),
        },
    )


def counted(store: Store, tenant: str, batch: str) -> dict[str, int]:
    """How many tasks of a batch there are, by reason."""
    rows = store.query(
        f"SELECT toString(reason) AS why, toInt64(count()) AS tasks FROM {quoted(store.database)}.v_labeling_tasks "
        "WHERE tenant_id = {tenant:String} AND batch = {batch:String} GROUP BY why",
        {"tenant": tenant, "batch": batch},
    )
    return {row["why"]: row["tasks"] for row in rows}


def tasks(store: Store, tenant: str | None = None, start: str = "") -> list[Row]:
    """Tasks as they stand, as records, the oldest reading first.

    Args:
        tenant: only this one's.
        start: only those whose id begins so.
    """
    return _tasks(store, "true", tenant=tenant or "", start=start)


def waiting(store: Store, tenant: str | None, since: int, by: str | None = None) -> list[Row]:
    """Tasks that are not done, as `tasks`.

    Args:
        since: only readings after that, epoch milliseconds.
        by: without the readings that this person judged.
    """
    return _tasks(
        store,
        "t.state IN {pending:Array(String)} AND t.occurred_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC') "
        "AND ({by:String} = '' OR (t.tenant_id, t.event_id) NOT IN (SELECT tenant_id, event_id "
        f"FROM {quoted(store.database)}.outcomes_ocr WHERE decided_by = {{by:String}}))",
        tenant=tenant or "",
        start="",
        pending=list(PENDING),
        since=since,
        by=by or "",
    )


def _tasks(store: Store, which: str, **parameters: Any) -> list[Row]:
    where = (
        "startsWith(toString(t.task_id), {start:String}) AND ({tenant:String} = '' OR t.tenant_id = {tenant:String}) "
        f"AND {which}"
    )
    return records(store, LABELING_TASKS, where, "t.occurred_at, t.task_id", **parameters)


def pairs(store: Store, tenant: str | None, since: int) -> list[Row]:
    """What two looks at one reading said: tenant_id, first_verdict, second_verdict, first_by, second_by.

    Args:
        since: when the second one was taken, epoch milliseconds.
    """
    return store.query(
        "SELECT toString(tenant_id) AS tenant_id, toString(first_verdict) AS first_verdict, "
        "toString(second_verdict) AS second_verdict, toString(first_by) AS first_by, toString(second_by) AS second_by "
        f"FROM {quoted(store.database)}.v_label_pairs "
        "WHERE second_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') "
        "AND ({tenant:String} = '' OR tenant_id = {tenant:String}) ORDER BY tenant_id, second_at",
        {"tenant": tenant or "", "since": since},
    )


def weeks(store: Store, tenant: str, since: int, until: int) -> list[Week]:
    """What is known of the readings that a tenant's batches were drawn from: those of days in a time.

    What people said until the day of a batch counts as judged before it.
    """
    name = quoted(store.database)
    judged = "said IN ({right:String}, {wrong:String})"
    said = (
        "(SELECT event_id, argMax(toString(verdict), (decided_at, outcome_id)) AS said, min(decided_at) AS first_at "
        f"FROM {name}.outcomes_ocr WHERE tenant_id = {{tenant:String}} GROUP BY event_id)"
    )
    verdicts = {"tenant": tenant, "right": RIGHT, "wrong": WRONG}
    found = []
    for batch in store.query(
        "SELECT assumeNotNull(t.batch) AS day, toFloat64(sum(1 / t.propensity)) AS rest, "
        f"toInt64(countIf(o.{judged})) AS drawn, toInt64(countIf(o.said = {{wrong:String}})) AS drawn_wrong "
        f"FROM {name}.v_labeling_tasks AS t LEFT JOIN {said} AS o ON o.event_id = t.event_id "
        "WHERE t.tenant_id = {tenant:String} AND t.reason = {random:String} AND t.batch IS NOT NULL "
        "AND t.propensity > 0 GROUP BY day ORDER BY day",
        verdicts | {"random": RANDOM},
    ):
        day = round(datetime.fromisoformat(batch["day"]).replace(tzinfo=UTC).timestamp() * 1000)
        if not since <= day <= until:
            continue
        (before,) = store.query(
            "SELECT toInt64(count()) AS judged, toInt64(countIf(o.said = {wrong:String})) AS wrong "
            f"FROM {name}.v_events_ocr AS t INNER JOIN {said} AS o ON o.event_id = t.event_id "
            f"WHERE t.tenant_id = {{tenant:String}} AND {_OF_TIME.replace('{time}', 't.occurred_at')} AND o.{judged} "
            "AND o.first_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')",
            verdicts | {"since": day - SPAN_MS, "until": day},
        )
        found.append(Week(**before, rest=batch["rest"], drawn=batch["drawn"], drawn_wrong=batch["drawn_wrong"]))
    return found


def newest(store: Store, tenant: str, until: int, most: int) -> NDArray[np.float64]:
    """Features of a tenant's newest readings until a time, judged or not: (rows, features), NaN for missing ones."""
    rows = store.query(
        f"SELECT arrayMap(x -> ifNull(x, nan), features) AS vector FROM {quoted(store.database)}.v_predictions "
        "WHERE tenant_id = {tenant:String} AND model = {model:String} AND slot = 'champion' "
        "AND feature_set = {feature_set:String} AND event_time <= fromUnixTimestamp64Milli({until:Int64}, 'UTC') "
        f"ORDER BY event_time DESC, event_id LIMIT {most:d}",
        {"tenant": tenant, "model": NAME, "feature_set": OCR_V1, "until": until},
    )
    return np.array([row["vector"] for row in rows], dtype=np.float64).reshape(-1, len(NAMES))
