"""What serves a tenant: the heuristic, then the model that tenants share, then its own once that is proved better.

The shared model learns only from tenants that let it (`pool_data`); a tenant's own learns from nobody else.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.classifiers import Examples, Scorer
from models.classifiers.examples import DAY_MS, Floats
from models.evaluation.paired import Gain, paired_gain

HEURISTIC, SHARED, OWN = "heuristic", "global", "tenant"
"""The rungs."""


@dataclass(frozen=True, slots=True)
class Rung:
    """What is to serve a tenant, and why. `gain`: of its own model over the shared one; None without a test."""

    serves: str
    why: str
    gain: Gain | None = None

    @property
    def about(self) -> dict[str, Any]:
        """Values of JSON."""
        return asdict(self) | {"gain": None if self.gain is None else self.gain._asdict()}


def pooled(cases: Mapping[str, Examples], allowed: Collection[str]) -> Examples:
    """The cases of the tenants that are allowed, by time; those of the others are not looked at.

    Raises ValueError where none is there.
    """
    parts = [cases[tenant] for tenant in sorted(cases) if tenant in allowed]
    if not parts:
        raise ValueError("no tenant lets the global model learn from its labels (pool_data)")
    times, features, labels, weights = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("times_ms", "features", "labels", "weights")
    )
    order = np.argsort(times, kind="stable")
    return Examples.of(times[order], features[order], labels[order], weights[order])


def learned_until(training: Mapping[str, Any]) -> int:
    """Event time of the newest case that a model has seen, to learn or to calibrate; of what its training tells."""
    return max(training[part]["last_ms"] or 0 for part in ("train", "calibrate"))


def climb(own: Scorer, shared: Scorer | None, cases: Examples, until_ms: int = 0, seed: int = 0) -> Rung:
    """Whether a tenant's own model is to serve it instead of the shared one.

    Both rank the same cases, a day or more later than all that either has learned from; the own one is to serve where
    it has more PR-AUC beyond chance. How each is calibrated does not count: it keeps the order.

    Args:
        shared: None where there is none.
        cases: labelled, with all features; none that the own model learned from.
        until_ms: what the shared one learned from (`learned_until`).
    """
    if shared is None:
        return Rung(OWN, "there is no global model")
    rows = cases[int(np.searchsorted(cases.times_ms, until_ms + DAY_MS)) :] if until_ms else cases
    gain = paired_gain(rows.labels, raw(own, rows.features), raw(shared, rows.features), seed)
    return judged(gain, len(rows), rows.positives)


def judged(gain: Gain | None, rows: int, positives: int) -> Rung:
    """What is to serve where there are both, by the gain of the own model on so many cases."""
    if gain is None:
        return Rung(SHARED, f"of {rows:,} cases that neither learned from, {positives:,} are frauds: no test")
    told = (
        f"PR-AUC {gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f} at 90 %) against the global model, on "
        f"{gain.rows:,} cases with {gain.positives:,} frauds"
    )
    return Rung(OWN, told, gain) if gain.proved else Rung(SHARED, f"its own model is not proved better: {told}", gain)


def raw(scorer: Scorer, features: Floats) -> Floats:
    """A classifier's scores of rows of all features."""
    return scorer.classifier.scores(np.ascontiguousarray(features[:, : scorer.classifier.features]))
