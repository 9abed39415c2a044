"""What the database knows about one prediction."""

from collections.abc import Sequence
from typing import Any

from sinks import queries
from sinks.store import Store, quoted
from sinks.tables import CONTROL_AUDIT, LABELLED_PREDICTIONS, PREDICTIONS, Table

Row = dict[str, Any]

DAY_MS = 86_400_000
SUBJECT_DAYS, SUBJECT_ROWS = 90, 200
TENANT_DAYS, TENANT_ROWS = 30, 2000

_KEY = (
    "t.tenant_id = {tenant:String} AND t.model = {model:String} AND t.subject = {subject:String} "
    "AND t.event_time = fromUnixTimestamp64Milli({time:Int64}, 'UTC') AND t.prediction_id = {id:UUID}"
)


def predictions(store: Store, start: str, tenant: str | None) -> list[Row]:
    """At most two predictions whose id begins so, as their records with `record_time`, epoch milliseconds.

    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    # A whole id is found by the index of the table, which a view with FINAL does not use.
    which = (
        "prediction_id = {start:UUID}" if len(start) == 36 else "startsWith(toString(prediction_id), {start:String})"
    )
    keys = store.query(
        "SELECT DISTINCT tenant_id AS tenant, model, subject, toUnixTimestamp64Milli(event_time) AS time, "
        f"toString(prediction_id) AS id FROM {quoted(store.database)}.predictions "
        f"WHERE {which} AND ({{tenant:String}} = '' OR tenant_id = {{tenant:String}}) ORDER BY id LIMIT 2",
        {"start": start.lower(), "tenant": tenant or ""},
    )
    found: list[Row] = []
    for key in keys:
        (at,) = store.query(
            f"SELECT toUnixTimestamp64Milli(min(record_time)) AS record_time FROM {quoted(store.database)}.predictions "
            f"AS t WHERE {_KEY}",
            key,
        )
        found += [row | at for row in queries.records(store, PREDICTIONS, _KEY, "t.prediction_id", **key)]
    return found


def event(store: Store, prediction: Row, table: Table, subject: Sequence[str]) -> Row | None:
    """The event that was scored, as it was; None where it is not stored.

    Args:
        table: where such events are stored.
        subject: its columns that the prediction's subject names, in the order in which "|" joins them.
    Raises:
        as `predictions`.
    """
    parts = prediction["subject"].split("|", len(subject) - 1)
    found = queries.records(
        store,
        table,
        "t.tenant_id = {tenant:String} AND t.event_id = {event:String} "
        "AND t.occurred_at = fromUnixTimestamp64Milli({time:Int64}, 'UTC')"
        + "".join(f" AND t.{column} = {{{column}:String}}" for column in subject),
        "t.event_id",
        tenant=prediction["tenant_id"],
        event=prediction["event_id"],
        time=prediction["event_time"],
        **dict(zip(subject, parts, strict=True)),
    )
    return found[0] if found else None


def label(store: Store, prediction: Row) -> Row | None:
    """What turned out to be true; None where nobody has said. Raises as `predictions`."""
    found = queries.records(
        store,
        LABELLED_PREDICTIONS,
        "t.tenant_id = {tenant:String} AND t.model = {model:String} AND t.prediction_id = {id:UUID} "
        "AND t.event_time = fromUnixTimestamp64Milli({time:Int64}, 'UTC')",
        "t.label_version DESC",
        tenant=prediction["tenant_id"],
        model=prediction["model"],
        id=prediction["prediction_id"],
        time=prediction["event_time"],
    )
    return found[0] if found else None


def activation(store: Store, prediction: Row, setting: str, value: str) -> Row | None:
    """The newest command before a prediction that gave a setting of its tenant, or of `*`, this value (JSON text).

    None where the audit has none. Raises as `predictions`.
    """
    found = queries.records(
        store,
        CONTROL_AUDIT,
        "t.tenant_id IN ({tenant:String}, '*') AND t.name = {name:String} AND t.outcome = 'accepted' "
        "AND t.value = {value:String} AND t.command_offset <= {offset:Int64}",
        "t.tenant_id = '*', t.command_offset DESC LIMIT 1",
        tenant=prediction["tenant_id"],
        name=setting,
        value=value,
        offset=prediction["control_offset"],
    )
    return found[0] if found else None


def cleared_before(store: Store, prediction: Row, same: int | None, of_subject: bool) -> list[list[float | None]]:
    """Features of the champion's earlier predictions that were cleared and not HIGH, to say what is usual.

    Of the subject the newest SUBJECT_ROWS of SUBJECT_DAYS, else TENANT_ROWS of the tenant's TENANT_DAYS, chosen by id.

    Args:
        prediction: the one that is looked at; the others have its feature set.
        same: place of a feature whose value they have in common with it, from 0; None without one.
    Raises:
        as `predictions`.
    """
    which = "AND subject = {subject:String} " if of_subject else ""
    which += "" if same is None else "AND features[{place:UInt8}] = {value:Float64} "
    order = "event_time DESC, prediction_id" if of_subject else "cityHash64(prediction_id), prediction_id"
    days, rows = (SUBJECT_DAYS, SUBJECT_ROWS) if of_subject else (TENANT_DAYS, TENANT_ROWS)
    found = store.query(
        f"SELECT features FROM {quoted(store.database)}.v_predictions "
        f"WHERE tenant_id = {{tenant:String}} AND model = {{model:String}} {which}"
        "AND event_time < fromUnixTimestamp64Milli({time:Int64}, 'UTC') "
        "AND event_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') "
        "AND slot = 'champion' AND decision = 'clear' AND risk_level NOT IN ('HIGH', 'CRITICAL') "
        "AND feature_set = {feature_set:String} "
        f"ORDER BY {order} LIMIT {rows:d}",
        {
            "tenant": prediction["tenant_id"],
            "model": prediction["model"],
            "subject": prediction["subject"],
            "feature_set": prediction["feature_set"],
            "time": prediction["event_time"],
            "since": prediction["event_time"] - days * DAY_MS,
            "place": 0 if same is None else same + 1,
            "value": 0.0 if same is None else prediction["features"][same],
        },
    )
    return [list(row["features"]) for row in found]
