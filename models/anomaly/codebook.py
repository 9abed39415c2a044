"""What a series has already been seen doing: a bounded set of points on the line or in the plane."""

from array import array
from bisect import bisect_left
from math import inf

from models.anomaly.parts import Parts, Read

PAGE = 16
"""Points stored together: at most 256 bytes are written when one is learned."""

CROWDED = 8.0
"""How much coarser a full book is than an empty one; with the fourth power of how full it is."""


class Codebook:
    """At most `capacity` points, and the distance of a new one to the nearest of them.

    The distance of (a, b) and (c, d) is max(|a - c|, |b - d|). Points are sorted by their first coordinate and searched
    outwards from it; the search ends where the first coordinate alone is as far as the best point. The fuller the
    book, the farther a point must be to be stored; when it is full, the oldest point makes room.

    Attributes:
        turn: the point that makes room next, once the book is full; stored by the owner.
    """

    __slots__ = ("_a", "_b", "_dirty", "_name", "_sorted_a", "_sorted_b", "capacity", "turn")

    def __init__(self, name: bytes, capacity: int) -> None:
        self._name, self.capacity = name, capacity
        self.turn = 0
        self._a, self._b = array("d"), array("d")
        self._sorted_a, self._sorted_b = array("d"), array("d")
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return len(self._a)

    @property
    def least(self) -> float:
        """Smallest known first coordinate; minus infinity while the book is empty."""
        return self._sorted_a[0] if self._sorted_a else -inf

    @property
    def most(self) -> float:
        """Largest known first coordinate; infinity while the book is empty."""
        return self._sorted_a[-1] if self._sorted_a else inf

    def distance(self, a: float, b: float) -> float:
        """Distance to the nearest point; infinite while the book is empty."""
        firsts = self._sorted_a
        seconds = self._sorted_b
        start = bisect_left(firsts, a)
        best = inf
        for at in range(start, len(firsts)):
            gap = firsts[at] - a
            if gap >= best:
                break
            other = seconds[at] - b
            if other < 0.0:
                other = -other
            if other < gap:
                other = gap
            if other < best:
                best = other
        for at in range(start - 1, -1, -1):
            gap = a - firsts[at]
            if gap >= best:
                break
            other = seconds[at] - b
            if other < 0.0:
                other = -other
            if other < gap:
                other = gap
            if other < best:
                best = other
        return best

    def nearest(self, a: float) -> float | None:
        """The known first coordinate that is nearest to `a`; None while the book is empty."""
        return min(self._sorted_a, key=lambda known: abs(known - a), default=None)

    def learn(self, a: float, b: float, grain: float) -> None:
        """Remember a point that is farther than `grain` from all others, or farther still while the book is full."""
        count = len(self._a)
        full = count / self.capacity
        if self.distance(a, b) <= grain * (1.0 + CROWDED * full * full * full * full):
            return
        if count < self.capacity:
            slot = count
            self._a.append(a)
            self._b.append(b)
        else:
            slot = self.turn
            self.turn = (slot + 1) % self.capacity
            self._forget(self._a[slot], self._b[slot])
            self._a[slot], self._b[slot] = a, b
        self._place(a, b)
        self._dirty.add(slot // PAGE)

    def _place(self, a: float, b: float) -> None:
        at = bisect_left(self._sorted_a, a)
        self._sorted_a.insert(at, a)
        self._sorted_b.insert(at, b)

    def _forget(self, a: float, b: float) -> None:
        at = bisect_left(self._sorted_a, a)
        while self._sorted_b[at] != b:
            at += 1
        del self._sorted_a[at], self._sorted_b[at]

    def load(self, read: Read, turn: int) -> None:
        """Read all pages. They hold big-endian doubles: the first coordinates of the page, then the second ones."""
        self.turn = turn
        for page in range((self.capacity + PAGE - 1) // PAGE):
            raw = read(self._name + bytes([page]))
            if raw is None:
                break
            found = array("d", raw)
            found.byteswap()
            half = len(found) // 2
            self._a += found[:half]
            self._b += found[half:]
        for a, b in zip(self._a, self._b, strict=True):
            self._place(a, b)

    def changes(self) -> Parts:
        out: Parts = []
        for page in sorted(self._dirty):
            start = page * PAGE
            stored = self._a[start : start + PAGE] + self._b[start : start + PAGE]
            stored.byteswap()
            out.append((self._name + bytes([page]), stored.tobytes()))
        self._dirty.clear()
        return out
