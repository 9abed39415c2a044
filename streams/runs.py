"""Firing runs at their source: what of a detector's findings is worth a candidate for the alert agent.

A run begins with the first firing sample of a fingerprint and ends with enough clean ones. It asks at once when
it begins, when it gets worse and when it ends, and otherwise once per minute of event time. After its end it leaves
an echo: the value is usual again, but to a detector that looks at the last hour its surroundings are not.
"""

import struct
from dataclasses import dataclass
from typing import Self

from models.alerts import HOUR_MS, KINDS, MINUTE_MS, RANK, SEVERITIES

_RUN = struct.Struct(">BqqIHB")
_ECHO, _HELD = 1, 2
LONG = 0xFFFF

ECHO_MS = HOUR_MS
"""An echo fades so long after the detector was excited last."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one kind of detector says about one firing sample of a metric."""

    detector: str
    direction: str
    severity: str
    score: float
    expected: float | None
    limit: float | None
    summary: str
    evidence: dict[str, float]


@dataclass(slots=True)
class Run:
    """One fingerprint that fires.

    Attributes:
        rank: of the worst severity so far.
        minute: minute of event time of the last candidate.
        fired_at: event time of the last firing sample, epoch milliseconds; of an echo: of the last excited one.
        pending: firing samples since the last candidate.
        clean: clean samples in a row since the last firing one.
        echo: its end was told; what is left keeps the detector's excitement from being news.
        held: nothing of it was rare enough for the alert budget so far; it opens with the first sample that is.
    """

    rank: int
    minute: int
    fired_at: int
    pending: int = 0
    clean: int = 0
    echo: bool = False
    held: bool = False

    @property
    def severity(self) -> str:
        return SEVERITIES[self.rank]

    @classmethod
    def begin(cls, severity: str, time: int, held: bool = False) -> Self:
        """The run of a sample that is the first to fire; it is to be told. `held`: the budget holds it back."""
        return cls(RANK[severity], time // MINUTE_MS, time, pending=1, held=held)

    def fire(self, severity: str, time: int, held: bool = False) -> bool:
        """Take in a firing sample; whether it is to be told now. `held`: the budget would hold it back."""
        self.fired_at, self.clean = time, 0
        self.pending += 1
        rank, minute = RANK[severity], time // MINUTE_MS
        tell = rank > self.rank or minute > self.minute or (self.held and not held)
        self.held = self.held and held
        self.rank = max(rank, self.rank)
        if tell:
            self.minute = minute
        return tell

    def rest(self, kind: str, time: int) -> bool:
        """Take in a clean sample; whether it ends the run. A sample that is missing is not clean."""
        self.clean = min(self.clean + 1, LONG)
        rule = KINDS[kind]
        return self.clean >= rule.clean_samples and time - self.fired_at >= rule.clean_ms

    def fade(self, excited: bool, time: int) -> bool:
        """Take in a sample after the end; whether the echo is over."""
        if excited:
            self.fired_at = time
        return time - self.fired_at >= ECHO_MS

    def told(self) -> int:
        """Firing samples since the last candidate; they count as told from now on."""
        samples, self.pending = self.pending, 0
        return samples

    def pack(self) -> bytes:
        return _RUN.pack(
            self.rank, self.minute, self.fired_at, self.pending, self.clean, _ECHO * self.echo | _HELD * self.held
        )

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        rank, minute, fired_at, pending, clean, flags = _RUN.unpack(raw)
        return cls(rank, minute, fired_at, pending, clean, bool(flags & _ECHO), bool(flags & _HELD))
