"""The agents of sync: judged once, measured by user and by entity, scored, advised; what comes of it; offline."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from models.classifiers import artifact
from models.conflict import heuristic
from models.conflict.advice import held_out
from models.conflict.artifact import NAME, ConflictModel, unpack
from models.conflict.evaluation import NO, YES, weights
from models.conflict.features import FEATURES, PLACE
from models.conflict.training import learn
from models.registry import EVERYONE, Place, Registry, Signer, Trust
from models.registry.activation import Post, value_of
from producers.simulator.sync import Scenario, Simulation
from schemas import topics
from schemas.topics import Topic
from streams import sync
from streams.runtime import Control
from streams.runtime.frame import InputRecord, order
from streams.runtime.offline import Outcome, run
from streams.serving import Shelf
from streams.sync import SHADOWS, SYNC
from streams.sync_outcomes import SYNC_OUTCOMES
from streams.sync_users import SYNC_USERS
from tests.streams.control import command, judged, view

NOON = 1_790_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
Said = dict[str, Any]


def event(hours: float, number: int = 1, user: str = "ana", **other: Any) -> Said:
    return {
        "tenant_id": "acme",
        "event_id": f"e-{number}",
        "user_id": user,
        "device_id": None,
        "domain": "task",
        "entity_type": "job",
        "entity_id": "j-1",
        "occurred_at": NOON + round(hours * HOUR),
        "last_synced_at": None,
        "fields_changed": ["status"],
    } | other


def outcome(hours: float, number: int, conflict: bool, user: str = "ana", **other: Any) -> Said:
    at = NOON + round(hours * HOUR)
    return {
        "tenant_id": "acme",
        "outcome_id": f"o-{number}-{at}-{conflict}",
        "event_id": f"e-{number}",
        "user_id": user,
        "conflict_occurred": conflict,
        "resolution": None,
        "decided_at": at,
    } | other


def log(topic: Topic, records: Sequence[Said], time: str) -> list[InputRecord]:
    return [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each[time], offset, (), topic.name)
        for offset, each in enumerate(records)
    ]


def source(events: Sequence[Said], outcomes: Sequence[Said] = ()) -> list[InputRecord]:
    both = log(topics.EVENTS_SYNC, events, "occurred_at") + log(topics.OUTCOMES_SYNC, outcomes, "decided_at")
    return sorted(both, key=order)


def between(first: Outcome) -> list[InputRecord]:
    """What the first agent wrote, as the second one reads it."""
    codec = topics.SYNC_BY_ENTITY.codec
    return [
        InputRecord(key, value, codec.decode(value or b"")["published_at"], offset)
        for offset, (key, value) in enumerate(first.topic("sync.by-entity"))
    ]


def said(outcome: Outcome, topic: Topic) -> list[Said]:
    return [topic.codec.decode(value or b"") for _, value in outcome.topic(topic.name)]


def scored(
    events: Sequence[Said],
    outcomes: Sequence[Said] = (),
    control: Control | None = None,
    tick: float | None = None,
    cuts: Callable[[], int] = lambda: 2000,
) -> tuple[Outcome, Outcome]:
    until = None if tick is None else NOON + round(tick * HOUR)
    first = run(SYNC_USERS, source(events, outcomes), tick=until, cuts=cuts)
    return first, run(SYNC, between(first), control=control, cuts=cuts)


def features(each: Said) -> dict[str, float]:
    return dict(zip([feature.name for feature in FEATURES], each["features"], strict=True))


def errors(outcome: Outcome) -> list[str]:
    return [each["error_class"] for each in said(outcome, topics.DEAD_LETTERS)]


@pytest.fixture(scope="module")
def world() -> tuple[list[Said], list[Said]]:
    days = list(Simulation(Scenario(tenants=2, users=18, days=2, seed=7)).days())
    return [each for day in days for each in day.events], [each for day in days for each in day.outcomes]


def test_every_sync_is_scored_and_logged_once(world: tuple[list[Said], list[Said]]) -> None:
    events, outcomes = world
    _, last = scored(events, outcomes)
    made = said(last, topics.PREDICTIONS_CONFLICT)
    names = [(each["tenant_id"], each["event_id"]) for each in made]
    assert len(set(names)) == len(names)
    assert set(names) == {(each["tenant_id"], each["event_id"]) for each in events}
    table = np.array([each["features"] for each in made])
    assert [each["probability"] for each in made] == heuristic.probabilities(table).tolist()
    assert {each["model_version"] for each in made} == {"heuristic_v1"}
    assert {each["slot"] for each in made} == {"champion"}


def test_of_every_record_there_is_a_prediction_a_repeat_or_a_dead_letter(world: tuple[list[Said], list[Said]]) -> None:
    topic, chance = topics.EVENTS_SYNC, Random(11)
    wrong: dict[str, Callable[[InputRecord, Said], InputRecord]] = {
        "ConflictingEvent": lambda record, each: remade(record, each | {"fields_changed": ["another"]}),
        "DecodeError": lambda record, each: record._replace(value=(record.value or b"")[:-1]),
        "EmptyValue": lambda record, each: record._replace(value=None),
        "EventFromTheFuture": lambda record, each: record._replace(timestamp=record.timestamp - HOUR),
        "EventTooOld": lambda record, each: record._replace(timestamp=record.timestamp + 31 * DAY),
        "InvalidEvent": lambda record, each: remade(record, each | {"event_id": ""}),
        "KeyMismatch": lambda record, each: record._replace(key=b"acme|nobody"),
    }
    meant: Counter[str] = Counter()
    given: list[InputRecord] = []
    for record, each in zip(log(topic, world[0], "occurred_at"), world[0], strict=True):
        given.append(record)
        what = chance.choice(["good", "good", "repeat", *wrong])
        meant["good"] += 1
        if what != "good":
            meant[what] += 1
            given.append(record if what == "repeat" else wrong[what](record, each))
    given = [record._replace(offset=offset) for offset, record in enumerate(given)]
    first = run(SYNC_USERS, given)
    made = said(run(SYNC, between(first)), topics.PREDICTIONS_CONFLICT)
    assert Counter(errors(first)) == Counter({name: meant[name] for name in wrong})
    assert min(meant.values()) > 10
    assert Counter((each["tenant_id"], each["event_id"]) for each in made) == Counter(
        (each["tenant_id"], each["event_id"]) for each in world[0]
    )
    assert len(given) == len(made) + meant["repeat"] + len(errors(first))


def remade(record: InputRecord, event: Said) -> InputRecord:
    return record._replace(value=topics.EVENTS_SYNC.codec.encode(event))


def test_no_cut_changes_a_byte(world: tuple[list[Said], list[Said]]) -> None:
    events, outcomes = world[0][:300], [each for each in world[1] if each["decided_at"] <= world[0][300]["occurred_at"]]
    whole = scored(events, outcomes, tick=0)
    chance = Random(5)
    for cuts in (lambda: 1, lambda: chance.randint(1, 40)):
        for one, other in zip(whole, scored(events, outcomes, tick=0, cuts=cuts), strict=True):
            assert one.outputs == other.outputs
            assert one.state == other.state


def test_state_stays_small(world: tuple[list[Said], list[Said]]) -> None:
    events, outcomes = world
    found = scored(events, outcomes, cuts=lambda: 1)
    assert sum(outcome.written for outcome in found) / len(events) < 1500, "bytes to the changelogs for a sync"
    for outcome in found:
        assert max(len(value) for value in outcome.state.values()) < 1000


def test_a_repeat_is_dropped_and_a_stolen_id_refused() -> None:
    first, last = scored([event(0), event(0), event(0, fields_changed=["notes"]), event(1, 2)])
    assert errors(first) == ["ConflictingEvent"]
    assert [each["event_id"] for each in said(last, topics.PREDICTIONS_CONFLICT)] == ["e-1", "e-2"]
    later, _ = scored([event(0), event(7 * 24 + 1, occurred_at=NOON + 7 * DAY + HOUR)])
    assert errors(later) == []


@pytest.mark.parametrize(
    ("wrong", "said_"),
    [
        ({"entity_id": "a|b"}, "entity_id must be"),
        ({"fields_changed": ["x"] * 65}, "fields_changed must be at most 64"),
        ({"fields_changed": [""]}, "fields_changed: each"),
        ({"device_id": ""}, "device_id must be"),
        ({"tenant_id": "ACME"}, "tenant_id must match"),
    ],
)
def test_what_is_no_sync_is_a_dead_letter(wrong: Said, said_: str) -> None:
    first, _ = scored([event(0, **wrong)])
    (letter,) = said(first, topics.DEAD_LETTERS)
    assert letter["error_class"] == "InvalidEvent"
    assert letter["message"].startswith(said_)


def test_what_is_no_outcome_is_a_dead_letter() -> None:
    first, _ = scored([event(0)], [outcome(1, 1, True, resolution="x" * 2001), outcome(1, 1, True, outcome_id="a|b")])
    assert errors(first) == ["InvalidOutcome", "InvalidOutcome"]


@pytest.mark.parametrize(
    ("outcomes", "rate"),
    [
        ([], 0.1),
        ([outcome(1, 1, True)], 2 / 11),
        ([outcome(1, 1, False)], 1 / 11),
        ([outcome(3, 1, True)], 0.1),  # not known yet
        ([outcome(1, 1, True), outcome(1.5, 1, True)], 2 / 11),
        ([outcome(1, 1, True), outcome(1.5, 1, False)], 1 / 11),
        ([outcome(1.5, 1, False), outcome(1, 1, True)], 1 / 11),
        ([outcome(-1, 1, True)], 2 / 11),  # before its sync
        ([outcome(1, 9, True)], 0.1),  # of a sync that never came
        ([outcome(1.9, 2, True)], 0.1),  # of the very sync that is measured
    ],
)
def test_the_rate_is_of_what_was_known(outcomes: list[Said], rate: float) -> None:
    _, last = scored([event(0), event(2, 2)], outcomes)
    second = said(last, topics.PREDICTIONS_CONFLICT)[1]
    assert features(second)["user_conflict_rate"] == pytest.approx(rate)


def test_no_word_for_a_day_counts_as_no_conflict_until_there_is_one() -> None:
    events = [event(0), event(23.9, 2), event(24.1, 3), event(30, 4)]
    _, last = scored(events, [outcome(26, 1, True)])
    rates = [features(each)["user_conflict_rate"] for each in said(last, topics.PREDICTIONS_CONFLICT)]
    assert rates == pytest.approx([0.1, 0.1, 1 / 11, 2 / 11])


@pytest.mark.parametrize(
    ("earlier", "told", "hours"),
    [
        (None, None, 168),
        (-5, None, 5),
        (-5, -2, 2),
        (-5, -9, 5),
        (None, -9, 9),
        (None, 3, 0),  # a clock that is ahead
        (-169, None, 168),
    ],
)
def test_since_when_the_user_had_the_entity(earlier: float | None, told: float | None, hours: float) -> None:
    before = [] if earlier is None else [event(earlier, 1)]
    told_at = None if told is None else NOON + round(told * HOUR)
    first, last = scored([*before, event(0, 2, last_synced_at=told_at)])
    base = said(first, topics.SYNC_BY_ENTITY)[-1]["base_at"]
    assert base == (None if hours == 168 else NOON - hours * HOUR)
    assert features(said(last, topics.PREDICTIONS_CONFLICT)[-1])["hours_since_last_sync"] == pytest.approx(hours)


def test_others_edits_and_what_came_of_them_reach_the_entity() -> None:
    events = [
        event(0, 1, "ana", fields_changed=["status", "due"]),
        event(1, 2, "ben", fields_changed=["due"]),
        event(2, 3, "cyd", entity_id="j-2"),
        event(3, 4, "ana", fields_changed=["due", "notes"]),
    ]
    _, last = scored(events, [outcome(1.5, 2, True, "ben")])
    found = features(said(last, topics.PREDICTIONS_CONFLICT)[-1])
    assert found["concurrent_editors"] == found["syncs_behind"] == found["shared_fields"] == 1
    assert found["field_overlap_score"] == pytest.approx(1 / 2)
    assert found["hours_since_foreign_edit"] == pytest.approx(2)
    assert found["entity_conflict_rate"] == pytest.approx(2 / 11)


def crowd(number: int) -> list[Said]:
    """Three users on one entity, the last one long without it: CRITICAL by the rule."""
    common = {"entity_id": f"j-{number}", "fields_changed": ["status", "due"]}
    users = [event(each / 10, 10 * number + each, f"u-{number}-{each}", **common) for each in range(1, 4)]
    return [*users, event(0.5, 10 * number, f"u-{number}", **common)]


def risky(control: Control | None = None) -> list[Said]:
    events = sorted([each for number in range(60) for each in crowd(number)], key=lambda one: one["occurred_at"])
    _, last = scored(events, control=control)
    found = [each for each in said(last, topics.PREDICTIONS_CONFLICT) if each["risk_level"] in ("HIGH", "CRITICAL")]
    assert len(found) >= 60
    return found


def test_who_is_at_risk_is_told_what_to_do_but_for_a_few() -> None:
    found = risky()
    for each in found:
        assert each["decision"] == "clear"
        assert each["held_out"] == held_out("acme", each["event_id"])
        assert (each["advice"] is None) == each["held_out"]
    assert 0 < sum(each["held_out"] for each in found) < 20
    advice = next(each["advice"] for each in found if each["advice"] and each["features"][PLACE["shared_fields"]] == 2)
    assert advice.startswith("entity edited by another user ")
    assert advice.endswith("2 shared fields: sync before editing")


def test_a_tenant_that_only_observes_tells_nobody() -> None:
    found = risky(view(judged([command(-60 * 24)])))
    assert {each["advice"] for each in found} == {None}


# ---- trained models ----------------------------------------------------------------------------------------------

OWN, GLOBAL, SHADOW = "v20260401_060000", "v20260401_070000", "v20260401_080000"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shelf, Registry]]:
    """A model of northgate's own, one for all, and a boosted one."""
    chance = np.random.default_rng(3)
    table = chance.random((1000, len(FEATURES))) * 3
    labels = np.where(table[:, 4] + table[:, 5] + chance.normal(size=1000) > 4.5, YES, NO).astype(np.int8)
    signer = Signer.generate("tests")
    registry = Registry(str(tmp_path_factory.mktemp("models")), Trust((signer.public,), "tests"))
    times = np.arange(1000) * HOUR
    for owner, version, feature_set, kind in (
        ("northgate", OWN, "conflict_v2", "logistic"),
        (EVERYONE, GLOBAL, "conflict_v1", "logistic"),
        (EVERYONE, SHADOW, "conflict_v2", "boosted"),
    ):
        result = learn(times, table, labels, weights(labels), feature_set, kind)
        registry.publish(result.manifest(owner, version, {}), artifact.pack(result.scorer), signer)
    found = Shelf(registry, {NAME: unpack}, most_bytes=10**9)
    yield found, registry
    found.close()


def active(number: int, tenant: str, owner: str, version: str, slot: str = "champion") -> Said:
    value = json.dumps(value_of(Place(NAME, owner), version))
    return command(number, value, name=Post(NAME, slot=slot).setting, tenant_id=tenant, requested_at=NOON - 1000 * DAY)


def test_a_tenants_own_model_goes_before_the_one_for_all(
    world: tuple[list[Said], list[Said]], shelf: tuple[Shelf, Registry]
) -> None:
    models, registry = shelf
    asked = [active(0, "northgate", "northgate", OWN), active(1, EVERYONE, EVERYONE, GLOBAL)]
    asked.append(active(2, EVERYONE, EVERYONE, SHADOW, SHADOWS.post.slot))
    control = view(judged(asked))
    asyncio.run(models.prepare(control))
    first = run(SYNC_USERS, source(*world))
    agent = sync.agent(models)
    last = run(agent, between(first), control=control)
    made = said(last, topics.PREDICTIONS_CONFLICT)
    versions = {(each["tenant_id"] == "northgate", each["slot"], each["model_version"]) for each in made}
    slot = SHADOWS.post.slot
    assert versions == {
        (True, "champion", OWN),
        (False, "champion", GLOBAL),
        (True, slot, SHADOW),
        (False, slot, SHADOW),
    }
    for version, owner in ((OWN, "northgate"), (GLOBAL, EVERYONE), (SHADOW, EVERYONE)):
        mine = [each for each in made if each["model_version"] == version]
        model: ConflictModel = unpack(registry.load(Place(NAME, owner), version))
        wanted = model.score(np.array([each["features"] for each in mine]))
        assert [each["probability"] for each in mine] == wanted.probability.tolist()
        assert wanted.interval is not None
        assert [each["interval_low"] for each in mine] == wanted.interval[0].tolist()
        critical = [each["contributions"] for each in mine if each["risk_level"] == "CRITICAL"]
        assert all(set(each) == {*model.features, "base"} for each in critical)
    assert {each["advice"] for each in made if each["slot"] == slot} == {None}
    assert not any(each["held_out"] for each in made if each["slot"] == slot)
    again = run(agent, between(first), control=control, cuts=lambda: 3)
    assert again.outputs == last.outputs


# ---- what came of it ---------------------------------------------------------------------------------------------


def labels(said_: Sequence[tuple[float, int | None, bool | None]], tick: float = 100, cuts: int = 2000) -> list[Any]:
    """The labels of the prediction of sync e-1, which is published at noon, by what comes.

    Args:
        said_: hours after noon at which an outcome is published and at which it was decided, and what it says; None for
            the prediction itself.
    """
    _, last = scored([event(0)])
    (prediction,) = said(last, topics.PREDICTIONS_CONFLICT)
    records = []
    for offset, (hours, decided, conflict) in enumerate(said_):
        topic = topics.PREDICTIONS_CONFLICT if conflict is None else topics.OUTCOMES_SYNC
        record = prediction if conflict is None else outcome(decided or 0, 1, conflict)
        time = NOON + round(hours * HOUR)
        records.append(InputRecord(topic.key_of(record), topic.codec.encode(record), time, offset, (), topic.name))
    until = NOON + round(tick * HOUR)
    found = run(SYNC_OUTCOMES, sorted(records, key=order), tick=until, cuts=lambda: cuts)
    made = said(found, topics.LABELLED_CONFLICT)
    return [(each["label"], each["source"], (each["label_version"] - NOON) / HOUR) for each in made]


MADE = (0.0, None, None)
PRESUMED = (False, "timeout", -NOON / HOUR)
JOINS: dict[str, tuple[list[tuple[float, int | None, bool | None]], list[Any]]] = {
    "missing": ([MADE], [PRESUMED]),
    "in time": ([MADE, (2, 2, True)], [(True, "sync_result", 2)]),
    "early": ([(-1, -1, True), MADE], [(True, "sync_result", -1)]),
    "late": ([MADE, (30, 30, True)], [PRESUMED, (True, "sync_result", 30)]),
    # The clock goes by what happened when: nothing shows yet that a day has passed.
    "published late": ([MADE, (30, 2, True)], [(True, "sync_result", 2)]),
    "twice": ([MADE, (2, 2, True), (3, 2, True)], [(True, "sync_result", 2)]),
    "reversed": ([MADE, (2, 2, False), (5, 5, True)], [(False, "sync_result", 2), (True, "sync_result", 5)]),
    "reversed after a day": (
        [MADE, (2, 2, False), (40, 40, True)],
        [(False, "sync_result", 2), (True, "sync_result", 40)],
    ),
    "the older one last": ([MADE, (5, 5, True), (6, 2, False)], [(True, "sync_result", 5)]),
    "two early ones": ([(-2, -2, True), (-1, -1, False), MADE], [(False, "sync_result", -1)]),
    "two early ones, the older one last": ([(-2, -2, False), (-1, -3, True), MADE], [(False, "sync_result", -2)]),
    "early and reversed": (
        [(-1, -1, True), MADE, (3, 3, False)],
        [(True, "sync_result", -1), (False, "sync_result", 3)],
    ),
    "early and again": ([(-1, -1, True), MADE, (3, -1, True)], [(True, "sync_result", -1)]),
    "late, as presumed": ([MADE, (30, 30, False)], [PRESUMED, (False, "sync_result", 30)]),
    "late and again": ([MADE, (30, 30, True), (31, 30, True)], [PRESUMED, (True, "sync_result", 30)]),
    "late and reversed": (
        [MADE, (30, 30, True), (40, 40, False)],
        [PRESUMED, (True, "sync_result", 30), (False, "sync_result", 40)],
    ),
    "after the horizon": ([MADE, (49, 49, True)], [PRESUMED]),
}


@pytest.mark.parametrize("name", JOINS)
def test_labels_by_what_comes(name: str) -> None:
    records, expected = JOINS[name]
    for cuts in (1, 2, 2000):
        assert labels(records, cuts=cuts) == expected
