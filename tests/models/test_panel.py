"""The detectors that are evidence, together: what they share changes no score but drift's."""

import math
import random

import pytest

from models.anomaly.drift import Drift
from models.anomaly.iqr import Quartiles
from models.anomaly.panel import NAMES, Panel
from models.anomaly.seasonal import Seasonal
from models.anomaly.spike import Spike
from models.anomaly.zscore import ZScore

MONDAY_MS = 1_748_822_400_000
DAY = 288
"""Samples of a day at five minutes."""

Samples = list[tuple[int, float]]


def office(days: int, moved_from: int = 10**9, moved_to: int = 10**9, seed: int = 1) -> Samples:
    """Busy from 8 to 18, each five minutes; four more between two days, and now and then a burst."""
    chance, made = random.Random(seed), []
    for number in range(days * DAY):
        level = 60 if 8 * 12 <= number % DAY < 18 * 12 else 20
        level += 8 if moved_from * DAY <= number < moved_to * DAY else 0
        burst = 50 if chance.random() < 0.003 else 0
        made.append((MONDAY_MS + 300_000 * number, chance.gauss(level, 2) + burst))
    return made


def fast(count: int) -> Samples:
    """One a second, with repeated and older times and gaps."""
    chance, now, made = random.Random(3), MONDAY_MS, []
    for number in range(count):
        now += 1000 * chance.choice((1,) * 200 + (0, 0, 90))
        late = 5000 if chance.random() < 0.01 else 0
        made.append((now - late, 40 + 10 * math.sin(number / 500) + chance.gauss(0, 1)))
    return made


@pytest.mark.parametrize("given", [office(12), fast(8000)], ids=["weeks", "a sample a second"])
def test_scores_are_those_of_each_detector_alone(given: Samples) -> None:
    panel, alone = Panel(), (ZScore(), Quartiles(), Spike(), Seasonal())
    assert (*(each.name for each in alone), "drift") == NAMES
    for at, value in given:
        assert panel.judge(at, value)[:4] == tuple(each.update_ms(at, value) for each in alone)


def test_a_moved_level_drifts_for_about_a_day_and_is_usual_then() -> None:
    panel = Panel()
    given = office(24, moved_from=16, moved_to=24)
    scores = [panel.judge(at, value)[4] for at, value in given]
    assert max(scores[: 16 * DAY]) < 0.5
    assert max(scores[16 * DAY : 18 * DAY]) >= 0.5
    assert max(scores[20 * DAY :]) < 0.5


def test_what_drift_sees_is_less_than_alone_only_in_what_fires() -> None:
    """Without anything that fires for long the two decide alike."""
    panel, alone = Panel(), Drift()
    for at, value in office(16):
        assert (panel.judge(at, value)[4] >= 0.5) == (alone.update_ms(at, value) >= 0.5)


@pytest.mark.parametrize("every", [1, 32])
def test_restored_after_weeks_it_goes_on_bit_by_bit(every: int) -> None:
    given = office(22, moved_from=12, moved_to=14)
    live, parts = Panel(), dict[bytes, bytes]()
    others: list[Panel] = []
    for number, (at, value) in enumerate(given, 1):
        scores = live.judge(at, value)
        assert all(other.judge(at, value) == scores for other in others)
        if number % every:
            continue
        for name, raw in live.changes():
            if raw is None:
                del parts[name]
            else:
                parts[name] = raw
        if number % (5 * DAY) == 0:
            restored = Panel()
            restored.load(parts.get)
            assert restored.changes() == []
            others.append(restored)
    assert len(others) == 4
    assert sum(len(name) + len(raw) for name, raw in parts.items()) < 24_000
