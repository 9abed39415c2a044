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
from watchfloor.commands.alert_text import line
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


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"reason": "escalated", "escalation": 1}, "escalated, 1 sample"),
        ({"reason": "escalated", "escalation": 2}, "escalated, 1 sample, escalated 2 times"),
        ({"reason": "more", "escalation": 1, "flapping": True}, "more, 1 sample, escalated, flapping"),
        ({"reason": "flapping", "flapping": True}, "flapping, 1 sample"),
        ({"reason": "linked", "incident_id": "a0000000-1"}, "linked to incident a0000000, 1 sample, incident a0000000"),
        ({"reason": "assigned", "assignee": "omar", "by": "ines"}, "assigned to omar by ines, 1 sample, with omar"),
        ({"muted": "snoozed until noon"}, "opened, 1 sample, muted: snoozed until noon"),
    ],
)
def test_a_line_says_what_has_happened_and_what_holds(other: dict[str, Any], said: str) -> None:
    version = topics.ALERTS.codec.decode(topics.ALERTS.codec.encode(alert(1, **other)))
    assert line(version).plain.endswith(f"  ({said}) 00000000")


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


INCIDENT = {
    "tenant_id": "umbrella",
    "incident_id": "a0000000-0000-0000-0000-000000000001",
    "seq": 1,
    "state": "candidate",
    "severity": "HIGH",
    "link": "host:web-4",
    "links": [],
    "opened_at": NOON,
    "updated_at": NOON,
    "closed_at": None,
    "alerts": 2,
    "active": 2,
    "alert_id": f"00000000-0000-0000-0000-{4:012d}",
    "summary": "cpu_percent 97 % on web-4",
    "by": "system",
    "reason": "opened",
    "note": None,
    "related_incident_id": None,
}
CLOSED = INCIDENT | {
    "incident_id": "b0000000-0000-0000-0000-000000000002", "state": "closed", "link": "host:db-1", "active": 0,
    "closed_at": NOON + 5000, "reason": "merged", "by": "ines", "related_incident_id": INCIDENT["incident_id"],
}  # fmt: skip


@pytest.fixture(scope="module")
def tables(clickhouse: Access, database: str) -> dict[str, str]:
    """Settings of a database with five alerts, one of them resolved, one in eight versions, and two incidents."""
    migrate(Store(clickhouse.url, clickhouse.user, clickhouse.password, database))
    opened = alert(4, tenant_id="umbrella", links=["host:web-4"], incident_id=INCIDENT["incident_id"])
    muted = opened | {"seq": 2, "reason": "snoozed", "by": "omar", "snoozed_until": NOON + 3_600_000,
                      "muted": "snoozed until 2026-09-21 15:14:00Z"}  # fmt: skip
    more = [opened | {"seq": seq, "reason": "more", "updated_at": NOON + seq * 60_000} for seq in (3, 4, 5)]
    given = opened | {"seq": 6, "reason": "assigned", "by": "omar", "assignee": "ines"}
    judged = given | {"seq": 7, "reason": "verdict", "verdict": "true_positive", "verdict_at": NOON, "note": "seen"}
    taken = opened | {"seq": 8, "state": "acknowledged", "reason": "acknowledged", "by": "ines", "note": "[looking]",
                      "assignee": "ines", "evidence": {"usual_low": 12.0, "usual_high": 35.5}}  # fmt: skip
    alerts = [
        alert(1, severity="WARNING"),
        alert(2, severity="WARNING"),
        alert(2, seq=2, severity="CRITICAL"),
        alert(3, state="resolved", resolved_at=NOON + 3000, verdict="false_positive", verdict_at=NOON, label_version=1),
        *(opened, muted, *more, given, judged, taken),
        alert(5, opened_at=NOON - 1000),
    ]
    incidents = [INCIDENT, INCIDENT | {"seq": 2, "state": "confirmed", "reason": "confirmed", "by": "ines"}, CLOSED]
    client = clickhouse.client(database)
    for names, records in ((("alerts", "alert_events"), alerts), (("incidents", "incident_events"), incidents)):
        for name in names:
            for row in map(to_row, records):
                client.insert(name, [list(row.values())], list(row))
    client.close()
    return clickhouse.variables(database)


def to_row(record: dict[str, Any]) -> dict[str, Any]:
    """A record as a row of its table."""
    times = {
        name: datetime.fromtimestamp(value / 1000, UTC)
        for name, value in record.items()
        if name.endswith(("_at", "_until")) and value is not None
    }
    place = {"source_partition": 0, "source_offset": 0, "record_time": times["updated_at"]}
    return {name: value for name, value in record.items() if name != "limit"} | times | place


def ask(tables: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env=tables)


def list_open(tables: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["alerts", "list", *arguments], env=tables)


@pytest.mark.clickhouse
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [2, 5, 4, 1]),
        (["--tenant", "umbrella"], [4]),
        (["--tenant", "nobody"], []),
        (["--since", "2026-09-21T14:14:03"], [2, 5, 4, 1, 3]),
        (["--since", "2026-09-21T14:14:04"], [2, 5, 4, 1]),
    ],
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
        "2026-09-21 14:14:00Z HIGH     acknowledged umbrella cpu_percent 97 % on web-4: usual 12-35 % at this hour"
        "  (4 samples, with ines, incident a0000000, last change 14:14:04Z) 00000000\n"
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


SHOWN = """\
HIGH acknowledged cpu_percent 97 % on web-4: usual 12-35 % at this hour
alert       00000000-0000-0000-0000-000000000004
about       metric_anomaly of web-1, cpu_percent up
tenant      umbrella
opened      2026-09-21 14:14:00Z by event e-4
fired       4 samples
score       0.8
value       97
expected    20
evidence    usual_high 35.5, usual_low 12
with        ines
incident    a0000000-0000-0000-0000-000000000001, confirmed, 2 alerts
what to do  docs/alerts.md#metric_anomaly

What happened
   1 2026-09-21 14:14:04Z HIGH     open         opened
   2 2026-09-21 14:14:04Z HIGH     open         snoozed by omar  (muted: snoozed until 2026-09-21 15:14:00Z)
   5 2026-09-21 14:19:00Z HIGH     open         more 3 times
   6 2026-09-21 14:14:04Z HIGH     open         assigned to ines by omar
   7 2026-09-21 14:14:04Z HIGH     open         verdict true_positive by omar: seen
   8 2026-09-21 14:14:04Z HIGH     acknowledged acknowledged by ines: [looking]
"""


@pytest.mark.clickhouse
def test_show_for_people_says_everything(tables: dict[str, str]) -> None:
    result = ask(tables, "alerts", "show", "0000", "--tenant", "umbrella")
    assert result.exit_code == 0, result.output
    assert result.stdout == SHOWN


@pytest.mark.clickhouse
def test_show_json_has_the_records_as_their_topics_have_them(tables: dict[str, str]) -> None:
    result = ask(tables, "alerts", "show", alert(3)["alert_id"], "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    resolved = alert(3, state="resolved", resolved_at=NOON + 3000, verdict="false_positive", verdict_at=NOON)
    complete = topics.ALERTS.codec.decode(topics.ALERTS.codec.encode(resolved | {"label_version": 1}))
    assert found == {"alert": complete, "history": [complete], "incident": None}


@pytest.mark.clickhouse
@pytest.mark.parametrize("thing", ["alert", "incident"])
def test_what_clickhouse_has_not_cannot_be_shown(tables: dict[str, str], thing: str) -> None:
    unknown = "70000000-0000-0000-0000-000000000000"
    result = ask(tables, f"{thing}s", "show", unknown, "--tenant", "acme")
    assert result.exit_code == 1
    assert f"ClickHouse has no {thing} {unknown} of acme" in result.stderr
    assert f"no {thing} has an id that begins with '7'" in ask(tables, f"{thing}s", "show", "7").stderr


@pytest.mark.clickhouse
def test_incidents_that_are_not_closed(tables: dict[str, str]) -> None:
    assert ask(tables, "incidents", "list").stdout == (
        "2026-09-21 14:14:00Z HIGH     confirmed    umbrella host:web-4: cpu_percent 97 % on web-4"
        "  (2 alerts, 2 active, last change 14:14:00Z: confirmed by ines) a0000000\n"
    )
    everything = [json.loads(text) for text in ask(tables, "incidents", "list", "--all", "--json").stdout.splitlines()]
    assert everything == [INCIDENT | {"seq": 2, "state": "confirmed", "reason": "confirmed", "by": "ines"}, CLOSED]
    assert ask(tables, "incidents", "list", "--tenant", "acme").stdout == "There is no incident of acme.\n"


INCIDENT_SHOWN = """\
HIGH confirmed host:web-4
incident       a0000000-0000-0000-0000-000000000001
tenant         umbrella
opened         2026-09-21 14:14:00Z
alerts         2, 2 of them active
look first at  00000000-0000-0000-0000-000000000004: cpu_percent 97 % on web-4

Its alerts
2026-09-21 14:14:00Z HIGH     acknowledged umbrella cpu_percent 97 % on web-4: usual 12-35 % at this hour\
  (4 samples, with ines, incident a0000000, last change 14:14:04Z) 00000000

What happened
   1 2026-09-21 14:14:00Z HIGH     candidate    opened
   2 2026-09-21 14:14:00Z HIGH     confirmed    confirmed by ines
"""


@pytest.mark.clickhouse
def test_an_incident_for_people(tables: dict[str, str]) -> None:
    assert ask(tables, "incidents", "show", "A0").stdout == INCIDENT_SHOWN
    merged = ask(tables, "incidents", "show", "b0").stdout
    assert f"went into      {INCIDENT['incident_id']}\n" in merged
    assert "closed       merged by ines, incident a0000000\n" in merged
