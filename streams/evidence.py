"""What all detectors said about a sample: evidence for whoever looks at an alert, or at a prediction."""

from collections.abc import Iterable, Mapping, Set

from models.anomaly import panel
from models.anomaly.conformal import Calibration
from streams.host_state import DIGITS, JUDGES, Watch
from streams.runs import Finding

FIRES = 0.5
"""A score from here on is kept in the prediction: nine metrics would otherwise bring 45 more figures each second."""


def add(findings: Mapping[str, Finding], watch: Watch, calibration: Calibration, off: Set[str]) -> None:
    """Add to what has been found on a metric the score and the p-value of every detector that says something.

    `off`: detectors that are not to be heard.
    """
    if not findings:
        return
    said: dict[str, float] = {}
    for number, (name, score) in enumerate(zip(JUDGES, watch.scores, strict=True)):
        if score and name not in off:
            said[f"{name}_score"] = round(score, DIGITS)
            said[f"{name}_p"] = round(calibration.p_value(score, number), DIGITS)
    for finding in findings.values():
        finding.evidence.update(said)


def fired(watches: Iterable[Watch], off: Set[str]) -> dict[str, float]:
    """Scores of the detectors that open no alert, where they fire, by metric/detector."""
    return {
        f"{watch.name}/{name}": round(score, DIGITS)
        for watch in watches
        for name, score in zip(panel.NAMES, watch.scores[1:], strict=True)
        if score >= FIRES and name not in off
    }
