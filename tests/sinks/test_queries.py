"""What people ask, and the commands that ask it."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from schemas import topics
from sinks import queries
from sinks.errors import Mismatch, Unavailable
from sinks.store import Store
from sinks.tables import ROUTES
from tests.conftest import Access
from tests.faults.waiting import until
from tests.sinks.conftest import Bench, Running
from tests.sinks.records import alert, event, prediction
from watchfloor.cli import main
from watchfloor.vitals import vitals

pytestmark = pytest.mark.clickhouse


@pytest.fixture
def asked(store: Store) -> Store:
    """The database as people enter it, with a row of each of two tenants."""
    for tenant in ("a", "b"):
        store.command(
            f"INSERT INTO {store.database}.metric_samples (tenant_id, event_id, host, occurred_at, extra) "
            f"VALUES ('{tenant}', 'e', 'h', now64(3), map('x', 0.5))"
        )
    return Store(store.url, store._user, store._password, store.database, enter=True)


def watchfloor(access: Access, database: str, home: Path, *arguments: str, text: str | None = None) -> Result:
    environment = {
        "WATCHFLOOR_HOME": str(home),
        "WATCHFLOOR_CLICKHOUSE": access.url,
        "WATCHFLOOR_CLICKHOUSE_PASSWORD": access.password,
        "WATCHFLOOR_DATABASE": database,
    }
    return CliRunner().invoke(main, list(arguments), input=text, env=environment)


@pytest.mark.parametrize(
    "source",
    [
        "v_metric_samples",
        "metric_samples",
        "metric_samples FINAL",
        "(SELECT * FROM v_metric_samples) AS x JOIN metric_samples AS y USING tenant_id",
    ],
)
def test_a_tenant_sees_its_own_rows(asked: Store, source: str) -> None:
    statement = f"SELECT DISTINCT tenant_id FROM {source} ORDER BY 1"
    assert queries.rows(asked, statement).rows == [("a",), ("b",)]
    assert queries.rows(asked, statement, tenant="b").rows == [("b",)]
    assert queries.rows(asked, statement, tenant="b' OR '1' = '1").rows == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO metric_samples (tenant_id) VALUES ('x')",
        "DROP TABLE metric_samples",
        "SELECT tenant_id FROM metric_samples SETTINGS additional_table_filters = {}",
        "SELECT 1 SETTINGS readonly = 0",
    ],
)
def test_asking_changes_nothing(asked: Store, statement: str) -> None:
    with pytest.raises(queries.SqlError, match="readonly"):
        queries.rows(asked, statement, tenant="a")
    assert len(queries.rows(asked, "SELECT * FROM metric_samples").rows) == 2


def test_limits(asked: Store) -> None:
    found = queries.rows(asked, "SELECT number FROM numbers(100000)", most=10)
    assert (found.columns, found.rows, found.cut) == (("number",), [(n,) for n in range(10)], True)
    assert not queries.rows(asked, "SELECT number FROM numbers(10)", most=10).cut
    with pytest.raises(queries.SqlError, match="TIMEOUT_EXCEEDED"):
        queries.rows(asked, "SELECT sleep(3)", seconds=0.2)


def test_formats_are_whole_or_an_error(asked: Store) -> None:
    assert b"".join(queries.formatted(asked, "SELECT 1 AS a, 'x' AS b", "JSONEachRow")) == b'{"a":1,"b":"x"}\n'
    with pytest.raises(queries.SqlError, match="late"):
        list(queries.formatted(asked, "SELECT throwIf(number = 500000, 'late') FROM numbers(1000000)", "CSV"))


def test_errors_are_told_apart(store: Store) -> None:
    with pytest.raises(Unavailable):
        queries.rows(Store("http://127.0.0.1:1", "u", "p", "d"), "SELECT 1")
    with pytest.raises(Mismatch, match="does not exist"):
        queries.rows(Store(store.url, store._user, store._password, "nosuch", enter=True), "SELECT 1")
    with pytest.raises(Mismatch, match="Authentication failed"):
        queries.rows(Store(store.url, store._user, "wrong", store.database), "SELECT 1")


def test_the_command_sql(clickhouse: Access, asked: Store, tmp_path: Path) -> None:
    def sql(*arguments: str, text: str | None = None) -> Result:
        return watchfloor(clickhouse, asked.database, tmp_path, "sql", *arguments, text=text)

    done = sql("SELECT tenant_id, extra, cpu_percent FROM v_metric_samples ORDER BY 1")
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [["tenant_id", "extra", "cpu_percent"], ["a", '{"x":', "0.5}", "-"], ["b", '{"x":', "0.5}", "-"]]
    assert done.stderr == "2 rows\n"
    assert json.loads(sql("--json", "--tenant", "a", "SELECT tenant_id AS t FROM v_metric_samples").stdout) == {
        "t": "a"
    }
    assert sql("--format", "CSV", text="SELECT 1, 'a'").stdout == '1,"a"\n'
    assert "readonly" in sql("TRUNCATE TABLE metric_samples").stderr
    assert sql("--write", "TRUNCATE TABLE metric_samples").exit_code == 0
    assert queries.rows(asked, "SELECT count() FROM metric_samples").rows == [(0,)]
    wrong = sql("SELECT nosuch")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("Error: Unknown expression identifier")
    assert sql("").exit_code == 2


def test_the_command_db(clickhouse: Access, store: Store, tmp_path: Path) -> None:
    def db(action: str) -> Result:
        return watchfloor(clickhouse, store.database, tmp_path, "db", action)

    assert db("check").exit_code == 0
    assert db("status").exit_code == 0
    assert db("migrate").exit_code == 0
    store.command(f"ALTER TABLE {store.database}.alerts MODIFY SETTING non_replicated_deduplication_window = 0")
    found = db("check")
    assert found.exit_code == 3
    assert "does not remember inserts" in found.stderr
    store.command(f"ALTER TABLE {store.database}.alerts MODIFY SETTING non_replicated_deduplication_window = 10000")
    away = Access("http://127.0.0.1:1", "default", "x")
    gone = watchfloor(away, store.database, tmp_path, "db", "status")
    assert gone.exit_code == 1
    assert "Is it running (`watchfloor up`)?" in gone.stderr


@pytest.mark.kafka
def test_the_command_top(clickhouse: Access, bench: Bench, tmp_path: Path) -> None:
    from prometheus_client import start_http_server

    def top(access: Access = clickhouse) -> dict[str, object]:
        done = watchfloor(access, bench.store.database, tmp_path, "top", "--json", "--interval", "0.3")
        assert done.exit_code == 0, done.output
        found: dict[str, object] = json.loads(done.stdout)
        return found

    bench.write(topics.ALERTS, [alert(n, 1) for n in range(3)] + [alert(0, 3)])
    bench.write(topics.PREDICTIONS_ANOMALY, [prediction(n) for n in range(30)])
    bench.write(topics.EVENTS_METRICS, [event(n) for n in range(30)])
    sink = bench.sink(once=False)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=sink._figures.registry)
    run = tmp_path / "run"
    run.mkdir()
    address = f"http://127.0.0.1:{server.server_port}/metrics"
    (run / "sink-0.json").write_text(json.dumps({"pid": os.getpid(), "kind": "sink", "metrics": address}))
    (run / "gone.json").write_text(json.dumps({"pid": 2**22 - 1, "kind": "worker", "metrics": "http://127.0.0.1:1/"}))
    (run / "mute.json").write_text(json.dumps({"pid": os.getpid(), "kind": "worker", "metrics": "http://127.0.0.1:1/"}))
    (run / "endpoints.json").write_text("{}")
    (run / "torn.json").write_text("{")
    with Running(sink):
        until(lambda: top()["alerts_open"] == 2, 30, "the open alerts")
        until(lambda: len(top()["topics"]) == len(ROUTES), 30, "the freshness of all topics")  # type: ignore[arg-type]
        found = top()
        away = top(Access("http://127.0.0.1:1", "default", "x"))
        drawn = watchfloor(clickhouse, bench.store.database, tmp_path, "top", "--once", "--interval", "0.2").stdout
    server.shutdown()
    server.server_close()
    thread.join()
    troubles = {each["name"]: each["trouble"] for each in found["processes"]}  # type: ignore[attr-defined]
    assert troubles.keys() == {"sink-0", "gone", "mute"}
    assert troubles["sink-0"] is None
    assert troubles["gone"] == "has ended"
    assert "refused" in troubles["mute"]
    assert found["clickhouse"] == "up"
    assert "refused" in str(away["clickhouse"])
    assert away["alerts_open"] is None
    assert "2 open alerts" in drawn
    assert "has ended" in drawn


def test_vitals_sum_over_labels(tmp_path: Path) -> None:
    from prometheus_client import start_http_server

    from streams.runtime.metrics import Metrics

    metrics = Metrics()
    for agent, partition, lag in (("metrics", "0", 3), ("metrics", "1", 4), ("alerts", "0", 5)):
        metrics.lag.labels(agent, partition).set(lag)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=metrics.registry)
    place = {"pid": os.getpid(), "kind": "worker", "metrics": f"http://127.0.0.1:{server.server_port}/metrics"}
    (tmp_path / "worker-0.json").write_text(json.dumps(place))
    (found,) = vitals(tmp_path)
    server.shutdown()
    server.server_close()
    thread.join()
    assert found.total("watchfloor_lag_records") == 12
    assert found.total("watchfloor_lag_records", agent="metrics") == 7
    assert found.by("watchfloor_lag_records", "agent") == {"metrics": 7, "alerts": 5}
