"""Meters: what they show, day by day."""

from dataclasses import dataclass
from random import Random

DIGITS = "0123456789"
UNITS = (("kWh", 14.0), ("m3", 1.2), ("kWh", 60.0))
"""Of the kinds of meters, with the median of what one counts a day."""
STANDS = 0.02
"""Of the meters: stand still."""
REPLACED = 0.0004
"""On a day, of the meters: a new one takes its place, and begins at 0."""


@dataclass(slots=True)
class Meter:
    """One meter; `value` is what it has counted."""

    name: str
    digits: int
    unit: str
    rate: float
    value: float
    hour: float
    shows_unit: bool

    @classmethod
    def made(cls, name: str, r: Random) -> "Meter":
        unit, usual = r.choice(UNITS)
        rate = 0.0 if r.random() < STANDS else usual * r.lognormvariate(0.0, 0.8)
        digits = r.choice((5, 6, 6, 7))
        value = r.uniform(0.05, 0.9) * 10**digits
        return cls(name, digits, unit, rate, value, r.uniform(5.0, 20.0), r.random() < 0.2)

    def next_day(self, weekend: bool, r: Random) -> None:
        """It goes on counting."""
        self.value += self.rate * (0.7 if weekend else 1.1) * r.lognormvariate(-0.08, 0.4)
        if r.random() < REPLACED:
            self.value = 0.0

    @property
    def shown(self) -> str:
        return f"{int(self.value) % 10**self.digits:0{self.digits}}"
