"""The engine's process: ready when start() returns, its data and port kept through kill -9."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import psutil
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from urllib3.exceptions import HTTPError

from watchfloor.embedded.clickhouse import Engine
from watchfloor.embedded.server import ServerError

pytestmark = pytest.mark.clickhouse

BLOCK = 500
TABLE = """
CREATE TABLE safe.blocks (block UInt64, number UInt64, month Date) ENGINE = MergeTree PARTITION BY month
ORDER BY (block, number) SETTINGS non_replicated_deduplication_window = 10000
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(tmp_path_factory.mktemp("home"))
    engine.start()
    yield engine
    engine.stop()


def connect(engine: Engine) -> Client:
    return clickhouse_connect.get_client(
        dsn=engine.url, username=engine.user, password=engine.password, autogenerate_session_id=False
    )


def send(client: Client, block: int) -> None:
    """One block of rows under a token of its own."""
    data = [[block] * BLOCK, list(range(BLOCK)), ["2026-01-01"] * BLOCK]
    text = "\n".join(",".join(map(str, row)) for row in zip(*data, strict=True))
    client.raw_insert(
        "safe.blocks", ["block", "number", "month"], text, {"insert_deduplication_token": f"b{block}"}, fmt="CSV"
    )


def write(engine: Engine, block: int, stop: threading.Event, sent: set[int], acknowledged: set[int]) -> None:
    """Blocks one after another until it may, or can, no more."""
    try:
        client = connect(engine)
        while not stop.is_set():
            sent.add(block)
            send(client, block)
            acknowledged.add(block)
            block += 1
    except (ClickHouseError, HTTPError, OSError):
        return  # killed, while connecting or sending


def test_what_was_acknowledged_survives_kill_9(engine: Engine) -> None:
    client = connect(engine)
    client.command("CREATE DATABASE safe")
    client.command(TABLE)
    acknowledged: set[int] = set()
    sent: set[int] = set()
    chance = random.Random(1)
    for round_ in range(3):
        stop = threading.Event()
        writers = [
            threading.Thread(target=write, args=(engine, (10 * round_ + number) * 1_000, stop, sent, acknowledged))
            for number in range(3)
        ]
        for writer in writers:
            writer.start()
        # Not a wait for something: the moment of the kill is what varies.
        stop.wait(chance.uniform(0.2, 0.6))
        port = engine.port
        engine.kill()
        stop.set()
        for writer in writers:
            writer.join()
        engine.start()
        assert engine.port == port
        client = connect(engine)
        held = {row[0]: row[1] for row in client.query("SELECT block, count() FROM safe.blocks GROUP BY 1").result_rows}
        assert {block for block in acknowledged if held.get(block) != BLOCK} == set()
        assert set(held.values()) <= {BLOCK}
        for block in sent:  # as a producer does that does not know: again, under the same token
            send(client, block)
        acknowledged |= sent
        found = client.query(
            "SELECT block, count(), uniqExact(number), sum(number) FROM safe.blocks GROUP BY 1"
        ).result_rows
        assert {tuple(row) for row in found} == {(b, BLOCK, BLOCK, BLOCK * (BLOCK - 1) // 2) for b in sent}
    assert client.command("SELECT count() FROM system.detached_parts") == 0


def test_data_are_on_disk_before_they_are_acknowledged(engine: Engine) -> None:
    client = connect(engine)
    asked = "SELECT name, value FROM system.merge_tree_settings WHERE name IN {names:Array(String)}"
    wanted = {"fsync_after_insert": "1", "fsync_part_directory": "1", "old_parts_lifetime": "480"}
    found = {row[0]: row[1] for row in client.query(asked, parameters={"names": list(wanted)}).result_rows}
    assert found == wanted


def test_identical_inserts_without_a_token_are_both_kept(engine: Engine) -> None:
    client = connect(engine)
    client.command("CREATE TABLE IF NOT EXISTS system.kept (a Int32) ENGINE = MergeTree ORDER BY a")
    for _ in range(2):
        client.insert("system.kept", [[1]], column_names=["a"])
    assert client.command("SELECT count() FROM system.kept") == 2


def test_the_password_is_in_no_argv_and_needed(engine: Engine) -> None:
    assert not any(engine.password in argument for argument in psutil.Process(engine.pid).cmdline())
    with pytest.raises(DatabaseError) as caught:
        clickhouse_connect.get_client(dsn=engine.url, username=engine.user, password="wrong")
    assert caught.value.code == 516


def test_it_listens_on_loopback_only(engine: Engine) -> None:
    listening = {c.laddr.ip for c in psutil.Process(engine.pid).net_connections("inet") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


def test_a_folder_in_use_is_refused(engine: Engine) -> None:
    second = Engine(engine.folder.parent)
    with pytest.raises(ServerError, match="is another process using it"):
        second.start()
    assert connect(engine).command("SELECT 1") == 1


def test_a_taken_port_is_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=f"Port {engine.port} is taken"):
        Engine(tmp_path, port=engine.port).start()


def test_without_a_password_it_does_not_start(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHFLOOR_")}
    done = subprocess.run(
        [sys.executable, "-m", "watchfloor.embedded.clickhouse", "--home", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "not served without a password" in done.stderr


def test_stop_ends_it_in_order(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.start()
    connect(engine).command("CREATE DATABASE kept")
    engine.stop()
    assert engine.process is not None
    assert engine.process.returncode == 0
    engine.start()
    assert connect(engine).command("EXISTS DATABASE kept") == 1
    engine.stop()
