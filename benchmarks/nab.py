"""The Numenta Anomaly Benchmark: its series, its labels and its scoring, written after its description.

Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms - the Numenta Anomaly Benchmark", ICMLA 2015, and
the rules of its version 1.1. Nothing of it is in this repository: `load` reads a checkout of the public repository
numenta/NAB (MIT licence).

A detection inside a labelled window earns by how early it is, only the first one of a window counts, a missed window
costs, and every single row that fires elsewhere costs. 0 is what no detection at all is worth; 100 is every window at
its first row and nothing else.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.bool_]
Scores = NDArray[np.float64]

PROBATION = 0.15
PROBATION_ROWS = 750
"""The first 15 % of a series, at most so many rows, are not scored."""

EPISODE_ROWS = 12
"""False alerts less than so many rows apart are one false episode."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a found window, a row that fires elsewhere, and a missed window are worth."""

    found: float
    false: float
    missed: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "low FP": Profile(1.0, 0.22, 1.0),
    "low FN": Profile(1.0, 0.11, 2.0),
}


@dataclass(frozen=True, slots=True)
class Stream:
    """One series with its labels.

    Attributes:
        name: folder and file.
        times: epoch milliseconds.
        values: one for each time.
        windows: (first row, last row) of each labelled window.
        scored: first row that counts.
        worth: what firing at a row is worth: above 0 inside windows, below outside.
    """

    name: str
    times: list[int]
    values: list[float]
    windows: list[tuple[int, int]]
    scored: int
    worth: Scores

    @property
    def folder(self) -> str:
        return self.name.partition("/")[0]

    @property
    def days(self) -> float:
        return (self.times[-1] - self.times[self.scored]) / 86_400_000

    @property
    def live(self) -> list[tuple[int, int]]:
        """Windows of which something is scored."""
        return [window for window in self.windows if window[1] >= self.scored]

    @property
    def outside(self) -> Rows:
        out = np.arange(len(self.times)) >= self.scored
        for begin, end in self.windows:
            out[begin : end + 1] = False
        return out


def falling(place: Any) -> Any:
    """The scoring function: 1 well before a window's end (place -1), 0 at it, -1 well after."""
    place = np.asarray(place, dtype=float)
    return np.where(place > 3, -1.0, 2.0 / (1.0 + np.exp(np.minimum(5.0 * place, 500.0))) - 1.0)


TOP = float(falling(-1.0))


def worth_of(count: int, windows: Sequence[tuple[int, int]]) -> Scores:
    worth = np.full(count, -1.0)
    for begin, end in windows:
        rows = np.arange(begin, end + 1)
        worth[rows] = falling(-(end - rows + 1) / (end - begin + 1)) / TOP
        after = np.arange(end + 1, count)
        worth[after] = falling((after - end) / max(end - begin, 1))
    return worth


def load(folder: Path) -> list[Stream]:
    """All labelled series of a checkout."""
    labels: dict[str, list[list[str]]] = json.loads((folder / "labels" / "combined_windows.json").read_text())
    return [_stream(folder / "data" / name, name, labels[name]) for name in sorted(labels)]


def _moment(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def _stream(path: Path, name: str, labels: Sequence[Sequence[str]]) -> Stream:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = [_moment(row["timestamp"]) for row in rows]
    windows: list[tuple[int, int]] = []
    for first, last in sorted((_moment(first), _moment(last)) for first, last in labels):
        begin = times.index(first, windows[-1][1] + 1 if windows else 0)
        windows.append((begin, times.index(last)))
    scored = min(int(PROBATION * len(rows)), PROBATION_ROWS)
    return Stream(name, times, [float(row["value"]) for row in rows], windows, scored, worth_of(len(rows), windows))


def hushed(scores: Scores, threshold: float, quiet: int) -> Rows:
    """Rows that alert: at the threshold, and none in the `quiet` rows before."""
    out = np.zeros(len(scores), dtype=bool)
    free = 0
    for row in np.flatnonzero(scores >= threshold).tolist():
        if row >= free:
            out[row] = True
            free = row + quiet + 1
    return out


@dataclass(frozen=True, slots=True)
class Points:
    """What alerts on one or more series are worth; they add up."""

    raw: float = 0.0
    null: float = 0.0
    perfect: float = 0.0
    windows: int = 0
    found: int = 0
    false: int = 0
    days: float = 0.0

    def __add__(self, other: "Points") -> "Points":
        return Points(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def score(self) -> float:
        """0 for nothing found and nothing false, 100 for the best possible; NaN without windows."""
        return 100 * (self.raw - self.null) / (self.perfect - self.null) if self.windows else float("nan")

    @property
    def false_per_day(self) -> float:
        return self.false / self.days

    @property
    def precision(self) -> float:
        """Windows found, of those and the false episodes."""
        return self.found / max(1, self.found + self.false)


def judge(stream: Stream, alerts: Rows, profile: Profile = PROFILES["standard"]) -> Points:
    """Points of the rows that alert on a series."""
    alerts = alerts.copy()
    alerts[: stream.scored] = False
    wrong = np.flatnonzero(alerts & stream.outside)
    raw = profile.false * float(stream.worth[wrong].sum())
    found = 0
    for begin, end in stream.live:
        hits = np.flatnonzero(alerts[begin : end + 1])
        raw += profile.found * float(stream.worth[begin + hits[0]]) if len(hits) else -profile.missed
        found += bool(len(hits))
    episodes = int(1 + np.sum(np.diff(wrong) > EPISODE_ROWS)) if len(wrong) else 0
    return Points(
        raw=raw,
        null=-profile.missed * len(stream.live),
        perfect=profile.found * len(stream.windows),
        windows=len(stream.windows),
        found=found,
        false=episodes,
        days=stream.days,
    )


def total(
    streams: Sequence[Stream],
    scores: Mapping[str, Scores],
    threshold: float,
    quiet: int,
    profile: Profile = PROFILES["standard"],
) -> Points:
    """Points of all series at one threshold."""
    return sum((judge(each, hushed(scores[each.name], threshold, quiet), profile) for each in streams), Points())


def candidates(streams: Sequence[Stream], scores: Mapping[str, Scores], count: int = 40) -> list[float]:
    """Thresholds that make between 0.02 % and 6 % of the rows fire."""
    pool = np.concatenate([scores[each.name][each.scored :] for each in streams])
    return sorted(set(np.quantile(pool, 1 - np.geomspace(2e-4, 0.06, count)).tolist()))


@dataclass(frozen=True, slots=True)
class Best:
    """The best single threshold, and what thresholds chosen without a folder make of that folder."""

    threshold: float
    points: Points
    held_out: Points


def optimise(streams: Sequence[Stream], scores: Mapping[str, Scores], quiet: int) -> Best:
    """One threshold for all series, chosen on them; and for each folder, chosen on the other folders."""
    table = {
        threshold: {each.name: judge(each, hushed(scores[each.name], threshold, quiet)) for each in streams}
        for threshold in candidates(streams, scores)
    }

    def over(threshold: float, folder: str | None, inside: bool) -> Points:
        chosen = (each for each in streams if folder is None or (each.folder == folder) is inside)
        return sum((table[threshold][each.name] for each in chosen), Points())

    best = max(table, key=lambda threshold: over(threshold, None, True).raw)
    held_out = Points()
    for folder in sorted({each.folder for each in streams}):
        elsewhere = max(table, key=lambda threshold: over(threshold, folder, False).raw)
        held_out += over(elsewhere, folder, True)
    return Best(best, over(best, None, True), held_out)
