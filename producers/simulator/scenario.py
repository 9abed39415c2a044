"""What is asked of a simulation."""

from dataclasses import dataclass
from datetime import date, timedelta

MOST_FRAUD = 0.1


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard frauds are to tell from honest mishaps.

    Attributes:
        care: mean chance that a cheat avoids one thing that would give him away; 0 to 1.
        noise: factor on the rates of honest mishaps; 0 or more.
    """

    care: float
    noise: float


LEVELS = {"easy": Difficulty(0.2, 0.5), "medium": Difficulty(0.45, 1.0), "hard": Difficulty(0.8, 1.8)}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A simulation to run. The same scenario gives the same bytes.

    Attributes:
        tenants: their number; the first is the largest. Of three or more the last is new: it begins when nine
            tenths of the days are over.
        people: who work on any day, over all tenants; the k-th tenant has a share in proportion to 1 / k².
        days: how many, from midnight UTC of `start`.
        fraud_rate: share of events that are fraudulent, expected; 0 to 0.1.
        reviewed: share of shifts on which a supervisor ever says something; 0 to 1.

    Raises ValueError for what is out of range.
    """

    tenants: int = 3
    people: int = 1000
    days: int = 365
    start: date = date(2026, 1, 1)
    seed: int = 1
    fraud_rate: float = 0.01
    difficulty: Difficulty = LEVELS["medium"]
    reviewed: float = 0.85

    def __post_init__(self) -> None:
        for name, least in (("tenants", 1), ("people", 1), ("days", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)}")
        if not 0 <= self.fraud_rate <= MOST_FRAUD:
            raise ValueError(f"fraud_rate must be 0 to {MOST_FRAUD}, not {self.fraud_rate}")
        if not 0 <= self.reviewed <= 1:
            raise ValueError(f"reviewed must be 0 to 1, not {self.reviewed}")
        if min(self.sizes) < LEAST_PEOPLE:
            raise ValueError(
                f"{self.people} people are too few for {self.tenants} tenants: the smallest would have "
                f"{min(self.sizes)}, and each needs {LEAST_PEOPLE}"
            )

    @property
    def end(self) -> date:
        """The day after the last."""
        return self.start + timedelta(self.days)

    @property
    def sizes(self) -> tuple[int, ...]:
        """People of each tenant."""
        weights = [1 / k**2 for k in range(1, self.tenants + 1)]
        rest = [round(self.people * weight / sum(weights)) for weight in weights[1:]]
        return (self.people - sum(rest), *rest)

    def begins(self, tenant: int) -> date:
        """First day of the tenant with this number, from 0."""
        new = self.tenants >= 3 and tenant == self.tenants - 1
        return self.start + timedelta(self.days * 9 // 10 if new else 0)


LEAST_PEOPLE = 5
