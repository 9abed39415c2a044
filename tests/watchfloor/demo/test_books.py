"""The books of the demonstration: what counts as lost, doubled, late, and what a script is told."""

from dataclasses import replace
from typing import Any

import pytest

from watchfloor.demo.live import Outcome
from watchfloor.demo.run import ACTS as RUN
from watchfloor.demo.summary import ACTS, faults, remarks, report
from watchfloor.demo.tally import Tally, compare


@pytest.mark.parametrize(
    ("events", "predictions", "lost", "doubled"),
    [
        ([], [], 0, 0),
        (["a", "b"], ["b", "a"], 0, 0),
        (["a", "b"], ["a"], 1, 0),
        (["a"], ["a", "a", "a"], 0, 2),
        (["a"], ["a", "ghost"], 0, 1),
        (["a", "a"], ["a"], 0, 0),  # sent again by its producer, scored once
        (["a", "b"], ["a", "a"], 1, 1),  # equal counts hide nothing
    ],
)
def test_ids_are_compared_and_not_counts(events: list[str], predictions: list[str], lost: int, doubled: int) -> None:
    assert compare(events, predictions) == (lost, doubled)


def outcome(**more: Any) -> Outcome:
    alert = {"metric": "cpu_percent"}
    good = Outcome("web1", 1, burst_at=1000, samples=3, latencies=[5, 9, 40], burst_alerts=[(alert, 4.2)])
    return replace(good, **more)


GOOD = Tally(events=9, predictions=9, alerts=1, dead_letters=0, lost=0, doubled=0)


def test_a_good_run() -> None:
    figures = report(outcome(), GOOD)
    assert faults(figures) == remarks(figures, busy=False) == []
    assert figures["burst_to_alert_seconds"] == 4.2
    assert figures["burst_alerts"] == ["cpu_percent"]
    assert figures["sample_to_prediction_ms_p50"] == 9


@pytest.mark.parametrize(
    ("what", "found", "fault"),
    [
        (outcome(), Tally(9, 8, 1, 0, 1, 0), "1 events have no prediction"),
        (outcome(), Tally(9, 10, 1, 0, 0, 1), "once too often"),
        (outcome(burst_alerts=[]), GOOD, "the burst raised no alert"),
        (outcome(samples=0, burst_at=None, burst_alerts=[], latencies=[]), GOOD, "no live sample was scored"),
    ],
)
def test_what_must_not_be(what: Outcome, found: Tally, fault: str) -> None:
    (said,) = faults(report(what, found))
    assert fault in said


ACT = {
    "finished": True,
    "served_by": {"a": "v1", "b": "heuristic_v1"},
    "lost": 0,
    "doubled": 0,
    "verdicts_lost": 0,
}


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({}, None),
        ({"lost": 2}, "2 check-ins have no prediction"),
        ({"doubled": 1}, "once too often"),
        ({"verdicts_lost": 3}, "3 verdicts are not"),
        ({"served_by": {"a": "heuristic_v1"}}, "no tenant got a model"),
        ({"served_by": {}, "finished": False}, None),  # stopped before it came to that
    ],
)
def test_what_must_not_be_of_an_act(wrong: dict[str, Any], fault: str | None) -> None:
    for act, (noun, said, _) in ACTS.items():
        found = faults(report(outcome(), GOOD) | {act: ACT | wrong})
        words = fault and fault.replace("check-ins", noun).replace("verdicts", said)
        assert [words in each for each in found] == [True] if words else found == []


def test_every_act_has_books() -> None:
    assert [act.name for act in RUN] == list(ACTS)
    for act in RUN:
        assert ACTS[act.name][2] == act.events.name


def test_a_late_alert_is_said_and_is_no_fault() -> None:
    figures = report(outcome(burst_alerts=[({"metric": "cpu_percent"}, 11.0)]), GOOD)
    assert faults(figures) == []
    (said,) = remarks(figures, busy=True)
    assert "11.0 s after the burst began" in said
    assert "busy already" in said


def test_alerts_before_the_burst_are_said() -> None:
    (said,) = remarks(report(outcome(calm_alerts=[{}, {}]), GOOD), busy=False)
    assert "2 alerts were opened" in said


def test_without_a_burst_no_alert_is_missed() -> None:
    assert faults(report(outcome(burst_at=None, burst_alerts=[]), GOOD)) == []
