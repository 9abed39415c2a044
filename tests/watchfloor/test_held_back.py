"""What the NOC reads of anomalies that the alert budget held back."""

from typing import Any

from tests.streams.noc import MINUTE, NOON, candidate
from watchfloor.commands.alert_text import held_back_line
from watchfloor.held_back import held_back


def held(at: float, score: float, severity: str = "WARNING", **other: Any) -> dict[str, Any]:
    return candidate(at, "held_back", severity, score=score, summary=f"at {score}", evidence={"cut": 0.7}, **other)


def test_one_row_for_each_anomaly_with_its_strongest_sample() -> None:
    rows = held_back(
        [
            held(0, 0.6),
            held(1, 0.65, "HIGH", samples=3),
            held(2, 0.55, metric="queue_depth"),
            held(2, 0.5),
            candidate(7, "clear", samples=0),
            held(30, 0.61),
            candidate(31, score=0.8),
            candidate(60, score=0.9, subject="web-2"),
        ]
    )
    assert [(each["began_at"] - NOON, each["newest_at"] - NOON, each["metric"]) for each in rows] == [
        (0, 2 * MINUTE, "cpu_percent"),
        (2 * MINUTE, 2 * MINUTE, "queue_depth"),
        (30 * MINUTE, 30 * MINUTE, "cpu_percent"),
    ]
    assert [(each["samples"], each["severity"], each["summary"], each["opened"]) for each in rows] == [
        (5, "HIGH", "at 0.65", False),
        (1, "WARNING", "at 0.55", False),
        (1, "WARNING", "at 0.61", True),
    ]
    assert [str(held_back_line(each)).split("Z ")[1] for each in rows] == [
        "HIGH     acme at 0.65  (5 samples, score 0.65, needs 0.7)",
        "WARNING  acme at 0.55  (1 sample, score 0.55, needs 0.7)",
        "WARNING  acme at 0.61  (1 sample, score 0.61, needs 0.7, an alert later)",
    ]


def test_tenants_are_kept_apart() -> None:
    rows = held_back([held(0, 0.6), held(0, 0.6, tenant="globex"), candidate(1, tenant="globex")])
    assert [(each["tenant_id"], each["opened"]) for each in rows] == [("acme", False), ("globex", True)]
