"""People: where they live and work, their phones, faces and habits."""

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from producers.simulator.places import Point, Site
    from producers.simulator.rosters import Pattern


@dataclass(frozen=True, slots=True)
class Phone:
    """A device that reports check-ins.

    Attributes:
        error: factor on the error of its fixes; about 1.
        tells_mock: whether its system says when an app makes up the location.
        has_mock: its owner has such an app, for games: the system says so though the location is true.
    """

    device_id: str
    error: float
    tells_mock: bool
    has_mock: bool

    @classmethod
    def new(cls, r: Random) -> Self:
        return cls(
            device_id=f"d-{r.getrandbits(48):012x}",
            error=r.lognormvariate(0, 0.3),
            tells_mock=r.random() < 0.75,
            has_mock=r.random() < 0.01,
        )


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account.

    Attributes:
        pattern: how the weeks go.
        phase: where in a rota the person is; days.
        joined, left: first day, and the day after the last.
        phones: with the day from which each is used, the newest last.
        late_min, spread_min: mean and standard deviation of the time of arrival after the begin of a shift.
        clarity: how well the face camera knows the face, in logits; about 3.
        terminal_share: of check-ins at the terminal, where the site has one.
    """

    person_id: str
    home: "Point"
    site: "Site"
    allowed: tuple["Site", ...]
    pattern: "Pattern"
    phase: int
    joined: date
    left: date
    phones: tuple[tuple[date, Phone], ...]
    late_min: float
    spread_min: float
    clarity: float
    terminal_share: float

    def works(self, day: date) -> bool:
        """Whether the person is with the tenant on this day."""
        return self.joined <= day < self.left

    def phone(self, day: date) -> Phone:
        """The phone in use on a day; that of the last day ever after."""
        return next((phone for since, phone in reversed(self.phones) if since <= day), self.phones[0][1])
