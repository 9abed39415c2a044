"""Who learns from whom, and when a tenant's own model is to serve it."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from models.classifiers import Examples, Scorer
from models.evaluation import paired
from models.evaluation.paired import Gain, paired_gain
from models.fraud.ladder import OWN, SHARED, climb, learned_until, pooled
from models.fraud.training import learn

DAY = 86_400_000
WORLD = st.dictionaries(
    st.sampled_from(("acme", "bolt", "core", "dune")),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5), st.booleans()), min_size=1, max_size=20),
    min_size=1,
)


def cases(rows: list[tuple[int, int, bool]]) -> Examples:
    rows = sorted(rows)
    return Examples.of([row[0] for row in rows], [[row[1]] for row in rows], [row[2] for row in rows])


@settings(max_examples=60)
@given(world=WORLD, other=WORLD, data=st.data())
def test_the_global_model_sees_nothing_of_who_does_not_pool(
    world: dict[str, list[tuple[int, int, bool]]], other: dict[str, list[tuple[int, int, bool]]], data: st.DataObject
) -> None:
    """However many events of whatever kind and label the others have: not one bit of it changes."""
    allowed = data.draw(st.sets(st.sampled_from(sorted(world)), min_size=1))
    mixed = {name: cases(rows) for name, rows in other.items() if name not in allowed}
    mixed |= {name: cases(world[name]) for name in allowed}
    before = pooled({name: cases(rows) for name, rows in world.items()}, allowed)
    assert pooled(mixed, allowed).digest == before.digest
    assert len(before) == sum(len(world[name]) for name in allowed)
    assert (np.diff(before.times_ms) >= 0).all()


def test_without_anybody_who_pools_there_is_no_global_model() -> None:
    with pytest.raises(ValueError, match="pool_data"):
        pooled({"acme": cases([(1, 1, True)])}, ())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
def test_the_gain_is_of_average_precision(seed: int, ties: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "RESAMPLES", 50)
    random = np.random.default_rng(seed)
    labels = np.concatenate([[True, False], random.random(60) < 0.3])
    one, other = random.random((2, 62)).round(1 if ties else 9)
    gain = paired_gain(labels, one, other)
    assert gain is not None
    wanted = average_precision_score(labels, one) - average_precision_score(labels, other)
    assert gain.difference == pytest.approx(wanted)
    assert gain.low <= gain.high
    assert gain == paired_gain(labels, one, other)


def test_what_only_chance_tells_apart_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "RESAMPLES", 200)
    random = np.random.default_rng(4)
    proved = 0
    for _ in range(20):
        labels = random.random(400) < 0.1
        one, other = labels + random.normal(0, 0.6, (2, 400))
        gain = paired_gain(labels, one, other)
        assert gain is not None
        proved += gain.proved
    assert proved <= 4
    better = paired_gain(labels, labels + random.normal(0, 0.2, 400), other)
    assert better is not None
    assert better.proved
    assert paired_gain(np.zeros(5, dtype=np.bool_), np.ones(5), np.ones(5)) is None


@dataclass(frozen=True)
class World:
    """Cases of a tenant whose frauds look otherwise than those of the others, and models of both."""

    own: Scorer
    shared: Scorer
    measured: Examples


def made(seed: int, place: int) -> Examples:
    random = np.random.default_rng(seed)
    labels = random.random(2500) < 0.08
    features = random.normal(0, 1, (2500, 29))
    features[:, place] += 2.5 * labels
    return Examples.of(np.arange(2500) * DAY // 20, features, labels)


@pytest.fixture(scope="module")
def world() -> World:
    own, shared = learn(made(1, 3), "fraud_v2", "logistic"), learn(made(2, 5), "fraud_v2", "logistic")
    return World(own.scorer, shared.scorer, own.measured)


def test_a_tenant_gets_its_own_model_once_it_is_proved_better(world: World) -> None:
    rung = climb(world.own, world.shared, world.measured)
    assert rung.serves == OWN
    assert rung.gain is not None
    assert rung.gain.low > 0.3
    assert climb(world.shared, world.own, world.measured).serves == SHARED
    assert climb(world.own, world.own, world.measured).serves == SHARED
    assert climb(world.own, None, world.measured).serves == OWN


def test_what_the_global_model_has_seen_is_no_test(world: World) -> None:
    times = world.measured.times_ms
    middle = int(times[len(times) // 2])
    rung = climb(world.own, world.shared, world.measured, middle)
    assert isinstance(rung.gain, Gain)
    assert rung.gain.rows == int((times >= middle + DAY).sum())
    nothing = climb(world.own, world.shared, world.measured, int(times[-1]))
    assert (nothing.serves, nothing.gain) == (SHARED, None)
    assert learned_until({"train": {"last_ms": 5}, "calibrate": {"last_ms": None}}) == 5
