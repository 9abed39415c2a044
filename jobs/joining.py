"""Joining outcomes that came after the stream had forgotten their event, in the database.

It makes the labels that the stream's join would have made, with the same versions, so it may run as often as one likes
and beside the stream. What has matched no event after 30 days becomes a dead letter. See docs/outcomes.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models.fraud.artifact import NAME
from schemas import topics
from sinks.store import Store, quoted
from streams.fraud_outcomes import read
from streams.outcomes import KEPT, Verdict

BATCH = 500
"""Events that are looked up at a time."""

REACH_MS = 30 * topics.DAY_MS
"""An outcome waits so long for its event. Older events are refused, so none can come any more."""

AGENT, UNMATCHED = "join-outcomes", "UnmatchedOutcome"
"""Who gives such an outcome up, and the class of its dead letter."""

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


def unmatched(
    store: Store, prefix: str, since_ms: int, until_ms: int, tenant: str | None = None
) -> Iterator[dict[str, Any]]:
    """Dead letters of outcomes of this time whose event nobody ever scored, and that have none yet.

    Args:
        prefix: of the topics.
        since_ms, until_ms, tenant: as of `late`; until at most REACH_MS ago.
    Raises:
        Unavailable, Refused, Mismatch: as `late`.
    """
    name, topic = quoted(store.database), topics.OUTCOMES_ATTENDANCE
    which = " AND tenant_id = {tenant:String}" if tenant else ""
    period = (
        "model = {model:String} AND record_time >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') "
        "AND record_time <= fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC')" + which
    )
    rows = store.query(
        "SELECT tenant_id, outcome_id, event_id, subject AS person_id, verdict, decided_by, "
        "toUnixTimestamp64Milli(decided_at) AS decided_at, reason, source_partition, source_offset, "
        f"toUnixTimestamp64Milli(record_time) AS source_timestamp FROM {name}.v_outcomes WHERE {period} "
        f"AND (tenant_id, event_id) NOT IN (SELECT tenant_id, event_id FROM {name}.predictions "
        f"WHERE model = {{model:String}} AND event_id IN (SELECT event_id FROM {name}.outcomes WHERE {period})) "
        "AND (source_partition, source_offset) NOT IN (SELECT source_partition, source_offset "
        f"FROM {name}.dead_letters WHERE source_topic = {{topic:String}}) ORDER BY source_partition, source_offset",
        {
            "model": NAME,
            "since_ms": since_ms,
            "until_ms": until_ms,
            "tenant": tenant or "",
            "topic": prefix + topic.name,
        },
    )
    for row in rows:
        place = {field: row.pop(field) for field in ("source_partition", "source_offset", "source_timestamp")}
        days = REACH_MS // topics.DAY_MS
        yield {
            "source_topic": prefix + topic.name,
            **place,
            "agent": AGENT,
            "error_class": UNMATCHED,
            "message": f"no event {row['event_id']} of {row['tenant_id']} was scored within {days} days",
            "key": topic.key_of(row),
            "value": topic.codec.encode(row),
            "headers": [],
            "tenant_id": row["tenant_id"],
        }


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
