"""What every detector must keep, whatever it looks for. New ones are found through the registry."""

import math
import random
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import anomaly
from models.anomaly import DETECTORS, Detector

Make = Callable[[], Detector]
Sample = tuple[int, float | None]

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
MOST_BYTES = 1000
MOST_STORED = 30_000

every = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS.keys())


class Store:
    """Parts as a changelog keeps them."""

    def __init__(self) -> None:
        self.parts: dict[bytes, bytes] = {}
        self.written: list[int] = []

    def take(self, detector: Detector) -> None:
        changes = detector.changes()
        assert len({name for name, _ in changes}) == len(changes)
        for name, raw in changes:
            if raw is None:
                self.parts.pop(name, None)
            else:
                self.parts[name] = raw
        self.written.append(sum(len(name) + len(raw or b"") for name, raw in changes))

    def restore(self, make: Make) -> Detector:
        restored = make()
        restored.load(self.parts.get)
        return restored


def series(seed: int, count: int, step_s: float = 60.0) -> list[Sample]:
    """A day's wave with noise, bursts, jumps of level, missing values, gaps, repeated and late samples."""
    chance = random.Random(seed)
    now, level, made = NOON_MS, 40.0, []
    for number in range(count):
        now += round(step_s * 1000 * chance.choice((1, 1, 1, 1, 1, 1, 1, 0.98, 1.02, 2, 0, 90)))
        level += chance.choice((0.0,) * 400 + (30.0, -20.0))
        value = level + 20 * math.sin(number / 120) + chance.gauss(0, 2) + (chance.random() < 0.01) * 60
        wrong = chance.choice((None, math.nan, math.inf, -math.inf, 1e308)) if chance.random() < 0.02 else value
        made.append((now - 3_600_000 * (chance.random() < 0.01), wrong))
    return made


samples = st.lists(
    st.tuples(
        st.sampled_from((0, 1, 999, 1000, 1000, 60_000, 300_000, 3_600_000, 86_400_000, -1, -5000, -(10**9))),
        st.one_of(
            st.none(),
            st.floats(allow_nan=True, allow_infinity=True),
            st.sampled_from((0.0, 1.0, 99.9, 41.3, 41.300000001, -3.0)),
        ),
    ),
    max_size=400,
)


def timed(steps: list[Sample]) -> list[Sample]:
    now, out = NOON_MS, []
    for step, value in steps:
        now += step
        out.append((now, value))
    return out


def scores(detector: Detector, given: Sequence[Sample]) -> list[float]:
    return [detector.update_ms(at, value) for at, value in given]


@every
@given(steps=samples)
def test_scores_are_between_0_and_1_whatever_comes(make: Make, steps: list[Sample]) -> None:
    for score in scores(make(), timed(steps)):
        assert isinstance(score, float)
        assert 0.0 <= score <= 1.0


@every
@pytest.mark.parametrize("step_s", [1.0, 60.0, 300.0])
def test_the_same_samples_give_the_same_scores(make: Make, step_s: float) -> None:
    given = series(1, 1500, step_s)
    assert scores(make(), given) == scores(make(), given)


@every
def test_a_time_is_the_same_as_datetime_and_as_milliseconds(make: Make) -> None:
    by_ms, aware, naive, abroad = make(), make(), make(), make()
    zone = datetime.now().astimezone().tzinfo
    for at, value in series(2, 600):
        moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at)
        score = by_ms.update_ms(at, value)
        assert score == aware.update(moment, value)
        assert score == naive.update(moment.replace(tzinfo=None), value)
        assert score == abroad.update(moment.astimezone(zone), value)


@every
@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf, 1e200])
def test_what_is_missing_scores_0_and_teaches_nothing(make: Make, missing: float | None) -> None:
    with_holes, without = make(), make()
    for at, value in series(3, 800):
        if value is None or not abs(value) < 1e37:
            continue
        assert with_holes.update_ms(at + 7, missing) == 0.0
        assert with_holes.explain()["value"] is None
        assert with_holes.update_ms(at, value) == without.update_ms(at, value)


@every
def test_a_gap_is_no_news(make: Make) -> None:
    detector = make()
    calm = [(NOON_MS + at * 60_000, 30.0 + at % 7) for at in range(3000)]
    later = [(at + 40 * 86_400_000, value) for at, value in calm[:300]]
    assert max(scores(detector, calm + later)) < 0.5


@every
@pytest.mark.parametrize("value", [0.0, 42.0, -17.5, 1e-9])
def test_a_constant_series_is_calm(make: Make, value: float) -> None:
    noise = [value * (1 + 1e-12 * (at % 3)) for at in range(2000)]
    assert max(scores(make(), [(NOON_MS + at * 60_000, each) for at, each in enumerate(noise)])) < 0.5


@every
def test_old_and_repeated_times_are_scored_and_move_no_clock(make: Make) -> None:
    detector, other = make(), make()
    given = [(NOON_MS + at * 60_000, 30.0 + at % 7) for at in range(1000)]
    assert scores(detector, given) == scores(other, given)
    for back in (0, 1, 60_000, 86_400_000, 10**12):
        assert detector.update_ms(given[-1][0] - back, 33.0) < 0.5
    assert max(scores(detector, [(at + 60_000_000, value) for at, value in given])) < 0.5


@every
def test_a_clock_that_leaps_to_the_end_of_time_breaks_nothing(make: Make) -> None:
    """Microseconds for milliseconds: 56,000 years ahead. They are stored, and restored, like any other time."""
    live, store = make(), Store()
    given = [(at * 60_000, 30.0 + at % 7) for at in range(100)]
    for begin in (NOON_MS, NOON_MS * 1000):
        for at, value in given:
            live.update_ms(begin + at, value)
        store.take(live)
    restored = store.restore(make)
    later = [(NOON_MS * 1000 + at + 6_000_000, value) for at, value in given]
    assert scores(restored, later) == scores(live, later)


@every
@settings(max_examples=40)
@given(steps=samples, seed=st.integers(0, 5), cut=st.integers(0, 1200), every_n=st.integers(1, 50))
def test_restored_from_parts_it_scores_on_bit_by_bit(
    make: Make, steps: list[Sample], seed: int, cut: int, every_n: int
) -> None:
    given = series(seed, 1000, random.Random(seed).choice((1.0, 60.0))) + timed(steps)
    cut = min(cut, len(given))
    live, store = make(), Store()
    for number, (at, value) in enumerate(given[:cut]):
        live.update_ms(at, value)
        if number % every_n == 0:
            store.take(live)
    store.take(live)
    assert live.changes() == []
    restored = store.restore(make)
    assert restored.changes() == []
    for at, value in given[cut:]:
        assert restored.update_ms(at, value) == live.update_ms(at, value)
        store.take(live)
    again = store.restore(make)
    assert scores(again, given[:50]) == scores(live, given[:50])


@every
@pytest.mark.parametrize("step_s", [1.0, 60.0, 300.0, 3600.0])
def test_an_update_writes_little_and_the_state_is_small(make: Make, step_s: float) -> None:
    detector, store = make(), Store()
    chance = random.Random(4)
    value = 0.0
    for number in range(6000):
        value += chance.gauss(0, 1) * (1 + number / 300)
        detector.update_ms(NOON_MS + round(number * step_s * 1000), value)
        store.take(detector)
    assert max(store.written) < MOST_BYTES
    assert sum(map(len, store.parts)) + sum(map(len, store.parts.values())) < MOST_STORED
    assert max(map(len, store.parts)) <= 4


def lines_of(work: Callable[[], Any]) -> int:
    """Lines of the detectors' code that run in `work`: a measure of its cost that no other process disturbs."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if "anomaly" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@every
def test_an_update_costs_the_same_after_a_long_history(make: Make) -> None:
    """A series that never repeats itself is the worst one: everything that can be stored is."""
    detector = make()
    chance = random.Random(5)
    value, number, costs = 0.0, 0, []
    for _ in range(4):
        for _ in range(4000):
            value += chance.gauss(0, 1)
            number += 1
            detector.update_ms(NOON_MS + number * 60_000, value)
        window = [(NOON_MS + (number + at) * 60_000, value + chance.gauss(0, 3)) for at in range(100)]
        number += 100
        costs.append(lines_of(lambda window=window: scores(detector, window)))  # type: ignore[misc]
    assert max(costs) < 1.5 * costs[0]
    assert max(costs) / 100 < 1200


@every
def test_it_explains_each_score_in_numbers_and_words(make: Make) -> None:
    detector = make()
    assert detector.explain()["value"] is None
    for at, value in series(6, 1500):
        detector.update_ms(at, value)
        why = detector.explain()
        assert isinstance(why["summary"], str)
        assert why["summary"]
        if why["value"] is None:
            continue
        assert why["value"] == value
        assert why["direction"] in ("up", "down")
        for number in why.values():
            assert not isinstance(number, float) or math.isfinite(number)


def test_every_detector_is_named_after_itself() -> None:
    assert {name: make().name for name, make in DETECTORS.items()} == {name: name for name in DETECTORS}
    assert isinstance(anomaly.detector(), type(DETECTORS["novelty"]()))
    assert anomaly.detector("cpu_percent").name == "novelty"
    assert anomaly.static_limit("disk_read_bytes_per_s") is None
