"""What all detectors said about a sample: evidence for whoever looks at an alert, or at a prediction."""

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from models import metrics
from models.anomaly import forest_artifact, panel
from models.anomaly.conformal import Calibration
from streams.host_state import DIGITS, JUDGES, Watch
from streams.runs import Finding
from streams.serving import Serving

FIRES = 0.5
"""A score from here on is kept in the prediction: nine metrics would otherwise bring 45 more figures each second."""


class Together:
    """What the isolation forest that serves, if any, says about all metrics of a sample; asked only when one fires.

    Attributes:
        refused: why a newer forest, which should serve, does not.
    """

    __slots__ = ("_event", "_said", "_serving", "refused")

    def __init__(self, event: Mapping[str, Any], serving: Callable[[], Serving]) -> None:
        self._event, self._serving = event, serving
        self._said: dict[str, float] | None = None
        self.refused: str | None = None

    def said(self) -> dict[str, float]:
        """Its score and p-value; nothing where none serves."""
        if self._said is None:
            served = self._serving()
            self._said, self.refused = {}, served.refused
            if served.model is not None:
                values = [self._event[name] for name in metrics.NAMES]
                score = served.model.score([float("nan") if value is None else value for value in values])
                self._said[f"{forest_artifact.NAME}_score"] = round(score, DIGITS)
                self._said[f"{forest_artifact.NAME}_p"] = round(served.model.p_value(score), DIGITS)
        return self._said


def add(
    findings: Mapping[str, Finding], watch: Watch, calibration: Calibration, off: Set[str], together: Together
) -> None:
    """Add to what has been found on a metric the score and the p-value of every detector that says something.

    `off`: detectors that are not to be heard.
    """
    if not findings:
        return
    said = dict(together.said())
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
        if max(others := watch.scores[1:]) >= FIRES
        for name, score in zip(panel.NAMES, others, strict=True)
        if score >= FIRES and name not in off
    }
