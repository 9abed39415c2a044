"""Labeling tasks, and the readings that may become some, out of the database."""

from typing import Any

from models.ocr.artifact import NAME
from models.ocr.labeling import AGAIN, PENDING
from sinks.queries import records
from sinks.store import Store, quoted
from sinks.tables import LABELING_TASKS

Row = dict[str, Any]

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
        "nullIf(o.verdict, '') AS verdict, k.first > 0 AS asked, k.again > 0 AS again, k.pending > 0 AS pending "
        f"FROM {name}.v_events_ocr AS t "
        f"INNER JOIN (SELECT event_id, probability FROM {name}.v_predictions WHERE tenant_id = {{tenant:String}} "
        f"AND model = {{model:String}} AND slot = 'champion' AND {_OF_TIME.replace('{time}', 'event_time')}) AS p "
        "ON p.event_id = t.event_id "
        "LEFT JOIN (SELECT event_id, argMax(toString(verdict), (decided_at, outcome_id)) AS verdict "
        f"FROM {name}.outcomes_ocr WHERE tenant_id = {{tenant:String}} AND event_id IN ({events}) "
        "GROUP BY event_id) AS o ON o.event_id = t.event_id "
        "LEFT JOIN (SELECT event_id, countIf(reason NOT IN {again:Array(String)}) AS first, "
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


def tasks(store: Store, where: str, **parameters: str | int) -> list[Row]:
    """Tasks as they stand, as records, the oldest reading first. `where`: SQL about columns of `t`."""
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
