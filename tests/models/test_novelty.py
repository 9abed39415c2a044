"""What the detector that pages makes of the series that hosts have."""

import math
import random
from collections.abc import Callable, Iterable
from functools import cache

import pytest

from models.anomaly import detector
from models.anomaly.codebook import Codebook, Line
from models.anomaly.novelty import Novelty
from models.anomaly.parts import single

NOON_MS = 1_740_830_400_000
MINUTE, SECOND = 60_000, 1000


def feed(novelty: Novelty, values: Iterable[float], step_ms: int = MINUTE, start: int | None = None) -> list[float]:
    last = novelty.pace.last_ms
    begin = start if start is not None else (NOON_MS if last < 0 else last + step_ms)
    return [novelty.update_ms(begin + at * step_ms, value) for at, value in enumerate(values)]


def noise(seed: int, count: int, level: float = 20.0, width: float = 3.0) -> list[float]:
    chance = random.Random(seed)
    return [max(0.0, chance.gauss(level, width)) for _ in range(count)]


@pytest.mark.parametrize("step_ms", [SECOND, 10 * SECOND, MINUTE, 5 * MINUTE])
def test_nothing_alerts_before_the_warm_up(step_ms: int) -> None:
    """150 samples and 15 minutes."""
    novelty = detector()
    count = max(150, 900_000 // step_ms)
    wild = [random.Random(at).choice((0.0, 1.0, 1e6, -50.0)) for at in range(count)]
    assert set(feed(novelty, wild[:-1], step_ms)) == {0.0}


def test_the_first_change_of_a_constant_series_is_news() -> None:
    novelty = detector()
    assert max(feed(novelty, [41.3] * 2000)) < 0.5
    assert feed(novelty, [52.0])[0] > 0.9
    why = novelty.explain()
    assert (why["expected"], why["nearest"], why["direction"]) == (pytest.approx(41.3), single(41.3), "up")
    assert why["summary"] == "52, usual 41.3 at 21:00 UTC: it had never changed before"


@pytest.mark.parametrize("level", [1.0, 41.3, -7.0, 3e11])
def test_rounding_is_no_news(level: float) -> None:
    novelty = detector()
    feed(novelty, [level] * 2000)
    assert max(feed(novelty, [level * (1 + 1e-9), level * (1 - 1e-12)] * 50)) < 0.5


def test_a_counter_that_is_mostly_0_may_sometimes_not_be() -> None:
    novelty = detector()
    chance = random.Random(1)
    usual = [float(chance.random() < 0.01) * chance.choice((1, 2, 3)) for _ in range(20_000)]
    scores = feed(novelty, usual)
    assert sum(score >= 0.5 for score in scores[2000:]) == 0
    assert feed(novelty, [60.0])[0] > 0.5


def test_negative_values_are_values() -> None:
    up, down = detector(), detector()
    values = [value - 20.0 for value in noise(2, 3000)]
    assert feed(up, values) == feed(down, [-value for value in values])
    assert feed(up, [40.0]) == feed(down, [-40.0])
    assert up.explain()["direction"] == "up"
    assert down.explain()["direction"] == "down"


@pytest.mark.parametrize(("step_ms", "learned_after_s"), [(5 * MINUTE, 6 * 3600), (MINUTE, 3 * 3600), (SECOND, 1800)])
def test_a_new_level_is_told_once_and_then_learned(step_ms: int, learned_after_s: int) -> None:
    novelty = detector()
    feed(novelty, noise(3, 4000), step_ms)
    scores = feed(novelty, noise(4, 8000, level=60.0), step_ms)
    firing = [at for at, score in enumerate(scores) if score >= 0.5]
    assert firing[0] <= 4
    learned = learned_after_s * 1000 // step_ms
    assert len([at for at in firing if at > learned]) <= 2


def busy(chance: random.Random) -> float:
    """CPU of one second: mostly little, for a second at times much."""
    return min(100.0, chance.expovariate(1 / 6) + (chance.random() < 0.02) * 40)


def test_at_a_second_a_blip_is_no_news_and_a_burst_is_within_5_seconds() -> None:
    novelty = detector()
    chance = random.Random(5)
    assert max(feed(novelty, [busy(chance) for _ in range(3600)], SECOND)) < 0.5
    for _ in range(5):
        assert max(feed(novelty, [100.0] + [busy(chance) for _ in range(60)], SECOND)) < 0.5
    scores = feed(novelty, [chance.uniform(96, 100) for _ in range(30)], SECOND)
    assert next(at for at, score in enumerate(scores) if score >= 0.5) < 5


def test_how_far_out_is_news() -> None:
    """Over noise of 20 +- 3, one sample of 33 is, on every series; 31 mostly is not."""
    found = {31.0: 0, 33.0: 0}
    for seed in range(12):
        novelty = detector()
        feed(novelty, noise(seed, 2000), 5 * MINUTE)
        parts = dict(novelty.changes())
        for value in found:
            restored = detector()
            restored.load(parts.get)
            found[value] += feed(restored, [value], 5 * MINUTE)[0] >= 0.5
    assert found[33.0] >= 11
    assert found[31.0] <= 6


def test_a_young_series_is_doubted() -> None:
    """The first day of a value that wanders: new heights all day, and few samples that fire."""
    fired = 0
    for seed in range(20):
        chance = random.Random(seed)
        level, values = 0.0, []
        for _ in range(1440):
            level += chance.gauss(0, 0.2) - level * 0.002
            values.append(50 + level + chance.gauss(0, 0.5))
        fired += sum(score >= 0.5 for score in feed(detector(), values))
    assert fired / 20 < 10


def test_the_first_incident_does_not_hide_the_next() -> None:
    for seed in range(12):
        novelty = detector()
        feed(novelty, noise(seed, 3000), 5 * MINUTE)
        assert feed(novelty, [95.0] * 3, 5 * MINUTE)[0] > 0.9
        feed(novelty, noise(seed + 50, 288), 5 * MINUTE)
        assert feed(novelty, [45.0], 5 * MINUTE)[0] > 0.9


def test_at_a_minute_one_sample_is_enough() -> None:
    novelty = detector()
    feed(novelty, noise(6, 3000))
    assert feed(novelty, [95.0])[0] > 0.9


@cache
def a_week_at_a_minute(seed: int) -> dict[bytes, bytes | None]:
    """The stored state after it."""
    novelty = detector()
    chance = random.Random(seed)
    feed(novelty, [sum(busy(chance) for _ in range(60)) / 60 for _ in range(7 * 1440)])
    return dict(novelty.changes())


@pytest.mark.parametrize("wait_s", [15, 30, 120, 900])
@pytest.mark.parametrize("seed", range(4))
def test_a_week_at_a_minute_and_then_each_second(wait_s: int, seed: int) -> None:
    novelty = detector()
    novelty.load(a_week_at_a_minute(seed).get)
    chance = random.Random(wait_s)
    jitter = feed(novelty, [busy(chance) for _ in range(wait_s)], SECOND)
    assert max(jitter) < 0.5
    scores = feed(novelty, [chance.uniform(96, 100) for _ in range(20)], SECOND)
    assert next(at for at, score in enumerate(scores) if score >= 0.5) < 5


def test_fast_samples_that_come_in_threes_are_judged() -> None:
    """Three seconds of each minute: the median spans the gaps, so that a lone blip is no news and a burst is."""
    novelty = detector()
    chance = random.Random(10)
    at = NOON_MS

    def threes(values: Callable[[], float], count: int) -> list[float]:
        nonlocal at
        scores = []
        for _ in range(count):
            at += MINUTE
            scores += feed(novelty, [values() for _ in range(3)], SECOND, at)
        return scores

    assert max(threes(lambda: chance.gauss(20, 2), 2000)) < 0.5
    assert feed(novelty, [95.0], SECOND, at + MINUTE)[0] < 0.5
    assert max(threes(lambda: chance.gauss(20, 2), 20)) < 0.5
    assert max(threes(lambda: chance.gauss(95, 2), 1)) > 0.5


def test_a_sampling_rate_at_the_edge_of_fast_is_judged_throughout() -> None:
    """30 s and a little jitter: a sample is judged by itself or in a median of three, but it is judged."""
    for seed in range(20):
        novelty = detector()
        chance = random.Random(seed)
        at = NOON_MS
        for value in noise(seed, 3000):
            at += 30_000 + chance.choice((-40, 0, 40))
            novelty.update_ms(at, value)
        fired = [novelty.update_ms(at + 30_000 * late, 95.0) >= 0.5 for late in range(1, 4)]
        assert any(fired[:2])


def test_one_sample_in_between_is_no_news() -> None:
    """A restarted collector samples a second after the last minute: that is not judged as if a minute had passed."""
    novelty = detector()
    feed(novelty, noise(11, 3000))
    assert feed(novelty, [95.0], start=novelty.pace.last_ms + SECOND) == [0.0]
    assert max(feed(novelty, noise(12, 200))) < 0.5
    assert feed(novelty, [95.0])[0] > 0.9


def test_a_familiar_value_at_a_strange_hour_is_news() -> None:
    """Night after night 10, day after day 60; then 60 all night."""
    novelty = detector()
    chance = random.Random(7)

    def day(at: int) -> float:
        return (60.0 if 72 <= at % 288 < 216 else 10.0) + chance.gauss(0, 2)

    midnight = NOON_MS + 12 * 3_600_000
    feed(novelty, [day(at) for at in range(14 * 288)], 5 * MINUTE, midnight)
    scores = feed(novelty, [60.0 + chance.gauss(0, 2) for _ in range(288)], 5 * MINUTE)
    assert max(scores) > 0.5
    assert novelty.explain()["parts"]["season"]["surprise"] > 5


def test_the_usual_range_is_that_of_the_hour() -> None:
    novelty = detector()
    feed(novelty, noise(8, 5000))
    feed(novelty, [70.0])
    why = novelty.explain()
    assert 10 <= why["usual_low"] < 17 < why["expected"] < 23 < why["usual_high"] < 32
    assert why["strongest"] in why["parts"]
    assert why["parts"]["value"]["surprise"] == pytest.approx(abs(70.0 - why["nearest"]))


@pytest.mark.parametrize("levels", [(0.1, 0.3), (41.3, -41.3), (1e9 + 1 / 3, 1.0)])
def test_what_was_seen_is_no_surprise_at_all(levels: tuple[float, float]) -> None:
    """However coarsely it is kept, and however little the record has left."""
    novelty = detector()
    feed(novelty, levels * 500)
    for level in levels:
        feed(novelty, [level])
        assert novelty.explain()["parts"]["value"]["surprise"] == 0.0


def filled(kind: type[Codebook], count: int, capacity: int) -> Codebook:
    book = kind(b"v", capacity)
    for number in range(count):
        book.learn(float(number % 97), float(number), 0.0)
    return book


@pytest.mark.parametrize("kind", [Codebook, Line])
@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 64, 65, 200])
def test_a_book_is_the_same_after_it_was_stored(kind: type[Codebook], count: int) -> None:
    book = filled(kind, count, 64)
    parts = {name: raw for name, raw in book.changes() if raw is not None}
    assert sum(map(len, parts.values())) == 4 * kind.WIDTH * len(book)
    restored = kind(b"v", 64)
    restored.load(parts.get, book.turn)
    assert len(restored) == len(book) == min(count, 64)
    for number in range(40):
        for each in (book, restored):
            each.learn(number * 1.7, number * -0.3, 0.0)
        assert restored.distance(number, 3.0) == book.distance(number, 3.0)
    assert restored.changes() == book.changes()


def test_the_nearest_point_is_found() -> None:
    chance = random.Random(9)
    book, points = Codebook(b"v", 300), []
    for _ in range(300):
        points.append((single(chance.gauss(0, 1)), single(chance.gauss(0, 9))))
        book.learn(*points[-1], 0.0)

    def plain(a: float, b: float) -> float:
        return min(max(abs(a - x), abs(b - y)) for x, y in points)

    apart: Callable[[], float] = lambda: chance.gauss(0, 3)  # noqa: E731
    for _ in range(300):
        a, b = apart(), apart()
        assert book.distance(a, b) == plain(a, b)


def test_the_nearest_point_on_the_line_is_found() -> None:
    chance = random.Random(9)
    book = Line(b"v", 300)
    points = [single(chance.gauss(0, 1)) for _ in range(300)]
    assert book.distance(0.0) == math.inf
    for each in points:
        book.learn(each, 0.0, 0.0)
    for a in [chance.gauss(0, 3) for _ in range(300)] + points[:5]:
        assert book.distance(a) == min(abs(a - each) for each in points)


@pytest.mark.parametrize("kind", [Codebook, Line])
def test_a_full_book_forgets_the_oldest_point(kind: type[Codebook]) -> None:
    book = kind(b"v", 4)
    for number in range(6):
        book.learn(number * 10.0, 0.0, 0.0)
    assert len(book) == 4
    assert (book.least, book.most, book.nearest(0.0)) == (20.0, 50.0, 20.0)
