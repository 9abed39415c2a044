"""The features of a sync against a plain computation over the whole past, and the small state that they come from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.conflict import heuristic
from models.conflict.advice import HELD_OUT, advice, held_out
from models.conflict.entity import (
    EDITS_BYTES,
    HOUR_MS,
    STEP_MS,
    UNTOUCHED,
    Entity,
    conclude,
    observe,
    pack_entity,
    unpack_entity,
)
from models.conflict.features import FEATURE_SETS, FEATURES, LARGEST, PLACE
from models.conflict.user import (
    NEWCOMER,
    NO,
    PRESUMED,
    UNHEARD,
    UNKNOWN,
    YES,
    counted,
    decided,
    pack_past,
    pack_sync,
    smoothed,
    unpack_past,
    unpack_sync,
)

NOON = 1_790_000_000_000 // STEP_MS * STEP_MS


@dataclass(frozen=True)
class Step:
    """A sync so many hours after NOON. `base`: hours before it; `told`: what comes of it before the next one."""

    hours: float
    user: str
    base: float | None
    fields: tuple[str, ...]
    told: bool | None = None

    @property
    def time(self) -> int:
        return NOON + round(self.hours * HOUR_MS)


STEPS = st.lists(
    st.builds(
        Step,
        hours=st.integers(0, 400).map(lambda quarters: quarters / 2),
        user=st.sampled_from("abc"),
        base=st.none() | st.integers(0, 400).map(lambda quarters: quarters / 4),
        fields=st.lists(st.sampled_from(["status", "notes", "due"]), unique=True).map(tuple),
        told=st.none() | st.booleans(),
    ),
    max_size=8,
).map(lambda steps: sorted(steps, key=lambda step: step.hours))


def plain(past: Sequence[Step], step: Step, rate: float) -> dict[str, float]:
    """The features by their definitions, over everything that was before."""
    base = -np.inf if step.base is None else step.hours - step.base
    edits = [each for each in past if each.fields]
    others = [each for each in edits if each.user != step.user]
    since = [each for each in others if each.hours > max(base, step.hours - 168)]
    theirs = {field for each in since for field in each.fields}
    mine = set(step.fields)

    def share(of: Sequence[Step]) -> float:
        known = [each.told for each in of if each.told is not None]
        return (sum(known) + 1.0) / (len(known) + 10)

    parties = {step.user, *(each.user for each in since)}
    newest = step.time // STEP_MS
    recent = [each for each in edits if newest - 28 < each.time // STEP_MS <= newest]
    return {
        "concurrent_editors": len({each.user for each in since if each.hours > step.hours - 24}),
        "hours_since_last_sync": 168 if step.base is None else min(168, step.base),
        "user_conflict_rate": rate,
        "entity_edit_frequency": len(recent) / 7,
        "field_overlap_score": len(mine & theirs) / len(mine | theirs) if mine & theirs else 0,
        "weighted_overlap": sum(
            len(mine & set(each.fields)) / len(mine) * 0.5 ** ((step.hours - each.hours) / 6) for each in since if mine
        ),
        "shared_fields": len(mine & theirs),
        "syncs_behind": len(since),
        "hours_since_foreign_edit": min(168, step.hours - max((each.hours for each in others), default=-np.inf)),
        "entity_conflict_rate": share(edits),
        "pair_conflict_rate": share([each for each in edits if each.user in parties]),
        "fields_changed": len(mine),
    }


@given(STEPS)
def test_features_are_their_definitions(steps: list[Step]) -> None:
    # Of two syncs by one user in one moment an outcome cannot tell which it is about.
    steps = list({(step.hours, step.user): step for step in steps}.values())
    entity = UNTOUCHED
    for number, step in enumerate(steps):
        base = None if step.base is None else step.time - round(step.base * HOUR_MS)
        row, entity = observe(entity, step.user, step.time, base, step.fields, 0.25)
        assert dict(zip(FEATURE_SETS[LARGEST], row, strict=True)) == pytest.approx(plain(steps[:number], step, 0.25))
        if step.told is not None:
            entity = conclude(entity, step.user, step.time, step.told)
        assert unpack_entity(pack_entity(entity)) == entity


def test_the_first_feature_set_begins_the_second() -> None:
    assert FEATURE_SETS["conflict_v1"] == tuple(feature.name for feature in FEATURES)[:5]
    assert FEATURE_SETS["conflict_v2"][:5] == FEATURE_SETS["conflict_v1"]


def test_an_entity_stays_small_and_forgets_the_oldest() -> None:
    entity = UNTOUCHED
    for number in range(3000):
        fields = [f"field-{(number * each) % 40}" for each in range(number % 9)]
        _, entity = observe(entity, f"u-{number % 50}", NOON + number * HOUR_MS // 4, None, fields, 0.1)
        assert len(pack_entity(entity)) < 1000
    times = [edit.time for edit in entity.edits]
    assert times == sorted(times)
    assert sum(edit.size for edit in entity.edits) <= EDITS_BYTES
    # Frequency counts all of them, also those whose fields are forgotten: 8 of 9 change something.
    row, _ = observe(entity, "u-1", NOON + 3000 * HOUR_MS // 4, None, ["x"], 0.1)
    assert row[PLACE["entity_edit_frequency"]] == pytest.approx(4 * 24 * 8 / 9, rel=0.05)


def test_a_late_sync_is_put_where_it_belongs() -> None:
    _, entity = observe(UNTOUCHED, "a", NOON, None, ["status"], 0.1)
    row, entity = observe(entity, "b", NOON - HOUR_MS, NOON - 2 * HOUR_MS, ["status"], 0.1)
    assert row[PLACE["shared_fields"]] == 1  # it is on the server, whatever its clock says
    assert row[PLACE["hours_since_foreign_edit"]] == 0
    assert [edit.time for edit in entity.edits] == [NOON - HOUR_MS, NOON]
    assert isinstance(entity, Entity)


RESULT = st.tuples(st.sampled_from([NO, YES]), st.integers(1, 5), st.sampled_from([b"a" * 8, b"b" * 8]))


@given(st.lists(RESULT, max_size=8), st.booleans(), st.integers(0, 8))
def test_outcomes_count_once_whatever_their_order(
    results: list[tuple[int, int, bytes]], presumed: bool, comes: int
) -> None:
    """The newest holds, a presumption only where there is none, and nothing counts before the sync has come."""
    past, sync = NEWCOMER, UNHEARD
    for number, (result, at, outcome) in enumerate(results):
        if number == comes:
            past, sync = counted(past, sync, after := sync._replace(content=b"content!")), after
        after = decided(sync, result, at, outcome)
        past, sync = counted(past, sync, after), after
        assert unpack_sync(pack_sync(sync)) == sync
    if not sync.came:
        assert past == NEWCOMER
        past, sync = counted(past, sync, after := sync._replace(content=b"content!", entity="task|job|é")), after
    if presumed and sync.result == UNKNOWN:
        past, sync = counted(past, sync, after := decided(sync, PRESUMED)), after
    expected = max(results, key=lambda each: (each[1], each[2]), default=None)
    ranks = [each[1:] for each in results]
    if expected is not None and ranks.count(expected[1:]) == 1:
        assert sync.result == expected[0]
    known = bool(results) or presumed
    assert past == (int(known), int(sync.result == YES))
    assert unpack_past(pack_past(past)) == past
    assert unpack_sync(pack_sync(sync)) == sync


def test_a_rate_of_few_cases_is_drawn_to_the_prior() -> None:
    assert smoothed(0, 0) == 0.1
    assert smoothed(5, 10) == 0.3


def vector(**values: float) -> list[float]:
    base = {feature.name: 0.0 for feature in FEATURES} | {"user_conflict_rate": 0.1}
    return list((base | values).values())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 0.10),
        ({"concurrent_editors": 2}, 0.40),
        ({"concurrent_editors": 9}, 0.55),
        ({"hours_since_last_sync": 24}, 0.10),
        ({"hours_since_last_sync": 24.1}, 0.20),
        ({"user_conflict_rate": 0.05}, 0.10),
        ({"user_conflict_rate": 0.5}, 0.30),
        ({"entity_edit_frequency": 3}, 0.16),
        ({"entity_edit_frequency": 30}, 0.30),
        ({"field_overlap_score": 0.5}, 0.25),
        ({"concurrent_editors": 3, "field_overlap_score": 1, "hours_since_last_sync": 168}, 0.95),
    ],
)
def test_the_documented_rule(values: dict[str, float], expected: float) -> None:
    table = np.array([vector(), vector(**values)])
    for feature_set in FEATURE_SETS.values():
        assert heuristic.probabilities(table[:, : len(feature_set)])[1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("hours", "shared", "said"),
    [
        (4 / 60, 3, "entity edited by another user 4 min ago, 3 shared fields: sync before editing"),
        (5.2, 1, "entity edited by another user 5 h ago, 1 shared field: sync before editing"),
        (72, 0, "entity edited by another user 3 days ago, 0 shared fields: sync before editing"),
        (168, 0, "no edit by another user is known, but conflicts are likely here: sync before editing"),
    ],
)
def test_advice_in_words(hours: float, shared: float, said: str) -> None:
    assert advice(vector(hours_since_foreign_edit=hours, shared_fields=shared)) == said


def test_one_in_twenty_is_held_out_by_its_id() -> None:
    found = [held_out("acme", f"e-{number}") for number in range(20_000)]
    assert sum(found) / len(found) == pytest.approx(HELD_OUT, abs=0.005)
    assert found != [held_out("other", f"e-{number}") for number in range(20_000)]
