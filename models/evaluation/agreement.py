"""Whether people agree: of things that were judged twice, the share judged alike, and how far that is chance."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from models.evaluation.measures import exact_interval


def agreement(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Of the first and second verdict on each thing; values of JSON.

    `agreement` is the share that agrees, between `low` and `high` (exact, 90 %). `kappa` is Cohen's (A coefficient of
    agreement for nominal scales, 1960): (po - pe) / (1 - pe), where po is that share and pe the one that two judges
    would reach by chance who give each verdict as often as these did; 1 is full agreement, 0 chance, and less is worse.
    None where it has no meaning: without pairs, and where all verdicts are the same.

    >>> agreement([("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15)["kappa"]
    0.4
    """
    count, agreed = len(pairs), sum(first == second for first, second in pairs)
    low, high = exact_interval(agreed, count)
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    # In whole numbers: two shares that are the same must not differ in a last bit.
    chance = sum(first[verdict] * second[verdict] for verdict in first)
    known = chance < count * count
    return {
        "pairs": count,
        "agreed": agreed,
        "agreement": agreed / count if count else None,
        "low": low,
        "high": high,
        "kappa": (agreed * count - chance) / (count * count - chance) if known else None,
    }
