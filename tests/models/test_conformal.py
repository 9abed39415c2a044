"""Conformal p-values and the alert budget."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anomaly.conformal import CAPACITY, PAGE, Calibration

MINUTE_MS = 60_000

DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "uniform": lambda chance: chance.random(),
    "mostly near 0": lambda chance: chance.random() ** 8,
    "many ties": lambda chance: round(chance.random() ** 3, 1),
    "nearly always 0": lambda chance: float(chance.random() < 0.03),
}


@pytest.mark.parametrize("draw", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())
@pytest.mark.parametrize("count", [20, 200, 30_000])
def test_p_values_of_exchangeable_scores_are_valid(draw: Callable[[random.Random], float], count: int) -> None:
    """P(p <= a) <= a, for a memory that is filling (many short runs) and for one that forgets (one long run)."""
    chance = random.Random(count)
    found: list[float] = []
    for _ in range(1 if count > 1000 else 20_000 // count):
        calibration = Calibration(capacity=256)
        for at in range(count):
            score = draw(chance)
            found.append(calibration.p_value(score))
            calibration.learn(MINUTE_MS * at, [score])
    for level in (0.01, 0.02, 0.05, 0.1, 0.3, 0.7):
        share = sum(p <= level for p in found) / len(found)
        error = (level * (1 - level) / len(found)) ** 0.5
        assert share <= level + 4 * error


def test_without_ties_they_are_uniform() -> None:
    chance = random.Random(3)
    calibration = Calibration(capacity=999)
    for at in range(999):
        calibration.learn(MINUTE_MS * at, [chance.random()])
    shares = [calibration.p_value(at / 100) for at in range(101)]
    assert max(abs(p - (1 - at / 100)) for at, p in enumerate(shares)) < 0.05
    assert calibration.p_value(2.0) == 0.001
    assert calibration.p_value(-1.0) == 1.0


def test_the_past_fades() -> None:
    calibration = Calibration(capacity=100)
    for at in range(100):
        calibration.learn(MINUTE_MS * at, [0.9])
    for at in range(100, 170):
        calibration.learn(MINUTE_MS * at, [0.1])
    left = sum(code == 9000 for code in calibration._codes[0])
    assert 35 <= left <= 65
    for at in range(170, 1100):
        calibration.learn(MINUTE_MS * at, [0.1])
    assert sum(code == 9000 for code in calibration._codes[0]) <= 1
    assert len(calibration) == 100


def test_a_long_incident_at_a_second_does_not_fill_the_memory() -> None:
    calibration = Calibration()
    for second in range(36_000):
        calibration.learn(1000 * second, [0.1])
    for second in range(36_000, 39_600):
        calibration.learn(1000 * second, [0.99])
    assert calibration.p_value(0.99) == pytest.approx(61 / 661)


@given(scores=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=300), cut=st.integers(0, 300))
def test_restored_it_goes_on_alike(scores: list[tuple[float, float]], cut: int) -> None:
    live, parts = Calibration(2, capacity=64), dict[bytes, bytes | None]()
    for at, pair in enumerate(scores[:cut]):
        live.learn(MINUTE_MS * at, pair)
        changes = live.changes()
        assert sum(len(name) + len(raw or b"") for name, raw in changes) <= 2 * 2 * PAGE + 19
        parts.update(changes)
    restored = Calibration(2, capacity=64)
    restored.load(parts.get)
    for at, pair in enumerate(scores[cut:], cut):
        for number, score in enumerate(pair):
            assert restored.p_value(score, number) == live.p_value(score, number)
        live.learn(MINUTE_MS * at, pair)
        restored.learn(MINUTE_MS * at, pair)
    assert restored.changes() == live.changes()


def test_detectors_that_share_a_memory_are_as_each_alone() -> None:
    chance = random.Random(8)
    both, alone = Calibration(2, capacity=50), (Calibration(capacity=50), Calibration(capacity=50))
    for at in range(200):
        pair = (chance.random(), chance.random() ** 4)
        both.learn(MINUTE_MS * at, pair)
        for number, score in enumerate(pair):
            alone[number].learn(MINUTE_MS * at, [score])
            assert both.p_value(0.4, number) == alone[number].p_value(0.4)


def test_nothing_learned_is_nothing_rare() -> None:
    calibration = Calibration()
    assert calibration.p_value(1.0) == 1.0
    assert calibration.changes() == []
    assert calibration.capacity == CAPACITY
