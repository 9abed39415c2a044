"""What stands out of all that a time of day has shown: when it fires, when not, and what it learns."""

import random

import pytest

from models.anomaly.standing import KEPT, Standing

DAY = 288
STEP_MS = 300_000
LEAST = 5.0


def usual(at: int, chance: random.Random) -> float:
    """A calm night, a busy day."""
    return chance.gauss(60 if 96 <= at % DAY < 216 else 20, 1.5)


def history(days: int, seed: int = 1) -> Standing:
    """After so many days, at three in the morning."""
    standing, chance = Standing(LEAST), random.Random(seed)
    for at in range(days * DAY + 36):
        standing.update_ms(STEP_MS * at, usual(at, chance))
    return standing


def play(standing: Standing, values: list[float], start: int) -> list[bool]:
    return [standing.update_ms(STEP_MS * (start + at), value) >= 0.5 for at, value in enumerate(values)]


# values from three in the morning on, where 20 is usual; which of them fire
PATTERNS = {
    "one sample": ([200.0, 20.0, 20.0, 20.0], []),
    "two in a row": ([60.0, 60.0, 20.0], [1]),
    "three of five": ([32.0, 20.0, 32.0, 20.0, 32.0], [4]),
    "it stands": ([60.0] * 6, [1, 2, 3, 4, 5]),
    "down": ([5.0] * 4, [1, 2, 3]),
    "too small to matter": ([25.0] * 8, []),
    "usual at noon, and out at night": ([60.0] * 3, [1, 2]),
}


@pytest.mark.parametrize(("values", "fires"), PATTERNS.values(), ids=PATTERNS.keys())
def test_what_fires(values: list[float], fires: list[int]) -> None:
    found = play(history(10), values, 10 * DAY + 36)
    assert [at for at, fired in enumerate(found) if fired] == fires


def test_a_usual_month_says_little() -> None:
    standing, chance = Standing(LEAST), random.Random(7)
    assert sum(play(standing, [usual(at, chance) for at in range(30 * DAY)], 0)) == 0


def test_nothing_is_said_in_the_first_week() -> None:
    for days, says in ((6, False), (7, True)):
        standing = history(days)
        assert standing.known is says
        assert any(play(standing, [90.0] * 6, days * DAY + 36)) is says


def test_a_rare_count_is_no_news() -> None:
    """Seven in a thousand samples are out, each by itself: three of five that are lower than those are no news."""
    standing, chance = Standing(0.01), random.Random(3)
    values = [chance.uniform(0.02, 0.2) if chance.random() < 0.007 else 0.0 for _ in range(20 * DAY)]
    assert sum(play(standing, values, 0)) == 0
    assert play(standing, [0.06, 0.0, 0.06, 0.0, 0.06, 0.0, 0.0, 0.5, 0.5], 20 * DAY) == [False] * 8 + [True]


def test_what_lasts_becomes_usual_within_three_days() -> None:
    standing, chance = history(10), random.Random(5)
    start = 10 * DAY + 36
    told = play(standing, [usual(start + at, chance) + 50 for at in range(5 * DAY)], start)
    assert sum(told[:DAY]) > DAY / 2
    assert sum(told[3 * DAY :]) == 0


def test_the_first_incident_does_not_hide_the_next() -> None:
    standing, chance = history(10), random.Random(6)
    start = 10 * DAY + 36
    told = play(standing, [60.0] * 12, start)
    assert sum(told) == 11
    play(standing, [usual(start + at, chance) for at in range(12, 6 * DAY + 12 * 12)], start + 12)
    evening = start + 6 * DAY + 12 * 12 + 72  # another time of day that is usually calm
    play(standing, [20.0] * 72, evening - 72)
    assert sum(play(standing, [55.0] * 5, evening)) >= 3


def test_a_faster_sampling_rate_is_learnt_first() -> None:
    standing = history(10)
    now = STEP_MS * (10 * DAY + 36)
    assert standing.known
    for at in range(600):
        standing.update_ms(now + 1000 * at, 20.0)
    assert not standing.known


def test_it_forgets_after_weeks() -> None:
    standing, chance = history(10), random.Random(8)
    play(standing, [60.0] * 12, 10 * DAY + 36)
    start = 10 * DAY + 48
    later = start + (KEPT + 14) * DAY
    play(standing, [usual(at, chance) for at in range(start, later)], start)
    assert sum(play(standing, [60.0] * 4, later)) == 3


def test_it_explains_itself() -> None:
    standing = history(10)
    play(standing, [60.0] * 4, 10 * DAY + 36)
    why = standing.explain()
    assert why["direction"] == "up"
    assert why["usual_low"] < 20 < why["usual_high"] < 30
    assert why["stands"] == 60.0
    assert why["excess"] > why["excess_limit"] > 0
    assert why["score"] >= 0.5
    assert why["summary"].startswith("60, stood between ")
