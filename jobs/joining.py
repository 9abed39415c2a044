"""Joining outcomes that came after the stream had forgotten their event, in the database.

It makes the labels that the stream's join would have made, with the same versions, so it may run as often as one likes
and beside the stream. See docs/outcomes.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models.fraud.artifact import NAME
from sinks.store import Store, quoted
from streams.fraud_outcomes import read
from streams.outcomes import KEPT, Verdict

BATCH = 500
"""Events that are looked up at a time."""

Event = tuple[str, str]
"""Tenant and event id."""


def late(store: Store, since_ms: int, until_ms: int, tenant: str | None = None) -> Iterator[dict[str, Any]]:
    """Labels of labelled.fraud that outcomes of this time call for and that are not there yet.

    Args:
        since_ms, until_ms: when the outcomes were published, epoch milliseconds.
        tenant: only this one's.
    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    newest = _newest(_outcomes(store, since_ms, until_ms, tenant))
    for whose in sorted({tenant for tenant, _ in newest}):
        events = sorted(event for owner, event in newest if owner == whose)
        for first in range(0, len(events), BATCH):
            for row in _predictions(store, whose, events[first : first + BATCH]):
                verdict = newest[whose, row["event_id"]]
                if row.pop("labelled") < verdict.decided_at:
                    yield row | verdict.about(row["event_time"])


def _newest(outcomes: Iterable[Mapping[str, Any]]) -> dict[Event, Verdict]:
    found: dict[Event, Verdict] = {}
    for one in outcomes:
        event, verdict = (one["tenant_id"], one["event_id"]), read(one)
        if event not in found or verdict.rank > found[event].rank:
            found[event] = verdict
    return found


def _outcomes(store: Store, since_ms: int, until_ms: int, tenant: str | None) -> list[dict[str, Any]]:
    which = " AND tenant_id = {tenant:String}" if tenant else ""
    return store.query(
        "SELECT tenant_id, outcome_id, event_id, verdict, decided_by, "
        f"toUnixTimestamp64Milli(decided_at) AS decided_at FROM {quoted(store.database)}.v_outcomes "
        "WHERE model = {model:String} AND record_time >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') "
        f"AND record_time <= fromUnixTimestamp64Milli({{until_ms:Int64}}, 'UTC'){which}",
        {"model": NAME, "since_ms": since_ms, "until_ms": until_ms, "tenant": tenant or ""},
    )


def _predictions(store: Store, tenant: str, events: list[str]) -> list[dict[str, Any]]:
    """The predictions of a tenant's events, with the version of their label; -1 without one."""
    name = quoted(store.database)
    return store.query(
        f"SELECT p.tenant_id AS tenant_id, p.subject AS subject, p.event_id AS event_id, {_KEPT}, "
        "if(l.event_id = '', -1, l.label_version) AS labelled "
        f"FROM {name}.v_predictions AS p LEFT JOIN {name}.v_labelled_predictions AS l "
        "ON l.tenant_id = p.tenant_id AND l.model = p.model AND l.event_time = p.event_time "
        "AND l.prediction_id = p.prediction_id "
        "WHERE p.model = {model:String} AND p.tenant_id = {tenant:String} AND p.event_id IN {events:Array(String)} "
        "ORDER BY p.event_time, p.prediction_id",
        {"model": NAME, "tenant": tenant, "events": events},
    )


def _column(field: str) -> str:
    """A field of a prediction as its label repeats it."""
    convert = {"event_time": "toUnixTimestamp64Milli", "prediction_id": "toString"}.get(field, "")
    return f"{convert}(p.{field}) AS {field}"


_KEPT = ", ".join(_column(field) for field in KEPT)
