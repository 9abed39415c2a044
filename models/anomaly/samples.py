"""What detectors take in: a time and a value."""

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any, ClassVar

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LARGEST = 1e37
"""Beyond this a value is taken for missing: no metric is that large, and in single precision, in which much of the past
is kept, sums and differences of such values overflow."""


def milliseconds(timestamp: datetime) -> int:
    """Epoch milliseconds of a timestamp; one without a zone is UTC."""
    if timestamp.tzinfo is None:
        timestamp = timestamp.replace(tzinfo=UTC)
    passed = timestamp - EPOCH
    return passed.days * 86_400_000 + passed.seconds * 1000 + passed.microseconds // 1000


class SeriesDetector(ABC):
    """A detector of one series: what all of them make of times and of missing values."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._missing = True

    def update(self, timestamp: datetime, value: float | None) -> float:
        """Score of a sample, 0 to 1; 0.5 is the shipped threshold. A timestamp without a zone is UTC."""
        return self.update_ms(milliseconds(timestamp), value)

    def update_ms(self, epoch_ms: int, value: float | None) -> float:
        """Score of a sample at this time in epoch milliseconds.

        None, NaN, infinities and values beyond LARGEST score 0 and teach nothing. A sample that is not newer than the
        newest is judged like any other but moves no clock.
        """
        if value is None or not -LARGEST < value < LARGEST:
            self._missing = True
            return 0.0
        self._missing = False
        return self.judge(epoch_ms, float(value))

    @abstractmethod
    def judge(self, epoch_ms: int, value: float) -> float:
        """Score and learn a value that is not missing."""

    def explain(self) -> dict[str, Any]:
        """Why the last sample got its score.

        Returns:
            value: as it came; None where the last sample had none, or there was none yet: then this and `summary`
                are all there is.
            direction ("up" or "down"), summary (a sentence), and numbers of the detector's own: see its `why`.
        """
        return {"value": None, "summary": "no value"} if self._missing else self.why()

    @abstractmethod
    def why(self) -> dict[str, Any]:
        """Why the last sample, which had a value, got its score."""
