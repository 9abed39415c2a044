"""The detectors that every operator knows, as a yardstick: z-score, interquartile range, twice the baseline.

Each looks at the trailing hour, at least 30 samples, as the defaults of monitoring tools have it. A score of 0.5 is
the rule as it is usually written; a higher one is farther beyond it.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import deque
from math import sqrt

WINDOW_MS = 3_600_000
LEAST = 30


class Trailing(ABC):
    """The values of the last hour, at least 30 of them."""

    def __init__(self) -> None:
        self.samples: deque[tuple[int, float]] = deque()

    def update_ms(self, epoch_ms: int, value: float) -> float:
        samples = self.samples
        while len(samples) > LEAST and samples[0][0] < epoch_ms - WINDOW_MS:
            self.gone(samples.popleft()[1])
        times = self.excess(value) if len(samples) >= LEAST else 0.0
        samples.append((epoch_ms, value))
        self.came(value)
        return times / (1.0 + times)

    @abstractmethod
    def excess(self, value: float) -> float:
        """How far out, 1 at the usual limit."""

    def came(self, value: float) -> None:  # noqa: B027 only quartiles keep more than the samples
        """A value has come into the window."""

    def gone(self, value: float) -> None:  # noqa: B027
        """A value has left the window."""


class ZScore(Trailing):
    """More than three standard deviations from the mean."""

    def excess(self, value: float) -> float:
        count = len(self.samples)
        mean = sum(each for _, each in self.samples) / count
        spread = sqrt(sum((each - mean) ** 2 for _, each in self.samples) / count)
        apart = abs(value - mean)
        return apart / (3 * spread) if spread > 0 else (9.0 if apart > 0 else 0.0)


class Quartiles(Trailing):
    """More than one and a half interquartile ranges beyond the quartiles."""

    def __init__(self) -> None:
        super().__init__()
        self.ordered: list[float] = []

    def excess(self, value: float) -> float:
        ordered = self.ordered
        low, high = ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]
        beyond = max(low - value, value - high)
        if beyond <= 0:
            return 0.0
        return beyond / (1.5 * (high - low)) if high > low else 9.0

    def came(self, value: float) -> None:
        insort(self.ordered, value)

    def gone(self, value: float) -> None:
        del self.ordered[bisect_left(self.ordered, value)]


class Spike(Trailing):
    """More than twice the mean."""

    def excess(self, value: float) -> float:
        mean = sum(each for _, each in self.samples) / len(self.samples)
        return value / (2 * mean) if mean > 0 and value > 0 else 0.0


RULES = {"z-score, 3 sigma": ZScore, "IQR, 1.5": Quartiles, "spike, 2 x mean": Spike}
