"""`watchfloor alerts` against a real broker and a real engine."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas import topics
from sinks.migrate import migrate
from sinks.store import Store
from tests.conftest import Access
from tests.faults.waiting import until
from watchfloor.cli import main
from watchfloor.commands.alert_requests import find
from watchfloor.log import messages
from watchfloor.settings import Settings

NOON = 1_790_000_040_000


def alert(number: int, **other: Any) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "alert_id": f"00000000-0000-0000-0000-{number:012d}",
        "seq": 1,
        "fingerprint": "acme|metric_anomaly|web-1|cpu_percent|up",
        "kind": "metric_anomaly",
        "subject": "web-1",
        "metric": "cpu_percent",
        "direction": "up",
        "state": "open",
        "severity": "HIGH",
        "opened_at": NOON,
        "updated_at": NOON + number * 1000,
        "resolved_at": None,
        "count": number,
        "held_back": 0,
        "event_id": f"e-{number}",
        "previous_alert_id": None,
        "score": 0.8,
        "value": 97.0,
        "expected": 20.0,
        "limit": None,
        "summary": f"cpu_percent 97 % on web-{number}: usual 12-35 % at this hour",
        "evidence": {},
        "by": "system",
        "reason": "opened",
        "runbook": "docs/alerts.md#metric_anomaly",
    } | other


@pytest.fixture(scope="module")
def log(kafka: str, prefix: str) -> str:
    """Prefix of an alerts topic with three alerts, one that was never committed, and a record that is none."""
    name = prefix + topics.ALERTS.name
    admin = AdminClient({"bootstrap.servers": kafka})
    for made in admin.create_topics([NewTopic(name, 2, 1)]).values():
        made.result(30)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{prefix}alerts-0"})
    producer.init_transactions(30)

    def write(records: list[dict[str, Any]], timestamp: int) -> None:
        for record in records:
            producer.produce(
                name, topics.ALERTS.codec.encode(record), topics.ALERTS.key_of(record), partition=0, timestamp=timestamp
            )

    producer.begin_transaction()
    write([alert(1), alert(2, tenant_id="umbrella", severity="INFO", previous_alert_id=alert(1)["alert_id"])], NOON)
    producer.commit_transaction(30)
    producer.begin_transaction()
    write([alert(66, summary="was never committed")], NOON)
    producer.flush(30)
    producer.abort_transaction(30)
    producer.begin_transaction()
    producer.produce(name, b"no alert at all", b"acme", partition=1, timestamp=NOON)
    write([alert(3, state="resolved", reason="resolved", held_back=2)], NOON + 60_000)
    producer.commit_transaction(30)
    # A commit is answered before its markers are written.
    until(lambda: len(list(messages(kafka, name, 0, follow=False))) == 4, 20, "the last transaction")
    return prefix


def tail(kafka: str, log: str, *arguments: str) -> Result:
    environment = {"WATCHFLOOR_KAFKA": kafka, "WATCHFLOOR_PREFIX": log}
    return CliRunner().invoke(main, ["alerts", "tail", *arguments], env=environment)


SELECTIONS = {
    "everything": (["--since", "begin"], [1, 2, 3]),
    "one tenant": (["--since", "begin", "--tenant", "umbrella"], [2]),
    "resolved": (["--since", "begin", "--state", "resolved"], [3]),
    "two states": (["--since", "begin", "--state", "resolved", "--state", "open"], [1, 2, 3]),
    "since a time": (["--since", "2026-09-21T14:14:30"], [3]),
    "since a time with a zone": (["--since", "2026-09-21T16:14:30+02:00"], [3]),
    "since after the last": (["--since", "1s"], []),
    "from now on": ([], []),
}


@pytest.mark.kafka
@pytest.mark.parametrize(("arguments", "expected"), SELECTIONS.values(), ids=SELECTIONS.keys())
def test_tail_json(kafka: str, log: str, arguments: list[str], expected: list[int]) -> None:
    result = tail(kafka, log, "--json", "--no-follow", *arguments)
    assert result.exit_code == 0, result.output
    found = [json.loads(text) for text in result.stdout.splitlines()]
    assert [each["count"] for each in found] == expected
    assert all(each["summary"].startswith("cpu_percent 97 %") for each in found)


@pytest.mark.kafka
def test_tail_for_people(kafka: str, log: str) -> None:
    result = tail(kafka, log, "--since", "begin", "--no-follow")
    assert result.exit_code == 0, result.output
    assert sorted(result.stdout.splitlines()) == [
        "2026-09-21 14:14:01Z HIGH     open         acme cpu_percent 97 % on web-1: usual 12-35 % at this hour"
        "  (opened, 1 sample) 00000000",
        "2026-09-21 14:14:02Z INFO     open         umbrella cpu_percent 97 % on web-2: usual 12-35 % at this hour"
        "  (opened, 2 samples, after 00000000) 00000000",
        "2026-09-21 14:14:03Z HIGH     resolved     acme cpu_percent 97 % on web-3: usual 12-35 % at this hour"
        "  (resolved, 3 samples, 2 held back) 00000000",
    ]
    assert f"{log}alerts[1] at 0 is not an alert: " in result.stderr


@pytest.mark.kafka
def test_tail_follows_until_the_limit(kafka: str, log: str) -> None:
    result = tail(kafka, log, "--since", "begin", "--json", "--limit", "2")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.kafka
def test_a_missing_topic_is_said(kafka: str) -> None:
    result = tail(kafka, "nowhere.", "--no-follow")
    assert result.exit_code == 1
    assert "there is no topic nowhere.alerts" in result.stderr
    assert "watchfloor topics apply" in result.stderr


def test_a_wrong_time_is_said() -> None:
    result = CliRunner().invoke(main, ["alerts", "tail", "--since", "yesterday"])
    assert result.exit_code == 2
    assert "expected 90s, 15m, 2h, 7d, begin or an ISO 8601 time, got 'yesterday'" in result.stderr


def test_help_names_the_commands() -> None:
    result = CliRunner().invoke(main, ["alerts", "--help"])
    assert result.exit_code == 0
    assert "tail" in result.stdout
    assert "list" in result.stdout


@pytest.fixture(scope="module")
def tables(clickhouse: Access, database: str) -> dict[str, str]:
    """Settings of a database with five alerts, one of them resolved and one in two versions."""
    migrate(Store(clickhouse.url, clickhouse.user, clickhouse.password, database))
    stored = [
        alert(1, severity="WARNING"),
        alert(2, severity="WARNING"),
        alert(2, seq=2, severity="CRITICAL"),
        alert(3, state="resolved"),
        alert(4, tenant_id="umbrella", state="acknowledged"),
        alert(5, opened_at=NOON - 1000),
    ]
    rows = [to_row(each) for each in stored]
    client = clickhouse.client(database)
    client.insert("alerts", [list(row.values()) for row in rows], list(rows[0]))
    client.close()
    return {
        "WATCHFLOOR_CLICKHOUSE": clickhouse.url,
        "WATCHFLOOR_CLICKHOUSE_USER": clickhouse.user,
        "WATCHFLOOR_CLICKHOUSE_PASSWORD": clickhouse.password,
        "WATCHFLOOR_DATABASE": database,
    }


def to_row(record: dict[str, Any]) -> dict[str, Any]:
    """A record as a row of the table alerts."""
    times = {
        name: datetime.fromtimestamp(record[name] / 1000, UTC)
        for name in ("opened_at", "updated_at", "resolved_at")
        if record[name] is not None
    }
    place = {"source_partition": 0, "source_offset": 0, "record_time": times["updated_at"]}
    return {name: value for name, value in record.items() if name != "limit"} | times | place


def list_open(tables: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["alerts", "list", *arguments], env=tables)


@pytest.mark.clickhouse
@pytest.mark.parametrize(
    ("arguments", "expected"), [([], [2, 5, 4, 1]), (["--tenant", "umbrella"], [4]), (["--tenant", "nobody"], [])]
)
def test_list_json_has_the_worst_first(tables: dict[str, str], arguments: list[str], expected: list[int]) -> None:
    result = list_open(tables, "--json", *arguments)
    assert result.exit_code == 0, result.output
    found = [json.loads(text) for text in result.stdout.splitlines()]
    assert [each["count"] for each in found] == expected
    assert all(each["updated_at"] == NOON + each["count"] * 1000 for each in found)


@pytest.mark.clickhouse
def test_list_for_people(tables: dict[str, str]) -> None:
    result = list_open(tables, "--tenant", "umbrella")
    assert result.stdout == (
        "2026-09-21 14:14:04Z HIGH     acknowledged umbrella cpu_percent 97 % on web-4: usual 12-35 % at this hour"
        "  (opened, 4 samples) 00000000\n"
    )
    assert list_open(tables, "--tenant", "nobody").stdout == "No alert of nobody is open.\n"


def test_list_without_a_database_says_what_to_do() -> None:
    result = list_open({"WATCHFLOOR_CLICKHOUSE": "http://127.0.0.1:1"})
    assert result.exit_code == 1
    assert "Is it running (`watchfloor up`)?" in result.stderr


@pytest.mark.clickhouse
def test_an_alert_is_found_by_the_beginning_of_its_id(tables: dict[str, str]) -> None:
    for start, said in (("77", "no alert has an id that begins with '77'"), ("0000", "more than one alert")):
        result = CliRunner().invoke(main, ["alerts", "ack", start], env=tables)
        assert result.exit_code == 1
        assert said in result.stderr
    with pytest.MonkeyPatch.context() as patch:
        for name, value in tables.items():
            patch.setenv(name, value)
        assert find(Settings(), alert(4)["alert_id"], None) == ("umbrella", alert(4)["alert_id"])
        assert find(Settings(), "0000", "umbrella") == ("umbrella", alert(4)["alert_id"])
