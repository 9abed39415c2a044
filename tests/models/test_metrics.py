"""How metrics are written, how bad an anomaly is, and identities. Validation: tests/streams/test_metrics.py."""

import hashlib
import uuid

import pytest

from models.alerts import SEVERITIES, alert_id
from models.anomaly.severity import severity_of
from models.identity import derived_id, prediction_id
from models.metrics import HOST_METRICS, show, show_range

SHOWN = [
    ("cpu_percent", 97.31, "97.3 %"),
    ("cpu_percent", 100.0, "100 %"),
    ("cpu_percent", 0.0, "0 %"),
    ("disk_write_bytes_per_s", 12_400_000.0, "12.4 MB/s"),
    ("disk_read_bytes_per_s", 999.0, "999 B/s"),
    ("disk_read_bytes_per_s", 2.5e9, "2.5 GB/s"),
    ("db_query_ms", 0.0042, "0.0042 ms"),
    ("db_query_ms", 1250.0, "1.2 s"),
    ("queue_depth", 34_012.0, "34012"),
    ("queue_depth", 1.2e9, "1.2e+09"),
    ("error_rate", 0.021, "2.1 %"),
    ("gpu_degrees", -3.25, "-3.2"),
]


@pytest.mark.parametrize(("metric", "value", "text"), SHOWN)
def test_values_have_units(metric: str, value: float, text: str) -> None:
    assert show(metric, value) == text


RANGES = [
    ("cpu_percent", 12.0, 35.4, "12-35.4 %"),
    ("cpu_percent", 12.0, 12.01, "12 %"),
    ("disk_write_bytes_per_s", 600_000.0, 2_100_000.0, "600 kB/s to 2.1 MB/s"),
    ("queue_depth", 1.0, 5.0, "1-5"),
    ("gpu_degrees", -3.0, 5.0, "-3 to 5"),
    ("cpu_percent", 60.7, 101.2, "60.7-100 %"),
    ("disk_write_bytes_per_s", -46_500.0, 1_200_000.0, "0 B/s to 1.2 MB/s"),
]


@pytest.mark.parametrize(("metric", "low", "high", "text"), RANGES)
def test_ranges_have_one_unit_where_they_can(metric: str, low: float, high: float, text: str) -> None:
    assert show_range(metric, low, high) == text


# score, distance on cpu_percent (noticeable 5, large 20, severe 50 points)
SEVERITY = [
    (0.5, 80.0, "WARNING"),
    (0.69, 80.0, "WARNING"),
    (0.7, 80.0, "HIGH"),
    (0.89, 80.0, "HIGH"),
    (0.9, 80.0, "CRITICAL"),
    (0.99, 50.0, "CRITICAL"),
    (0.99, 49.9, "HIGH"),
    (0.99, 20.0, "HIGH"),
    (0.99, 19.9, "WARNING"),
    (0.99, 5.0, "WARNING"),
    (0.99, 4.9, "INFO"),
    (0.5, 4.9, "INFO"),
    (0.99, None, "CRITICAL"),
]


@pytest.mark.parametrize(("score", "distance", "severity"), SEVERITY)
def test_severity_needs_both_news_and_distance(score: float, distance: float | None, severity: str) -> None:
    assert severity_of("cpu_percent", score, distance) == severity


def test_a_custom_metric_is_high_at_most() -> None:
    assert [severity_of("gpu_degrees", score, 1e9) for score in (0.5, 0.7, 0.99)] == ["WARNING", "HIGH", "HIGH"]


def test_steps_grow() -> None:
    for metric in HOST_METRICS:
        assert list(metric.steps) == sorted(set(metric.steps))
        assert len(metric.steps) == len(SEVERITIES) - 1


def test_identities_are_those_of_the_contract() -> None:
    parts = (b"acme", b"anomaly", b"champion", b"e-1")
    prefixed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    expected = uuid.UUID(bytes=hashlib.blake2b(prefixed, digest_size=16).digest())
    assert prediction_id("acme", "anomaly", "champion", "e-1") == str(expected)
    opened = hashlib.blake2b(b"acme|metric_anomaly|web-1|cpu_percent|up|e-1", digest_size=16).digest()
    assert alert_id("acme|metric_anomaly|web-1|cpu_percent|up", "e-1") == str(uuid.UUID(bytes=opened))


def test_parts_cannot_run_into_each_other() -> None:
    assert derived_id("ab", "c") != derived_id("a", "bc")
