"""What came out beside what had to come out: by value, by count and in order."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Pair = tuple[bytes | None, bytes | None]
"""Key and value of an output record."""
Identity = Callable[[Pair], object]
"""What makes two records the same fact (its id), whatever else they say."""


@dataclass(slots=True)
class Verdict:
    """Comparison of one topic or table; all but `expected` and `found` are zero when nothing is wrong."""

    what: str
    expected: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0
    out_of_order: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        wrong = self.lost + self.doubled + self.different + self.out_of_order
        return not wrong and self.expected == self.found and not self.remarks

    def __str__(self) -> str:
        counts = (
            f"{self.what}: {self.found} of {self.expected}, {self.lost} lost, {self.doubled} doubled, "
            f"{self.different} different, {self.out_of_order} out of order"
        )
        return "; ".join([counts, *self.remarks[:5]])

    def figures(self) -> dict[str, Any]:
        return {**asdict(self), "exact": self.exact}


def compare(
    what: str,
    sources: Sequence[Sequence[Sequence[Pair]]],
    partitions: Sequence[Sequence[Pair]],
    identity: Identity,
) -> Verdict:
    """Compare an output topic with what its sources had to write.

    sources: per (agent, input partition), per output partition, the pairs in their only right order. Several
    sources may feed one output partition, whose log must then be a merge of their sequences.
    partitions: what the output topic holds, per partition.
    """
    verdict = Verdict(what, found=sum(map(len, partitions)))
    matched = 0
    for number, records in enumerate(partitions):
        due: dict[Pair, list[tuple[int, int]]] = defaultdict(list)
        for source_number, source in enumerate(sources):
            for position, pair in enumerate(source[number]):
                due[pair].append((source_number, position))
            verdict.expected += len(source[number])
        last: dict[int, int] = {}
        for pair in records:
            if pair not in due:
                verdict.different += 1
                if len(verdict.remarks) < 3:
                    verdict.remarks.append(f"partition {number} must not hold {pair!r:.400}")
            elif due[pair]:
                matched += 1
                source_number, position = due[pair].pop(0)
                verdict.out_of_order += position < last.get(source_number, -1)
                last[source_number] = position
    if not matched == verdict.found == verdict.expected:
        _count(verdict, sources, partitions, identity)
    return verdict


def _count(
    verdict: Verdict,
    sources: Sequence[Sequence[Sequence[Pair]]],
    partitions: Sequence[Sequence[Pair]],
    identity: Identity,
) -> None:
    """Which facts are missing, and which are there too often, whatever their records say."""
    wanted = Counter(identity(pair) for source in sources for pairs in source for pair in pairs)
    got = Counter(identity(pair) for pairs in partitions for pair in pairs)
    missing = wanted - got
    verdict.lost = missing.total()
    verdict.doubled = sum(count - wanted[one] for one, count in got.items() if 0 < wanted[one] < count)
    if missing:
        verdict.remarks.append(f"missing: {list(missing)[:3]!r:.400}")


def compare_rows(what: str, expected: dict[Any, Any], found: Sequence[tuple[Any, Any]]) -> Verdict:
    """Compare a table, as (id, row), with the facts that must stand in it, one row for each id."""
    verdict = Verdict(what, len(expected), len(found))
    got: Counter[Any] = Counter()
    for one, row in found:
        got[one] += 1
        if one not in expected or row != expected[one]:
            verdict.different += 1
            if len(verdict.remarks) < 3:
                verdict.remarks.append(f"{one!r} is {row!r:.300}, expected {expected.get(one)!r:.300}")
    verdict.lost = sum(one not in got for one in expected)
    verdict.doubled = sum(count - 1 for count in got.values())
    if verdict.lost:
        verdict.remarks.append(f"missing: {[one for one in expected if one not in got][:3]!r:.300}")
    return verdict
