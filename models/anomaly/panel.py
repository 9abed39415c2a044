"""The detectors of one series whose scores are evidence beside an alert, with what they share."""

from collections.abc import Iterator

from models.anomaly.drift import Drift
from models.anomaly.iqr import Quartiles
from models.anomaly.parts import Parts, Read, under, within
from models.anomaly.seasonal import Seasonal
from models.anomaly.spike import Spike
from models.anomaly.trailing import MeanWindow
from models.anomaly.zscore import ZScore

NAMES = (ZScore.name, Quartiles.name, Spike.name, Seasonal.name, Drift.name)
"""In the order of the scores."""

Scores = tuple[float, float, float, float, float]


class Panel:
    """zscore, iqr, spike, seasonal and drift over one series, each as it would be alone, with two exceptions.

    - zscore and spike share the trailing hour: the scores are the same.
    - drift shares what seasonal has learned of the week, instead of learning the same a second time (12 kB of state).
      What fires in seasonal is left out of it, and a level that has lasted for a day is what is usual from then on: it
      drifts for about that day.
    """

    __slots__ = ("drift", "iqr", "seasonal", "spike", "window", "zscore")

    def __init__(self) -> None:
        self.window = MeanWindow()
        self.zscore, self.spike = ZScore(self.window), Spike(self.window)
        self.iqr = Quartiles()
        self.seasonal = Seasonal()
        self.drift = Drift(self.seasonal.week)

    def judge(self, epoch_ms: int, value: float) -> Scores:
        """Score and learn a value that is not missing; the scores in the order of NAMES."""
        window = self.window
        window.advance(epoch_ms)
        zscore, spike = self.zscore.compare(value), self.spike.compare(value)
        window.learn(value)
        iqr = self.iqr.judge(epoch_ms, value)
        seasonal = self.seasonal.judge(epoch_ms, value)
        return zscore, iqr, spike, seasonal, self.drift.judge(epoch_ms, value)

    def _stored(self) -> Iterator[tuple[bytes, MeanWindow | Quartiles | Seasonal | Drift]]:
        yield b"m", self.window
        yield b"q", self.iqr
        yield b"s", self.seasonal
        yield b"d", self.drift

    def load(self, read: Read) -> None:
        """Take up the stored state of a series; without any, stay new. Later scores are bit-identical."""
        for place, each in self._stored():
            each.load(within(place, read))

    def changes(self) -> Parts:
        """Parts that changed since the last call."""
        return [part for place, each in self._stored() for part in under(place, each.changes())]
