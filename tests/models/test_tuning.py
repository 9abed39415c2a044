"""When verdicts raise a detector's factor, in which scope, and what is said of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.alerts import DAY_MS, HOUR_MS
from models.anomaly.severity import SCORES
from models.control import SETTINGS, setting_of
from models.tuning import (
    FACTOR,
    LEAST,
    MOST,
    POWER,
    WINDOW_MS,
    PastAlert,
    Proposal,
    Scope,
    Share,
    Standing,
    hour_of_week,
    past_alert,
    proposals,
    shares,
    threshold,
    wide,
)

MONDAY = 1_789_948_800_000  # 2026-09-21 00:00 UTC
NOW = MONDAY + 12 * HOUR_MS
HERE = Scope("novelty", "web-1", "cpu_percent", 3)
ALL = wide(HERE)


def alert(number: int, false: bool | None = None, score: float = 0.8, **other: Any) -> PastAlert:
    """An alert of web-1's CPU on this Monday or the one before, at 3 o'clock if not said otherwise."""
    opened_at = other.pop("opened_at", MONDAY + 3 * HOUR_MS - number % 2 * 7 * DAY_MS + number)
    scope = Scope("novelty", "web-1", "cpu_percent", hour_of_week(opened_at))
    return PastAlert(f"{number:08d}-0000", other.pop("scope", scope), opened_at, score, false)


def judged(false: int, true: int, **other: Any) -> list[PastAlert]:
    return [alert(number, number < false, **other) for number in range(false + true)]


def steps(alerts: list[PastAlert], now: int = NOW, **standing: Standing) -> list[Proposal]:
    """`standing`: of HERE as here, of ALL as everywhere."""
    known = {HERE: standing.get("here"), ALL: standing.get("everywhere")}
    return proposals(alerts, lambda scope: known.get(scope) or Standing(), now)


def test_a_quarter_false_is_one_step_in_its_hour() -> None:
    (step,) = steps(judged(2, 6))
    assert (step.scope, step.share, step.old, step.new) == (HERE, Share(8, 2), 1.0, 1.1)
    assert (step.vanished, step.lost) == ((), ())


@pytest.mark.parametrize(("false", "true", "called_for"), [(1, 4, False), (2, 7, True), (1, 3, False), (4, 0, False)])
def test_more_than_a_fifth_of_at_least_five(false: int, true: int, called_for: bool) -> None:
    assert bool(steps(judged(false, true))) is called_for


def test_hours_with_few_verdicts_are_judged_together() -> None:
    spread = [alert(n, n < 2, opened_at=NOW - n * 5 * HOUR_MS) for n in range(8)]
    (step,) = steps(spread)
    assert step.scope == ALL
    # Beside an hour that has enough of its own, the rest alone decides about the rest.
    both = [*judged(0, 6), *(alert(10 + n, n < 2, opened_at=NOW - n * 5 * HOUR_MS - HOUR_MS) for n in range(8))]
    assert [step.scope for step in steps(both)] == [ALL]
    assert [step.share.reviewed for step in steps(both)] == [8]
    assert [step.scope for step in steps([*judged(2, 6), alert(9, True, opened_at=NOW)])] == [HERE]


def test_other_hosts_metrics_and_unjudged_alerts_do_not_count() -> None:
    others = [
        *(alert(n, True, scope=Scope("novelty", "web-2", "cpu_percent", 3)) for n in range(4)),
        *(alert(n, True, scope=Scope("novelty", "web-1", "queue_depth", 3)) for n in range(4)),
        *(alert(n, None) for n in range(20)),
    ]
    assert steps(others + judged(1, 4)) == []


def test_what_would_vanish_and_what_would_be_lost() -> None:
    alerts = [
        alert(0, True, score=0.55),
        alert(1, True, score=0.9),
        alert(2, None, score=0.58),
        alert(3, False, score=0.5941),
        *(alert(n, False) for n in range(4, 8)),
    ]
    (step,) = steps(alerts)
    assert set(step.vanished) == {alerts[0].alert_id, alerts[2].alert_id, alerts[3].alert_id}
    assert step.lost == (alerts[3].alert_id,)
    assert step.reason == (
        "2 of 7 judged alerts were false (29%) in 14 days; factor 1 to 1.1; would vanish: 3 (00000003, 00000000, "
        "00000002); of these true and lost: 1 (00000003)"
    )


def test_alerts_that_would_not_open_any_more_do_not_call_for_another_step() -> None:
    alerts = [*judged(2, 0, score=0.55), *(alert(n, False) for n in range(2, 8))]
    raised = Standing(factor=1.1, stepped_at=NOW - 2 * DAY_MS)
    assert steps(alerts) != []
    assert steps(alerts, here=raised) == []
    (again,) = steps(judged(2, 6), here=raised)
    assert (again.old, again.new) == (1.1, 1.21)


def test_one_step_a_day() -> None:
    for ago, called_for in ((0, False), (DAY_MS - 1, False), (DAY_MS, True)):
        assert bool(steps(judged(2, 6), here=Standing(1.1, stepped_at=NOW - ago))) is called_for


def test_what_a_person_decided_settles_what_was_judged_before() -> None:
    undone = Standing(None, stepped_at=NOW - 3 * DAY_MS, decided_at=NOW - DAY_MS)
    assert steps(judged(2, 6), here=undone) == []
    later = [alert(n, n < 2, opened_at=NOW - 1 - n) for n in range(8)]
    hour = later[0].scope
    assert proposals(later, lambda scope: undone if scope == hour else Standing(), NOW)


def test_an_hour_goes_on_from_the_factor_of_all_hours() -> None:
    (step,) = steps(judged(2, 6), everywhere=Standing(1.2))
    assert (step.scope, step.old, step.new) == (HERE, 1.2, 1.32)


def test_bounded() -> None:
    factor, taken = 1.0, []
    while found := steps(judged(5, 0, score=0.99), here=Standing(factor)):
        factor = found[0].new
        taken.append(factor)
    assert taken == [1.1, 1.21, 1.331, 1.4641, 1.6105, MOST]
    assert threshold("novelty", MOST) < SCORES[2], "what can be CRITICAL must always fire"
    for detector in POWER:
        assert setting_of(Scope(detector, "web-1", "cpu_percent", None).setting).read(repr(MOST)) == MOST


def test_two_weeks_count() -> None:
    edge = [alert(n, True, opened_at=NOW - WINDOW_MS) for n in range(LEAST)]
    assert steps(edge) != []
    assert steps(edge, NOW + 1) == []
    assert steps([alert(n, True, opened_at=NOW + 1) for n in range(LEAST)]) == []


def test_static_limits_and_silence_are_never_tuned() -> None:
    record: dict[str, Any] = {"alert_id": "a", "subject": "web-1", "metric": "cpu_percent", "opened_at": NOW}
    record |= {"score": 1.0, "evidence": {}}
    for kind in ("metric_static", "host_silent"):
        assert past_alert(record | {"kind": kind, "verdict": "false_positive"}) is None
    found = past_alert(record | {"kind": "metric_anomaly", "verdict": "false_positive"})
    assert found == PastAlert("a", Scope("novelty", "web-1", "cpu_percent", 12), NOW, 1.0, True)
    assert past_alert(record | {"kind": "metric_anomaly", "verdict": None}) == PastAlert(
        "a", Scope("novelty", "web-1", "cpu_percent", 12), NOW, 1.0, None
    )


def test_whose_score_an_alert_has_is_in_its_evidence() -> None:
    record = {
        "kind": "metric_anomaly", "alert_id": "a", "subject": "web-1", "metric": "cpu_percent",
        "opened_at": NOW, "score": 0.6, "verdict": None,
    }  # fmt: skip
    evidence = {"novelty": {"judged": 95.0, "usual_low": 10.0}, "standing": {"stands": 95.0, "excess": 20.0}}
    for name, said in evidence.items():
        found = past_alert(record | {"evidence": said | {"novelty_score": 0.9}})
        assert found is not None
        assert found.scope.detector == name


def test_ten_percent_more_surprise_is_a_tenth_more_excess() -> None:
    """Odds of standing's score are the excess over its limit."""
    for times in (1.0, 1.05, 1.5):
        score = times / (1 + times)
        assert (score >= threshold("standing", 1.1)) is (times >= 1.1)
    assert threshold("standing", MOST) == pytest.approx(1.7 / 2.7)
    alerts = [
        alert(n, n < 2, score=0.52 if n < 2 else 0.53, scope=Scope("standing", "web-1", "cpu_percent", 3))
        for n in range(8)
    ]
    (step,) = proposals(alerts, lambda _: Standing(), NOW)
    assert (step.scope.detector, step.new, len(step.vanished), step.lost) == ("standing", 1.1, 2, ())


def test_shares() -> None:
    everything = [*judged(1, 3), alert(9, None)]
    assert shares(everything, lambda each: each.scope.detector) == {"novelty": Share(4, 1)}
    assert shares(everything, lambda each: each.scope.detector)["novelty"].value == 0.25
    assert shares([], str) == {}


@given(st.sampled_from(sorted(POWER)), st.floats(0.05, 0.95), st.floats(0.5, 1.9))
def test_a_threshold_grows_with_the_factor_and_stays_a_score(detector: str, base: float, factor: float) -> None:
    assert threshold(detector, 1.0, base) == pytest.approx(base)
    assert 0 < threshold(detector, factor, base) < threshold(detector, factor + 0.1, base) < 1
    twice = threshold(detector, 1.3, threshold(detector, factor, base))
    assert twice == pytest.approx(threshold(detector, 1.3 * factor, base))


NAME = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=15).filter(
    lambda text: "|" not in text and text.isprintable()
)


@given(NAME, NAME, st.none() | st.integers(0, 167))
def test_scopes_are_read_back_whatever_hosts_are_called(host: str, metric: str, hour: int | None) -> None:
    scope = Scope("novelty", host, metric, hour)
    assert Scope.read(str(scope)) == scope
    assert setting_of(scope.setting) is SETTINGS[FACTOR]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("novelty|web-1|cpu_percent", "a scope is DETECTOR|HOST|METRIC|HOUR, not 'novelty"),
        ("static|web-1|cpu_percent|3", "the detector of a scope must be one of novelty, standing, not 'static'"),
        ("novelty||cpu_percent|3", "the host of a scope must be 1 to 200 bytes"),
        ("novelty|web-1| x|3", "the metric of a scope must be 1 to 64 bytes"),
        ("novelty|web-1|cpu_percent|168", "the hour of a scope must be 0 to 167 or *, not '168'"),
        ("novelty|web-1|cpu_percent|03", "the hour of a scope must be 0 to 167 or *, not '03'"),
        ("novelty|web-1|cpu_percent|", "the hour of a scope must be 0 to 167 or *, not ''"),
    ],
)
def test_what_is_no_scope(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Scope.read(text)
    assert message in str(caught.value)


@given(st.integers(0, 4_000_000_000_000))
def test_hours_of_the_week(time: int) -> None:
    assert hour_of_week(MONDAY) == 0
    assert hour_of_week(time + HOUR_MS) == (hour_of_week(time) + 1) % 168
    assert hour_of_week(time + 7 * DAY_MS) == hour_of_week(time)


def test_the_order_of_alerts_does_not_matter() -> None:
    alerts = judged(3, 9, score=0.55)
    assert steps(alerts) == steps(alerts[::-1]) != []
