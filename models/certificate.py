"""May tickets be opened without a person? An exact test on reviewed cases says so, or how many reviews are missing.

The claim is that the precision of tickets is at least 0.8. It is accepted when so many correct ones among the reviewed
would come with at most 10 % probability if it were not (exact binomial test; Clopper and Pearson 1934). Further claims,
each of more tickets down the score, are tested one after the other until the first fails: a fixed sequence needs no
correction for their number (Angelopoulos et al., Learn then Test, 2021, https://arxiv.org/abs/2110.01052).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

Counts = NDArray[np.int64]

PRECISION, CONFIDENCE = 0.8, 0.9
FIRST = 126
"""Reviews of the first claim, where there are so many: enough when 85 % are correct."""
FAR = 10_000
"""When more reviews than this are missing, none are asked for: the precision is too low."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the reviews prove.

    Attributes:
        since: the score from which on tickets are certified; None: nowhere.
        reviews, correct: cases that the last claim that held rests on; of the first claim where none held.
        missing: reviews that would make it hold if as large a share of them as of these is correct (all of them while
            there are none); 0 where it holds, None where no number would do.
    """

    since: float | None
    reviews: int
    correct: int
    missing: int | None


def certify(scores: ArrayLike, correct: ArrayLike, floor: float) -> Certificate:
    """Test reviewed cases that would have been tickets.

    The cases are all that were reviewed in some time, or a sample that does not depend on what the reviews say.

    Args:
        scores: (reviews,), p0; none below `floor`.
        correct: (reviews,), whether the review confirmed it.
        floor: the score from which on tickets are to be opened. It is certified where the last claim holds, of all
            cases together.
    Raises:
        ValueError: a score is below the floor.
    """
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(np.asarray(correct, dtype=np.int64)[order])
    if len(values) and not values[-1] >= floor:
        raise ValueError(f"cases must have scores from {floor} on, not {values[-1]}")
    # Only whole groups of equal scores can be told apart from the rest.
    ends = np.flatnonzero(np.append(values[1:] < values[:-1], len(values) > 0)) + 1
    claims = ends[ends >= min(FIRST, len(values))]
    held = _proves(claims, hits[claims - 1])
    if not held[:1].any():
        reviews, right = (int(claims[0]), int(hits[claims[0] - 1])) if len(claims) else (0, 0)
        return Certificate(None, reviews, right, missing(reviews, right))
    last = int(claims[-1] if held.all() else claims[int(np.argmin(held)) - 1])
    since = floor if last == len(values) else float(values[last - 1])
    return Certificate(since, last, int(hits[last - 1]), 0)


def proves(reviews: int, correct: int) -> bool:
    """Whether so many correct ones prove a precision of at least 0.8 with 90 % confidence.

    >>> proves(11, 11), proves(10, 10), proves(18, 17), proves(126, 107)
    (True, False, True, True)
    """
    return bool(_proves(np.array([reviews]), np.array([correct]))[0])


def missing(reviews: int, correct: int) -> int | None:
    """Further reviews after which the proof is made, if the same share of them (rounded down) is correct.

    >>> missing(0, 0), missing(10, 10), missing(17, 16), missing(40, 30)
    (11, 1, 8, None)
    """
    share = (correct, reviews) if reviews else (1, 1)
    further = np.arange(FAR + 1)
    right = correct + further * share[0] // share[1]
    enough = _proves(reviews + further, right)
    return int(np.argmax(enough)) if enough.any() else None


def _proves(reviews: Counts, correct: Counts) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = binom.sf(correct - 1, reviews, PRECISION) <= 1 - CONFIDENCE
    return found
