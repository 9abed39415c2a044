"""The alert budget: how rare an anomaly must be, so that people get as many alerts a shift as they can look at."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SHIFT_S = 28_800
"""A shift: eight hours."""

ORDER = ("standing", "novelty")
"""Detectors that open anomalies, those whose alerts are more often worth it first; see docs/detectors.md."""

NOTHING = 2.0
"""A cut above every score."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What was an alert, or would have been one if it had not been held back.

    Attributes:
        detector: that opened it; one of ORDER.
        score: the highest of its samples, 0 to 1.
        critical: whether it became CRITICAL: it is told whatever the budget, and uses it up.
    """

    detector: str
    score: float
    critical: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """What a budget lets through.

    Attributes:
        cuts: by detector, the score from which an anomaly is told; 0 for all of them, NOTHING for none.
        told, held_back: of the anomalies that the cuts were made from.
    """

    cuts: Mapping[str, float]
    told: int
    held_back: int

    def tells(self, anomaly: Anomaly) -> bool:
        return anomaly.critical or anomaly.score >= self.cuts[anomaly.detector]


def budget(anomalies: Iterable[Anomaly], seconds: float, per_shift: float) -> Budget:
    """The cuts that let `per_shift` alerts through in eight hours, on average over the past that is given.

    What is CRITICAL has its place before all. Then come the anomalies of the detectors in their ORDER, of each those
    with the highest scores first. If the budget is not used up, everything is told. Where several are equally rare and
    not all of them have room, none of them has; but a budget above 0 never silences a tenant: the rarest are told then.

    >>> given = [Anomaly("standing", 0.6), Anomaly("novelty", 0.99), Anomaly("novelty", 0.9), Anomaly("novelty", 0.8)]
    >>> budget(given, seconds=28_800, per_shift=3)
    Budget(cuts={'standing': 0.0, 'novelty': 0.9}, told=3, held_back=1)

    Args:
        anomalies: of one tenant, in any order.
        seconds: length of that past, more than 0.
        per_shift: alerts that people want at most in eight hours, 0 or more.

    Raises:
        ValueError: the past has no length, or the budget is below 0.
    """
    if not seconds > 0.0 or not per_shift >= 0.0:
        raise ValueError(f"expected seconds over 0 and per_shift of 0 or more, got {seconds} and {per_shift}")
    given = list(anomalies)
    ordered = sorted((ORDER.index(each.detector), -each.score) for each in given if not each.critical)
    always = len(given) - len(ordered)
    # A share of an alert that is missing for rounding is an alert.
    room = max(0, int(per_shift * seconds / SHIFT_S + 1e-9) - always)
    if len(ordered) <= room:
        return Budget(dict.fromkeys(ORDER, 0.0), len(given), 0)
    while room and ordered[room - 1] == ordered[room]:
        room -= 1
    if not room and not always and per_shift:
        room = ordered.count(ordered[0])
        if room == len(ordered):
            return Budget(dict.fromkeys(ORDER, 0.0), len(given), 0)
    first_held = ordered[room][0]
    last_told = ordered[room - 1] if room else (-1, 0.0)
    cuts = {
        name: 0.0 if rank < first_held else -last_told[1] if rank == last_told[0] else NOTHING
        for rank, name in enumerate(ORDER)
    }
    return Budget(cuts, always + room, len(ordered) - room)
