"""Hosts of a made month: what a web server, a database, a batch machine and an idle stand-by usually do.

One sample a minute. The load has a day and a week, days that are busier than others, and autocorrelated noise; every
metric follows it in its own way, with its own noise. Bursts are part of usual life: backups, jobs, log rotation,
check-points, a weekly maintenance, and single samples with heavy tails. None of it is an incident.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from models.metrics import BY_NAME, NAMES

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

START_MS = 1_748_822_400_000
"""2025-06-02T00:00Z, a Monday."""

DAY, WEEK = 1440, 7 * 1440
"""In samples."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How a metric follows its host.

    Attributes:
        base: at no load, in the metric's unit; of `error_rate` the share of failed requests.
        load: added at full load; of `error_rate` the requests per minute.
        work: added while scheduled work runs.
        fast, slow: relative noise with a memory of 2 minutes and of 3 hours.
    """

    base: float
    load: float
    work: float
    fast: float = 0.0
    slow: float = 0.0


KINDS: Mapping[str, tuple[Habit, ...]] = {
    # in the order of the nine metrics
    "web": (
        Habit(6, 38, 12, 0.10, 0.06),
        Habit(48, 7, 2),
        Habit(3e5, 4e5, 3e7, 0.6, 0.2),
        Habit(4e5, 1.5e6, 1e7, 0.45, 0.15),
        Habit(6, 50, 1, 0.06, 0.04),
        Habit(3, 2.5, 3, 0.18, 0.08),
        Habit(1, 6, 5, 0.8, 0.2),
        Habit(45, 35, 10, 0.10, 0.06),
        Habit(4e-4, 400, 0),
    ),
    "database": (
        Habit(10, 30, 18, 0.08, 0.06),
        Habit(62, 3, 2),
        Habit(2e6, 1.2e7, 8e7, 0.5, 0.15),
        Habit(3e6, 1e7, 4e7, 0.4, 0.15),
        Habit(40, 120, 4, 0.05, 0.04),
        Habit(2, 3, 6, 0.2, 0.1),
        Habit(0.5, 3, 10, 0.9, 0.2),
        Habit(5, 5, 6, 0.12, 0.06),
        Habit(1e-5, 3000, 0),
    ),
    "batch": (
        Habit(4, 3, 60, 0.12, 0.05),
        Habit(30, 2, 22),
        Habit(2e5, 1e5, 6e7, 0.6, 0.2),
        Habit(2e5, 1e5, 4e7, 0.5, 0.2),
        Habit(3, 2, 12, 0.1, 0.05),
        Habit(8, 2, 20, 0.25, 0.1),
        Habit(2, 10, 400, 0.8, 0.2),
        Habit(120, 40, 60, 0.15, 0.06),
        Habit(2e-3, 30, 0),
    ),
    "idle": (
        Habit(1.5, 0.5, 8, 0.2, 0.05),
        Habit(22, 0.3, 1),
        Habit(2e4, 1e4, 2e7, 0.7, 0.1),
        Habit(5e4, 2e4, 5e6, 0.5, 0.1),
        Habit(2, 0.5, 0, 0.05, 0.02),
        Habit(1.2, 0.1, 0.5, 0.15, 0.05),
        Habit(0.05, 0.1, 0, 0.5, 0.1),
        Habit(9, 0.5, 2, 0.08, 0.03),
        Habit(1e-3, 6, 0),
    ),
}

BLIPS_A_DAY = 0.7
"""Single usual samples far up, per day and metric (not of memory and connections): up to BLIP_MOST variations."""

BLIP_LEAST, BLIP_MOST, BLIP_TAIL = 0.5, 2.5, 2.5


@dataclass(frozen=True, slots=True)
class Host:
    """A host and its usual month.

    Attributes:
        name: of the host; begins with its kind.
        kind: of KINDS.
        values: (9, samples), as measured in usual life.
        flat: the same noise without the day's and the week's pattern: the load stands at its mean.
        inverted: the same with the load of twelve hours before.
        working: where scheduled work or a blip is under way: bursts that are usual.
        variation: (9,), see `variation`.
    """

    name: str
    kind: str
    values: Values
    flat: Values
    inverted: Values
    working: Flags
    variation: Values


def wander(rng: np.random.Generator, count: int, memory: float) -> Values:
    """Ornstein-Uhlenbeck noise of variance 1 with this memory in samples."""
    keep = float(np.exp(-1 / memory))
    shocks = rng.normal(size=count) * np.sqrt(1 - keep * keep)
    shocks[0] /= np.sqrt(1 - keep * keep)
    out: Values = lfilter([1.0], [1.0, -keep], shocks)
    return out


def demand(rng: np.random.Generator, count: int) -> Values:
    """Load of a host with office hours near those of UTC: 0.1 at night, 1 at its peak, 0.45 of that at weekends."""
    hours = np.arange(count) / 60 + rng.uniform(-2, 2)
    hour, day = hours % 24, (hours // 24).astype(int) % 7
    office = np.maximum(np.exp(-(((hour - 10.5) / 2.8) ** 2)), np.exp(-(((hour - 15.5) / 3.0) ** 2)))
    shape = 0.12 + 0.85 * office + 0.3 * np.exp(-(((hour - 20.5) / 1.8) ** 2))
    size = np.interp(np.arange(count) / DAY, np.arange(count // DAY + 2), rng.normal(0, 0.07, count // DAY + 2))
    noise = size + 0.05 * wander(rng, count, 5) + 0.06 * wander(rng, count, 120)
    out: Values = np.where(day >= 5, 0.45, 1.0) * shape * np.exp(noise)
    return out


def schedule(rng: np.random.Generator, kind: str, count: int) -> Values:
    """Scheduled work, 0 where none runs, about 1 where it does; no two runs are quite the same."""
    out = np.zeros(count)

    def once(begin: float, minutes: float, size: float) -> None:
        first = max(0, round(begin))
        last = max(first + 1, round(begin + minutes))
        out[first:last] += size

    plan = [(rng.uniform(60, 240), rng.uniform(20, 45))]
    if kind == "batch":
        plan += [(rng.uniform(0, DAY), rng.uniform(15, 70)) for _ in range(4)]
    for day in range(count // DAY):
        for minute, length in plan:
            once(day * DAY + minute + rng.normal(0, 2), length * np.exp(rng.normal(0, 0.2)), np.exp(rng.normal(0, 0.1)))
        if kind == "batch" and day % 7 < 5:  # started by people
            for _ in range(rng.poisson(2)):
                once(day * DAY + rng.uniform(7, 19) * 60, rng.uniform(5, 40), rng.uniform(0.5, 1.1))
        if kind == "database" and day % 7 == 6:  # weekly maintenance
            once(day * DAY + 180 + rng.normal(0, 3), 110 * np.exp(rng.normal(0, 0.1)), 0.7)
    every, size = {"web": (60, 0.1), "database": (15, 0.08), "batch": (60, 0.03), "idle": (60, 0.2)}[kind]
    small = np.zeros(count)
    small[int(rng.integers(every)) :: every] = 1
    out += small * size * np.exp(rng.normal(0, 0.2, count))  # log rotation, check-points, cron
    return np.minimum(out, 1.2)


def measure(habits: tuple[Habit, ...], seed: np.random.SeedSequence, load: Values, work: Values) -> Values:
    """The nine metrics under this load. The same seed gives the same noise whatever the load."""
    count = len(load)
    out = np.empty((len(NAMES), count))
    for row, (name, habit, own) in enumerate(zip(NAMES, habits, seed.spawn(len(NAMES)), strict=True)):
        rng = np.random.default_rng(own)
        scale = np.exp(rng.normal(0, 0.2))
        noise = np.exp(habit.fast * wander(rng, count, 2) + habit.slow * wander(rng, count, 180))
        worked = habit.work * work * np.exp(0.1 * wander(rng, count, 10))
        if name == "memory_percent":
            slow = lfilter([1 / 120], [1.0, -119 / 120], load - load[0]) + load[0]
            drift = 1.2 * wander(rng, count, 2 * DAY) + 0.15 * wander(rng, count, 5)
            value = np.minimum(habit.base * scale**0.3 + habit.load * slow + worked + drift, 79.0)
        elif name == "error_rate":
            requests = np.maximum(1, rng.poisson(habit.load * scale * load))
            value = rng.binomial(requests, habit.base * np.exp(0.3 * wander(rng, count, 60))) / requests
        elif name == "queue_depth":
            value = rng.poisson(((habit.base + habit.load * load) * noise + worked) * scale).astype(float)
        elif name == "cpu_percent":
            value = (habit.base + habit.load * load) * noise * scale**0.5 + worked
            # Usual work breaks no rule that holds for every host: the static limits are 95 %, of memory 80 %.
            value = np.minimum(value, 94.0)
        else:
            heavy = np.exp(0.3 * habit.fast * rng.standard_t(4, count))
            value = ((habit.base + habit.load * load) * noise * heavy + worked) * scale
        out[row] = rounded(name, value)
    return out


def rounded(name: str, value: Values) -> Values:
    """As it would be measured: within its bounds, counts as whole numbers, percent in tenths."""
    value = np.clip(value, 0, BY_NAME[name].high)
    if name in ("db_connections", "queue_depth"):
        return np.round(value)
    return np.round(value, 1) if name.endswith("percent") else value


def variation(values: Values) -> float:
    """How much one metric of a host varies by itself, in its unit.

    Half the width of the middle 95 % of what remains after the median of its hour (working days and weekends apart)
    was taken away: about two standard deviations of a calm metric, more of one with bursts. Where that is 0, as of
    rare counts, half the width of the middle 99.9 %.

    Args:
        values: samples of whole days from a Monday on.
    """
    shaped = values[: len(values) // DAY * DAY].reshape(-1, 24, 60)
    weekend = np.arange(len(shaped)) % 7 >= 5
    rest = np.empty_like(shaped)
    for days in (weekend, ~weekend):
        if days.any():
            rest[days] = shaped[days] - np.median(shaped[days], axis=(0, 2))[:, None]
    lowest, low, high, highest = np.quantile(rest, (0.0005, 0.025, 0.975, 0.9995))
    return float(high - low if high > low else highest - lowest) / 2


def make_host(name: str, kind: str, seed: int, count: int) -> Host:
    """A host's usual month of `count` samples, whole days."""
    root = np.random.SeedSequence(seed)
    rng = np.random.default_rng(root.spawn(1)[0])
    load, work = demand(rng, count), schedule(rng, kind, count)
    entropy = int(rng.integers(2**62))

    def under(changed: Values) -> Values:
        return measure(KINDS[kind], np.random.SeedSequence(entropy), changed, work)

    values = under(load)
    varies = np.array([variation(each) for each in values])
    working = work > 0
    for row, metric in enumerate(NAMES):
        if metric in ("memory_percent", "db_connections"):
            continue
        at = np.flatnonzero(rng.random(count) < BLIPS_A_DAY / DAY)
        size = np.minimum(BLIP_MOST, BLIP_LEAST + rng.pareto(BLIP_TAIL, len(at)))
        values[row, at] = rounded(metric, values[row, at] + size * varies[row])
        working[at] = True
    wave = np.exp(0.05 * wander(rng, count, 5) + 0.06 * wander(rng, count, 120))
    return Host(name, kind, values, under(load.mean() * wave), under(np.roll(load, DAY // 2)), working, varies)
