"""Class-wise (Mondrian) conformal label sets: which labels a score does not rule out.

Of the cases that truly have a label, at least the share `level` have it in their set, for each label by itself
(Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, section 4.5), if they are exchangeable with
the calibration cases. At 1 % prevalence the sets rank cases for review; they say little of how many are frauds.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVELS = (0.90, 0.95, 0.99)


@dataclass(frozen=True, slots=True, eq=False)
class LabelSets:
    """A label is in the set at a level unless fewer calibration cases of this label than 1 - level are as strange.

    Attributes:
        most: (3,), scores up to this have label 0 in their set at each of LEVELS; infinite: all have.
        least: (3,), scores from this on have label 1 in it; minus infinity: all have.
    """

    most: NDArray[np.float64]
    least: NDArray[np.float64]

    @classmethod
    def fit(cls, scores: ArrayLike, labels: ArrayLike) -> Self:
        """Of calibration scores and their labels, 0 or 1, (rows,); of both labels there must be some."""
        values, ones = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
        return cls(-_least(-values[~ones]), _least(values[ones]))

    def of(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Whether label 0 and label 1 are in the sets of scores (rows,): (rows, 3 levels, 2 labels)."""
        values = np.asarray(scores, dtype=np.float64)[:, None]
        found = np.empty((len(values), len(LEVELS), 2), dtype=np.bool_)
        np.less_equal(values, self.most, out=found[:, :, 0])
        np.greater_equal(values, self.least, out=found[:, :, 1])
        return found


def _least(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least score whose conformal p-value, (1 + cases up to it) / (1 + cases), is above 1 - level."""
    ordered = np.sort(scores)
    # 1 + cases must be more than this; the small amount is for 0.1 x 10 = 1.0000000000000009 and its like.
    needed = [int(np.floor((1 - level) * (len(ordered) + 1) + 1e-9)) for level in LEVELS]
    return np.array([ordered[count - 1] if count else -np.inf for count in needed])
