"""Seeded chance: every decision draws from a stream named after what it is about.

So the honest life of a person is the same with and without frauds around, and no order of computation matters.
"""

from hashlib import blake2b
from math import exp
from random import Random


def stream(*names: object) -> Random:
    """A stream of its own for these names."""
    raw = "\x1f".join(map(str, names)).encode()
    return Random(int.from_bytes(blake2b(raw, digest_size=8).digest(), "big"))


def logistic(value: float) -> float:
    return 1 / (1 + exp(-value))


def spread(count: int, share: float, r: Random) -> list[int]:
    """Numbers below `count`, `share` of them, evenly spaced from a random one: exact but for one."""
    offset = r.random()
    return [n for n in range(count) if int((n + 1) * share + offset) > int(n * share + offset)]
