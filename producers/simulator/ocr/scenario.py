"""What is asked of a simulation of OCR readings."""

from dataclasses import dataclass
from datetime import date, timedelta

MOST_ERRORS = 0.5


@dataclass(frozen=True, slots=True)
class Scenario:
    """A simulation to run. The same scenario gives the same bytes.

    Attributes:
        tenants: their number.
        meters, gates: of each tenant; a meter is read about once a day, a gate some 40 times.
        days: how many, from midnight UTC of `start`.
        error_rate: mean share of readings that a camera gets wrong; 0 to MOST_ERRORS.
        corrected: share of the wrong readings that somebody notices, the conspicuous ones more often; 0 to 1.
        checked: share of all readings that are looked at by chance, and confirmed or corrected; 0 to 1.

    Raises ValueError for what is out of range.
    """

    tenants: int = 2
    meters: int = 150
    gates: int = 3
    days: int = 180
    start: date = date(2026, 1, 1)
    seed: int = 1
    error_rate: float = 0.04
    corrected: float = 0.5
    checked: float = 0.05

    def __post_init__(self) -> None:
        for name, least in (("tenants", 1), ("meters", 0), ("gates", 0), ("days", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)}")
        for name, most in (("error_rate", MOST_ERRORS), ("corrected", 1.0), ("checked", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be 0 to {most}, not {getattr(self, name)}")

    @property
    def end(self) -> date:
        """The day after the last."""
        return self.start + timedelta(self.days)
