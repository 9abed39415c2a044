"""What the random audit of cleared events has found, as the database knows it."""

from typing import NamedTuple

from models.fraud.audit import DRAWN, PROPENSITY
from sinks.store import Store, quoted


class Audited(NamedTuple):
    """Cleared events that were drawn with one probability.

    Attributes:
        propensity: that probability; 0 where there was no audit.
        cleared, drawn: how many there are, and how many of them the audit drew.
        judged, frauds: of the drawn: those with a clear verdict, and those that were frauds.
    """

    propensity: float
    cleared: int
    drawn: int
    judged: int
    frauds: int


_FROM = (
    "FROM {name}.v_predictions AS p LEFT JOIN {name}.v_labelled_predictions AS l "
    "ON l.tenant_id = p.tenant_id AND l.model = p.model AND l.event_time = p.event_time "
    "AND l.prediction_id = p.prediction_id "
    "WHERE p.model = {{model:String}} AND p.tenant_id = {{tenant:String}} AND p.slot = 'champion' "
    "AND p.event_time >= fromUnixTimestamp64Milli({{since_ms:Int64}}, 'UTC') AND p.decision {which} 'clear'"
)


def audits(store: Store, model: str, tenant: str, since_ms: int) -> list[Audited]:
    """What was cleared, by the probability with which it was drawn.

    Args:
        since_ms: event time from which on, epoch milliseconds.
    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    rows = store.query(
        f"SELECT p.detail['{PROPENSITY}'] AS propensity, toInt64(count()) AS cleared, "
        f"toInt64(countIf(mapContains(p.detail, '{DRAWN}'))) AS drawn, "
        f"toInt64(countIf(mapContains(p.detail, '{DRAWN}') AND l.label IS NOT NULL)) AS judged, "
        f"toInt64(countIf(mapContains(p.detail, '{DRAWN}') AND ifNull(l.label, false))) AS frauds "
        f"{_FROM.format(name=quoted(store.database), which='=')} GROUP BY propensity ORDER BY propensity",
        {"model": model, "tenant": tenant, "since_ms": since_ms},
    )
    return [Audited(**row) for row in rows]


def found(store: Store, model: str, tenant: str, since_ms: int) -> int:
    """Frauds, as people said, among what was not cleared. As `audits`."""
    (row,) = store.query(
        f"SELECT toInt64(countIf(ifNull(l.label, false))) AS frauds "
        f"{_FROM.format(name=quoted(store.database), which='!=')}",
        {"model": model, "tenant": tenant, "since_ms": since_ms},
    )
    frauds: int = row["frauds"]
    return frauds
