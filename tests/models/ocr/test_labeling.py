"""Which readings a batch asks for, and what may become of a task."""

import random
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.alerts import MoveRefused, move
from models.ocr.labeling import (
    AGAIN,
    BY_PEOPLE,
    CONTRADICTED,
    DUPLICATE,
    MOVES,
    PENDING,
    RANDOM,
    UNCERTAIN,
    shown,
    task_id,
)
from models.ocr.selection import QUOTAS, REACH, SURE, Candidate, embedding, select, spread, uncertainty
from models.readings import RIGHT, UNSURE, WRONG


def reading(number: int, probability: float = 0.1, **known: object) -> Candidate:
    name, asset = f"e-{number:04}", f"m-{number % 7}"
    place = ("meter_reading", asset, f"img-{number}", 1_790_000_000_000 + number, f"s3://images/{number}")
    return Candidate(name, *place, f"{number * 37 % 10**6:06}", "reader", "1", 0.7, probability, **known)  # type: ignore[arg-type]


READINGS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from((None, None, None, RIGHT, WRONG, UNSURE)),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=120,
).map(
    lambda drawn: [
        reading(number, probability, verdict=verdict, asked=asked, again=again, pending=pending)
        for number, (probability, verdict, asked, again, pending) in enumerate(drawn)
    ]
)
SMALL = {RANDOM: 3, UNCERTAIN: 6, CONTRADICTED: 2, DUPLICATE: 2}


@given(READINGS, st.sampled_from((SMALL, QUOTAS)), st.randoms(use_true_random=False))
def test_a_batch_keeps_its_rules(readings: list[Candidate], quotas: dict[str, int], shuffle: random.Random) -> None:
    picks = select(readings, "acme|2026-11-22", quotas)
    assert len({pick.reading.event_id for pick in picks}) == len(picks)
    by_reason = {reason: [pick for pick in picks if pick.reason == reason] for reason in quotas}
    fresh = [one for one in readings if one.verdict is None and not (one.asked or one.again)]
    for pick in by_reason[RANDOM] + by_reason[UNCERTAIN]:
        assert pick.reading in fresh
    for pick in by_reason[CONTRADICTED] + by_reason[DUPLICATE]:
        one = pick.reading
        assert one.verdict in (RIGHT, WRONG)
        assert not one.again
        assert not one.pending
    assert all(pick.reading.verdict == WRONG and pick.reading.probability <= SURE for pick in by_reason[CONTRADICTED])
    # As many as there can be.
    assert len(by_reason[RANDOM]) == min(quotas[RANDOM], len(fresh))
    assert len(by_reason[UNCERTAIN]) == min(quotas[UNCERTAIN], len(fresh) - len(by_reason[RANDOM]))
    assert all(len(chosen) <= quotas[reason] for reason, chosen in by_reason.items())
    for pick in picks:
        assert pick.propensity == (len(by_reason[RANDOM]) / len(fresh) if pick.reason == RANDOM else None)
    again = list(readings)
    shuffle.shuffle(again)
    assert select(again, "acme|2026-11-22", quotas) == picks


def test_what_is_picked_is_what_its_reason_says() -> None:
    unsure = [reading(number, 0.3 + number / 1000) for number in range(200)]
    sure = [reading(number, 0.01) for number in range(200, 2000)]
    wrong = [reading(number, 0.001 * (number - 1999), verdict=WRONG) for number in range(2000, 2010)]
    judged = [reading(number, 0.5, verdict=RIGHT) for number in range(2010, 2030)]
    picks = select([*unsure, *sure, *wrong, *judged], "a")
    chosen = {reason: [pick.reading for pick in picks if pick.reason == reason] for reason in QUOTAS}
    assert {reason: len(found) for reason, found in chosen.items()} == QUOTAS
    assert sum(one in unsure for one in chosen[RANDOM]) < 5
    drawn = [one for one in unsure if one not in chosen[RANDOM]]
    most = sorted(drawn, key=lambda one: -uncertainty(one.probability))
    assert len(most) < REACH * QUOTAS[UNCERTAIN]
    assert most[0] in chosen[UNCERTAIN]
    assert chosen[CONTRADICTED] == wrong[:5]
    other = select([*unsure, *sure, *wrong, *judged], "b")
    assert {one.reading.event_id for one in other if one.reason == RANDOM} != {one.event_id for one in chosen[RANDOM]}


def test_every_reading_is_drawn_as_often() -> None:
    readings = [reading(number, number / 40) for number in range(40)]
    hits = np.zeros(40)
    for seed in range(600):
        for pick in select(readings, str(seed), SMALL):
            hits[int(pick.reading.event_id[2:])] += pick.reason == RANDOM
    # 45 are expected of each, with a standard deviation of 6.5.
    assert hits.sum() == 1800
    assert 20 < hits.min() <= hits.max() < 72


def test_a_batch_lies_far_apart() -> None:
    clusters = np.array([[x + jitter, y] for x, y in product((0.0, 10.0), (0.0, 10.0)) for jitter in np.arange(5) / 10])
    assert {int(place) // 5 for place in spread(clusters, 4)} == {0, 1, 2, 3}
    assert sorted(spread(clusters, 99)) == list(range(len(clusters)))
    assert spread(np.empty((0, 2)), 3) == []
    one, same, other = embedding(reading(1)), embedding(reading(1)), embedding(reading(2))
    assert (one == same).all()
    assert np.square(one - other).sum() > 0.5


STATES = ("open", "assigned", "labelled", "skipped")


@pytest.mark.parametrize(("state", "action"), list(product(STATES, BY_PEOPLE)))
def test_moves_of_a_task(state: str, action: str) -> None:
    if state in PENDING:
        assert move(state, action, MOVES, "task", BY_PEOPLE) == {
            "take": "assigned", "answer": "labelled", "skip": "skipped",
        }[action]  # fmt: skip
        return
    with pytest.raises(MoveRefused, match=f"cannot {action} a task that is {state}; possible: nothing"):
        move(state, action, MOVES, "task", BY_PEOPLE)


def test_a_second_look_has_a_task_of_its_own_that_looks_like_any_other() -> None:
    first, second = (
        {task_id("acme", reason, "e-1") for reason in (RANDOM, UNCERTAIN)},
        {task_id("acme", reason, "e-1") for reason in AGAIN},
    )
    assert len(first) == len(second) == len(first | second) - 1
    assert task_id("acme", RANDOM, "e-1") != task_id("umbrella", RANDOM, "e-1")
    rows = [
        {
            "task_id": "t",
            "reason": reason,
            "batch": "2026-11-22",
            "propensity": 0.1 if reason == RANDOM else None,
            "note": None,
        }
        for reason in QUOTAS
    ]
    assert all(shown(row) == {"task_id": "t", "batch": "2026-11-22"} for row in rows)
    assert shown({"reason": "implausible", "batch": None, "note": "x", "propensity": None})["reason"] == "implausible"
