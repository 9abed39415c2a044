"""Joining outcomes that came after the stream had forgotten their event, in the database.

It makes the labels that the stream's join would have made, with the same versions, so it may run as often as one likes
and beside the stream. What has matched no event after 30 days becomes a dead letter. See docs/outcomes.md.
"""

from collections.abc import Iterator
from typing import Any

from models.conflict import artifact as conflict
from models.fraud import artifact as fraud
from models.ocr import artifact as ocr
from schemas import topics
from sinks.queries import as_field
from sinks.store import Store, quoted
from sinks.tables import OFFSET, PARTITION, ROUTES, TIMESTAMP, Table
from streams import fraud_outcomes, ocr_outcomes, sync_outcomes
from streams.outcomes import KEPT, Join, Verdict

JOINS: dict[str, Join] = {
    fraud.NAME: fraud_outcomes.JOIN,
    conflict.NAME: sync_outcomes.JOIN,
    ocr.NAME: ocr_outcomes.JOIN,
}
"""What the stream joins, by model."""

BATCH = 500
"""Events that are looked up at a time."""

REACH_MS = 30 * topics.DAY_MS
"""An outcome waits so long for its event. Older events are refused, so none can come any more."""

AGENT, UNMATCHED = "join-outcomes", "UnmatchedOutcome"
"""Who gives such an outcome up, and the class of its dead letter."""

Event = tuple[bytes, str]
"""Key, which names tenant and subject, and event id."""


def late(store: Store, model: str, since_ms: int, until_ms: int, tenant: str | None = None) -> Iterator[dict[str, Any]]:
    """Labels of a model's predictions that outcomes of this time call for and that are not there yet.

    Args:
        model: of JOINS.
        since_ms, until_ms: when the outcomes were published, epoch milliseconds.
        tenant: only this one's.
    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    join = JOINS[model]
    for whose, found in sorted(verdicts(store, model, since_ms, until_ms, tenant).items()):
        events = sorted({event for _, event in found})
        for first in range(0, len(events), BATCH):
            for row in _predictions(store, model, whose, events[first : first + BATCH]):
                told = found.get((join.predictions.key_of(row), row["event_id"]))
                rank = row.pop("label_version"), row.pop("outcome_id")
                if told is not None and rank < told.rank:
                    yield row | told.about(row["event_time"])


def verdicts(
    store: Store, model: str, since_ms: int, until_ms: int, tenant: str | None = None
) -> dict[str, dict[Event, Verdict]]:
    """The verdicts that hold, by tenant and event, of those that were published in this time. Args, Raises: as `late`.

    As in the stream, an outcome that names another subject is about another event.
    """
    join = JOINS[model]
    out: dict[str, dict[Event, Verdict]] = {}
    for one in _outcomes(store, join, "true", since_ms, until_ms, tenant):
        event, verdict = (join.outcomes.key_of(one), one["event_id"]), join.read(one)
        found = out.setdefault(one["tenant_id"], {})
        if event not in found or verdict.rank > found[event].rank:
            found[event] = verdict
    return out


def unmatched(
    store: Store, model: str, prefix: str, since_ms: int, until_ms: int, tenant: str | None = None
) -> Iterator[dict[str, Any]]:
    """Dead letters of outcomes of this time whose event nobody ever scored, and that have none yet.

    Args:
        prefix: of the topics.
        model, since_ms, until_ms, tenant: as of `late`; until at most REACH_MS ago.
    Raises:
        Unavailable, Refused, Mismatch: as `late`.
    """
    join, name = JOINS[model], quoted(store.database)
    topic, table = join.outcomes, outcomes_table(join)
    (subject,) = (column.name for column in table.columns if (column.field,) == topic.key)
    where = (
        f"(t.tenant_id, t.{subject}, t.event_id) NOT IN (SELECT tenant_id, subject, event_id FROM {name}.predictions "
        f"WHERE model = {{model:String}} AND event_id IN (SELECT event_id FROM {name}.{table.name} AS t "
        f"WHERE {_PERIOD})) AND (t.source_partition, t.source_offset) NOT IN (SELECT source_partition, source_offset "
        f"FROM {name}.dead_letters WHERE source_topic = {{topic:String}})"
    )
    found = _outcomes(store, join, where, since_ms, until_ms, tenant, model=model, topic=prefix + topic.name)
    days = REACH_MS // topics.DAY_MS
    for row in found:
        yield {
            "source_topic": prefix + topic.name,
            "source_partition": row.pop(PARTITION),
            "source_offset": row.pop(OFFSET),
            "source_timestamp": row.pop(TIMESTAMP),
            "agent": AGENT,
            "error_class": UNMATCHED,
            "message": f"no event {row['event_id']} of {row['tenant_id']} with this key was scored within {days} days",
            "key": topic.key_of(row),
            "value": topic.codec.encode(row),
            "headers": [],
            "tenant_id": row["tenant_id"],
        }


_PERIOD = (
    "t.record_time >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') "
    "AND t.record_time <= fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC') "
    "AND ({tenant:String} = '' OR t.tenant_id = {tenant:String})"
)


def _outcomes(
    store: Store, join: Join, where: str, since_ms: int, until_ms: int, tenant: str | None, **parameters: str
) -> Iterator[dict[str, Any]]:
    """Good outcomes of this time as they were published, with their places; the stream has refused the others."""
    table = outcomes_table(join)
    rows = store.query(
        f"SELECT {', '.join(map(as_field, table.columns))} FROM {quoted(store.database)}.v_{table.name} AS t "
        f"WHERE {_PERIOD} AND {where} ORDER BY t.source_partition, t.source_offset",
        {"since_ms": since_ms, "until_ms": until_ms, "tenant": tenant or "", **parameters},
    )
    return (row for row in rows if join.fault(row) is None)


def outcomes_table(join: Join) -> Table:
    """Where the outcomes of a join are stored."""
    return next(route.tables[0] for route in ROUTES if route.topic is join.outcomes)


def _predictions(store: Store, model: str, tenant: str, events: list[str]) -> list[dict[str, Any]]:
    """The predictions of a tenant's events, with version and outcome of their label; -1 without one."""
    name = quoted(store.database)
    return store.query(
        f"SELECT p.tenant_id AS tenant_id, p.subject AS subject, p.event_id AS event_id, {_KEPT}, "
        "if(l.event_id = '', -1, l.label_version) AS label_version, ifNull(l.outcome_id, '') AS outcome_id "
        f"FROM {name}.v_predictions AS p LEFT JOIN {name}.v_labelled_predictions AS l "
        "ON l.tenant_id = p.tenant_id AND l.model = p.model AND l.event_time = p.event_time "
        "AND l.prediction_id = p.prediction_id "
        "WHERE p.model = {model:String} AND p.tenant_id = {tenant:String} AND p.event_id IN {events:Array(String)} "
        "ORDER BY p.event_time, p.prediction_id",
        {"model": model, "tenant": tenant, "events": events},
    )


def _column(field: str) -> str:
    """A field of a prediction as its label repeats it."""
    convert = {"event_time": "toUnixTimestamp64Milli", "prediction_id": "toString"}.get(field, "")
    return f"{convert}(p.{field}) AS {field}"


_KEPT = ", ".join(_column(field) for field in KEPT)
