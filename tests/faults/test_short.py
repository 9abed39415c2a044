"""The short fault run: the product's own agents and sink, killed under load, judged value by value."""

from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.faults.report import complaints
from tests.faults.run import run_scenario
from tests.faults.scenarios import RELAY_SHORT, SHORT


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_kills_change_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        result = run_scenario(cluster, SHORT, seed=7)
    assert result.exact, "\n".join(complaints(result))
    assert result.events > 1_000
    assert result.total("found") > result.events
    rows = {verdict.what: verdict.found for verdict in result.verdicts}
    shown = ("metric_samples", "events_attendance", "outcomes", "labelled_predictions", "tickets", "alerts")
    for table in (*shown, "events_sync", "outcomes_sync", "events_ocr", "ocr_captures", "outcomes_ocr"):
        assert rows[f"table {table}"] > 0, table
    for topic in ("predictions.conflict", "labelled.conflict", "predictions.ocr_trust", "labelled.ocr_trust"):
        assert rows[topic] > 0, topic
    assert result.faults["kill worker"] + result.faults["kill sink"] == 5
    assert result.faults["kill broker"] == result.faults["kill database"] == 1
    assert all(not one.never for one in result.recovery)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_merged_inputs_timers_and_settings_survive(tmp_path: Path) -> None:
    with Cluster(tmp_path, database=False) as cluster:
        result = run_scenario(cluster, RELAY_SHORT, seed=7)
    assert result.exact, "\n".join(complaints(result))
    assert result.events > 1_000
    assert result.total("found") > result.events
    assert result.faults["kill worker"] == 3
    assert result.faults["clock +30 days"] == result.faults["kill broker"] == 1
    assert result.ticks > 0
    assert result.settings > 0
    assert result.dead_letters["DecodeError"] > 0
    assert all(not one.never for one in result.recovery)
