"""Samples of the past that a model of whole samples learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Samples in the order of time.

    Attributes:
        hosts: whose they are.
        times: epoch milliseconds, ascending, (samples,).
        vectors: the nine metrics in the order of `models.metrics.NAMES`, NaN where missing, (samples, 9).
        found: how many there were; more than `times` where only an even part of them was taken.
    """

    hosts: tuple[str, ...]
    times: NDArray[np.int64]
    vectors: NDArray[np.float64]
    found: int

    def newest(self, span_ms: int) -> "History":
        """Those of the last `span_ms` milliseconds up to the newest; `found` shrinks in proportion."""
        if not len(self.times):
            return self
        begin = int(np.searchsorted(self.times, self.times[-1] - span_ms, side="left"))
        found = round(self.found * (1 - begin / len(self.times)))
        return History(self.hosts, self.times[begin:], self.vectors[begin:], found)


def together(histories: Sequence[History]) -> History:
    """The samples of several hosts as one history; those of one time stay in the order of the histories.

    Raises ValueError when there is none.
    """
    times = np.concatenate([each.times for each in histories])
    order = np.argsort(times, kind="stable")
    return History(
        tuple(host for each in histories for host in each.hosts),
        times[order],
        np.concatenate([each.vectors for each in histories])[order],
        sum(each.found for each in histories),
    )
