"""Limits that hold for every host, whatever is usual there."""

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, ClassVar

from models.anomaly.parts import Parts, Read
from models.anomaly.samples import SeriesDetector

LAPSE = 0.1
"""Share of the rule's duration that the value may be back under the limit without ending the breach."""

STATE = b"l"
_STATE = Struct(">3q")
NEVER = -(2**62)


@dataclass(frozen=True, slots=True)
class Rule:
    """Over `limit` (exclusive) for `seconds` is a breach of this severity."""

    limit: float
    seconds: float
    severity: str


RULES: Mapping[str, Rule] = {
    "cpu_percent": Rule(95.0, 300.0, "CRITICAL"),
    "memory_percent": Rule(80.0, 0.0, "WARNING"),
}
"""By metric."""


class StaticLimit(SeriesDetector):
    """Whether one series is over its limit for too long, by event time.

    The score is 1 in a breach, below 0.5 while the time runs, 0 under the limit. Time without samples counts as over
    where both its ends are and it is no longer than the rule's duration; after a longer gap the time begins anew. A
    dip of up to a tenth of the duration ends nothing.

    >>> from datetime import UTC, datetime, timedelta
    >>> cpu = StaticLimit(RULES["cpu_percent"])
    >>> noon = datetime(2025, 1, 1, 12, tzinfo=UTC)
    >>> [cpu.update(noon + timedelta(minutes=i), 97.0) for i in range(6)]
    [0.0, 0.1, 0.2, 0.3, 0.4, 1.0]

    Attributes:
        rule: the limit.
        since_ms: when the value went over the limit, epoch milliseconds; None under it.
        breached: whether that is too long.
    """

    name: ClassVar[str] = "static"

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self._first = self._over = self._last = NEVER
        self._changed = False
        self._value = 0.0

    @property
    def limit(self) -> float:
        return self.rule.limit

    @property
    def severity(self) -> str:
        return self.rule.severity

    @property
    def since_ms(self) -> int | None:
        return None if self._first == NEVER else self._first

    @property
    def breached(self) -> bool:
        return self._first != NEVER and self._over - self._first >= self.rule.seconds * 1000

    def judge(self, epoch_ms: int, value: float) -> float:
        """A sample older than the newest counts as if it came with the newest."""
        self._value = value
        now = max(epoch_ms, self._last)
        self._changed = True
        hold_ms = self.rule.seconds * 1000
        if self._first != NEVER and now - self._last > hold_ms:
            self._first = NEVER
        self._last = now
        if value > self.rule.limit:
            if self._first == NEVER:
                self._first = now
            self._over = now
        elif self._first != NEVER and now - self._over >= hold_ms * LAPSE:
            self._first = NEVER
        if self._first == NEVER:
            return 0.0
        if self.breached:
            return 1.0
        return 0.5 * (self._over - self._first) / hold_ms

    def why(self) -> dict[str, Any]:
        """value, limit, severity, breached, since_ms (epoch milliseconds or None), direction, and a summary."""
        since = self.since_ms
        text = f"{self._value:.4g} is not over {self.limit:.4g}"
        if since is not None:
            text = f"over {self.limit:.4g} for {(self._over - since) / 1000:.0f} s, now {self._value:.4g}"
        return {
            "value": self._value,
            "limit": self.limit,
            "severity": self.severity,
            "breached": self.breached,
            "since_ms": since,
            "direction": "up",
            "summary": text,
        }

    def load(self, read: Read) -> None:
        raw = read(STATE)
        if raw is not None:
            self._first, self._over, self._last = _STATE.unpack(raw)

    def changes(self) -> Parts:
        if not self._changed:
            return []
        self._changed = False
        return [(STATE, _STATE.pack(self._first, self._over, self._last))]
