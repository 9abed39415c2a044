"""What a host takes, once it has a past of three weeks in everything that remembers."""

import math
import random
from collections.abc import Sequence

from models.metrics import NAMES
from streams.host_state import HostState

MONDAY_MS = 1_748_822_400_000
QUARTER_MS = 900_000
WEEKS = 3

KEY = b"a-tenant|a-host.some.example|host|"
"""Stands before the name of each part in the changelog."""


def stored(names: Sequence[str]) -> dict[bytes, bytes]:
    """Parts after three weeks at a quarter of an hour and an hour at 4 s: the week, the hour and the ids are full."""
    chance = random.Random(1)
    times = [MONDAY_MS + QUARTER_MS * at for at in range(WEEKS * 672)]
    times += [times[-1] + 4000 * at for at in range(1, 1025)]
    host, found = HostState(lambda part: None), dict[bytes, bytes]()
    for number, time in enumerate(times):
        wave = 1.0 + 0.5 * math.sin(time / 86_400_000 * 2 * math.pi)
        host.memory.meet(f"e-{number}", "")
        seen = []
        for name in names:
            watch = host.watch(name)
            assert watch is not None
            value = 40.0 * wave * chance.lognormvariate(0.0, 0.3)
            watch.see(time, value)
            seen.append((watch, value))
        host.note(time, seen)
        found |= {part: raw for part, raw in host.changes() if raw is not None}
    return found


def size(parts: dict[bytes, bytes]) -> int:
    """Bytes on the changelog; each value has one for its version."""
    return sum(len(KEY) + len(part) + 1 + len(raw) for part, raw in parts.items())


def test_a_host_takes_less_than_300_kb() -> None:
    """Its nine metrics are as large as one of them, and eight times what a second one adds."""
    one, two = stored(NAMES[:1]), stored(NAMES[:2])
    assert size(one) + (len(NAMES) - 1) * (size(two) - size(one)) < 300_000
    assert len(one) + (len(NAMES) - 1) * (len(two) - len(one)) < 1000
    assert max(map(len, two.values())) < 1000
