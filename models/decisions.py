"""From probabilities and intervals to risk levels and decisions; row by row, so any cut of a batch decides alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]
Flags = NDArray[np.bool_]

LOW, MEDIUM, HIGH, CRITICAL = range(4)
RISKS = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
RISKY = frozenset(RISKS[HIGH:])
"""Risks that somebody should hear of."""

CLEAR, ALERT, TICKET = range(3)
DECISIONS = ("clear", "alert", "ticket")

SHARES = (0.10, 0.035, 0.007)
"""Of the calibration slice at most so many reach MEDIUM, HIGH and CRITICAL. HIGH is to be at most 5 % of events and
CRITICAL 1 %; three tenths of that are kept for months that differ from the slice."""


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
        """The least cuts that at most SHARES of calibration probabilities, (rows,), reach; at least one row."""
        ordered = np.sort(np.asarray(probabilities, dtype=np.float64))
        return cls(*(_cut(ordered, int(share * len(ordered))) for share in SHARES))

    def risk(self, probabilities: ArrayLike) -> Codes:
        """Codes LOW to CRITICAL of probabilities (rows,)."""
        return _risk(np.asarray(probabilities, dtype=np.float64), self.medium, self.high, self.critical)


HEURISTIC_CUTS = Cuts(0.4, 0.7, 0.9)
"""Of heuristics, and of a model that has too little calibration data for its own."""


def _risk(probability: Floats, *cuts: Floats | float) -> Codes:
    """How many of the cuts a probability reaches; what is no number reaches all."""
    risk = np.zeros(len(probability), dtype=np.int8)
    for cut in cuts:
        risk += ~(probability < cut)
    return risk


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
        audit: the share of what is cleared that is drawn at random for a person to look at; 0 to 1.
        travel: speed (km/h) from which travel is impossible, for models that know of any.
    """

    cuts: Cuts
    act: float = 0.8
    clear: float | None = None
    narrow: float = 0.2
    auto_ticket: bool = False
    certified: float | None = None
    audit: float = 0.0
    travel: float = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Policies:
    """The policy of each row of a batch, or one for all of them: the fields of Policy as arrays, (rows,) or (1,).

    `certified` is infinite where no certificate is in force.
    """

    medium: Floats
    high: Floats
    critical: Floats
    act: Floats
    clear: Floats
    narrow: Floats
    auto_ticket: Flags
    certified: Floats
    audit: Floats
    travel: Floats

    @classmethod
    def of(cls, policies: Sequence[Policy], which: ArrayLike = (0,)) -> Self:
        """Of policies, and which of them each row has, (rows,)."""
        table = np.array([_numbers(each) for each in policies]).T[:, np.asarray(which, dtype=np.intp)]
        medium, high, critical, act, clear, narrow, auto_ticket, certified, audit, travel = table
        return cls(medium, high, critical, act, clear, narrow, auto_ticket > 0, certified, audit, travel)


def _numbers(policy: Policy) -> tuple[float, ...]:
    cuts = policy.cuts
    clear = cuts.medium if policy.clear is None else policy.clear
    certified = np.inf if policy.certified is None else policy.certified
    may = (policy.act, clear, policy.narrow, policy.auto_ticket, certified, policy.audit, policy.travel)
    return cuts.medium, cuts.high, cuts.critical, *may


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
    policy: Policy | Policies,
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
        policy: of all rows, or of each.
        probability: (rows,), 0 to 1.
        interval: p0 and p1, (rows,) each, NaN in rows that have none; None where none has.
        demanded: (rows,), codes of the least risk that hard rules ask for: they raise a risk, and never lower one.
    """
    given = np.asarray(probability, dtype=np.float64)
    may = policy if isinstance(policy, Policies) else Policies.of([policy])
    low, high = (np.full(len(given), np.nan),) * 2 if interval is None else interval
    risk = _risk(given, may.medium, may.high, may.critical)
    if demanded is not None:
        risk = np.maximum(risk, np.asarray(demanded, dtype=np.int8))
    decision = np.where(risk >= HIGH, ALERT, CLEAR).astype(np.int8)
    # NaN passes no comparison.
    certified = low >= may.certified
    decision[certified & would_be_tickets(may, low, high) & may.auto_ticket] = TICKET
    return Decided(risk, decision, (decision == CLEAR) & (high > may.clear), certified)


def would_be_tickets(policy: Policy | Policies, low: Floats, high: Floats) -> Flags:
    """Rows that would be tickets if the certificate and the flag let them: those that a certificate is made of."""
    return (low >= policy.act) & (high - low < policy.narrow)
