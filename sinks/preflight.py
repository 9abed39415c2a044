"""Before the first row: are tables and settings in ClickHouse what this release writes?"""

import re

from sinks import progress
from sinks.migrate import status
from sinks.store import Store
from sinks.tables import TABLES


def preflight(store: Store) -> list[str]:
    """What is wrong, in plain words; empty when the sink may run. Raises Unavailable or Mismatch (rights)."""
    found = store.query(
        "SELECT name FROM system.databases WHERE name = {database:String}", {"database": store.database}
    )
    if not found:
        return [f"Database {store.database!r} does not exist. Make it: watchfloor db migrate"]
    problems = [
        f"Migration {each.migration.name} is {each.state}."
        + (" Apply it: watchfloor db migrate" if each.state == "pending" else " Use the release that applied it.")
        for each in status(store)
        if each.state != "applied"
    ]
    expected = {table.name: dict(zip(table.names, table.types, strict=True)) for table in TABLES}
    expected[progress.TABLE] = dict(zip(progress.NAMES, progress.TYPES, strict=True))
    existing = _tables(store)
    columns = _columns(store)
    for name, wanted in expected.items():
        if name not in existing:
            problems.append(f"Table {name} does not exist. Make it: watchfloor db migrate")
            continue
        problems += _settings(name, *existing[name])
        problems += _differences(name, wanted, columns[name])
    return problems


def _tables(store: Store) -> dict[str, tuple[str, str]]:
    rows = store.query(
        "SELECT name, engine, engine_full FROM system.tables WHERE database = {database:String}",
        {"database": store.database},
    )
    return {row["name"]: (row["engine"], row["engine_full"]) for row in rows}


def _columns(store: Store) -> dict[str, dict[str, tuple[str, str]]]:
    rows = store.query(
        "SELECT table, name, type, default_kind FROM system.columns WHERE database = {database:String}",
        {"database": store.database},
    )
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    for row in rows:
        tables.setdefault(row["table"], {})[row["name"]] = (row["type"], row["default_kind"])
    return tables


def _settings(table: str, engine: str, definition: str) -> list[str]:
    problems = []
    if not re.fullmatch(r"(Replicated|Shared)?ReplacingMergeTree", engine):
        problems.append(f"Table {table} has the engine {engine}; a row written twice would count twice in it.")
    window = re.search(r"(?<!non_)replicated_deduplication_window = (\d+)", definition)
    if not engine.startswith(("Replicated", "Shared")):
        window = re.search(r"non_replicated_deduplication_window = (\d+)", definition)
        if window is None or int(window[1]) == 0:
            problems.append(
                f"Table {table} does not remember inserts: "
                f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 10000"
            )
    elif window is not None and int(window[1]) == 0:
        problems.append(f"Table {table} does not remember inserts: set its replicated_deduplication_window.")
    return problems


def _differences(table: str, wanted: dict[str, str], found: dict[str, tuple[str, str]]) -> list[str]:
    problems = []
    for column, kind in wanted.items():
        if column not in found:
            problems.append(f"Column {table}.{column} {kind} does not exist.")
        elif found[column][0] != kind:
            problems.append(f"Column {table}.{column} is {found[column][0]}; expected {kind}.")
    problems += [
        f"Column {table}.{column} {kind} is unknown to this release and would be left empty."
        for column, (kind, default) in found.items()
        if column not in wanted and not default
    ]
    return problems
