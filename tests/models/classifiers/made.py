"""Made cases: what tells the classes apart is an interaction, a threshold, and that something is missing."""

import numpy as np
from numpy.typing import NDArray

from models.classifiers import Examples

FEATURES = ("drift", "speed", "hour", "rate", "constant")
HOUR_MS = 3_600_000


def cases(seed: int, rows: int = 4000, share: float = 0.05, missing: float = 0.05) -> Examples:
    """About `share` of the cases are positive; one comes each hour."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 5)) * (300, 50, 6, 0.1, 0)
    signal = values[:, 0] / 300 + 1.5 * (values[:, 1] > 40) * (values[:, 2] > 0)
    gone = rng.random(values.shape) < missing
    signal = signal + 1.5 * gone[:, 3] + rng.normal(0, 0.5, rows)
    values[gone] = np.nan
    return Examples.of(np.arange(rows) * HOUR_MS, values, signal > np.quantile(signal, 1 - share))


def rows_of(seed: int, rows: int) -> NDArray[np.float64]:
    """Features that may be anything: missing, infinite, huge, tiny."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 5)) * (300, 50, 6, 0.1, 1)
    odd = rng.choice([np.nan, np.inf, -np.inf, 1e300, -1e38, 1e-310, -0.0], size=values.shape)
    return np.where(rng.random(values.shape) < 0.2, odd, values)
