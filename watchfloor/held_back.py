"""What the alert budget has held back, as the NOC reads it: one row for each anomaly, not for each candidate."""

from collections.abc import Iterable, Mapping
from typing import Any

from models.alerts import RANK

Candidate = Mapping[str, Any]


def held_back(candidates: Iterable[Candidate]) -> list[dict[str, Any]]:
    """The anomalies that were held back, the oldest first.

    Args:
        candidates: records of alerts.candidates, those of a tenant in order.
    Returns:
        Of each: tenant_id, subject, metric, direction; began_at and newest_at, epoch milliseconds; samples; severity
        (the worst) and score (the highest) with their summary; cut (the score that it would have needed); opened,
        whether it was rare enough later and became an alert then.
    """
    found: list[dict[str, Any]] = []
    going: dict[str, dict[str, Any]] = {}
    for candidate in candidates:
        name = candidate["fingerprint"]
        if candidate["phase"] == "held_back":
            if name not in going:
                going[name] = _begun(candidate)
                found.append(going[name])
            _goes_on(going[name], candidate)
        else:
            over = going.pop(name, None)
            if over is not None:
                over["opened"] = candidate["phase"] == "firing"
    return sorted(found, key=lambda each: (each["began_at"], each["tenant_id"], each["subject"], each["metric"]))


def _begun(candidate: Candidate) -> dict[str, Any]:
    same = {name: candidate[name] for name in ("tenant_id", "subject", "metric", "direction", "severity")}
    return same | {"began_at": candidate["event_time"], "samples": 0, "score": -1.0, "opened": False}


def _goes_on(row: dict[str, Any], candidate: Candidate) -> None:
    row["newest_at"] = candidate["event_time"]
    row["samples"] += candidate["samples"]
    row["severity"] = max(row["severity"], candidate["severity"], key=RANK.__getitem__)
    if candidate["score"] > row["score"]:
        row |= {"score": candidate["score"], "summary": candidate["summary"], "cut": candidate["evidence"].get("cut")}
