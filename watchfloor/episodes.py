"""A detector run over a series: scores, and the alerts that people would have got."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.anomaly import Detector
from watchfloor.series import Series

CLEAN = 5
"""Clean samples in a row that end an episode, as they end an alert."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """How long after an alert no other opens: so many milliseconds, or so many rows."""

    ms: int | None = None
    rows: int | None = None

    def over(self, rows: int, ms: int) -> bool:
        """Whether it has passed, so many rows and milliseconds after the alert."""
        return rows > self.rows if self.rows is not None else ms > (self.ms or 0)


@dataclass(slots=True)
class Episode:
    """One alert: from its first firing sample to its last.

    Attributes:
        begin, end, peak: row numbers from 0.
        why: the detector's explanation at the highest score.
    """

    begin: int
    end: int
    peak: int
    why: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """What a detector made of a series.

    Attributes:
        scores: one for each row.
        usual: (row, low, high) of what was usual, at some 1,000 rows; none from a detector that does not say.
        episodes: in the order of time.
    """

    scores: list[float]
    usual: list[tuple[int, float, float]]
    episodes: list[Episode]


def steps(detector: Detector, series: Series, threshold: float, quiet: Quiet, into: Run) -> Iterator[int]:
    """Run a detector over a series into an empty Run; the row numbers, as they are done."""
    every = max(1, len(series.times) // 1000)
    current: Episode | None = None
    for row, (at, value) in enumerate(zip(series.times, series.values, strict=True)):
        score = detector.update_ms(at, value)
        into.scores.append(score)
        if row % every == 0 and value is not None:
            why = detector.explain()
            if "usual_low" in why:
                into.usual.append((row, why["usual_low"], why["usual_high"]))
        if score >= threshold:
            if current is not None and _same(current, row, at, series, quiet):
                current.end = row
                if score > into.scores[current.peak]:
                    current.peak, current.why = row, detector.explain()
            else:
                current = Episode(row, row, row, detector.explain())
                into.episodes.append(current)
        yield row


def _same(episode: Episode, row: int, at: int, series: Series, quiet: Quiet) -> bool:
    return row - episode.end <= CLEAN or not quiet.over(row - episode.begin, at - series.times[episode.begin])
