"""What a series has already been seen doing: a bounded set of points on the line or in the plane."""

from array import array
from bisect import bisect_left
from math import inf
from typing import ClassVar

from models.anomaly.parts import Parts, Read, packed, unpacked

PAGE = 32
"""Points stored together: at most 256 bytes are written when one is learned."""

CROWDED = 8.0
"""How much coarser a full book is than an empty one; with the fourth power of how full it is."""


class Codebook:
    """At most `capacity` points of the plane, and the distance of a new one to the nearest of them.

    The distance of (a, b) and (c, d) is max(|a - c|, |b - d|). Points are sorted by their first coordinate and searched
    outwards from it; the search ends where the first coordinate alone is as far as the best point. The fuller the
    book, the farther a point must be to be stored; when it is full, the oldest point makes room.

    Points are kept in single precision: give `distance` a value that single precision holds, and one that is known is
    at distance 0.

    Attributes:
        turn: the point that makes room next, once the book is full; stored by the owner.
    """

    __slots__ = ("_dirty", "_firsts", "_name", "_points", "_seconds", "capacity", "turn")

    WIDTH: ClassVar[int] = 2
    """Coordinates of a point."""

    def __init__(self, name: bytes, capacity: int) -> None:
        self._name, self.capacity = name, capacity
        self.turn = 0
        self._points = array("f")
        """One after the other, in the order in which they came."""
        self._firsts, self._seconds = array("f"), array("f")
        """Their coordinates, sorted by the first."""
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return len(self._firsts)

    @property
    def least(self) -> float:
        """Smallest known first coordinate; minus infinity while the book is empty."""
        return self._firsts[0] if self._firsts else -inf

    @property
    def most(self) -> float:
        """Largest known first coordinate; infinity while the book is empty."""
        return self._firsts[-1] if self._firsts else inf

    def distance(self, a: float, b: float) -> float:
        """Distance to the nearest point; infinite while the book is empty."""
        firsts = self._firsts
        seconds = self._seconds
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
        return min(self._firsts, key=lambda known: abs(known - a), default=None)

    def learn(self, a: float, b: float, grain: float) -> None:
        """Remember a point that is farther than `grain` from all others, or farther still while the book is full."""
        count = len(self)
        full = count / self.capacity
        if self.distance(a, b) <= grain * (1.0 + CROWDED * full * full * full * full):
            return
        slot = count
        if count == self.capacity:
            slot = self.turn
            self.turn = (slot + 1) % self.capacity
            self._forget(*self._point(slot))
        self._points[slot * self.WIDTH : (slot + 1) * self.WIDTH] = array("f", (a, b)[: self.WIDTH])
        self._place(*self._point(slot))
        self._dirty.add(slot // PAGE)

    def _point(self, slot: int) -> "array[float]":
        """As it is kept: in single precision."""
        return self._points[slot * self.WIDTH : (slot + 1) * self.WIDTH]

    def _place(self, a: float, b: float) -> None:
        at = bisect_left(self._firsts, a)
        self._firsts.insert(at, a)
        self._seconds.insert(at, b)

    def _forget(self, a: float, b: float) -> None:
        at = bisect_left(self._firsts, a)
        while self._seconds[at] != b:
            at += 1
        del self._firsts[at], self._seconds[at]

    def load(self, read: Read, turn: int) -> None:
        """Read all pages: points in single precision, one after the other."""
        self.turn = turn
        for page in range((self.capacity + PAGE - 1) // PAGE):
            raw = read(self._name + bytes([page]))
            if raw is None:
                break
            self._points += unpacked(self._points, raw)
        for slot in range(len(self._points) // self.WIDTH):
            self._place(*self._point(slot))

    def changes(self) -> Parts:
        each = PAGE * self.WIDTH
        pages = sorted(self._dirty)
        self._dirty.clear()
        return [(self._name + bytes([page]), packed(self._points[page * each : (page + 1) * each])) for page in pages]


class Line(Codebook):
    """The same on the line: the second coordinate of every point is 0 and not kept."""

    __slots__ = ()

    WIDTH: ClassVar[int] = 1

    def distance(self, a: float, b: float = 0.0) -> float:
        firsts = self._firsts
        at = bisect_left(firsts, a)
        above = firsts[at] - a if at < len(firsts) else inf
        if at:
            below = a - firsts[at - 1]
            if below < above:
                return below
        return above

    def _place(self, a: float, b: float = 0.0) -> None:
        self._firsts.insert(bisect_left(self._firsts, a), a)

    def _forget(self, a: float, b: float = 0.0) -> None:
        del self._firsts[bisect_left(self._firsts, a)]
