"""What serves a batch of events of one model, and what it says of them: risks, no decisions.

For models that nothing acts upon by itself; streams.fraud_scoring has what tickets need beside that.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.calibration import LEVELS
from models.classifiers import Scored
from models.decisions import CLEAR, CRITICAL, DECISIONS, HEURISTIC_CUTS, RISKS, Cuts
from models.registry.activation import Post
from streams.runtime import Control
from streams.serving import Models, Serving, serving

Floats = NDArray[np.float64]

SETS = tuple(f"label_set_{round(100 * level)}" for level in LEVELS)
EMPTY: dict[str, Any] = {
    **dict.fromkeys(("interval_low", "interval_high", "interval_width", *SETS, "calibration_score", "contributions")),
    "decision": DECISIONS[CLEAR],
    "certified": False,
    "calibration_version": "none",
}


class Model(Protocol):
    """What serves: a `Scorer`, or one that takes the first of the features that a domain measures."""

    @property
    def cuts(self) -> Cuts: ...

    def score(self, features: Floats) -> Scored: ...

    def contributions(self, features: Floats) -> Floats: ...


class Scoring(NamedTuple):
    """How the events of a model are scored.

    Attributes:
        post: where its versions serve.
        features: their names, in the order of the vectors.
        labels: as label sets name them: the usual, the rare.
        rule: probabilities (rows,) of vectors (rows, features), where no version serves.
        version: of the rule.
        cuts: of the rule.
    """

    post: Post
    features: tuple[str, ...]
    labels: tuple[str, str]
    rule: Callable[[Floats], Floats]
    version: str
    cuts: Cuts = HEURISTIC_CUTS

    def score(
        self, control: Control, models: Models, asked: Sequence[tuple[str, int]], table: Floats
    ) -> list[dict[str, Any]]:
        """Fields of the prediction records of a table (rows, features). No row's depend on the others.

        Args:
            asked: whose events they are, and when these were published (epoch milliseconds).
        """
        groups: dict[Any, tuple[Serving, list[int]]] = {}
        for row, (tenant, time) in enumerate(asked):
            served = serving(control, models, self.post, tenant, time)
            groups.setdefault((served.place, served.version, served.refused), (served, []))[1].append(row)
        out: dict[int, dict[str, Any]] = {}
        for served, rows in groups.values():
            out.update(zip(rows, self.said(served, table[rows]), strict=True))
        return [out[row] for row in range(len(asked))]

    def said(self, served: Serving, table: Floats) -> list[dict[str, Any]]:
        """What one version says of a table (rows, features), or the rule where it is none; as `score`."""
        common: dict[str, Any] = EMPTY | {"model_version": self.version, "fallback_reason": served.refused}
        if served.model is None:
            probability, cuts = self.rule(table), self.cuts
            out = [dict(common) for _ in table]
        else:
            model: Model = served.model
            common["model_version"] = served.version
            out, probability, cuts = self._scored(model, served.version, common, table)
        detail = {"cut_medium": cuts.medium, "cut_high": cuts.high, "cut_critical": cuts.critical}
        risks = cuts.risk(probability).tolist()
        for row, (fields, one) in enumerate(zip(out, probability.tolist(), strict=True)):
            fields |= {"probability": one, "risk_level": RISKS[risks[row]], "detail": detail}
            if served.model is not None and risks[row] == CRITICAL:
                # Of few: they cost more than all else.
                fields["contributions"] = self._contributions(served.model, table[row])
        return out

    def _scored(
        self, model: Model, version: str, common: dict[str, Any], table: Floats
    ) -> tuple[list[dict[str, Any]], Floats, Cuts]:
        scored = model.score(table)
        out = [dict(common) for _ in table]
        if scored.interval is not None and scored.label_sets is not None and scored.calibration_score is not None:
            low, high = (each.tolist() for each in scored.interval)
            for row, (fields, sets) in enumerate(zip(out, scored.label_sets.tolist(), strict=True)):
                fields |= {
                    "calibration_version": version,
                    "interval_low": low[row],
                    "interval_high": high[row],
                    "interval_width": high[row] - low[row],
                    "calibration_score": float(scored.calibration_score[row]),
                    **{name: self._labels(pair) for name, pair in zip(SETS, sets, strict=True)},
                }
        return out, scored.probability, model.cuts

    def _labels(self, pair: Sequence[bool]) -> list[str]:
        return [name for name, there in zip(self.labels, pair, strict=True) if there]

    def _contributions(self, model: Model, row: Floats) -> dict[str, float]:
        shares = model.contributions(row[None, :])[0].tolist()
        return dict(zip((*self.features[: len(shares) - 1], "base"), shares, strict=True))
