"""What a model's scores on recent cases with known labels say about its next scores."""

from dataclasses import dataclass, fields
from hashlib import sha256
from io import BytesIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike

from models.calibration.label_sets import LEVELS, LabelSets
from models.calibration.residual import AbsoluteResidual
from models.calibration.venn_abers import Floats, Interval, VennAbers
from models.decisions import Cuts
from models.registry import ArtifactRefused

LEAST, LEAST_OF_CLASS = 100, 10

TIE = 1e-9
"""What a score adds to its probability: cases of one step of the tables keep their order for who looks at the riskiest
first. p0 and p1 are always further from the probability than that."""

ARRAYS = "calibration.npz"
_TABLES = tuple(field.name for field in fields(VennAbers))


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Intervals, label sets and cuts, all of one slice of calibration cases.

    Attributes:
        rows, ones: cases, and how many of them have label 1.
        digest: SHA-256 of their scores and labels.
        venn_abers, label_sets, residual: see there. All take the model's own scores, not calibrated ones.
        cuts: of the calibrated probability.
    """

    rows: int
    ones: int
    digest: str
    venn_abers: VennAbers
    label_sets: LabelSets
    residual: AbsoluteResidual
    cuts: Cuts


class TooFewCases(ValueError):
    """Not enough calibration cases for an interval that means something."""


def calibrate(scores: ArrayLike, labels: ArrayLike) -> Calibration:
    """The calibration of a model's scores, 0 to 1, on cases that it did not learn from, and their labels, 0 or 1.

    Raises:
        TooFewCases: fewer than 100 cases, or than 10 of a class.
        ValueError: scores and labels do not fit, or are no such numbers.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.int8)
    if values.ndim != 1 or values.shape != truth.shape:
        raise ValueError(f"expected a score and a label for each case, got {values.shape} and {truth.shape}")
    if not ((values >= 0) & (values <= 1)).all() or not np.isin(truth, (0, 1)).all():
        raise ValueError("scores must be 0 to 1 and labels 0 or 1")
    ones = int(truth.sum())
    if len(truth) < LEAST or min(ones, len(truth) - ones) < LEAST_OF_CLASS:
        raise TooFewCases(
            f"an interval needs {LEAST} calibration cases and {LEAST_OF_CLASS} of each label; "
            f"there are {len(truth)}, {ones} of them with label 1"
        )
    venn_abers = VennAbers.fit(values, truth)
    return Calibration(
        rows=len(truth),
        ones=ones,
        digest=sha256(values.astype("<f8").tobytes() + truth.tobytes()).hexdigest(),
        venn_abers=venn_abers,
        label_sets=LabelSets.fit(values, truth),
        residual=AbsoluteResidual.fit(values, truth),
        cuts=Cuts.of(probability(values, venn_abers.interval(values))),
    )


def probability(scores: Floats, interval: Interval) -> Floats:
    """One probability of p0 and p1 for each score, (rows,): p1 / (1 - p0 + p1), and TIE of the score.

    It loses least, whichever of the two is right, by logarithmic loss. It ascends with the score, between p0 and p1.
    """
    merged: Floats = interval.high / (1.0 - interval.low + interval.high) + TIE * scores
    return merged


def pack(calibration: Calibration) -> bytes:
    """The file ARRAYS; the same calibration gives the same bytes."""
    tables, sets, cuts = calibration.venn_abers, calibration.label_sets, calibration.cuts
    out = BytesIO()
    np.savez_compressed(
        out,
        **{name: getattr(tables, name) for name in _TABLES},
        label_sets=np.stack([sets.most, sets.least]),
        residual=calibration.residual.half,
        cuts=np.array([cuts.medium, cuts.high, cuts.critical]),
        rows_ones=np.array([calibration.rows, calibration.ones]),
        digest=np.frombuffer(bytes.fromhex(calibration.digest), dtype=np.uint8),
    )
    return out.getvalue()


def unpack(raw: bytes) -> Calibration:
    """The calibration of a file. Raises ArtifactRefused for what is none."""
    try:
        with np.load(BytesIO(raw), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        tables = VennAbers(**{name: arrays[name] for name in _TABLES})
        most, least = arrays["label_sets"]
        medium, high, critical = arrays["cuts"].tolist()
        rows, ones = arrays["rows_ones"].tolist()
        found = Calibration(
            rows,
            ones,
            arrays["digest"].tobytes().hex(),
            tables,
            LabelSets(most, least),
            AbsoluteResidual(arrays["residual"]),
            Cuts(medium, high, critical),
        )
    except (ValueError, KeyError, TypeError, OSError, EOFError, BadZipFile) as error:
        raise ArtifactRefused(f"{ARRAYS} cannot be read: {error}") from error
    wrong = fault(found)
    if wrong is not None:
        raise ArtifactRefused(f"{ARRAYS} is no calibration: {wrong}")
    return found


def fault(calibration: Calibration) -> str | None:
    """What is wrong with a calibration's arrays; None where every score gets an interval."""
    tables, levels = calibration.venn_abers, (len(LEVELS),)
    steps = (tables.low, tables.high, tables.low_rows, tables.high_rows)
    if tables.scores.ndim != 1 or any(each.shape != (len(tables.scores) + 1,) for each in steps):
        return "its step tables do not have one more step than scores"
    if any(each.dtype != np.float64 for each in (tables.scores, tables.low, tables.high)):
        return "its step tables are not of 64-bit floating-point numbers"
    if not (np.diff(tables.scores) > 0).all() or not np.isfinite(tables.scores).all():
        return "its scores are not finite and ascending"
    ascending = all((np.diff(each) >= 0).all() for each in (tables.low, tables.high))
    if not (ascending and tables.low[0] >= 0 and tables.high[-1] <= 1 and (tables.low[1:] <= tables.high[:-1]).all()):
        return "p0 and p1 are not ascending probabilities, p0 the lower one"
    sets, half = calibration.label_sets, calibration.residual.half
    if (sets.most.shape, sets.least.shape, half.shape) != (levels, levels, levels):
        return f"it does not have {len(LEVELS)} levels"
    if np.isnan([sets.most, sets.least]).any() or not ((half >= 0) & (half <= 1)).all():
        return "some of its levels are no numbers"
    return None
