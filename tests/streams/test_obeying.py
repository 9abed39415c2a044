"""What the metrics agent makes of settings, through the offline driver."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from streams.metrics import METRICS
from streams.runtime import Control
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from tests.streams.control import command, judged, view
from tests.streams.test_metrics import MINUTE, NOON, candidates, letters, nine, predictions, records, sample

BURSTS = (range(150, 160), range(260, 270))


def busy(tenant: str = "acme", count: int = 360) -> list[dict[str, Any]]:
    """Two bursts on a host of a tenant."""
    return [
        sample(n, tenant_id=tenant, **nine(n, busy=0.9 if any(n in burst for burst in BURSTS) else 0.0))
        for n in range(count)
    ]


QUIET = records(busy())


def at(minute: int) -> int:
    return NOON + minute * MINUTE


def says(*asked: dict[str, Any]) -> Control:
    """What control says after these commands, all of them accepted."""
    control = view(judged(asked))
    assert control.offset == len(asked) - 1
    return control


def threshold(number: int, value: float, minute: int, expected: int = 0, **other: Any) -> dict[str, Any]:
    times = {"valid_from": at(minute), "requested_at": at(minute)}
    return command(number, str(value), expected, name="anomaly_threshold", **times, **other)


def observing(number: int, value: str, minute: int, expected: int = 0, **other: Any) -> dict[str, Any]:
    times = {"valid_from": at(minute), "requested_at": at(minute)}
    return command(number, value, expected, **times, **other)


def obeying(control: Control | None, source: Sequence[InputRecord] = QUIET) -> Outcome:
    outcome = run(METRICS, source, control=control)
    assert letters(outcome) == []
    return outcome


DEFAULT = obeying(None)


def opens(outcome: Outcome) -> list[dict[str, Any]]:
    return [each for each in candidates(outcome) if each["phase"] == "firing"]


def scores(outcome: Outcome) -> list[Any]:
    return [each["detail"] for each in predictions(outcome)]


def test_a_threshold_holds_from_its_time_on() -> None:
    outcome = obeying(says(threshold(0, 1.0, 200)))
    assert scores(outcome) == scores(DEFAULT)
    novel = [each for each in opens(outcome) if each["kind"] == "metric_anomaly"]
    before = [each for each in opens(DEFAULT) if each["kind"] == "metric_anomaly"]
    assert [each for each in novel if each["event_time"] < at(200)] == [
        each for each in before if each["event_time"] < at(200)
    ]
    later = [each["score"] for each in before if each["event_time"] >= at(200)]
    assert later, "the second burst must be found without the change"
    assert all(each["score"] >= 1.0 for each in novel if each["event_time"] >= at(200))
    assert len([each for each in novel if each["event_time"] >= at(200)]) < len(later)


def test_a_static_limit_has_a_rule_of_its_own() -> None:
    """Memory is over its limit at once; CPU only after five minutes, however low the threshold."""
    samples = records(sample(n, cpu_percent=97.0, memory_percent=85.0) for n in range(5))
    for value in (0.1, 1.0):
        outcome = obeying(says(threshold(0, value, -5)), samples)
        static = {each["metric"] for each in opens(outcome) if each["kind"] == "metric_static"}
        assert static == {"memory_percent"}


@settings(max_examples=15)
@given(st.sampled_from((0.0, 0.2, 0.5, 0.8, 1.0)), st.sampled_from((0.0, 0.3, 0.7, 1.0)), st.integers(0, 360))
def test_a_record_sees_the_threshold_of_its_own_time(first: float, second: float, minute: int) -> None:
    control = says(threshold(0, first, -10), threshold(1, second, minute, expected=1))
    source = records([each | {"cpu_percent": None, "memory_percent": None} for each in busy(count=200)])
    outcome = obeying(control, source)
    for each in predictions(outcome):
        limit = first if each["event_time"] < at(minute) else second
        assert each["control_offset"] == 1
        if each["probability"] < limit:
            assert (each["risk_level"], each["decision"]) == ("LOW", "clear")
        else:
            assert each["risk_level"] != "LOW" or each["decision"] == "alert"
    for each in opens(outcome):
        assert each["score"] >= (first if each["event_time"] < at(minute) else second)


def test_who_only_observes_opens_nothing_and_scores_all() -> None:
    outcome = obeying(says(observing(0, "true", 200), observing(1, "false", 265, expected=1)))
    said = [each | {"control_offset": -1} for each in predictions(outcome)]
    assert said == predictions(DEFAULT)
    quiet = [
        each
        for each in candidates(DEFAULT)
        if not (each["phase"] == "firing" and at(200) <= each["event_time"] < at(265))
    ]
    assert candidates(outcome) == quiet
    assert len(quiet) < len(candidates(DEFAULT))
    # What goes on when it is lifted is told, within a minute of its firing.
    assert any(at(265) <= each["event_time"] < at(268) for each in opens(outcome))


def test_the_end_of_an_alert_is_told_although_it_is_only_observed() -> None:
    outcome = obeying(says(observing(0, "true", 155)))
    assert opens(outcome)
    assert max(each["event_time"] for each in opens(outcome)) < at(155)
    ended = {each["fingerprint"] for each in candidates(outcome) if each["phase"] == "clear"}
    assert {each["fingerprint"] for each in opens(outcome)} <= ended


def test_a_silent_host_that_is_only_observed_raises_nothing() -> None:
    source = records(sample(n, cpu_percent=10.0) for n in range(20))
    tick = at(29) + 1000
    silent = candidates(run(METRICS, source, tick=tick))
    assert [each["kind"] for each in silent] == ["host_silent"]
    assert candidates(run(METRICS, source, tick=tick, control=says(observing(0, "true", 0)))) == []
    # The deadline counts, not the time at which it was noticed.
    late = says(observing(0, "true", 29) | {"valid_from": at(29) + 1})
    assert candidates(run(METRICS, source, tick=tick, control=late)) == silent


@pytest.mark.parametrize("change", [threshold, observing])
def test_other_tenants_go_on_as_before(change: Any) -> None:
    value = 1.0 if change is threshold else "true"
    mixed = sorted(busy() + busy("other"), key=lambda each: each["occurred_at"])
    outcome = obeying(says(change(0, value, -5)), records(mixed))

    def of(tenant: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [each | {"control_offset": -1} for each in found if each["tenant_id"] == tenant]

    before = run(METRICS, records(mixed))
    for read in (predictions, opens):
        assert of("other", read(outcome)) == of("other", read(before))  # type: ignore[operator]
    assert len(of("acme", [dict(each) for each in opens(outcome)])) < len(of("acme", opens(before)))


ASKED = [
    threshold(0, 0.2, -5),
    observing(1, "true", 155),
    threshold(2, 0.9, 100, expected=1),
    observing(3, "false", 200, expected=1),
]


@settings(max_examples=10)
@given(st.lists(st.integers(1, 90), max_size=6), st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_frames_are_repeated_under_the_control_of_their_marks(sizes: list[int], seen: list[int]) -> None:
    """Frames that saw control at different times: the newest view alone gives all of them again."""
    newest = says(*ASKED)
    bounds = [0]
    for size in [*sizes, len(QUIET)]:
        bounds.append(min(bounds[-1] + size, len(QUIET)))
    offsets = sorted(seen)
    views = [view(judged(ASKED[: offset + 1])) for offset in offsets]
    lived, again = Outcome(), Outcome()
    for number, (begin, end) in enumerate(pairwise(bounds)):
        frame = QUIET[begin:end]
        run(METRICS, frame, start=lived, control=views[number])
        run(METRICS, frame, start=again, control=newest.upto(offsets[number]))
    assert again.outputs == lived.outputs
    assert again.state == lived.state


def test_the_catalogue_has_what_the_agent_reads() -> None:
    for topic, name in (("control.thresholds", "anomaly_threshold"), ("control.flags", "observe_only")):
        assert (topic, name) in METRICS.settings
        assert topic in topics.CATALOGUE
