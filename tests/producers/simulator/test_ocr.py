"""The simulation of OCR readings."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.readings import METER, event_fault, outcome_fault
from producers.simulator.ocr import Scenario, Simulation
from schemas import topics

SMALL = Scenario(tenants=2, meters=20, gates=1, days=40, error_rate=0.08)


def records(scenario: Scenario) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    days = list(Simulation(scenario).days())
    return tuple([each for day in days for each in getattr(day, name)] for name in ("events", "outcomes", "truth"))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def made() -> Any:
    return records(SMALL)


def test_the_same_scenario_gives_the_same_records(made: Any) -> None:
    assert records(SMALL) == made
    assert records(replace(SMALL, seed=2)) != made


def test_records_are_those_of_the_topics(made: Any) -> None:
    events, outcomes, truth = made
    for topic, fault, given in (
        (topics.EVENTS_OCR, event_fault, events),
        (topics.OUTCOMES_OCR, outcome_fault, outcomes),
    ):
        times = [each[topic.time] for each in given]
        assert times == sorted(times)
        for each in given:
            assert fault(each) is None
            assert topic.codec.decode(topic.codec.encode(each)) == each
    names = [(each["tenant_id"], each["event_id"]) for each in events]
    assert len(set(names)) == len(names)
    assert {(each["tenant_id"], each["event_id"]) for each in truth} <= set(names)


def test_errors_are_as_many_as_asked_for_and_differ_between_cameras(made: Any) -> None:
    events, _, truth = made
    assert 0.05 < len(truth) / len(events) < 0.13
    wrong = {(each["tenant_id"], each["event_id"]) for each in truth}
    all_of = Counter((each["tenant_id"], each["asset_id"]) for each in events)
    bad = Counter(
        (each["tenant_id"], each["asset_id"]) for each in events if (each["tenant_id"], each["event_id"]) in wrong
    )
    shares = [bad[asset] / count for asset, count in all_of.items()]
    assert max(shares) > 3 * np.median(shares)


def test_confidence_helps_and_does_not_say_what_it_claims(made: Any) -> None:
    events, _, truth = made
    wrong = {(each["tenant_id"], each["event_id"]) for each in truth}
    failed = np.array([(each["tenant_id"], each["event_id"]) in wrong for each in events])
    sure = np.array([each["confidence"] for each in events])
    assert sure[~failed].mean() > sure[failed].mean() + 0.1
    assert failed[sure > 0.9].mean() > 0.02
    versions = np.array([each["engine_version"] for each in events])
    first, second = (sure[versions == version].mean() for version in ("2.4", "3.0"))
    assert second > first + 0.05


def test_some_errors_are_corrected_and_some_readings_confirmed(made: Any) -> None:
    events, outcomes, truth = made
    wrong = {(each["tenant_id"], each["event_id"]) for each in truth}
    by_source = {(each["tenant_id"], each["source_id"]): each for each in events}
    judged = [by_source[each["tenant_id"], each["source_id"]] for each in outcomes]
    found = sum((each["tenant_id"], each["event_id"]) in wrong for each in judged)
    assert 0.3 < found / len(wrong) < 0.75
    assert 0.02 < (len(judged) - found) / len(events) < 0.08
    for each, reading in zip(outcomes, judged, strict=True):
        assert 0 < each["decided_at"] - reading["occurred_at"] < 7 * 86_400_000
        assert each["asset_id"] == reading["asset_id"]


def test_meters_mostly_count_on(made: Any) -> None:
    events, _, truth = made
    wrong = {(each["tenant_id"], each["event_id"]) for each in truth}
    last: dict[Any, float] = {}
    back = 0
    for each in events:
        if each["source_type"] == METER and (each["tenant_id"], each["event_id"]) not in wrong:
            asset, value = (each["tenant_id"], each["asset_id"]), float(each["raw_text"].split(" ")[0])
            back += value < last.get(asset, 0.0)
            last[asset] = value
    assert back <= 3


@pytest.mark.parametrize("changes", [{"tenants": 0}, {"days": 0}, {"error_rate": 0.6}, {"corrected": 1.5}])
def test_scenarios_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        Scenario(**changes)
