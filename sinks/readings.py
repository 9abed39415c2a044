"""OCR readings out of the database: whose one is that is named by its source, and those that people corrected."""

from typing import Any

from sinks.queries import as_field
from sinks.store import Store, quoted
from sinks.tables import OCR_CAPTURE_EVENTS


def owners(store: Store, source_type: str, source_id: str) -> list[tuple[str, str]]:
    """Tenant and asset of every reading of a source_type and source_id, of all tenants, the newest first.

    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    rows = store.query(
        f"SELECT tenant_id, asset_id, max(occurred_at) AS newest FROM {quoted(store.database)}.v_events_ocr "
        "WHERE source_type = {source_type:String} AND source_id = {source_id:String} "
        "GROUP BY tenant_id, asset_id ORDER BY newest DESC, tenant_id, asset_id",
        {"source_type": source_type, "source_id": source_id},
    )
    return [(row["tenant_id"], row["asset_id"]) for row in rows]


def gold(store: Store, tenant: str, since_ms: int, until_ms: int, as_of_ms: int) -> list[dict[str, Any]]:
    """A tenant's captures of which people had said by a time what they show: each as it stood then, by time and id.

    Args:
        since_ms, until_ms: when the images were taken, epoch milliseconds.
        as_of_ms: what was published later is left out.
    Raises:
        Unavailable, Refused, Mismatch: as `owners`.
    """
    fields = ", ".join(as_field(column) for column in OCR_CAPTURE_EVENTS.columns if not column.field.startswith("@"))
    name = quoted(store.database)
    return store.query(
        # Of two corrections of the same moment the later record holds, as in the stream.
        f"SELECT {fields} FROM (SELECT * FROM {name}.v_ocr_capture_events WHERE tenant_id = {{tenant:String}} "
        "AND occurred_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') "
        "AND occurred_at <= fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC') "
        "AND record_time <= fromUnixTimestamp64Milli({as_of_ms:Int64}, 'UTC') "
        "ORDER BY version DESC, source_offset DESC LIMIT 1 BY capture_id) AS t "
        "WHERE t.corrected_text IS NOT NULL ORDER BY t.occurred_at, t.capture_id",
        {"tenant": tenant, "since_ms": since_ms, "until_ms": until_ms, "as_of_ms": as_of_ms},
    )
