"""What is usual at an hour of the day (UTC)."""

from array import array
from operator import mul
from struct import Struct

from models.anomaly.parts import Parts, Read, packed, unpacked

MEMORY = 60.0
"""Five-minute rows that an hour remembers: five days of it."""

CALM = 3.5
"""Rows over which residuals are averaged."""

SPREADS = 2.5
"""Mean absolute deviations to each side that are called usual: 95 % of a normal distribution."""

HOUR_MS = 3_600_000

KNOWN = 3.0
"""Five-minute rows after which an hour is known."""

HOURS = 24

WIDTH = 3
"""Numbers of an hour: mean, mean absolute deviation, rows."""

PAGE = 12
"""Hours that are stored together: 144 bytes, written when the hour has ended."""

_STATE = Struct(">2db3d")


class Season:
    """A fading mean and mean deviation per hour of the day, and the calm residual from them.

    The running hour is kept in double precision, as one sample moves it by little; the others in single precision.

    Attributes:
        residual: mean of the last residuals, in the unit of the series.
        weight: rows in that mean, up to CALM.
        before: (mean, mean absolute deviation, rows) of this hour before the last sample.
    """

    __slots__ = ("_dirty", "_hour", "_hours", "_mean", "_rows", "_spread", "before", "residual", "weight")

    def __init__(self) -> None:
        self._hours = array("f", [0.0]) * (HOURS * WIDTH)
        self._hour = -1
        self._mean = self._spread = self._rows = 0.0
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
        hour = epoch_ms // HOUR_MS % HOURS
        if hour != self._hour:
            self._turn(hour)
        mean, spread, weight = self._mean, self._spread, self._rows
        self.before = (mean, spread, weight)
        apart = value - mean if weight else 0.0
        weight += slow_rows
        if weight > MEMORY:
            weight = MEMORY
        share = slow_rows / weight
        self._rows = weight
        self._mean = mean + (value - mean) * share
        self._spread = spread + (abs(apart) - spread) * share
        calm = self.weight + rows
        if calm > CALM:
            calm = CALM
        self.weight = calm
        residual = self.residual = self.residual + (apart - self.residual) * (rows / calm)
        return residual if residual >= 0.0 else -residual

    def _turn(self, hour: int) -> None:
        """Another hour has begun."""
        if self._hour >= 0:
            self._hours[self._hour * WIDTH : (self._hour + 1) * WIDTH] = self._running()
            self._dirty.add(self._hour // PAGE)
        self._hour = hour
        self._mean, self._spread, self._rows = self._hours[hour * WIDTH : (hour + 1) * WIDTH]

    def _running(self) -> "array[float]":
        return array("f", (self._mean, self._spread, self._rows))

    def usual(self, least: float, most: float) -> tuple[float, float, float]:
        """(low, expected, high) at the hour of the last sample, before it; never beyond what was seen at all.

        While the hour is new, all hours together stand for it.
        """
        mean, spread, weight = self.before
        if weight < KNOWN:
            hours = self._hours[: self._hour * WIDTH] + self._running() + self._hours[(self._hour + 1) * WIDTH :]
            means, spreads, rows = hours[::WIDTH], hours[1::WIDTH], hours[2::WIDTH]
            total = sum(rows)
            mean = sum(map(mul, rows, means)) / total
            around = [each + abs(middle - mean) for middle, each in zip(means, spreads, strict=True)]
            spread = sum(map(mul, rows, around)) / total
        low, high = mean - SPREADS * spread, mean + SPREADS * spread
        return min(max(low, least), mean), mean, max(min(high, most), mean)

    def store(self) -> bytes:
        """The residual and the running hour."""
        return _STATE.pack(self.residual, self.weight, self._hour, self._mean, self._spread, self._rows)

    def restore(self, raw: bytes, at: int) -> int:
        """Take up what `store` wrote at this place; the place behind it."""
        self.residual, self.weight, self._hour, *running = _STATE.unpack_from(raw, at)
        self._mean, self._spread, self._rows = running
        return at + _STATE.size

    def load(self, read: Read) -> None:
        each = PAGE * WIDTH
        for page in range(HOURS // PAGE):
            raw = read(b"s" + bytes([page]))
            if raw is not None:
                self._hours[page * each : (page + 1) * each] = unpacked(self._hours, raw)

    def changes(self) -> Parts:
        each = PAGE * WIDTH
        pages = sorted(self._dirty)
        self._dirty.clear()
        return [(b"s" + bytes([page]), packed(self._hours[page * each : (page + 1) * each])) for page in pages]
