"""The host metrics: names, units, sensible ranges, and how their values are written for people."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.identity import TENANT, name_fault

HOST_BYTES = 200
EXTRA_BYTES = 64
EVENT_ID_BYTES = 128

LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a host.

    Attributes:
        name: as in the event.
        unit: of its values: "%", "B/s", "ms", "" (a count) or "share" (0 to 1).
        high: largest sensible value; the smallest is 0.
        steps: distances from the expected value, in the metric's unit, that an operator would call noticeable,
            large and severe. They cap the severity of an anomaly, however new it is to the host.
    """

    name: str
    unit: str
    high: float
    steps: tuple[float, float, float]


HOST_METRICS = (
    Metric("cpu_percent", "%", 100.0, (5, 20, 50)),
    Metric("memory_percent", "%", 100.0, (2, 10, 25)),
    Metric("disk_read_bytes_per_s", "B/s", LARGEST, (1e6, 1e7, 1e8)),
    Metric("disk_write_bytes_per_s", "B/s", LARGEST, (1e6, 1e7, 1e8)),
    Metric("db_connections", "", LARGEST, (3, 20, 100)),
    Metric("db_query_ms", "ms", LARGEST, (10, 100, 1000)),
    Metric("queue_depth", "", LARGEST, (100, 1000, 10_000)),
    Metric("request_latency_ms", "ms", LARGEST, (20, 200, 2000)),
    Metric("error_rate", "share", 1.0, (0.01, 0.05, 0.25)),
)
"""The nine metrics in the order of the feature set metrics-1."""

BY_NAME = {metric.name: metric for metric in HOST_METRICS}
NAMES = tuple(BY_NAME)

FEATURE_SET = "metrics-1"
"""Name of the nine in this order, as models and predictions name it."""

_RANGES = tuple((metric.name, metric.high) for metric in HOST_METRICS)


def fault(event: Mapping[str, Any]) -> str | None:
    """What is wrong with a sample, naming the field: what was expected and what came; None for a good one."""
    if not TENANT.fullmatch(event["tenant_id"]):
        return f"tenant_id must match {TENANT.pattern}, not {event['tenant_id']!r}"
    for field, limit in (("host", HOST_BYTES), ("event_id", EVENT_ID_BYTES)):
        wrong = name_fault(event[field], limit)
        if wrong:
            return f"{field} {wrong}"
    for name, high in _RANGES:
        value = event[name]
        # Neither NaN nor an infinity passes this comparison.
        if value is not None and not 0.0 <= value <= high:
            bounds = f"0 to {high:g}" if high < LARGEST else "finite and 0 or more"
            return f"{name} must be {bounds}, not {value}"
    for name, value in event["extra"].items():
        wrong = name_fault(name, EXTRA_BYTES)
        if wrong:
            return f"a name in extra {wrong}"
        if name in BY_NAME:
            return f"extra must not repeat {name}, which is a field of its own"
        if not -LARGEST <= value <= LARGEST:
            return f"extra[{name!r}] must be finite, not {value}"
    return None


def show(metric: str, value: float) -> str:
    """A value with its unit, for people: '97.3 %', '12.4 MB/s', '1.25 s', '340'.

    >>> show("cpu_percent", 97.31), show("disk_write_bytes_per_s", 12_400_000.0), show("error_rate", 0.021)
    ('97.3 %', '12.4 MB/s', '2.1 %')
    """
    number, unit = _scaled(metric, value)
    return f"{number} {unit}" if unit else number


def show_range(metric: str, low: float, high: float) -> str:
    """A range with its unit: '12-35 %', '0.8-2.1 MB/s'; each bound with its own where they differ.

    It is cut at what a known metric can be: an estimate may lie beyond.
    """
    known = BY_NAME.get(metric)
    if known:
        low, high = max(0.0, low), min(known.high, high)
    (first, unit), (second, other) = _scaled(metric, low), _scaled(metric, high)
    if low < 0 or unit != other:
        return f"{show(metric, low)} to {show(metric, high)}"
    if first == second:
        return show(metric, high)
    return f"{first}-{second} {unit}" if unit else f"{first}-{second}"


def _scaled(metric: str, value: float) -> tuple[str, str]:
    known = BY_NAME.get(metric)
    unit = known.unit if known else ""
    if unit == "share":
        return _short(value * 100), "%"
    if unit == "B/s":
        for power, prefix in ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s")):
            if abs(value) >= power:
                return _short(value / power), prefix
    if unit == "ms" and abs(value) >= 1000:
        return _short(value / 1000), "s"
    return _short(value), unit


def _short(value: float) -> str:
    """Three digits that matter, at most one decimal below a hundred, no exponent in ordinary ranges."""
    size = abs(value)
    if size >= 1e7 or 0 < size < 0.01:
        return f"{value:.3g}"
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0") if size >= 1 else f"{value:.2g}"
