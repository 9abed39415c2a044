"""OCR readings out of the database, for those who are told of one by its source."""

from sinks.store import Store, quoted


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
