"""Split conformal intervals of the label by absolute residuals: the baseline that Venn-Abers is measured against.

Every score gets the same half width. Where one class is rare the other one sets it: the intervals cover 90 % of all
labels and hardly any of the rare ones. docs/models.md has the figures.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.calibration.label_sets import LEVELS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AbsoluteResidual:
    """Half widths.

    Attributes:
        half: (3,), at each of LEVELS; 1 where there are too few calibration rows for less.
    """

    half: Floats

    @classmethod
    def fit(cls, probabilities: ArrayLike, labels: ArrayLike) -> Self:
        """Of a model's probabilities and labels, 0 or 1, (rows,): the ceil((rows + 1) level)-th smallest residual."""
        residuals = np.sort(np.abs(np.asarray(labels, dtype=np.float64) - np.asarray(probabilities, dtype=np.float64)))
        ranks = [int(np.ceil((len(residuals) + 1) * level - 1e-9)) for level in LEVELS]
        return cls(np.array([residuals[rank - 1] if rank <= len(residuals) else 1.0 for rank in ranks]))

    def interval(self, probabilities: ArrayLike) -> tuple[Floats, Floats]:
        """Low and high, cut to 0..1, of probabilities (rows,); both (rows, 3)."""
        middle = np.asarray(probabilities, dtype=np.float64)[:, None]
        return np.maximum(middle - self.half, 0.0), np.minimum(middle + self.half, 1.0)
