"""One real broker and one real engine per run; a prefix and a database of its own per module; time per suite."""

import os
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka.admin import AdminClient
from hypothesis import HealthCheck, settings

from watchfloor.embedded.clickhouse import Engine
from watchfloor.embedded.kafka import Broker

# Nothing fails because the machine is slow.
settings.register_profile("watchfloor", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("watchfloor")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of the run's broker and engine."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def kafka(home: Path) -> Iterator[str]:
    """Bootstrap servers of the run's broker. WATCHFLOOR_TEST_KAFKA names one that runs already."""
    if given := os.environ.get("WATCHFLOOR_TEST_KAFKA"):
        yield given
        return
    broker = Broker(home)
    broker.start()
    yield broker.address
    broker.stop()


@pytest.fixture(scope="module")
def prefix(kafka: str) -> Iterator[str]:
    """A prefix for the topics, groups and transactional ids of one module; its topics are deleted afterwards."""
    unique = f"t{uuid.uuid4().hex[:8]}."
    yield unique
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    names = [name for name in admin.list_topics(timeout=20).topics if name.startswith(unique)]
    for deleted in admin.delete_topics(names, operation_timeout=20).values() if names else ():
        deleted.result(30)


@dataclass(frozen=True, slots=True)
class Access:
    """How a test reaches the run's database."""

    url: str
    user: str
    password: str

    def variables(self, database: str) -> dict[str, str]:
        """What tells an instance to use a database of it."""
        return {
            "WATCHFLOOR_CLICKHOUSE": self.url,
            "WATCHFLOOR_CLICKHOUSE_USER": self.user,
            "WATCHFLOOR_CLICKHOUSE_PASSWORD": self.password,
            "WATCHFLOOR_DATABASE": database,
        }

    def client(self, database: str = "default") -> Client:
        return clickhouse_connect.get_client(
            dsn=self.url, username=self.user, password=self.password, database=database
        )


@pytest.fixture(scope="session")
def clickhouse(home: Path) -> Iterator[Access]:
    """The run's engine. WATCHFLOOR_TEST_CLICKHOUSE=http://user:password@host:port names one that runs already."""
    if given := os.environ.get("WATCHFLOOR_TEST_CLICKHOUSE"):
        parts = urlsplit(given)
        yield Access(f"http://{parts.hostname}:{parts.port}", parts.username or "default", parts.password or "")
        return
    engine = Engine(home)
    engine.start()
    yield Access(engine.url, engine.user, engine.password)
    engine.stop()


@pytest.fixture(scope="module")
def database(clickhouse: Access) -> Iterator[str]:
    """Name of an empty database for one module; dropped afterwards."""
    unique = f"t{uuid.uuid4().hex[:8]}"
    client = clickhouse.client()
    client.command(f"CREATE DATABASE {unique}")
    yield unique
    client.command(f"DROP DATABASE {unique} SYNC")
    client.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What each suite took: every folder under tests/ is one."""
    seconds: dict[str, float] = defaultdict(float)
    tests: dict[str, int] = defaultdict(int)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                suite = "/".join(Path(report.nodeid.split("::")[0]).parts[:-1])
                seconds[suite] += report.duration
                tests[suite] += report.when == "call"
    if not seconds:
        return
    terminalreporter.section("time per suite")
    for suite in sorted(seconds, key=lambda name: -seconds[name]):
        terminalreporter.line(f"{suite:<24}{tests[suite]:>6} tests {seconds[suite]:>8.1f} s")
