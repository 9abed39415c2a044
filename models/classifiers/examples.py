"""Labelled cases in the order of time, and how they are split: never by chance, always by time."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DAY_MS = 86_400_000
REACH = float(np.finfo(np.float32).max)
"""Features beyond this count as missing, as do infinite ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Cases whose label is known.

    Attributes:
        times_ms: event times, epoch milliseconds, ascending, (rows,).
        features: (rows, features); NaN for unknown.
        labels: (rows,), true for the rare class, such as fraud.
        weights: (rows,), above 0: how much a case counts in training; less for a label that was only presumed.
    """

    times_ms: NDArray[np.int64]
    features: Floats
    labels: Flags
    weights: Floats

    @classmethod
    def of(cls, times_ms: ArrayLike, features: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Self:
        """From anything like arrays. Raises ValueError unless they fit, times ascend, and weights are above 0."""
        times, given = np.asarray(times_ms, dtype=np.int64), np.asarray(features, dtype=np.float64)
        truth = np.asarray(labels, dtype=np.bool_)
        weight = np.ones(len(times)) if weights is None else np.asarray(weights, dtype=np.float64)
        rows = (len(times),)
        if given.ndim != 2 or not times.shape == given.shape[:1] == truth.shape == weight.shape == rows:
            raise ValueError(
                f"expected (rows,) times, labels and weights and (rows, features) features, "
                f"got {times.shape}, {truth.shape}, {weight.shape} and {given.shape}"
            )
        if (np.diff(times) < 0).any():
            raise ValueError("times must be ascending")
        if not ((weight > 0) & (weight < np.inf)).all():
            raise ValueError("weights must be finite and above 0")
        return cls(times, known(given), truth, weight)

    def __len__(self) -> int:
        return len(self.times_ms)

    def __getitem__(self, rows: slice) -> "Examples":
        return Examples(self.times_ms[rows], self.features[rows], self.labels[rows], self.weights[rows])

    @property
    def positives(self) -> int:
        """Cases whose label is true."""
        return int(self.labels.sum())

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all values: the same examples give the same one."""
        # However NaN is written, it is one NaN.
        features = np.where(np.isnan(self.features), np.nan, self.features)
        parts = (self.times_ms.astype("<i8"), features.astype("<f8"), self.labels, self.weights.astype("<f8"))
        return sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class Slices:
    """Ranges of rows, one after the other in time; between them the gap is left out."""

    train: slice
    calibrate: slice
    test: slice


def split(times_ms: NDArray[np.int64], *, calibrate: float = 0.2, test: float = 0.0, gap_ms: int = DAY_MS) -> Slices:
    """Train, calibrate and test slices: the newest rows test, those before them calibrate, the others train.

    Rows less than `gap_ms` before the first of a later slice belong to none, so that one event (a shift, an outage)
    does not stand on both sides. Rows of one time are never parted.

    Args:
        times_ms: ascending, (rows,).
        calibrate, test: shares of the rows; 0 for an empty slice.
    """
    rows = len(times_ms)

    def first(share: float) -> int:
        at = rows - round(share * rows)
        return int(np.searchsorted(times_ms, times_ms[at], side="left")) if at < rows else rows

    def end(following: int) -> int:
        if following == rows:
            return rows
        return min(following, int(np.searchsorted(times_ms, times_ms[following] - gap_ms, side="right")))

    calibrated, tested = first(calibrate + test), first(test)
    return Slices(
        train=slice(0, end(calibrated)),
        calibrate=slice(calibrated, max(calibrated, end(tested))),
        test=slice(tested, rows),
    )


def known(features: Floats) -> Floats:
    """Features with NaN for whatever is no number that a model can compare."""
    fine = np.abs(features) <= REACH
    return features if (fine | np.isnan(features)).all() else np.where(fine, features, np.nan)
