"""Made series with planted incidents: what the detectors must stand that no public data set holds.

Nothing here was used to choose a setting of a detector for one kind of series: the same settings serve all of them.
Everything is seeded; times are event times, and no wall clock takes part.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.anomaly.novelty import Novelty

Values = NDArray[np.float64]

START_MS = 1_735_689_600_000
"""2025-01-01T00:00Z, a Wednesday."""

DAY_S = 86_400
QUIET_MS = 3_600_000
THRESHOLD = 0.5

RATES = {1: 0.5, 10: 3.0, 60: 14.0, 300: 28.0}
"""Seconds between samples: days of history before the incident."""

AFTER_S = {1: 1800, 10: 6 * 3600, 60: DAY_S, 300: DAY_S}
"""How long an incident has to be found."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of series.

    Attributes:
        name: of the kind.
        make: values from (random numbers, seconds since a Wednesday's midnight, seconds between samples).
        least, most: bounds of its values.
    """

    name: str
    make: Callable[[np.random.Generator, Values, float], Values]
    least: float = 0.0
    most: float = float("inf")


def wander(rng: np.random.Generator, count: int, step: float, memory_s: float) -> Values:
    """Ornstein-Uhlenbeck noise of variance 1, averaged over each step: calmer where steps are longer than memory."""
    keep = np.exp(-step / memory_s)
    shocks = rng.normal(size=count) * np.sqrt(1 - keep * keep) * min(1.0, np.sqrt(2 * memory_s / step))
    out = np.empty(count)
    level = 0.0
    for at, shock in enumerate(shocks):
        level = keep * level + shock
        out[at] = level
    return out


def daily(time: Values) -> Values:
    """0 at night, 1 in the afternoon, half of it at weekends."""
    wave = np.clip(np.sin((time / DAY_S - 0.3) * 2 * np.pi), -0.5, 1) / 1.5 + 1 / 3
    weekend = (np.floor(time / DAY_S + 2) % 7) >= 5
    out: Values = np.where(weekend, 0.5 * wave, wave)
    return out


def cpu(rng: np.random.Generator, time: Values, step: float) -> Values:
    n = len(time)
    jitter = 6 * wander(rng, n, step, 3.0) + 3 * wander(rng, n, step, 120.0) + 2 * wander(rng, n, step, 3600.0)
    return 12 + 35 * daily(time) + jitter


def disk(rng: np.random.Generator, time: Values, step: float) -> Values:
    """Bytes per second: a floor of noise, bursts of some ten seconds, a backup at 02:00."""
    n = len(time)
    busy = wander(rng, n, step, 20.0) + 0.5 * wander(rng, n, step, 1800.0)
    bursts = np.where(busy > 1.2, (busy - 1.2) * 3e7, 0.0)
    backup = np.where((time % DAY_S > 7200) & (time % DAY_S < 9000), 4e7, 0.0)
    noise = 2e5 * np.exp(0.5 * wander(rng, n, step, 5.0))
    total: Values = noise + bursts + backup * np.exp(0.1 * rng.normal(size=n))
    return total


def latency(rng: np.random.Generator, time: Values, step: float) -> Values:
    """Milliseconds: log-normal, a little slower at busy hours."""
    n = len(time)
    return 20 * np.exp(0.25 * wander(rng, n, step, 2.0) + 0.12 * wander(rng, n, step, 900.0)) * (1 + 0.4 * daily(time))


def errors(rng: np.random.Generator, time: Values, step: float) -> Values:
    """Share of failed requests: mostly exactly 0."""
    requests = np.maximum(1, rng.poisson((5 + 20 * daily(time)) * step))
    return rng.binomial(requests, 4e-4 / np.sqrt(step)) / requests


def memory(rng: np.random.Generator, time: Values, step: float) -> Values:
    """Percent: fills over hours, is freed at once, in steps of a tenth."""
    n = len(time)
    period = 5 * 3600.0 + 600 * wander(rng, n, step, 7 * 3600.0)
    phase = np.cumsum(step / period) % 1.0
    return np.round(38 + 14 * phase + 0.3 * wander(rng, n, step, 30.0), 1)


CASES = (
    Case("cpu, daily", cpu, most=100.0),
    Case("disk, bursty", disk),
    Case("latency, log-normal", latency),
    Case("errors, mostly 0", errors, most=1.0),
    Case("memory, saw-tooth", memory, most=100.0),
)


def usual_range(history: Values) -> float:
    """98 % of the history lies in it; all of it where 98 % are the same."""
    low, high = np.quantile(history, (0.01, 0.99))
    return float(high - low if high > low else history.max() - history.min())


def spike(rng: np.random.Generator, calm: Values, time: Values, history: Values) -> Values:
    """One sample, or a minute where sampling is faster, at twice the whole range above the maximum."""
    step = time[1] - time[0]
    high, low = np.quantile(history, (0.999, 0.001))
    out = calm.copy()
    out[: max(1, round(60 / step))] += high + 2 * (high - low) - np.median(calm)
    return out


def shift(rng: np.random.Generator, calm: Values, time: Values, history: Values) -> Values:
    """A deploy: from now on higher by one and a half of the usual range."""
    return calm + 1.5 * usual_range(history)


def leak(rng: np.random.Generator, calm: Values, time: Values, history: Values) -> Values:
    """Grows to twice the usual range above the usual."""
    return calm + 2.0 * usual_range(history) * np.linspace(0, 1, len(calm))


def aperiodic(rng: np.random.Generator, calm: Values, time: Values, history: Values) -> Values:
    """The day's pattern is lost: values of random earlier times, in runs of ten samples."""
    starts = rng.integers(0, len(history) - 10, len(calm) // 10 + 1)
    return np.concatenate([history[at : at + 10] for at in starts])[: len(calm)]


def flatline(rng: np.random.Generator, calm: Values, time: Values, history: Values) -> Values:
    """A sensor that hangs."""
    return np.full(len(calm), calm[0])


INCIDENTS = (spike, shift, leak, aperiodic, flatline)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a detector made of one history and the incidents after it.

    Attributes:
        false: alerts in the history, after the warm-up.
        first_day: those of them in its first day.
        days: length of the history.
        delays: by incident, seconds to the first alert; None where there was none.
    """

    case: str
    step: int
    false: int
    first_day: int
    days: float
    delays: dict[str, float | None]


def alerts(scores: list[tuple[int, float]], open_until: int = 0) -> list[int]:
    """Times of alerts: score at the threshold and no alert in the hour before."""
    out = []
    for at, score in scores:
        if score >= THRESHOLD and at >= open_until:
            out.append(at)
            open_until = at + QUIET_MS
    return out


def play(detector: Novelty, time: Values, values: Values) -> list[tuple[int, float]]:
    return [
        (at, detector.update_ms(at, value))
        for at, value in zip((START_MS + time * 1000).astype(int).tolist(), values.tolist(), strict=True)
    ]


def judge(case: Case, step: int, seed: int, make: Callable[[], Novelty] = Novelty) -> Outcome:
    """Play a history, then every incident after it from the same state."""
    rng = np.random.default_rng([seed, step, CASES.index(case)])
    # The incident comes at noon, or at least by day.
    total = RATES[step] * DAY_S + DAY_S / 2 * (RATES[step] >= 1)
    after = AFTER_S[step]
    time = np.arange(0, total + after, step, dtype=float)
    values = np.clip(case.make(rng, time, float(step)), case.least, case.most)
    begin = int(total // step)
    detector = make()
    false = alerts(play(detector, time[:begin], values[:begin]))
    delays: dict[str, float | None] = {}
    for incident in INCIDENTS:
        changed = incident(rng, values[begin:], time[begin:], values[:begin])
        changed = np.clip(changed, case.least, max(case.most, 0))
        found = alerts(play(deepcopy(detector), time[begin:], changed))
        delays[incident.__name__] = float((found[0] - START_MS) / 1000 - time[begin]) if found else None
    first_day = sum(at < START_MS + DAY_S * 1000 for at in false)
    return Outcome(case.name, step, len(false), first_day, total / DAY_S, delays)


@dataclass(frozen=True, slots=True)
class Switch:
    """A week at 60 s, then ten minutes at 1 s with a burst in the middle.

    Attributes:
        false: alerts at 1 s before the burst.
        delay: seconds from the burst to the first score at the threshold; None where there was none.
    """

    case: str
    false: int
    delay: float | None


def switch(case: Case, seed: int, make: Callable[[], Novelty] = Novelty, wait_s: int = 60) -> Switch:
    rng = np.random.default_rng([seed, CASES.index(case), wait_s])
    week = np.arange(0, 7.5 * DAY_S, 60.0)
    slow = np.clip(case.make(rng, week, 60.0), case.least, case.most)
    fine = week[-1] + 60 + np.arange(0, 600.0)
    fast = np.clip(case.make(rng, fine, 1.0), case.least, case.most)
    burst = spike(rng, fast[wait_s:], fine[wait_s:], slow)
    detector = make()
    play(detector, week, slow)
    false = alerts(play(detector, fine[:wait_s], fast[:wait_s]))
    found = alerts(play(detector, fine[wait_s : wait_s + 60], np.clip(burst[:60], case.least, case.most)))
    delay = float((found[0] - START_MS) / 1000 - fine[wait_s]) if found else None
    return Switch(case.name, len(false), delay)
