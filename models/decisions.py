"""From probabilities and intervals to risk levels and decisions; row by row, so any cut of a batch decides alike."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]
Flags = NDArray[np.bool_]

LOW, MEDIUM, HIGH, CRITICAL = range(4)
RISKS = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
CLEAR, ALERT, TICKET = range(3)
DECISIONS = ("clear", "alert", "ticket")

SHARES = {"medium": 0.10, "high": 0.05, "critical": 0.01}
"""Of all events at most so many are to reach each cut."""
SURE = 0.95
"""Confidence that the shares of HIGH and CRITICAL stay below those, if what comes is like what calibrated."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Probabilities from which the risk is MEDIUM, HIGH, CRITICAL.

    A cut above 1 is never reached. Raises ValueError unless 0 < medium <= high <= critical, all finite.
    """

    medium: float
    high: float
    critical: float

    def __post_init__(self) -> None:
        if not 0.0 < self.medium <= self.high <= self.critical < np.inf:
            raise ValueError(f"cuts must be finite, above 0 and ascending, not {self}")

    @classmethod
    def of(cls, probabilities: ArrayLike) -> Self:
        """Cuts of calibration probabilities, (rows,), at least one.

        MEDIUM is the least cut that at most 10 % of them reach; HIGH and CRITICAL are the least that so few reach that
        with 95 % confidence (Clopper and Pearson) at most 5 % and 1 % of all events do. Few rows make them strict: of
        fewer than 299 rows none are allowed to be CRITICAL.
        """
        ordered = np.sort(np.asarray(probabilities, dtype=np.float64))
        rows = len(ordered)
        counts = np.arange(rows)
        bounds = beta.ppf(SURE, counts + 1, rows - counts)
        allowed = {name: int(np.searchsorted(bounds, share, side="right")) - 1 for name, share in SHARES.items()}
        allowed["medium"] = int(SHARES["medium"] * rows)
        cuts = {name: _cut(ordered, max(0, count)) for name, count in allowed.items()}
        return cls(**cuts)

    def risk(self, probabilities: ArrayLike) -> Codes:
        """Codes LOW to CRITICAL of probabilities (rows,)."""
        cuts = (self.medium, self.high, self.critical)
        return np.searchsorted(cuts, np.asarray(probabilities, dtype=np.float64), side="right").astype(np.int8)


HEURISTIC_CUTS = Cuts(0.4, 0.7, 0.9)
"""Of heuristics, and of a model that has too little calibration data for its own."""


def _cut(ordered: Floats, count: int) -> float:
    """The least cut that at most `count` of the values reach."""
    return float(np.nextafter(ordered[len(ordered) - 1 - count], np.inf))


@dataclass(frozen=True, slots=True)
class Policy:
    """What a tenant lets a model do.

    Attributes:
        cuts: of the risk.
        act: tau_act, the p0 from which a ticket may be opened.
        clear: tau_clear, the p1 up to which an event is cleared for good; None: the MEDIUM cut.
        narrow: an interval is narrow when it is less wide than this.
        auto_ticket: whether tickets may be opened without a person (the flag; off while `stop_automatic` is on).
        certified: the p0 from which a certificate in force says that tickets are right; None without one.
    """

    cuts: Cuts
    act: float = 0.8
    clear: float | None = None
    narrow: float = 0.2
    auto_ticket: bool = False
    certified: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Of a batch, each (rows,).

    Attributes:
        risk: codes LOW to CRITICAL.
        decision: codes CLEAR, ALERT, TICKET.
        review: cleared, but not surely: a candidate for the review sample.
        certified: whether the certificate covers the row.
    """

    risk: Codes
    decision: Codes
    review: Flags
    certified: Flags


def decide(
    policy: Policy,
    probability: ArrayLike,
    interval: tuple[Floats, Floats] | None = None,
    demanded: ArrayLike | None = None,
) -> Decided:
    """Decisions of a batch.

    | interval | first of these that holds | decision |
    |---|---|---|
    | yes | p0 >= act, p1 - p0 < narrow, certified, auto_ticket | ticket |
    | any | risk HIGH or CRITICAL | alert |
    | yes | p1 <= clear | clear |
    | yes | otherwise | clear, and into the review sample |
    | no | otherwise | clear |

    Args:
        probability: (rows,), 0 to 1.
        interval: p0 and p1, (rows,) each; None where the model has none.
        demanded: (rows,), codes of the least risk that hard rules ask for: they raise a risk, and never lower one.
    """
    risk = policy.cuts.risk(probability)
    if demanded is not None:
        risk = np.maximum(risk, np.asarray(demanded, dtype=np.int8))
    decision = np.where(risk >= HIGH, ALERT, CLEAR).astype(np.int8)
    if interval is None:
        nowhere = np.zeros(len(risk), dtype=np.bool_)
        return Decided(risk, decision, nowhere, nowhere.copy())
    low, high = interval
    certified = np.full(len(risk), policy.certified is not None)
    if policy.certified is not None:
        certified &= low >= policy.certified
    if policy.auto_ticket:
        decision[certified & would_be_tickets(policy, low, high)] = TICKET
    clear = policy.cuts.medium if policy.clear is None else policy.clear
    return Decided(risk, decision, (decision == CLEAR) & (high > clear), certified)


def would_be_tickets(policy: Policy, low: Floats, high: Floats) -> Flags:
    """Rows that would be tickets if the certificate and the flag let them: those that a certificate is made of."""
    return (low >= policy.act) & (high - low < policy.narrow)
