"""The season of the week, and the detectors that stand on it: seasonal and drift."""

import math
import random
from collections.abc import Callable

import pytest
from scipy.stats import ks_2samp, poisson

from models.anomaly.drift import Drift, distance, probability
from models.anomaly.seasonal import Seasonal
from models.anomaly.week import BIN_MS, Week

MONDAY_MS = 1_740_960_000_000
DAY = 288
"""Samples of a day at five minutes."""


def at_ms(number: int) -> int:
    return MONDAY_MS + 300_000 * number


def office(number: int, chance: random.Random) -> float:
    """Busy on weekdays from 8 to 18, calm at night and on Saturday and Sunday."""
    day, time = divmod(number, DAY)
    busy = day % 7 < 5 and 8 * 12 <= time < 18 * 12
    return chance.gauss(60 if busy else 20, 2)


def counts(number: int, chance: random.Random) -> float:
    """Errors: mostly 0, now and then 1."""
    return float(chance.random() < 0.03)


Series = Callable[[int, random.Random], float]


def taught(series: Series, days: int, seed: int = 1) -> tuple[Seasonal, random.Random, float]:
    """A detector that has seen so many days, the chance that goes on, and the largest score on the way."""
    seasonal, chance = Seasonal(), random.Random(seed)
    most = max(seasonal.update_ms(at_ms(number), series(number, chance)) for number in range(days * DAY))
    return seasonal, chance, most


def test_it_says_nothing_for_three_days() -> None:
    seasonal, chance = Seasonal(), random.Random(1)
    for number in range(3 * DAY - 1):
        assert seasonal.update_ms(at_ms(number), 1000.0 if number % 97 < 5 else chance.gauss(20, 2)) == 0.0
    assert "3.0 of 3 days" in seasonal.explain()["summary"]


def test_the_third_of_five_samples_fires_and_two_do_not() -> None:
    seasonal, chance, _ = taught(office, 16)
    begin = 16 * DAY + 24
    for number in range(16 * DAY, begin):
        assert seasonal.update_ms(at_ms(number), office(number, chance)) < 0.5
    values = [60.0, 20.0, 60.0, 20.0, 20.0, 60.0, 60.0, 60.0]
    fired = [seasonal.update_ms(at_ms(begin + at), value) >= 0.5 for at, value in enumerate(values)]
    assert fired == [False] * 6 + [True, True]
    why = seasonal.explain()
    assert why["direction"] == "up"
    assert why["usual_low"] < 20 < why["usual_high"] < 40
    assert "usual" in why["summary"]


def test_it_knows_the_weekday() -> None:
    """The same values are usual on a Wednesday and not on a Sunday; the second Sunday is known."""
    seasonal, chance, _ = taught(office, 16)
    wednesday = [seasonal.update_ms(at_ms(number), office(number, chance)) for number in range(16 * DAY, 17 * DAY)]
    assert max(wednesday) < 0.5
    for number in range(17 * DAY, 20 * DAY + 120):
        assert seasonal.update_ms(at_ms(number), office(number, chance)) < 0.5
    sunday = [seasonal.update_ms(at_ms(20 * DAY + 120 + at), 60.0) for at in range(6)]
    assert sunday[-1] >= 0.5


@pytest.mark.parametrize("side", [1, -1])
def test_a_slow_drift_is_found_that_no_single_sample_shows(side: int) -> None:
    seasonal, chance, most = taught(lambda _, chance: chance.gauss(50, 2), 15)
    assert most < 0.5
    jumps = []
    for at in range(DAY):
        score = seasonal.update_ms(at_ms(15 * DAY + at), chance.gauss(50, 2) + side * min(at * 0.1, 6))
        if score >= 0.5:
            break
        jumps.append(abs(seasonal.explain()["residual"]))
    else:
        pytest.fail("not found within a day")
    assert sum(jump >= Seasonal.LIMIT for jump in jumps[-5:]) < 3
    assert 24 < at < 150
    assert seasonal.explain()["direction"] == ("up" if side > 0 else "down")


def test_sparse_counts_need_more_than_a_few() -> None:
    seasonal, chance, most = taught(counts, 15)
    assert most < 0.5
    # By the spread, which is 0, a single error would be far out.
    assert [seasonal.update_ms(at_ms(15 * DAY + at), 2.0) for at in range(5)][-1] < 0.5
    for at in range(5, 40):
        seasonal.update_ms(at_ms(15 * DAY + at), counts(at, chance))
    assert [seasonal.update_ms(at_ms(15 * DAY + 40 + at), 9.0) for at in range(3)][-1] >= 0.5


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0, 4.0])
def test_the_residual_of_a_count_bounds_the_poisson_tail(rate: float) -> None:
    seasonal = Seasonal()
    seasonal.week.expected, seasonal.week.rate, seasonal.week.sparse = 0.0, rate, True
    for count in range(3, 30):
        residual = seasonal._residual(float(count), 0.0)
        if residual:
            assert math.exp(-(residual**2) / 2) >= poisson.sf(count - 1, rate)
            assert math.exp(-(residual**2) / 2) <= 20 * poisson.sf(count - 1, rate)
    assert seasonal._residual(2.0, 0.0) == 0.0


def test_what_fires_does_not_become_usual_until_a_day_has_passed() -> None:
    seasonal, chance, _ = taught(lambda _, chance: chance.gauss(50, 2), 15)
    scores = [seasonal.update_ms(at_ms(15 * DAY + at), chance.gauss(80, 2)) for at in range(4 * DAY + 12)]
    fired = [score >= 0.5 for score in scores]
    assert all(fired[3 : DAY - 2])
    assert not any(fired[DAY + 4 :])
    # The new level is the usual one now; the old one is news.
    for at in range(4 * DAY + 12, 5 * DAY):
        assert seasonal.update_ms(at_ms(15 * DAY + at), chance.gauss(80, 2)) < 0.5
    assert [seasonal.update_ms(at_ms(20 * DAY + at), 50.0) for at in range(4)][-1] >= 0.5


def test_a_quarter_is_kept_as_medians_and_an_outlier_moves_nothing() -> None:
    week = Week()
    for quarter in range(96 * 2):
        for minute in range(15):
            value = 1e6 if minute == 7 else 30.0 + minute % 3
            at = MONDAY_MS + BIN_MS * quarter + 60_000 * minute
            week.advance(at)
            week.learn(at, value)
    assert week.expected == 31.0
    assert 0.5 < week.spread < 3


def test_at_a_second_one_sample_a_minute_is_kept() -> None:
    week = Week()
    for second in range(901):
        at = MONDAY_MS + 1000 * second
        week.advance(at)
        week.learn(at, float(second))
    assert [each for each in week._medians if each == each] == [420.0]


@pytest.mark.parametrize(("count", "more"), [(18, 120), (24, 168), (24, 60)])
def test_statistic_and_p_are_those_of_scipy(count: int, more: int) -> None:
    chance = random.Random(7)
    for shift in (0.0, 0.3, 0.8, 1.5):
        some = [chance.gauss(shift, 1) for _ in range(count)]
        others = [chance.gauss(0, 1) for _ in range(more)]
        exact = ks_2samp(some, others, method="exact")
        statistic = distance(some, others)
        assert statistic == pytest.approx(exact.statistic)
        assert probability(statistic, count, more) == pytest.approx(exact.pvalue, rel=0.35, abs=1e-5)


def test_ties_make_a_drift_less_sure() -> None:
    some, others = [0.0] * 20 + [1.0] * 4, [0.0] * 168
    assert distance(some, others) == pytest.approx(4 / 24)
    assert distance([0.0] * 24, others) == 0.0
    assert probability(0.0, 24, 168) == 1.0


def drifting(move: Callable[[int], float], days: int) -> list[float]:
    drift, chance = Drift(), random.Random(5)
    return [drift.update_ms(at_ms(number), office(number, chance) + move(number)) for number in range(days * DAY)]


def test_a_moved_day_drifts_and_a_week_with_its_season_does_not() -> None:
    calm = drifting(lambda _: 0.0, 24)
    assert max(calm[14 * DAY :]) < 0.5
    moved = drifting(lambda number: 4.0 * (number >= 22 * DAY), 24)
    assert max(moved[14 * DAY : 22 * DAY]) < 0.5
    assert moved[23 * DAY] >= 0.5


def test_a_large_sample_of_a_small_difference_is_no_drift() -> None:
    """Residuals below a hundredth of the level are none, however sure the test would be."""
    calm = [1000.0 + (0.5 if number >= 22 * DAY else 0.0) for number in range(24 * DAY)]
    drift = Drift()
    assert max(drift.update_ms(at_ms(number), value) for number, value in enumerate(calm)) < 0.5


def test_it_tests_at_most_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    drift, chance = Drift(), random.Random(6)
    tests: list[int] = []
    test = Drift._test
    monkeypatch.setattr(Drift, "_test", lambda self: (tests.append(1), test(self))[1])
    for second in range(0, 5 * 3600, 2):
        drift.update_ms(MONDAY_MS + 1000 * second, chance.gauss(20, 2))
    assert len(tests) == 5


@pytest.mark.parametrize("make", [Seasonal, Drift])
@pytest.mark.parametrize("step", [4, 12])
def test_restored_after_weeks_it_goes_on_bit_by_bit(make: type[Seasonal] | type[Drift], step: int) -> None:
    """Weeks with a gap, a level that moved for two days (so that Seasonal begins anew), and sparse hours."""
    chance = random.Random(step)

    def value(number: int) -> float:
        moved = 40.0 if 12 * DAY <= number < 14 * DAY else 0.0
        return office(number, chance) + moved if number % DAY > 30 else float(chance.random() < 0.1)

    numbers = [number for number in range(0, 24 * DAY, step) if not 9 * DAY < number < 9.5 * DAY]
    given = [(at_ms(number), value(number)) for number in numbers]
    live, parts = make(), dict[bytes, bytes]()
    others: list[Seasonal | Drift] = []
    fired = 0
    for at, (time, seen) in enumerate(given):
        score = live.update_ms(time, seen)
        fired += score >= 0.5
        assert all(other.update_ms(time, seen) == score for other in others)
        changes = live.changes()
        assert sum(len(name) + len(raw or b"") for name, raw in changes) < 1000
        for name, raw in changes:
            if raw is None:
                del parts[name]
            else:
                parts[name] = raw
        if at % (len(given) // 3) == len(given) // 4:
            restored = make()
            restored.load(parts.get)
            assert restored.changes() == []
            others.append(restored)
    assert fired
    assert len(others) == 3
    assert sum(len(name) + len(raw) for name, raw in parts.items()) < 30_000


@pytest.mark.parametrize(("residual", "rows"), [(3.0, 24), (2.0, 72), (-2.0, 72), (1.4, None)])
def test_the_cusum_finds_what_stays_a_little_off(residual: float, rows: int | None) -> None:
    seasonal = Seasonal()
    times = [seasonal._slow(residual, 300.0)[1] for _ in range(100)]
    assert next((at for at, each in enumerate(times, 1) if each >= 1.0), None) == rows
