"""Numbered SQL files that bring a database to what this release needs; each is recorded with its hash."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sinks.errors import Mismatch
from sinks.store import Store, quoted

FOLDER = Path(__file__).with_name("migrations")

RECORD = """
CREATE TABLE IF NOT EXISTS {database}.schema_migrations
(
    number UInt32 COMMENT 'Number of the migration.',
    name String COMMENT 'Name of its file.',
    hash String COMMENT 'SHA-256 of the file as it was applied.',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied.'
)
ENGINE = ReplacingMergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Migrations applied to this database.'
"""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    text: str

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, database: str) -> Iterator[str]:
        """Statements end with a semicolon at the end of a line."""
        text = self.text.replace("{database}", quoted(database))
        for part in f"{text}\n".split(";\n"):
            lines = [line for line in part.splitlines() if line.strip() and not line.startswith("--")]
            if lines:
                yield "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Status:
    migration: Migration
    state: Literal["applied", "pending", "changed"]


def migrations() -> list[Migration]:
    """All of this release, in their order."""
    return [Migration(int(path.name[:4]), path.stem, path.read_text()) for path in sorted(FOLDER.glob("[0-9]*.sql"))]


def status(store: Store) -> list[Status]:
    """What has been applied. Raises Unavailable."""
    known = store.query(
        "SELECT count() AS n FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'",
        {"database": store.database},
    )
    hashes: dict[int, str] = {}
    if known[0]["n"]:
        rows = store.query(f"SELECT number, hash FROM {quoted(store.database)}.schema_migrations FINAL")
        hashes = {row["number"]: row["hash"] for row in rows}
    return [Status(migration, _state(migration, hashes.get(migration.number))) for migration in migrations()]


def _state(migration: Migration, applied: str | None) -> Literal["applied", "pending", "changed"]:
    if applied is None:
        return "pending"
    return "applied" if applied == migration.hash else "changed"


def migrate(store: Store) -> list[Migration]:
    """Apply what is missing, in order, and return it. Doing so again, or in two processes at once, does no harm.

    Raises Mismatch when a migration was changed after it had been applied, Unavailable when ClickHouse is away.
    """
    store.command(f"CREATE DATABASE IF NOT EXISTS {quoted(store.database)}")
    store.command(RECORD.replace("{database}", quoted(store.database)))
    found = status(store)
    changed = [each.migration.name for each in found if each.state == "changed"]
    if changed:
        raise Mismatch(
            f"Database {store.database!r} was migrated with other contents of {', '.join(changed)}. A migration is "
            "never changed once applied: use the release that applied it, or write a new migration."
        )
    done = [each.migration for each in found if each.state == "pending"]
    for migration in done:
        for statement in migration.statements(store.database):
            store.command(statement)
        store.command(
            f"INSERT INTO {quoted(store.database)}.schema_migrations (number, name, hash) "
            "SELECT {number:UInt32}, {name:String}, {hash:String}",
            {"number": migration.number, "name": migration.name, "hash": migration.hash},
        )
    return done
