"""The outcome join: what comes in, and what is said of it, record by record."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.topics import Topic
from streams.fraud_outcomes import FRAUD_OUTCOMES, read
from streams.outcomes import Join
from streams.runtime.frame import InputRecord, order
from streams.runtime.offline import Outcome, run

NOON = 1_790_000_000_000
HOUR = 3_600_000
PREDICTIONS, OUTCOMES = topics.PREDICTIONS_FRAUD, topics.OUTCOMES_ATTENDANCE


def prediction(event: str = "e1", person: str = "p1", tenant: str = "acme", **other: Any) -> dict[str, Any]:
    return (
        {
            "tenant_id": tenant,
            "prediction_id": f"{tenant}-{event}-{other.get('slot', 'champion')}",
            "event_id": event,
            "subject": person,
            "model": "fraud",
            "model_version": "heuristic_v1",
            "calibration_version": "none",
            "feature_set": "fraud_v2",
            "slot": "champion",
            "event_time": NOON,
            "probability": 0.25,
            "risk_level": "LOW",
            "decision": "clear",
            "certified": False,
            "control_offset": -1,
            "features": [1.0, None],
            "held_out": False,
            "detail": {},
            "scored_by": "stream",
        }
        | dict.fromkeys(
            ("interval_low", "interval_high", "interval_width", "label_set_90", "label_set_95", "label_set_99")
        )
        | dict.fromkeys(("calibration_score", "contributions", "advice", "fallback_reason"))
        | other
    )


def outcome(verdict: str, hours: float, event: str = "e1", person: str = "p1", **other: Any) -> dict[str, Any]:
    """A verdict of so many hours after noon."""
    at = NOON + int(hours * HOUR)
    return {
        "tenant_id": "acme",
        "outcome_id": f"o-{verdict}-{at}",
        "event_id": event,
        "person_id": person,
        "verdict": verdict,
        "decided_by": "jane",
        "decided_at": at,
        "reason": None,
    } | other


Said = tuple[float, dict[str, Any]]
"""Hours after noon when a record is published, and the record."""


def records(said: Sequence[Said]) -> list[InputRecord]:
    found = []
    for offset, (hours, record) in enumerate(said):
        topic: Topic = OUTCOMES if "verdict" in record else PREDICTIONS
        time = NOON + int(hours * HOUR)
        found.append(InputRecord(topic.key_of(record), topic.codec.encode(record), time, offset, (), topic.name))
    return sorted(found, key=order)


def joined(said: Sequence[Said], agent: Any = FRAUD_OUTCOMES, **options: Any) -> Outcome:
    return run(agent, records(said), **options)


def labels(result: Outcome) -> list[dict[str, Any]]:
    codec = topics.LABELLED_FRAUD.codec
    return [codec.decode(value or b"") for _, value in result.topic("labelled.fraud")]


def brief(result: Outcome) -> list[tuple[Any, ...]]:
    """Slot, label and hours of the verdict, of each label in order."""
    return [(one["slot"], one["label"], (one["label_version"] - NOON) / HOUR) for one in labels(result)]


def letters(result: Outcome) -> list[str]:
    found = [topics.DEAD_LETTERS.codec.decode(value or b"") for _, value in result.topic("dead-letters")]
    return [one["error_class"] for one in found]


AFTER = prediction("e9", "p9", event_time=NOON + 48 * HOUR)

CASES: Mapping[str, tuple[Sequence[Said], list[tuple[Any, ...]]]] = {
    "none": ([(0, prediction())], []),
    "late": ([(0, prediction()), (5, outcome("fraud", 5))], [("champion", True, 5)]),
    "early": ([(1, outcome("genuine", 1)), (2, prediction())], [("champion", False, 1)]),
    "unsure": ([(0, prediction()), (5, outcome("unsure", 5))], [("champion", None, 5)]),
    "twice the same": (
        [(0, prediction()), (5, outcome("fraud", 5)), (6, outcome("fraud", 5))],
        [("champion", True, 5)],
    ),
    "reversed": (
        [(0, prediction()), (5, outcome("fraud", 5)), (9, outcome("genuine", 9))],
        [("champion", True, 5), ("champion", False, 9)],
    ),
    "the older one last": (
        [(0, prediction()), (9, outcome("genuine", 9)), (10, outcome("fraud", 5))],
        [("champion", False, 9)],
    ),
    "two early ones": (
        [(1, outcome("fraud", 1)), (2, outcome("genuine", 2)), (3, prediction())],
        [("champion", False, 2)],
    ),
    "two slots": (
        [
            (0, prediction()),
            (1, prediction(slot="shadow:x")),
            (2, outcome("fraud", 2)),
            (3, prediction(slot="challenger")),
        ],
        [("champion", True, 2), ("shadow:x", True, 2), ("challenger", True, 2)],
    ),
    "a prediction that is said again": (
        [(0, prediction()), (2, outcome("fraud", 2)), (3, prediction())],
        [("champion", True, 2)],
    ),
    "another event": ([(0, prediction()), (5, outcome("fraud", 5, "e2"))], []),
    "another person": ([(0, prediction()), (5, outcome("fraud", 5, person="p2"))], []),
    "another tenant": ([(0, prediction()), (5, outcome("fraud", 5, tenant_id="other"))], []),
    "scored a month late": (
        [(744, prediction()), (745, outcome("fraud", 745))],
        [("champion", True, 745)],
    ),
    "just in time": ([(0, prediction()), (47.9, outcome("fraud", 47.9))], [("champion", True, 47.9)]),
    # What drives the clock is somebody else's record.
    "too late": (
        [(0, prediction()), (48.1, AFTER), (49, outcome("fraud", 49))],
        [],
    ),
    "of the same moment, the greater id": (
        [(0, prediction()), (5, outcome("fraud", 5, outcome_id="b")), (6, outcome("genuine", 5, outcome_id="a"))],
        [("champion", True, 5)],
    ),
}


def test_months_that_are_backfilled_join_though_their_verdicts_are_read_first() -> None:
    today, days = 24 * 60, range(60)
    verdicts: list[Said] = [(today, outcome("fraud", 24 * day, f"e{day}")) for day in days]
    scores: list[Said] = [(today + 0.1, prediction(f"e{day}", event_time=NOON + 24 * day * HOUR)) for day in days]
    assert OUTCOMES.by_broker  # so `today` is what both carry
    assert sorted(each["event_id"] for each in labels(joined(verdicts + scores))) == sorted(f"e{day}" for day in days)


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_of_what_comes(case: str) -> None:
    said, wanted = CASES[case]
    result = joined(said)
    assert brief(result) == wanted
    assert letters(result) == []


def test_a_label_repeats_its_prediction_and_says_who_judged() -> None:
    made = prediction(probability=0.75, interval_low=0.5, interval_high=0.9, risk_level="HIGH", decision="alert")
    [label] = labels(joined([(0, made), (5, outcome("fraud", 5))]))
    assert label == {name: made[name] for name in label if name in made} | {
        "label": True,
        "source": "supervisor",
        "label_version": NOON + 5 * HOUR,
        "outcome_id": f"o-fraud-{NOON + 5 * HOUR}",
        "decided_by": "jane",
        "decided_at": NOON + 5 * HOUR,
    }


def test_an_outcome_without_an_id_has_the_same_each_time() -> None:
    plain = outcome("fraud", 5, outcome_id=None)
    assert read(plain) == read(dict(plain))
    assert read(plain) != read(plain | {"verdict": "genuine"})
    assert brief(joined([(0, prediction()), (5, plain), (6, plain)])) == [("champion", True, 5)]


def test_a_wrong_outcome_is_a_dead_letter() -> None:
    result = joined([(0, prediction()), (5, outcome("guilty", 5)), (6, outcome("fraud", 6))])
    assert letters(result) == ["InvalidOutcome"]
    assert brief(result) == [("champion", True, 6)]


PRESUMING = Join(
    predictions=PREDICTIONS,
    outcomes=OUTCOMES,
    labelled=topics.LABELLED_FRAUD,
    fault=lambda outcome: None,
    read=read,
    presumed=timedelta(hours=24),
).agent("presuming")


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ([], [(False, "timeout", 0)]),
        ([(30, outcome("fraud", 30))], [(False, "timeout", 0), (True, "supervisor", NOON + 30 * HOUR)]),
        ([(10, outcome("fraud", 10))], [(True, "supervisor", NOON + 10 * HOUR)]),
        # The clock has not passed the day yet: what it is told is of the third hour.
        ([(30, outcome("fraud", 3))], [(True, "supervisor", NOON + 3 * HOUR)]),
    ],
    ids=["no outcome", "after it was presumed", "in time", "an old one late"],
)
def test_without_an_outcome_it_is_presumed(said: list[Said], wanted: list[tuple[Any, ...]]) -> None:
    result = joined([(0, prediction()), *said], PRESUMING, tick=NOON + 60 * HOUR)
    assert [(one["label"], one["source"], one["label_version"]) for one in labels(result)] == wanted
    assert len(result.store.timers) == 0


def test_all_is_forgotten_after_the_horizon() -> None:
    said = [(0, prediction()), (1, prediction("e2")), (2, outcome("fraud", 2)), (3, outcome("fraud", 3, "e3"))]
    result = joined(said, tick=NOON + 48 * HOUR)
    assert len(result.state) == 2  # what came in the last 48 hours
    assert joined(said, tick=NOON + 52 * HOUR).state == {}


def test_presuming_after_the_horizon_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="is forgotten after"):
        Join(PREDICTIONS, OUTCOMES, topics.LABELLED_FRAUD, lambda each: None, read, presumed=timedelta(hours=48))


EVENTS = st.sampled_from(["e1", "e2", "e3"])
HOURS = st.integers(0, 60)
SAID = st.lists(
    st.one_of(
        st.tuples(HOURS, EVENTS, st.sampled_from(["champion", "shadow:x"])).map(
            lambda each: (each[0], prediction(each[1], slot=each[2], event_time=NOON + each[0] * HOUR))
        ),
        st.tuples(HOURS, EVENTS, st.sampled_from(["fraud", "genuine", "unsure"]), st.integers(-20, 0)).map(
            lambda each: (each[0], outcome(each[2], each[0] + each[3], each[1]))
        ),
    ),
    max_size=25,
)


@given(said=SAID, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8), agent=st.sampled_from([0, 1]))
@settings(max_examples=150, deadline=None)
def test_the_newest_verdict_wins_wherever_frames_are_cut(said: list[Said], sizes: list[int], agent: int) -> None:
    which = (FRAUD_OUTCOMES, PRESUMING)[agent]
    whole = joined(said, which)
    pieces = iter(sizes * 30)
    assert joined(said, which, cuts=lambda: next(pieces)).outputs == whole.outputs
    # Of each prediction the labels get newer and newer.
    newest: dict[str, int] = {}
    for one in labels(whole):
        assert one["label_version"] >= newest.get(one["prediction_id"], -1)
        newest[one["prediction_id"]] = one["label_version"]
