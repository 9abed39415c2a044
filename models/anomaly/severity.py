"""How bad an anomaly is: by how new it is to the metric's own past, capped by how far out it is in its unit."""

from models.alerts import SEVERITIES
from models.metrics import BY_NAME

SCORES = (0.5, 0.7, 0.9)
"""Scores from which an anomaly is at most WARNING, HIGH, CRITICAL."""

CUSTOM_CAP = 2
"""A custom metric is HIGH at most: without its unit nobody can say that a distance is severe."""

RISK = {"INFO": "MEDIUM", "WARNING": "MEDIUM", "HIGH": "HIGH", "CRITICAL": "CRITICAL"}
"""Risk level of a prediction by the severity of what fires; LOW where nothing does."""


def severity_of(metric: str, score: float, distance: float | None) -> str:
    """Severity of an anomaly.

    | score | noticeable distance | large | severe |
    |---|---|---|---|
    | from .5 | WARNING | WARNING | WARNING |
    | from .7 | WARNING | HIGH | HIGH |
    | from .9 | WARNING | HIGH | CRITICAL |

    Below the noticeable distance it is INFO: new to this host, but small. The distances of each metric are in
    `models.metrics.HOST_METRICS`.

    Args:
        metric: its name; any other than the nine is a custom one.
        score: of the detector, 0.5 to 1.
        distance: |value - expected| in the metric's unit; None where nothing was expected yet.
    """
    newness = sum(score >= least for least in SCORES)
    known = BY_NAME.get(metric)
    if known is None:
        size = CUSTOM_CAP
    elif distance is None:
        size = len(SCORES)
    else:
        size = sum(distance >= step for step in known.steps)
    return SEVERITIES[min(newness, size)]
