"""Migrations and the preflight that relies on them."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sinks import migrate as module
from sinks.errors import Mismatch
from sinks.migrate import Migration, migrate, migrations, status
from sinks.preflight import preflight
from sinks.store import Store
from tests.conftest import Access

pytestmark = pytest.mark.clickhouse


@pytest.fixture
def fresh(clickhouse: Access) -> Iterator[Store]:
    """A database that does not exist yet, with a name that needs quoting."""
    store = Store(clickhouse.url, clickhouse.user, clickhouse.password, "fresh-1")
    yield store
    store.command("DROP DATABASE IF EXISTS `fresh-1` SYNC")


def definitions(store: Store) -> dict[str, str]:
    rows = store.query(f"SELECT name, create_table_query AS c FROM system.tables WHERE database = '{store.database}'")
    return {row["name"]: row["c"] for row in rows}


def test_applying_again_changes_nothing(fresh: Store) -> None:
    assert preflight(fresh) == ["Database 'fresh-1' does not exist. Make it: watchfloor db migrate"]
    assert [each.state for each in status(fresh)] == ["pending"] * len(migrations())
    assert [each.name for each in migrate(fresh)] == [each.name for each in migrations()]
    first = definitions(fresh)
    assert migrate(fresh) == []
    assert definitions(fresh) == first
    assert [each.state for each in status(fresh)] == ["applied"] * len(migrations())
    assert preflight(fresh) == []


def test_a_migration_that_stopped_halfway_is_finished(fresh: Store) -> None:
    """ClickHouse has no transactions over statements: each of them may have been the last."""
    migrate(fresh)
    first = definitions(fresh)
    fresh.command("TRUNCATE TABLE `fresh-1`.schema_migrations")
    fresh.command("DROP TABLE `fresh-1`.dead_letters SYNC")
    fresh.command("DROP VIEW `fresh-1`.v_freshness SYNC")
    assert len(migrate(fresh)) == len(migrations())
    again = definitions(fresh)
    assert again.keys() == first.keys()


def test_two_at_once(clickhouse: Access, fresh: Store) -> None:
    stores = [Store(clickhouse.url, clickhouse.user, clickhouse.password, fresh.database) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate, stores))
    assert preflight(fresh) == []
    rows = fresh.query("SELECT number, count() AS n FROM `fresh-1`.schema_migrations FINAL GROUP BY number")
    assert {row["number"]: row["n"] for row in rows} == {each.number: 1 for each in migrations()}


def test_a_changed_migration_is_refused(fresh: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(fresh)
    for path in module.FOLDER.glob("*.sql"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "0002_first_tables.sql").write_text("-- other\n")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    assert [each.state for each in status(fresh)][1] == "changed"
    with pytest.raises(Mismatch, match="0002_first_tables"):
        migrate(fresh)
    assert any("0002_first_tables is changed" in problem for problem in preflight(fresh))


def test_numbers_follow_each_other_and_every_statement_can_be_repeated() -> None:
    assert [each.number for each in migrations()] == list(range(1, len(migrations()) + 1))
    for migration in migrations():
        for statement in migration.statements("d"):
            again = ("IF NOT EXISTS", "OR REPLACE", "COMMENT COLUMN")
            assert any(words in statement for words in again), statement[:80]
            assert "`d`." in statement
            assert "{database}" not in statement


def test_statements_end_at_the_end_of_a_line() -> None:
    text = "-- a; comment\nSELECT ';',\n  1;\n\n-- b\nSELECT 2 AS {database};\n"
    assert list(Migration(1, "x", text).statements("d")) == ["SELECT ';',\n  1", "SELECT 2 AS `d`"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("DROP TABLE {d}.alerts SYNC", "Table alerts does not exist"),
        ("ALTER TABLE {d}.alerts DROP COLUMN summary", "Column alerts.summary String does not exist"),
        (
            "ALTER TABLE {d}.alerts MODIFY COLUMN summary Nullable(String)",
            "alerts.summary is Nullable.* expected String",
        ),
        ("ALTER TABLE {d}.alerts ADD COLUMN more String", "alerts.more String is unknown to this release"),
        ("ALTER TABLE {d}.alerts MODIFY SETTING non_replicated_deduplication_window = 0", "does not remember inserts"),
        (
            "CREATE OR REPLACE TABLE {d}.sink_progress AS {d}.sink_progress ENGINE = MergeTree ORDER BY sink "
            "SETTINGS non_replicated_deduplication_window = 5",
            "sink_progress has the engine MergeTree",
        ),
    ],
)
def test_what_does_not_fit_is_named(fresh: Store, change: str, problem: str) -> None:
    migrate(fresh)
    fresh.command(change.replace("{d}", "`fresh-1`"))
    problems = preflight(fresh)
    assert len(problems) == 1
    assert re.search(problem, problems[0]), problems


def test_a_column_with_a_default_of_an_operator_is_allowed(fresh: Store) -> None:
    migrate(fresh)
    fresh.command("ALTER TABLE `fresh-1`.alerts ADD COLUMN stored_at DateTime DEFAULT now()")
    assert preflight(fresh) == []
