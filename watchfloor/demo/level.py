"""The recorded week at this machine's level.

Another machine's level would itself be news here, so each recorded metric is put where this machine's is: its median
on this machine's median, its 90th percentile on this machine's, and its largest value on a ceiling below what the
burst will reach; straight lines between. Order, shape, times and incidents stay those of the recording.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from models.metrics import BY_NAME, NAMES

CPU_HEADROOM = 0.5
"""Recorded CPU incidents reach so far from this machine's usual high towards 100 %: a full burst stays news."""

CPU_MOST = 94.0
"""History never goes beyond this: over 95 % the static limit would call a whole week of a busy machine critical."""

DISK_CEILING = 12e6
"""Bytes per second that the recorded disk incidents reach, when this machine's own writes are not beyond that."""

DISK_MOST, DISK_ROOM = 12e6, 1.5
"""History's usual high goes no further (bytes per second), its incidents to so many times that: the burst is beyond."""

OTHER_CEILING = 3.0
"""Other metrics' largest recorded value becomes so many times this machine's usual high."""

BLIP = 2
"""Neighbours on each side that a sample is compared with."""

SMALLEST_STEP = 1e-3
"""Share of the ceiling that must lie between two anchors."""


@dataclass(frozen=True, slots=True)
class Level:
    """Where a metric is: its median, its 90th percentile, and the largest value that history may have."""

    middle: float
    high: float
    top: float


def level(name: str, values: Sequence[float]) -> Level:
    """This machine's level of a metric, from at least two samples, one a second."""
    deciles = quantiles(running_median(values), n=10, method="inclusive")
    middle, high = deciles[4], deciles[8]
    if name == "cpu_percent":
        high = min(high, CPU_MOST)
        top = min(high + CPU_HEADROOM * (100.0 - high), CPU_MOST)
    elif BY_NAME[name].unit == "B/s":
        high = min(high, DISK_MOST)
        top = max(DISK_CEILING, DISK_ROOM * high)
    else:
        top = min(OTHER_CEILING * high, BY_NAME[name].high)
    return Level(min(middle, high), high, top)


def running_median(values: Sequence[float]) -> list[float]:
    """Each value's median with its neighbours: a blip of a second is no level, nor is it news to the detectors."""
    return [median(values[max(0, at - BLIP) : at + BLIP + 1]) for at in range(len(values))]


def levels(samples: Iterable[Mapping[str, Any]]) -> dict[str, Level]:
    """Levels of the metrics that this machine has; those with fewer than two values are left out."""
    found = list(samples)
    values = {name: [s[name] for s in found if s[name] is not None] for name in NAMES}
    return {name: level(name, each) for name, each in values.items() if len(each) > 1}


class Scale:
    """Maps recorded values of one metric to this machine's level."""

    def __init__(self, recorded: Sequence[float], here: Level) -> None:
        deciles = quantiles(recorded, n=10, method="inclusive")
        anchors = [(0.0, 0.0), (deciles[4], here.middle), (deciles[8], here.high), (max(recorded), here.top)]
        least = SMALLEST_STEP * max(recorded)
        self._from, self._to = [0.0], [0.0]
        for source, target in anchors[1:]:
            if source - self._from[-1] > least:
                self._from.append(source)
                self._to.append(target)
            else:  # recorded values that are all the same, as of an idle disk
                self._to[-1] = target

    def __call__(self, value: float) -> float:
        at = bisect_right(self._from, value)
        if at == len(self._from):  # the last anchor may stand below the largest recorded value, but nothing beyond it
            return self._to[-1]
        low, high = self._from[at - 1], self._from[at]
        return self._to[at - 1] + (value - low) / (high - low) * (self._to[at] - self._to[at - 1])


def scales(records: Sequence[Mapping[str, Any]], here: Mapping[str, Level]) -> dict[str, Scale]:
    """A scale for every metric that was recorded and that this machine has."""
    found = {}
    for name, its_level in here.items():
        values = [record[name] for record in records if record[name] is not None]
        if len(values) > 1:
            found[name] = Scale(values, its_level)
    return found


def rescaled(record: Mapping[str, Any], by: Mapping[str, Scale]) -> dict[str, Any]:
    """A recorded sample at this machine's level. Metrics that this machine does not have become null."""
    changed = dict(record)
    for name in NAMES:
        value = changed[name]
        if value is not None:
            changed[name] = round(by[name](value), 3) if name in by else None
    return changed
