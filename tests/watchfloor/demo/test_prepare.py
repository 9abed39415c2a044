"""The demonstration's prefix and database are made anew; nothing else is touched."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from schemas.topics import CATALOGUE
from tests.conftest import Access


def prepare(**settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {f"WATCHFLOOR_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "watchfloor.demo.prepare"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.kafka
@pytest.mark.clickhouse
def test_it_starts_from_nothing_again_and_again(kafka: str, prefix: str, clickhouse: Access, tmp_path: Path) -> None:
    mine, database = f"{prefix}demo.", f"demo{uuid.uuid4().hex[:8]}"
    where = {
        "kafka": kafka,
        "clickhouse": clickhouse.url,
        "clickhouse_user": clickhouse.user,
        "clickhouse_password": clickhouse.password,
        "database": database,
        "prefix": mine,
        "home": str(tmp_path),
    }
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    client = clickhouse.client()
    try:
        for _ in range(2):
            done = prepare(**where)
            assert done.returncode == 0, done.stderr
            names = {name for name in admin.list_topics(timeout=20).topics if name.startswith(mine)}
            assert {mine + name for name in CATALOGUE} <= names
            assert client.command(f"SELECT count() FROM {database}.dead_letters") == 0
            client.command(f"INSERT INTO {database}.dead_letters (source_topic) VALUES ('x')")
    finally:
        client.command(f"DROP DATABASE IF EXISTS {database} SYNC")
        client.close()


def test_it_refuses_what_is_no_demonstration_s(tmp_path: Path) -> None:
    done = prepare(prefix="", database="watchfloor", home=str(tmp_path))
    assert done.returncode == 1
    assert "refused" in done.stderr
