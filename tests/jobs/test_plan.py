"""What the tuning job makes of the versions and flags in control, without a broker."""

from typing import Any

import pytest

from jobs.tuning import BY, held, newest, plan, standing
from models.alerts import HOUR_MS
from models.tuning import PastAlert, Scope, Share, Standing, hour_of_week, wide
from streams.runtime import Control
from tests.streams.control import DAY, MINUTE, NOON, command, judged, view

HERE = Scope("novelty", "web-1", "cpu_percent", hour_of_week(NOON))
NOW = NOON + DAY


def says(*asked: dict[str, Any]) -> Control:
    """What control says after these commands."""
    return view(judged(asked))


def step(number: int, value: str, expected: int = 0, scope: Scope = HERE, **other: Any) -> dict[str, Any]:
    """What the job asked for, `number` minutes after noon."""
    return command(number, value, expected, name=scope.setting, by=BY, **other)


def past(number: int, false: bool | None, score: float = 0.8) -> PastAlert:
    """An alert in HERE, in this week or the one before."""
    at = NOON + number - number % 2 * 7 * DAY
    return PastAlert(f"{number:08d}", Scope("novelty", "web-1", "cpu_percent", hour_of_week(at)), at, score, false)


ALERTS = [past(number, number < 2) for number in range(8)]


def test_how_a_scope_stands() -> None:
    assert standing(says(), "acme", HERE, NOW) == Standing()
    stepped = [step(0, "1.1"), step(1, "1.21", 1)]
    assert standing(says(*stepped), "acme", HERE, NOW) == Standing(1.21, NOON + MINUTE, None)
    assert standing(says(*stepped), "acme", wide(HERE), NOW) == Standing()
    assert standing(says(*stepped), "globex", HERE, NOW) == Standing()
    undone = command(3, None, 2, name=HERE.setting, action="undo")
    assert standing(says(*stepped, undone), "acme", HERE, NOW) == Standing(1.1, NOON + MINUTE, NOON + 3 * MINUTE)
    over = step(0, "1.1", expires_at=NOW)
    assert standing(says(over), "acme", HERE, NOW - 1) == Standing(1.1, NOON, None)
    assert standing(says(over), "acme", HERE, NOW) == Standing(None, NOON, None)


def test_a_step_in_an_hour_and_the_next_one_a_day_later() -> None:
    first = plan("acme", ALERTS, says(), NOW)
    assert [(each.scope, each.new) for each in first.steps] == [(HERE, 1.1)]
    assert (first.detectors, first.scopes) == ({"novelty": Share(8, 2)}, {wide(HERE): Share(8, 2)})
    taken = says(step(0, "1.1"))
    assert plan("acme", ALERTS, taken, NOON + DAY - 1).steps == []
    assert [each.new for each in plan("acme", ALERTS, taken, NOON + DAY).steps] == [1.21]


def test_a_tenants_own_threshold_is_where_it_begins() -> None:
    low = command(0, "0.3", name="anomaly_threshold")
    alerts = [past(number, number < 2, score=0.35) for number in range(8)]
    assert plan("acme", alerts, says(), NOW).steps == [], "none of these would have opened"
    (found,) = plan("acme", alerts, says(low), NOW).steps
    assert len(found.vanished) == 8, "1.1 makes 0.386 of 0.3"
    assert len(found.lost) == 6


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        ({"name": "tuning", "value": "false"}, "tuning of acme is off, by jane: reason 0"),
        ({"name": "tuning", "value": "false", "tenant_id": "*"}, "tuning of * is off, by jane: reason 0"),
        ({"name": "stop_automatic", "tenant_id": "*"}, "stop_automatic of * is on, by jane: reason 0"),
        ({"name": "tuning", "value": "true"}, None),
        ({"name": "tuning", "value": "false", "tenant_id": "globex"}, None),
        ({"name": "tuning", "value": "false", "expires_at": NOW}, None),
    ],
)
def test_flags_hold_it(flag: dict[str, Any], why: str | None) -> None:
    control = says(command(0) | flag)
    assert held(control, "acme", NOW) == why
    found = plan("acme", ALERTS, control, NOW)
    assert found.held == why
    assert found.steps, "what it would do is shown nevertheless"


def test_the_newest_version_of_each_alert_counts() -> None:
    def version(seq: int, **other: Any) -> dict[str, Any]:
        return {
            "tenant_id": "acme",
            "alert_id": "a",
            "seq": seq,
            "kind": "metric_anomaly",
            "subject": "web-1",
            "metric": "cpu_percent",
            "opened_at": NOON,
            "score": 0.6,
            "evidence": {"judged": 40.0},
            "verdict": None,
        } | other

    found = newest(
        [
            version(2, score=0.7, verdict="false_positive"),
            version(1),
            version(1, alert_id="b", kind="host_silent"),
            version(1, tenant_id="globex", opened_at=NOON + HOUR_MS),
        ]
    )
    assert found == {
        "acme": [PastAlert("a", HERE, NOON, 0.7, True)],
        "globex": [
            PastAlert(
                "a",
                Scope("novelty", "web-1", "cpu_percent", 15),
                NOON + HOUR_MS,
                0.6,
                None,
            )
        ],
    }
