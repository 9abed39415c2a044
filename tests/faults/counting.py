"""The keyed work of the comparisons: count, sum and mean of a host's CPU, one output record per sample.

Any sample that is processed twice, skipped or counted into a wrong state shows in every later output of its host.
"""

import struct
from typing import Any

STATE = struct.Struct("<qdd")
Count = tuple[int, float, float]
"""Samples, their sum, and a moving average of factor 0.1."""
ZERO: Count = (0, 0.0, 0.0)


def step(count: Count, event: dict[str, Any]) -> tuple[Count, dict[str, Any]]:
    """The next state of a host and the output for one sample."""
    number, total, moving = count
    value = event["cpu_percent"] or 0.0
    number, total, moving = number + 1, total + value, 0.9 * moving + 0.1 * value
    return (number, total, moving), {
        "tenant_id": event["tenant_id"],
        "prediction_id": f"count-{event['event_id']}",
        "event_id": event["event_id"],
        "subject": event["host"],
        "model": "count",
        "model_version": "count-1",
        "calibration_version": "none",
        "feature_set": "cpu-1",
        "slot": "champion",
        "event_time": event["occurred_at"],
        "probability": 0.0,
        "interval_low": None,
        "interval_high": None,
        "interval_width": None,
        "label_set_90": None,
        "label_set_95": None,
        "label_set_99": None,
        "calibration_score": None,
        "risk_level": "LOW",
        "decision": "clear",
        "certified": False,
        "control_offset": -1,
        "features": [event["cpu_percent"]],
        "contributions": None,
        "detail": {"n": float(number), "sum": total, "mean": total / number, "moving": moving},
        "advice": None,
        "held_out": False,
        "fallback_reason": None,
        "scored_by": "stream",
    }
