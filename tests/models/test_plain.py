"""The plain rules against the exact trailing hour."""

import random
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev

import numpy as np
import pytest

from models.anomaly.iqr import Quartiles
from models.anomaly.parts import trimmed
from models.anomaly.plain import Plain
from models.anomaly.spike import Spike
from models.anomaly.trailing import LEAST, MINUTE_MS, MINUTES
from models.anomaly.zscore import ZScore

NOON_MS = 1_740_830_400_000


def window(times: Sequence[int], values: Sequence[float], at: int) -> list[float]:
    """The samples before number `at` that lie in its last 60 minutes, begun or whole; earlier minutes while few."""
    minute = times[at] // MINUTE_MS
    begun = kept = next(before for before in range(at, -1, -1) if not before or times[before - 1] // MINUTE_MS < minute)
    last = minute
    # Minutes leave when another begins, whole, and only while LEAST samples remain.
    while kept and (begun - kept < LEAST or last > minute - MINUTES):
        last = times[kept - 1] // MINUTE_MS
        if last <= minute - MINUTES and begun - kept >= LEAST:
            break
        while kept and times[kept - 1] // MINUTE_MS == last:
            kept -= 1
    return list(values[kept:at])


@pytest.mark.parametrize("seed", range(40))
def test_the_minutes_hold_exactly_the_samples_of_the_window(seed: int) -> None:
    chance = random.Random(seed)
    steps = chance.choice(((4, 10), (59, 60, 61), (60, 300), (4, 60, 3600), (10, 60, 900, 7200, 100_000)))
    level = chance.choice((0.0, 40.0, -1e6, 1e9))
    zscore, iqr = ZScore(), Quartiles()
    time, times, values = NOON_MS, list[int](), list[float]()
    for at in range(1200 if steps == (4, 10) else 300):
        time += 1000 * chance.choice(steps)
        times.append(time)
        values.append(chance.choice((level, level + 2.5, chance.gauss(level, 10))))
        zscore.update_ms(time, values[-1])
        iqr.update_ms(time, values[-1])
        if at < LEAST or at % 7:
            continue
        exact = window(times, values, at)
        why = zscore.explain()
        mean, deviation = fmean(exact), pstdev(exact)
        close = pytest.approx((mean - 3 * deviation, mean + 3 * deviation), rel=1e-9, abs=1e-9)
        assert (why["usual_low"], why["usual_high"]) == close
        ordered = [trimmed(value) for value in sorted(exact)]  # as they are kept
        first, third = ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]
        why = iqr.explain()
        assert why["usual_low"] == first - 1.5 * (third - first)
        assert why["usual_high"] == third + 1.5 * (third - first)


@pytest.mark.parametrize("make", [ZScore, Quartiles, Spike])
def test_at_a_second_it_decides_as_the_exact_hour_does(make: type[Plain]) -> None:
    """6,000 s of a wave with noise and bursts; only quartiles are thinned, so only they may differ, near the limit."""
    chance = random.Random(1)
    values = [20 + at / 600 + chance.gauss(0, 2) + (chance.random() < 0.01) * 30 for at in range(6000)]
    rule = make()
    fired, exact = [], []
    for at, value in enumerate(values):
        fired.append(rule.update_ms(NOON_MS + 1000 * at, value) >= 0.5)
        past = np.array(values[max(0, at - 3600) : at])
        if at < 3600:
            exact.append(fired[-1])
        elif make is Quartiles:
            first, third = np.quantile(past, (0.25, 0.75))
            exact.append(bool(value < first - 1.5 * (third - first) or value > third + 1.5 * (third - first)))
        elif make is ZScore:
            exact.append(bool(abs(value - past.mean()) > 3 * past.std()))
        else:
            exact.append(bool(value > 2 * past.mean()))
    assert sum(exact[3600:]) > 15
    assert sum(one != other for one, other in zip(fired, exact, strict=True)) <= 0.003 * 2400


def test_the_window_is_bounded_at_any_rate() -> None:
    for step_ms in (10, 1000, 60_000, 3_600_000):
        zscore, iqr = ZScore(), Quartiles()
        for at in range(5000):
            zscore.update_ms(NOON_MS + step_ms * at, float(at % 17))
            iqr.update_ms(NOON_MS + step_ms * at, float(at % 17))
        assert len(zscore.window.minutes) <= MINUTES
        assert iqr.window.count <= 15 * MINUTES


# rule, values before, value, whether it fires
CASES: dict[str, tuple[type[Plain], Sequence[float], float, bool]] = {
    "just within 3 sigma": (ZScore, [10, 12] * 20, 13.9, False),
    "just beyond 3 sigma": (ZScore, [10, 12] * 20, 14.1, True),
    "and below": (ZScore, [10, 12] * 20, 7.9, True),
    "too little history": (ZScore, [10, 12] * 14, 1000, False),
    "within the fence": (Quartiles, [1, 2, 3, 4] * 10, 6.9, False),
    "beyond the fence": (Quartiles, [1, 2, 3, 4] * 10, 7.1, True),
    "below the fence": (Quartiles, [1, 2, 3, 4] * 10, -1.1, True),
    "less than twice the baseline": (Spike, [10, 12] * 20, 21.9, False),
    "more than twice the baseline": (Spike, [10, 12] * 20, 22.1, True),
    "a fall is no spike": (Spike, [10, 12] * 20, 0, False),
    "no baseline, no spike": (Spike, [0, -2] * 20, 50, False),
    "a change of what never changed": (ZScore, [5] * 40, 6, True),
}


@pytest.mark.parametrize(("make", "before", "value", "fires"), CASES.values(), ids=CASES.keys())
def test_cases(make: type[Plain], before: Sequence[float], value: float, fires: bool) -> None:
    rule = make()
    for at, each in enumerate(before):
        assert rule.update_ms(NOON_MS + 60_000 * at, each) < 0.5
    assert (rule.update_ms(NOON_MS + 60_000 * len(before), value) >= 0.5) is fires
    if fires:
        assert rule.explain()["direction"] == ("up" if value > before[0] else "down")


def test_farther_out_scores_higher() -> None:
    for make in (ZScore, Quartiles, Spike):
        scores = []
        for value in (30.0, 40.0, 60.0, 200.0):
            rule: Plain = make()
            for at in range(60):
                rule.update_ms(NOON_MS + 60_000 * at, 10.0 + at % 5)
            scores.append(rule.update_ms(NOON_MS + 60_000 * 60, value))
        assert all(one < other for one, other in pairwise(scores))
