"""Do intervals and sets hold what they promise: over all rows, for the rare class, and in each risk band."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from models.calibration import LEVELS
from models.decisions import RISKS, Codes
from models.evaluation.measures import Flags, Floats

GROUPS, GROUP_ROWS = 10, 30
"""Groups that a band is split into, ordered by score, and the fewest rows of one."""


def venn_abers(labels: Flags, low: Floats, high: Floats, risk: Codes, narrow: float) -> dict[str, Any]:
    """Of intervals of a probability, (rows,).

    No single case shows whether a probability was right, so neighbours are taken together: `coverage` is the share of
    groups whose number of positives is plausible under the p0 or p1 of its rows or what lies between (exact binomial
    tails of the mean p0 and the mean p1, each half of 1 - level). Right probabilities have the level; those of few
    calibration cases have less, since the cases were chance, too.
    """

    def of(rows: NDArray[np.intp]) -> dict[str, Any]:
        width = (high - low)[rows]
        order = rows[np.argsort(low[rows] + high[rows], kind="stable")]
        groups = np.array_split(order, max(1, min(GROUPS, len(rows) // GROUP_ROWS)))
        size = np.array([len(group) for group in groups])
        hits = np.array([labels[group].sum() for group in groups])
        at_least = binom.sf(hits - 1, size, [high[group].mean() for group in groups])
        at_most = binom.cdf(hits, size, [low[group].mean() for group in groups])
        held = {
            _name(level): float(np.mean(np.minimum(at_least, at_most) > (1 - level) / 2 - 1e-12)) for level in LEVELS
        }
        return {"groups": len(groups), "coverage": held, "width": float(width.mean()), **_narrow(width, narrow)}

    return _by_band(risk, labels, of)


def label_sets(labels: Flags, sets: NDArray[np.bool_], risk: Codes) -> dict[str, Any]:
    """Of sets of labels, (rows, 3, 2): the share that holds the label, of all and of the positives, and their size."""
    holds = np.where(labels[:, None], sets[:, :, 1], sets[:, :, 0])
    sizes = sets.sum(axis=2)

    def of(rows: NDArray[np.intp]) -> dict[str, Any]:
        return {
            **_coverage(holds[rows], labels[rows]),
            "width": _by_level(sizes[rows].mean(axis=0)),
            "single": _by_level((sizes[rows] == 1).mean(axis=0)),
        }

    return _by_band(risk, labels, of)


def absolute_residual(labels: Flags, low: Floats, high: Floats, risk: Codes, narrow: float) -> dict[str, Any]:
    """Of intervals of a label, (rows, 3): as of sets; `narrow` is the share of those less wide than that."""
    holds = (low <= labels[:, None]) & (labels[:, None] <= high)

    def of(rows: NDArray[np.intp]) -> dict[str, Any]:
        width = (high - low)[rows]
        return {
            **_coverage(holds[rows], labels[rows]),
            "width": _by_level(width.mean(axis=0)),
            "narrow": _by_level((width < narrow).mean(axis=0)),
        }

    return _by_band(risk, labels, of)


def _by_band(risk: Codes, labels: Flags, of: Any) -> dict[str, Any]:
    out = {}
    for name, rows in [
        ("all", np.arange(len(risk))),
        *((name, np.flatnonzero(risk == n)) for n, name in enumerate(RISKS)),
    ]:
        if len(rows):
            out[name] = {"rows": len(rows), "positives": int(labels[rows].sum()), **of(rows)}
    return out


def _coverage(holds: NDArray[np.bool_], labels: Flags) -> dict[str, Any]:
    positives = _by_level(holds[labels].mean(axis=0)) if labels.any() else None
    return {"coverage": _by_level(holds.mean(axis=0)), "coverage_of_positives": positives}


def _narrow(width: Floats, narrow: float) -> dict[str, float]:
    return {"narrow": float((width < narrow).mean())}


def _by_level(values: NDArray[np.float64]) -> dict[str, float]:
    return {_name(level): float(value) for level, value in zip(LEVELS, values, strict=True)}


def _name(level: float) -> str:
    return f"{level:.2f}"
