"""What would have had to be otherwise for an event to be cleared: the smallest change of one group of features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.decisions import CLEAR, Cuts, Flags, Policy, decide
from models.features import NEVER, Feature

Floats = NDArray[np.float64]
Judge = Callable[[Floats], tuple[Floats, Flags]]
"""Probabilities of vectors (rows, all features), and which of them are cleared."""

SUBJECT, TENANT, MISSING = SOURCES = ("subject", "tenant", "missing")
"""Where the other values come from: what is usual for the subject, for all of the tenant's, or nothing was measured."""

STEPS = 20
"""A change is looked for in so many steps from what was to what is usual."""


@dataclass(frozen=True)
class Space:
    """What of an event may be otherwise.

    Attributes:
        features: all, in the order of the vectors.
        groups: their names by what they are about. A feature in none stays: otherwise it would be another event.
        whole: names of those that are counts.
    """

    features: tuple[Feature, ...]
    groups: Mapping[str, tuple[str, ...]]
    whole: frozenset[str]

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Where a feature stands in a vector."""
        return {feature.name: place for place, feature in enumerate(self.features)}

    @cached_property
    def flags(self) -> frozenset[str]:
        """Features that are yes or no."""
        return frozenset(feature.name for feature in self.features if feature.unit == "0/1")

    def usual(self, vectors: Sequence[Sequence[float | None]], otherwise: Floats | None = None) -> Floats:
        """The lower median of each feature, a value that occurred, over vectors of all features (rows, features).

        Args:
            otherwise: values of the features that no vector has; NaN without it.
        """
        out = np.full(len(self.features), np.nan) if otherwise is None else otherwise.copy()
        for place, column in enumerate(zip(*vectors, strict=True)):
            values = sorted(value for value in column if value is not None and value == value)
            if values:
                out[place] = values[(len(values) - 1) // 2]
        return out

    def unmeasured(self, vector: Floats) -> Floats:
        """A vector without anything that may be missing."""
        stays = np.array([feature.missing == NEVER for feature in self.features])
        return np.where(stays, vector, np.nan)


@dataclass(frozen=True, slots=True)
class Change:
    """A change that clears an event.

    Attributes:
        group: of the space.
        source: of SOURCES.
        values: what was and what would have been, by feature; NaN for missing.
        probability: with it.
    """

    group: str
    source: str
    values: Mapping[str, tuple[float, float]]
    probability: float


def judge(
    score: Callable[[Floats], Floats], cuts: Cuts, demanded: Callable[[Floats], ArrayLike] | None = None
) -> Judge:
    """How probabilities are decided under cuts of the risk: what is not HIGH is cleared.

    Args:
        score: probabilities (rows,) of vectors (rows, all features).
        demanded: codes of the least risk that hard rules ask for, (rows,).
    """

    def judged(table: Floats) -> tuple[Floats, Flags]:
        probability = score(table)
        least = None if demanded is None else demanded(table)
        return probability, decide(Policy(cuts), probability, demanded=least).decision == CLEAR

    return judged


def counterfactual(space: Space, vector: Floats, others: Mapping[str, Floats], judged: Judge) -> Change | None:
    """The smallest change of one group that clears an event; None where no group alone does.

    Of the first source that has any, the one of the fewest features, and of these the one that goes the least part of
    the way to the other values; then the order of the groups decides.

    Args:
        vector: of the event, all features.
        others: what would be there instead, by source, in the order in which they are tried.
    """
    for source, other in others.items():
        asked = list(_subsets(space, vector, other))
        if not asked:
            continue
        whole = np.array([_moved(space, vector, other, names, 1.0) for _, names in asked])
        cleared = [each for each, well in zip(asked, judged(whole)[1].tolist(), strict=True) if well]
        if cleared:
            fewest = min(len(names) for _, names in cleared)
            return _least(space, vector, other, [each for each in cleared if len(each[1]) == fewest], source, judged)
    return None


def _subsets(space: Space, vector: Floats, other: Floats) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every choice of features of one group that would change."""
    for group, names in space.groups.items():
        differing = [name for name in names if not _same(vector[space.place[name]], other[space.place[name]])]
        for count in range(1, len(differing) + 1):
            for chosen in combinations(differing, count):
                yield group, chosen


def _least(
    space: Space, vector: Floats, other: Floats, asked: list[tuple[str, tuple[str, ...]]], source: str, judged: Judge
) -> Change:
    tried = [(step, place) for step in range(1, STEPS + 1) for place in range(len(asked))]
    rows = [_moved(space, vector, other, asked[place][1], step / STEPS) for step, place in tried]
    probability, cleared = judged(np.array(rows))
    best = int(np.argmax(cleared))
    group, names = asked[tried[best][1]]
    values = {name: (float(vector[space.place[name]]), float(rows[best][space.place[name]])) for name in names}
    return Change(group, source, values, float(probability[best]))


def _moved(space: Space, vector: Floats, other: Floats, names: Sequence[str], share: float) -> Floats:
    """With some features part of the way to other values. What is yes or no, or missing, goes the whole way at once."""
    out = vector.copy()
    for name in names:
        place = space.place[name]
        was, would = vector[place], other[place]
        if share < 1.0 and name not in space.flags and was == was and would == would:
            would = was + share * (would - was)
            if name in space.whole:
                would = np.round(would)
        out[place] = would
    return out


def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)
