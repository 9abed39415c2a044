"""The alert budget: how rare an anomaly must be, so that people get as many alerts a shift as they can look at."""

from collections.abc import Iterable
from dataclasses import dataclass

SHIFT_S = 28_800
"""A shift: eight hours."""


@dataclass(frozen=True, slots=True, order=True)
class Rarity:
    """How rare an anomaly is, the rarest first.

    Attributes:
        p: conformal p-value (conformal.py).
        lack: 1 - score: where p cannot tell two apart, being at its least, the score does.
    """

    p: float
    lack: float


EVERYTHING = Rarity(1.0, 1.0)
NOTHING = Rarity(-1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a budget lets through.

    Attributes:
        cut: an anomaly is told if it is as rare as this, or rarer.
        told, held_back: of the anomalies that the cut was made from.
    """

    cut: Rarity
    told: int
    held_back: int

    def tells(self, p: float, score: float) -> bool:
        """Whether an anomaly of this p-value and score is told."""
        return Rarity(p, 1.0 - score) <= self.cut


def budget(anomalies: Iterable[tuple[float, float]], seconds: float, per_shift: float) -> Budget:
    """The cut that lets `per_shift` alerts through in eight hours, on average over the past that is given.

    Give it what would have been an alert: (p-value, score) of the rarest sample of each episode of the detectors that
    the budget is for, of one tenant. Static limits have no budget. If it is not used up, everything is told. Where
    several are equally rare and not all of them have room, none of them has.

    >>> given = [(0.001, 0.99), (0.001, 0.9), (0.01, 0.8), (0.02, 0.7)]
    >>> budget(given, seconds=28_800, per_shift=2)
    Budget(cut=Rarity(p=0.001, lack=0.09999999999999998), told=2, held_back=2)

    Args:
        anomalies: in any order.
        seconds: length of that past, more than 0.
        per_shift: alerts that people want at most in eight hours, 0 or more.

    Raises:
        ValueError: the past has no length, or the budget is below 0.
    """
    if not seconds > 0.0 or not per_shift >= 0.0:
        raise ValueError(f"expected seconds over 0 and per_shift of 0 or more, got {seconds} and {per_shift}")
    ordered = sorted(Rarity(p, 1.0 - score) for p, score in anomalies)
    # A share of an alert that is missing for rounding is an alert.
    room = int(per_shift * seconds / SHIFT_S + 1e-9)
    if len(ordered) <= room:
        return Budget(EVERYTHING, len(ordered), 0)
    while room and ordered[room - 1] == ordered[room]:
        room -= 1
    return Budget(ordered[room - 1] if room else NOTHING, room, len(ordered) - room)
