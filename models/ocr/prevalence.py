"""How many readings are wrong, by what people were asked by chance and not by what struck them."""

from collections.abc import Iterable
from typing import NamedTuple

LEAST = 30
"""So many random tasks must be answered before anything is said."""


class Week(NamedTuple):
    """The readings that a batch was drawn from.

    Attributes:
        judged, wrong: readings that were judged before it, and the wrong ones of these.
        rest: the other ones, of which random tasks were drawn.
        drawn, drawn_wrong: random tasks with a verdict, and the wrong ones of these.
    """

    judged: int
    wrong: int
    rest: float
    drawn: int
    drawn_wrong: int


def prevalence(weeks: Iterable[Week]) -> float | None:
    """Share of all readings that are wrong, above 0 and below 1; None where fewer than LEAST random tasks are answered.

    Two strata: those that were judged count as they are; of the others the share is that of the random tasks, each of
    which stands for 1 / propensity readings, with half a case more of each kind (the mean under Jeffreys' prior), since
    a sample without a wrong one does not say that there is none (Horvitz and Thompson, A generalization of sampling
    without replacement from a finite universe, 1952; stratified: Cochran, Sampling techniques, 1977, chapter 5).

    >>> prevalence([Week(judged=50, wrong=30, rest=950.0, drawn=10, drawn_wrong=0)] * 3)
    0.04532258064516129
    """
    found = list(weeks)
    judged, wrong, rest, drawn, drawn_wrong = (sum(each) for each in zip(*found, strict=True)) if found else (0,) * 5
    if drawn < LEAST:
        return None
    return float((wrong + rest * (drawn_wrong + 0.5) / (drawn + 1)) / (judged + rest))
