"""Detectors of one series: scores from 0 to 1 for each sample, of which 0.5 is the shipped alert threshold.

A detector knows nothing but the samples that it was given, costs the same for each of them, and stores its state in
small parts. `docs/detectors.md` says what each looks for and how good it was measured to be.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Protocol

from models.anomaly.drift import Drift
from models.anomaly.iqr import Quartiles
from models.anomaly.novelty import Novelty
from models.anomaly.parts import Parts, Read
from models.anomaly.seasonal import Seasonal
from models.anomaly.spike import Spike
from models.anomaly.standing import Standing
from models.anomaly.static import RULES, StaticLimit
from models.anomaly.zscore import ZScore
from models.metrics import BY_NAME

__all__ = ["DETECTORS", "Detector", "Parts", "Read", "detector", "standing", "static_limit"]


class Detector(Protocol):
    """What every detector offers; `load` is called at most once, before the first update."""

    name: ClassVar[str]

    def update(self, timestamp: datetime, value: float | None) -> float:
        """Score of a sample, 0 to 1. None and NaN score 0 and teach nothing. A timestamp without a zone is UTC."""

    def update_ms(self, epoch_ms: int, value: float | None) -> float:
        """The same with the time in epoch milliseconds."""

    def explain(self) -> dict[str, Any]:
        """Why the last sample got its score: `value` (None where it had none), `summary`, and the detector's own."""

    def load(self, read: Read) -> None:
        """Take up the stored state; later scores are bit-identical to those of the detector that stored it."""

    def changes(self) -> Parts:
        """Parts that changed since the last call."""


DETECTORS: Mapping[str, Callable[[], Detector]] = {
    "novelty": Novelty,
    "static": lambda: StaticLimit(RULES["cpu_percent"]),
    "zscore": ZScore,
    "iqr": Quartiles,
    "spike": Spike,
    "seasonal": Seasonal,
    "drift": Drift,
    "standing": Standing,
}
"""Every detector by name, ready for a series: what the contract suite and `watchfloor detect` go through."""


def detector(metric: str | None = None) -> Novelty:
    """The detector of what is new, for a new series. Its settings are the same for every metric."""
    return Novelty()


def standing(metric: str) -> Standing:
    """What decides which anomalies of a metric page, for a new series; of a custom metric no distance is too small."""
    known = BY_NAME.get(metric)
    return Standing(known.steps[0] if known else 0.0)


def static_limit(metric: str) -> StaticLimit | None:
    """The static limit of a metric; None where there is none."""
    rule = RULES.get(metric)
    return None if rule is None else StaticLimit(rule)
