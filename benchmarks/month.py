"""A made month of 20 hosts with 40 planted incidents, whose truth is known.

Everything is seeded. The sizes of incidents are in units of the host's own variation (`month_hosts.variation`) and
were chosen before any detector saw them; docs/detectors.md has the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.month_hosts import DAY, Flags, Host, Values, make_host, rounded
from models.metrics import BY_NAME, NAMES

DAYS, LEARNING_DAYS = 30, 10
"""Incidents come only after the first ten days."""

HOSTS: Mapping[str, int] = {"web": 8, "database": 4, "batch": 4, "idle": 4}
COUNTS: Mapping[str, int] = {
    "spike": 9, "level shift": 8, "slow leak": 6, "periodicity lost": 5, "correlated": 6, "host silent": 6,
}  # fmt: skip

APART = DAY
"""A host has no two incidents within a day of each other."""

AFTER = 60
"""An alert still belongs to an incident this long after its end, in samples."""

SIZES = {"spike": (3.0, 10.0), "level shift": (2.0, 6.0), "slow leak": (2.5, 6.0), "correlated": (2.0, 5.0)}
"""In units of the metric's variation on that host, spread evenly over their logarithm; a leak's is at its end."""

LENGTHS = {
    "spike": (2, 10), "level shift": (180, 720), "slow leak": (480, 2160), "periodicity lost": (1440, 2160),
    "correlated": (30, 120), "host silent": (30, 360),
}  # fmt: skip
"""In samples."""

CAUSES: Mapping[str, Sequence[tuple[str, ...]]] = {
    "sudden": (
        ("cpu_percent", "request_latency_ms"),
        ("db_query_ms", "db_connections", "request_latency_ms"),
        ("disk_write_bytes_per_s", "db_query_ms"),
        ("disk_read_bytes_per_s",),
        ("queue_depth", "request_latency_ms"),
        ("error_rate", "request_latency_ms"),
        ("request_latency_ms",),
        ("db_connections",),
    ),
    "slow leak": (
        ("memory_percent",),
        ("db_connections",),
        ("queue_depth", "request_latency_ms"),
        ("db_query_ms", "request_latency_ms"),
    ),
}
"""Metrics that go wrong together: the first by the whole size, the others by half of it."""

PATTERNED = ("cpu_percent", "disk_write_bytes_per_s", "db_connections", "db_query_ms", "request_latency_ms")
"""What follows the load, and so loses its pattern with it."""

LOST, GAPS_A_WEEK = 0.001, 1.0
"""Usual life: single samples that never come, and restarts that cost 2 to 8 samples."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What was planted.

    Attributes:
        kind: of COUNTS.
        hosts: numbers of the hosts.
        metrics: names of the metrics; none where the host is silent.
        start, end: first affected sample, and the one after the last; of the first and the last of its hosts.
        size: in variations; 0 where it has none.
        outside: whether its first metric leaves everything that this host showed before it.
    """

    kind: str
    hosts: tuple[int, ...]
    metrics: tuple[str, ...]
    start: int
    end: int
    size: float = 0.0
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Month:
    """What is replayed.

    Attributes:
        hosts: with their usual month.
        values: by host, (9, samples), with the incidents in it.
        sent: by host, (samples,), whether a sample comes at all.
        incidents: in the order of their starts.
    """

    hosts: list[Host]
    values: list[Values]
    sent: list[Flags]
    incidents: list[Incident] = field(default_factory=list)

    @property
    def samples(self) -> int:
        return self.values[0].shape[1]


def make_month(
    seed: int,
    hosts: Mapping[str, int] = HOSTS,
    counts: Mapping[str, int] = COUNTS,
    days: int = DAYS,
    learning_days: int = LEARNING_DAYS,
) -> Month:
    """A month of these hosts with so many incidents of each kind.

    Raises ValueError when the incidents do not fit.
    """
    rng = np.random.default_rng([seed, 0])
    names = [(f"{kind}-{number}", kind) for kind, many in hosts.items() for number in range(1, many + 1)]
    made = [make_host(name, kind, int(rng.integers(2**62)), days * DAY) for name, kind in names]
    month = Month(made, [host.values.copy() for host in made], [usually_sent(rng, days * DAY) for _ in made])
    # Those that need several hosts or a long time first, while there is room.
    kinds = [kind for kind in sorted(counts, key=lambda kind: -LENGTHS[kind][1]) for _ in range(counts[kind])]
    kinds.sort(key=lambda kind: kind != "correlated")
    planted = [plant(rng, month, kind, busy_until=learning_days * DAY) for kind in kinds]
    month.incidents.sort(key=lambda each: (each.start, each.hosts))
    assert len(planted) == len(month.incidents)
    return month


def usually_sent(rng: np.random.Generator, count: int) -> Flags:
    sent = rng.random(count) >= LOST
    for start in np.flatnonzero(rng.random(count) < GAPS_A_WEEK / (7 * DAY)):
        sent[start : start + rng.integers(2, 9)] = False
    return sent


def plant(rng: np.random.Generator, month: Month, kind: str, busy_until: int) -> Incident:
    """Put one incident where there is room, and note it."""
    for _ in range(1000):
        length = round(spread(rng, *LENGTHS[kind]))
        start = int(rng.integers(busy_until, month.samples - length - 2 * AFTER))
        many = int(rng.integers(4, 7)) if kind == "correlated" else 1
        able = [number for number, host in enumerate(month.hosts) if kind != "periodicity lost" or follows(host)]
        hosts = tuple(sorted(rng.choice(able, min(many, len(able)), replace=False).tolist()))
        near = [
            each
            for each in month.incidents
            if set(hosts) & set(each.hosts) and start < each.end + APART and each.start < start + length + APART
        ]
        if near:
            continue
        incident = happen(rng, month, kind, hosts, start, length)
        if incident is not None:
            month.incidents.append(incident)
            return incident
    raise ValueError(f"there is no room for another {kind} in {month.samples} samples of {len(month.hosts)} hosts")


def follows(host: Host) -> bool:
    """Whether the host has a pattern of the day that it could lose."""
    return host.kind in ("web", "database")


def spread(rng: np.random.Generator, low: float, high: float) -> float:
    """Evenly spread over the logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def happen(
    rng: np.random.Generator, month: Month, kind: str, hosts: tuple[int, ...], start: int, length: int
) -> Incident | None:
    """Change the values of these hosts; None where this metric has no room for it there."""
    if kind == "host silent":
        month.sent[hosts[0]][start : start + length] = False
        return Incident(kind, hosts, (), start, start + length)
    if kind == "periodicity lost":
        host, values = month.hosts[hosts[0]], month.values[hosts[0]]
        instead = host.flat if rng.random() < 0.5 else host.inverted
        rows = [NAMES.index(name) for name in PATTERNED]
        values[rows, start : start + length] = instead[rows, start : start + length]
        return Incident(kind, hosts, PATTERNED, start, start + length)
    causes = CAUSES["slow leak" if kind == "slow leak" else "sudden"]
    names = causes[int(rng.integers(len(causes)))]
    size = spread(rng, *SIZES[kind])
    down = kind == "level shift" and rng.random() < 0.25
    sign = -1.0 if down else 1.0
    if not all(room(month.hosts[number], names[0], sign * size, start, length) for number in hosts):
        return None
    begins = [start + int(rng.integers(5)) if len(hosts) > 1 else start for _ in hosts]
    shape = np.linspace(1 / length, 1, length) if kind == "slow leak" else np.ones(length)
    outside = False
    for number, begin in zip(hosts, begins, strict=True):
        values = month.values[number]
        before = values[NAMES.index(names[0]), :begin]
        for place, name in enumerate(names):
            step = sign * amount(month.hosts[number], name, size * (1.0 if place == 0 else 0.5))
            row = values[NAMES.index(name)]
            wobble = 1 + 0.1 * rng.normal(size=length)
            row[begin : begin + length] = rounded(name, row[begin : begin + length] + step * shape * wobble)
        after = values[NAMES.index(names[0]), begin : begin + length]
        outside |= bool(after.min() < before.min() if down else after.max() > before.max())
    return Incident(kind, hosts, names, min(begins), max(begins) + length, size, outside)


def amount(host: Host, name: str, size: float) -> float:
    """Size in the metric's unit: in variations of this host, and at least what an operator calls noticeable."""
    return max(size * float(host.variation[NAMES.index(name)]), BY_NAME[name].steps[0])


def room(host: Host, name: str, size: float, start: int, length: int) -> bool:
    """Whether the metric can go so far without meeting its bounds."""
    row = host.values[NAMES.index(name), start : start + length]
    far = amount(host, name, abs(size))
    if size < 0:
        return bool(np.median(row) >= far)
    return bool(np.median(row) + far <= BY_NAME[name].high)
