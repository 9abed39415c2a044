"""What falls due while nothing is heard of a tenant comes with time alone, and as it would have come anyway."""

import pytest

from models.alerts import ESCALATE_MS
from streams.alerts import ALERTS
from streams.runtime.offline import Outcome, run
from tests.streams.noc import MINUTE, candidate
from tests.streams.test_alerts import DAY, records, versions

HIGH = ESCALATE_MS["HIGH"]


def opened() -> Outcome:
    return run(ALERTS, records([candidate(0, severity="HIGH")]))


@pytest.mark.parametrize(("waited", "reasons"), [(HIGH - 1, ["opened"]), (HIGH, ["opened", "escalated"])])
def test_an_alert_that_nobody_takes_is_escalated_in_silence(waited: int, reasons: list[str]) -> None:
    outcome = opened()
    run(ALERTS, (), start=outcome, tick=outcome.clock + waited)
    assert [each["reason"] for each in versions(outcome)] == reasons
    assert versions(outcome)[-1]["updated_at"] == versions(outcome)[0]["opened_at"] + (HIGH if len(reasons) > 1 else 0)


def test_one_long_tick_does_what_many_short_ones_do() -> None:
    long, short = opened(), opened()
    end = long.clock + 2 * DAY
    run(ALERTS, (), start=long, tick=end)
    while short.clock < end:
        run(ALERTS, (), start=short, tick=min(end, short.clock + 7 * MINUTE))
    assert versions(long) == versions(short)
    assert long.state == short.state


def test_a_tenant_whose_records_are_behind_is_given_its_own_time() -> None:
    """Backfilled: its second minute comes when the partition's clock says 50."""
    rows = records([candidate(0, severity="HIGH"), candidate(50, tenant="umbrella"), candidate(1, severity="HIGH")])
    rows[2] = rows[2]._replace(timestamp=rows[1].timestamp)

    def reasons(minute: int) -> list[str]:
        outcome = run(ALERTS, rows, tick=rows[0].timestamp + minute * MINUTE)
        return [each["reason"] for each in versions(outcome) if each["tenant_id"] == "acme"]

    assert reasons(108) == ["opened", "more"]
    assert reasons(109) == ["opened", "more", "escalated"]


def test_a_resolved_alert_is_forgotten_when_it_takes_no_verdict_any_more() -> None:
    outcome = run(ALERTS, records([candidate(0), candidate(10, phase="clear")]))
    assert any(b"tenant" in key for key in outcome.state)
    run(ALERTS, (), start=outcome, tick=outcome.clock + DAY + MINUTE)
    assert len([key for key in outcome.state if b"~timer" in key]) == 1
    run(ALERTS, (), start=outcome, tick=outcome.clock + 14 * DAY)
    assert [key for key in outcome.state if b"~timer" in key] == []
