"""`watchfloor tickets list|show` against a real engine; the rest is in test_alert_requests."""

import json

import pytest
from click.testing import CliRunner, Result

from sinks.migrate import migrate
from sinks.store import Store
from tests.conftest import Access
from tests.sinks.records import ticket
from tests.watchfloor.test_alerts import to_row
from watchfloor.cli import main

pytestmark = pytest.mark.clickhouse

NOON = 1_790_000_040_000


@pytest.fixture(scope="module")
def tables(clickhouse: Access, database: str) -> dict[str, str]:
    """Settings of a database with a ticket that is closed and two that are not."""
    migrate(Store(clickhouse.url, clickhouse.user, clickhouse.password, database))
    times = {"tenant_id": "acme", "opened_at": NOON, "updated_at": NOON + 60_000}
    closed = [ticket(2, seq, **times, closed_at=NOON + 60_000 if seq == 3 else None) for seq in (1, 2, 3)]
    records = [ticket(0, 1, **times, severity="HIGH"), ticket(1, 1, **times | {"tenant_id": "bolt"}), *closed]
    client = clickhouse.client(database)
    for name in ("tickets", "ticket_events"):
        for row in map(to_row, records):
            client.insert(name, [list(row.values())], list(row))
    client.close()
    return clickhouse.variables(database)


def tickets(tables: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["tickets", *arguments], env=tables)


@pytest.mark.parametrize(
    ("arguments", "subjects"),
    [([], ["p-1", "p-0"]), (["--tenant", "acme"], ["p-0"]), (["--all"], ["p-1", "p-0", "p-2"])],
)
def test_the_worst_is_first(tables: dict[str, str], arguments: list[str], subjects: list[str]) -> None:
    result = tickets(tables, "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["subject"] for line in result.stdout.splitlines()] == subjects


def test_for_people(tables: dict[str, str]) -> None:
    assert tickets(tables, "list", "--tenant", "acme").stdout == (
        "2026-09-21 14:14:00Z HIGH     open         acme check-in of p-1 at s-1: probability of fraud 96% (91% to 98%)"
        "  (1 event, last change 14:15:00Z: opened) 00000000\n"
    )
    assert tickets(tables, "list", "--tenant", "nobody").stdout == "There is no ticket of nobody.\n"


def test_show(tables: dict[str, str]) -> None:
    which = ticket(2, 1)["ticket_id"]
    result = tickets(tables, "show", which)
    assert result.exit_code == 0, result.output
    for text in (
        "closed       2026-09-21 14:15:00Z: confirmed",
        "events       e2-0, e2-1, e2-2",
        "closed by ines: été",
    ):
        assert text in result.stdout
    found = json.loads(tickets(tables, "show", which, "--json").stdout)
    assert (found["ticket"]["state"], [each["seq"] for each in found["history"]]) == ("closed", [1, 2, 3])
    missing = tickets(tables, "show", "77")
    assert "no ticket has an id that begins with '77'" in missing.stderr
