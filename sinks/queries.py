"""Questions that people ask the database: their own SQL (read-only, if wanted of one tenant) and a few fixed ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from sinks.store import Store, quoted, sorted_error, words
from sinks.tables import TABLES, Column, Table


class SqlError(Exception):
    """ClickHouse does not accept the statement; the text is ClickHouse's own."""


@dataclass(frozen=True, slots=True)
class Rows:
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    cut: bool  # there were more


def settings(
    store: Store, tenant: str | None, write: bool, seconds: float, most_rows: int | None = None
) -> dict[str, Any]:
    """Settings of a statement. A tenant's statement sees the tenant's rows only, also through views and joins."""
    chosen: dict[str, Any] = {"max_execution_time": seconds}
    if most_rows is not None:
        chosen |= {"max_result_rows": most_rows, "result_overflow_mode": "break"}
    if tenant is not None:
        rows = "tenant_id = " + _text(tenant)
        filters = ", ".join(f"{_text(f'{store.database}.{table.name}')}: {_text(rows)}" for table in TABLES)
        chosen["additional_table_filters"] = "{" + filters + "}"
    if not write:
        chosen["readonly"] = 1
    return chosen


def rows(store: Store, statement: str, tenant: str | None = None, seconds: float = 60.0, most: int = 1_000) -> Rows:
    """The result of a reading statement, at most `most` rows. Raises SqlError, Unavailable."""
    client = store.client()
    try:
        found = client.query(statement, settings=settings(store, tenant, False, seconds, most + 1))
    except (ClickHouseError, HTTPError, OSError) as error:
        raise explained(error) from error
    taken = [tuple(row) for row in found.result_rows[:most]]
    return Rows(tuple(found.column_names), taken, len(found.result_rows) > most)


def formatted(
    store: Store, statement: str, form: str, tenant: str | None = None, seconds: float = 60.0
) -> Iterator[bytes]:
    """The whole result of a reading statement in one of ClickHouse's formats. Raises SqlError, Unavailable."""
    client = store.client()
    try:
        # Waiting for its end: a statement that fails late leaves no half of a result behind.
        chosen = settings(store, tenant, False, seconds) | {"wait_end_of_query": 1}
        stream: Any = client.raw_stream(statement, fmt=form, settings=chosen)
        with stream:
            while chunk := stream.read(1 << 16):
                yield chunk
    except (ClickHouseError, HTTPError, OSError) as error:
        raise explained(error) from error


def execute(store: Store, statement: str, seconds: float = 60.0) -> None:
    """A statement that may change things. Raises SqlError, Unavailable."""
    client = store.client()
    try:
        client.command(statement, settings=settings(store, None, True, seconds))
    except (ClickHouseError, HTTPError, OSError) as error:
        raise explained(error) from error


def records(store: Store, table: Table, where: str, order: str, **parameters: str | int) -> list[dict[str, Any]]:
    """Rows of a table's view as the records that they came from: times in epoch milliseconds, ids as text.

    Args:
        where, order: SQL about columns of `t`, with {name:Type} for parameters.
    Raises:
        Unavailable, Refused, Mismatch.
    """
    fields = ", ".join(as_field(column) for column in table.columns if not column.field.startswith("@"))
    view = f"{quoted(store.database)}.{quoted(f'v_{table.name}')}"
    return store.query(f"SELECT {fields} FROM {view} AS t WHERE {where} ORDER BY {order}", parameters)


def as_field(column: Column) -> str:
    """A column of `t` under the name of its record's field, as the record has it: times in epoch milliseconds."""
    value, name = f"t.{quoted(column.name)}", quoted(column.field)
    if "DateTime64" in column.type:
        return f"toUnixTimestamp64Milli({value}) AS {name}"
    return f"toString({value}) AS {name}" if "UUID" in column.type else f"{value} AS {name}"


def open_alerts(store: Store, most: int = 10) -> tuple[int, list[dict[str, Any]]]:
    """How many alerts are not resolved, and the newest of them. Raises Unavailable, Refused, Mismatch."""
    unresolved = "state != 'resolved'"
    count = store.query(f"SELECT count() AS n FROM v_alerts WHERE {unresolved}")[0]["n"]
    newest = store.query(
        "SELECT tenant_id, toString(alert_id) AS alert_id, severity, state, subject, metric, summary, count, "
        "toUnixTimestamp64Milli(opened_at) AS opened_at, toUnixTimestamp64Milli(updated_at) AS updated_at "
        f"FROM v_alerts WHERE {unresolved} ORDER BY opened_at DESC LIMIT {most:d}"
    )
    return count, newest


def freshness(store: Store) -> list[dict[str, Any]]:
    """How complete the tables are, by topic. Raises Unavailable, Refused, Mismatch."""
    return store.query("SELECT topic, seconds_behind FROM v_freshness ORDER BY topic")


def explained(error: Exception) -> Exception:
    """The statement's own mistake as ClickHouse words it; everything else as the store sorts it."""
    said = words(error)
    if not said.startswith("Code: "):
        return sorted_error(error)
    return SqlError(said.partition("DB::Exception: ")[2])


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
