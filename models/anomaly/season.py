"""What is usual at an hour of the day (UTC)."""

from struct import Struct

from models.anomaly.parts import Parts, Read

MEMORY = 60.0
"""Five-minute rows that an hour remembers: five days of it."""

CALM = 3.5
"""Rows over which residuals are averaged."""

SPREADS = 2.5
"""Mean absolute deviations to each side that are called usual: 95 % of a normal distribution."""

HOUR_MS = 3_600_000

KNOWN = 3.0
"""Five-minute rows after which an hour is known."""

_STATE = Struct(">2d")
_BIN = Struct(">3d")


class Season:
    """A fading mean and mean deviation per hour of the day, and the calm residual from them.

    Attributes:
        residual: mean of the last residuals, in the unit of the series.
        weight: rows in that mean, up to CALM.
        before: (mean, mean absolute deviation, rows) of this hour before the last sample.
    """

    __slots__ = ("_dirty", "_means", "_spreads", "_weights", "before", "residual", "weight")

    def __init__(self) -> None:
        self._means = [0.0] * 24
        self._spreads = [0.0] * 24
        self._weights = [0.0] * 24
        self._dirty: set[int] = set()
        self.residual = 0.0
        self.weight = 0.0
        self.before = (0.0, 0.0, 0.0)

    def surprise(self, epoch_ms: int, value: float, rows: float, slow_rows: float) -> float:
        """Size of the calm residual; the hour learns the value.

        Args:
            epoch_ms: time of the sample.
            value: of the sample.
            rows: share of a row that it stands for.
            slow_rows: share of five minutes that it stands for.
        """
        hour = epoch_ms // HOUR_MS % 24
        mean, spread = self._means[hour], self._spreads[hour]
        weight = self._weights[hour]
        self.before = (mean, spread, weight)
        apart = value - mean if weight else 0.0
        weight += slow_rows
        if weight > MEMORY:
            weight = MEMORY
        share = slow_rows / weight
        self._weights[hour] = weight
        self._means[hour] = mean + (value - mean) * share
        self._spreads[hour] = spread + (abs(apart) - spread) * share
        self._dirty.add(hour)
        calm = self.weight + rows
        if calm > CALM:
            calm = CALM
        self.weight = calm
        residual = self.residual = self.residual + (apart - self.residual) * (rows / calm)
        return residual if residual >= 0.0 else -residual

    def usual(self, least: float, most: float) -> tuple[float, float, float]:
        """(low, expected, high) at the hour of the last sample, before it; never beyond what was seen at all.

        While the hour is new, all hours together stand for it.
        """
        mean, spread, weight = self.before
        if weight < KNOWN:
            known = [(rows, self._means[at], self._spreads[at]) for at, rows in enumerate(self._weights) if rows > 0.0]
            total = sum(rows for rows, _, _ in known)
            mean = sum(rows * each for rows, each, _ in known) / total
            spread = sum(rows * (each + abs(mid - mean)) for rows, mid, each in known) / total
        low, high = mean - SPREADS * spread, mean + SPREADS * spread
        return min(max(low, least), mean), mean, max(min(high, most), mean)

    def store(self) -> bytes:
        """What belongs to no hour."""
        return _STATE.pack(self.residual, self.weight)

    def restore(self, raw: bytes, at: int) -> int:
        """Take up what `store` wrote at this place; the place behind it."""
        self.residual, self.weight = _STATE.unpack_from(raw, at)
        return at + _STATE.size

    def load(self, read: Read) -> None:
        for hour in range(24):
            raw = read(b"s" + bytes([hour]))
            if raw is not None:
                self._means[hour], self._spreads[hour], self._weights[hour] = _BIN.unpack(raw)

    def changes(self) -> Parts:
        hours = sorted(self._dirty)
        self._dirty.clear()
        return [
            (b"s" + bytes([hour]), _BIN.pack(self._means[hour], self._spreads[hour], self._weights[hour]))
            for hour in hours
        ]
