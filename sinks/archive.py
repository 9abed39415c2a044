"""The archive of check-ins as they were scored, beside the features that were logged: what parity is checked with."""

from typing import Any

from models.fraud.artifact import NAME
from sinks.queries import as_field
from sinks.store import Store, quoted
from sinks.tables import EVENTS_ATTENDANCE

Row = dict[str, Any]

_DAY = (
    "tenant_id = {tenant:String} AND {time} >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') "
    "AND {time} < fromUnixTimestamp64Milli({until:Int64}, 'UTC')"
)
_UNTIL = "t.tenant_id = {tenant:String} AND t.occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')"
_LOGGED = (
    "SELECT event_id, control_offset, feature_set, features FROM {database}.v_predictions "
    "WHERE tenant_id = {tenant:String} AND model = {model:String} AND slot = 'champion' "
    "AND event_time < fromUnixTimestamp64Milli({until:Int64}, 'UTC')"
)


def tenants(store: Store, since: int, until: int) -> list[str]:
    """Who has check-ins of a time, epoch milliseconds. Raises Unavailable, Refused, Mismatch, as all of these do."""
    rows = store.query(
        f"SELECT DISTINCT tenant_id FROM {quoted(store.database)}.events_attendance "
        "WHERE occurred_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') "
        "AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC') ORDER BY tenant_id",
        {"since": since, "until": until},
    )
    return [row["tenant_id"] for row in rows]


def size(store: Store, tenant: str, until: int) -> int:
    """How many check-ins of a tenant there are from before a time."""
    name = quoted(store.database)
    rows = store.query(
        f"SELECT count() AS n FROM {name}.v_events_attendance AS t WHERE {_UNTIL}", {"tenant": tenant, "until": until}
    )
    return int(rows[0]["n"])


def uses(store: Store, tenant: str, until: int) -> list[Row]:
    """A tenant's check-ins that came with a device, device by device, in the order in which it learned them."""
    return store.query(
        "SELECT t.tenant_id AS tenant_id, t.device_id AS device_id, t.person_id AS person_id, "
        "toUnixTimestamp64Milli(t.occurred_at) AS occurred_at, t.source_partition AS partition, "
        f"t.source_offset AS offset FROM {quoted(store.database)}.v_events_attendance AS t "
        f"WHERE {_UNTIL} AND t.device_id IS NOT NULL ORDER BY t.device_id, t.device_offset",
        {"tenant": tenant, "until": until},
    )


def scored(store: Store, tenant: str, until: int, part: int, parts: int) -> list[Row]:
    """Check-ins of some of a tenant's people, in the order in which they were scored, each with what was logged.

    Beside the fields of attendance.enriched: `partition` and `offset` in it, and of the prediction `logged` (whether
    there is one), `control_offset`, `feature_set` and `features`.

    Args:
        part, parts: which of the people, from 0, of how many parts.
    """
    database = quoted(store.database)
    fields = ", ".join(as_field(each) for each in EVENTS_ATTENDANCE.columns if not each.field.startswith("@"))
    logged = _LOGGED.replace("{database}", database)
    rows = store.query(
        f"SELECT {fields}, t.source_partition AS partition, t.source_offset AS offset, "
        "p.event_id != '' AS logged, p.control_offset AS control_offset, p.feature_set AS feature_set, "
        f"p.features AS features FROM {database}.v_events_attendance AS t "
        f"LEFT JOIN ({logged}) AS p ON p.event_id = t.event_id "
        f"WHERE {_UNTIL} AND cityHash64(t.person_id) % {{parts:UInt32}} = {{part:UInt32}} "
        "ORDER BY t.source_partition, t.source_offset",
        {"tenant": tenant, "until": until, "model": NAME, "part": part, "parts": parts},
    )
    for row in rows:
        # The database keeps no difference between no roster and one without sites.
        if not row["own_roster"]:
            row["allowed_sites"] = None
    return rows


def unarchived(store: Store, tenant: str, since: int, until: int) -> list[Row]:
    """`event_id` and `person_id` of the champion's predictions of a time whose check-in is not in the archive."""
    database = quoted(store.database)
    of_time = _DAY.replace("{time}", "event_time")
    return store.query(
        f"SELECT p.event_id AS event_id, p.subject AS person_id FROM {database}.v_predictions AS p "
        f"WHERE p.{of_time} AND p.model = {{model:String}} AND p.slot = 'champion' AND p.event_id NOT IN "
        f"(SELECT event_id FROM {database}.events_attendance WHERE {_DAY.replace('{time}', 'occurred_at')}) "
        "ORDER BY p.event_id",
        {"tenant": tenant, "since": since, "until": until, "model": NAME},
    )
