"""What is asked of a simulation of syncs."""

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Scenario:
    """A simulation to run. The same scenario gives the same bytes.

    Attributes:
        tenants: their number; the k-th has a share of the users in proportion to 1 / k.
        users: of all tenants together.
        days: how many, from midnight UTC of `start`; nobody works at weekends.
        field_share: share of the users who are out where the network is not always there; 0 to 1.
        hidden: edits that reach the server by ways that publish nothing (imports, the back office), as a share of all
            others; 0 to 1.
        reported: share of outcomes that ever come, of clients that report both kinds; 0 to 1.

    Raises ValueError for what is out of range.
    """

    tenants: int = 3
    users: int = 150
    days: int = 90
    start: date = date(2026, 1, 1)
    seed: int = 1
    field_share: float = 0.65
    hidden: float = 0.08
    reported: float = 0.92

    def __post_init__(self) -> None:
        for name in ("tenants", "users", "days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("field_share", "hidden", "reported"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be 0 to 1, not {getattr(self, name)}")
        if min(self.sizes) < LEAST_USERS:
            raise ValueError(
                f"{self.users} users are too few for {self.tenants} tenants: the smallest would have "
                f"{min(self.sizes)}, and each needs {LEAST_USERS}"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Users of each tenant."""
        weights = [1 / k for k in range(1, self.tenants + 1)]
        rest = [round(self.users * weight / sum(weights)) for weight in weights[1:]]
        return (self.users - sum(rest), *rest)

    @property
    def end(self) -> date:
        """The day after the last."""
        return self.start + timedelta(self.days)


LEAST_USERS = 6
