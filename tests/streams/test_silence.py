"""Hosts that fall silent: noticed by the partition's clock, once, and cleared by the next sample."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from streams.alerts import ALERTS, fault
from streams.metrics import METRICS
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from streams.silence import GAPS, HASTE_MS, KIND, LEAST_MS, MOST_MS, STEP_MS, limit_ms
from tests.streams.test_metrics import MINUTE, NOON, SECOND, candidates, records, sample

HOUR = 60 * MINUTE
OTHER = {"host": "db-1"}


def sent(*times: int, **fields: Any) -> list[dict[str, Any]]:
    """Samples of a host at these times after NOON, milliseconds."""
    host = fields.get("host", "web-1")
    return [sample(0, at, cpu_percent=10.0, event_id=f"{host}-{at}", **fields) for at in times]


def every(gap: int, until: int, start: int = 0, **fields: Any) -> list[dict[str, Any]]:
    return sent(*range(start, until, gap), **fields)


def play(*samples: Iterable[dict[str, Any]], tick: int | None = None) -> Outcome:
    together = sorted((each for one in samples for each in one), key=lambda each: each["occurred_at"])
    return run(METRICS, records(together), tick=None if tick is None else NOON + tick)


def silent(outcome: Outcome) -> list[tuple[str, str, float]]:
    """Host, phase and minutes after NOON of every candidate about silence."""
    told = [each for each in candidates(outcome) if each["kind"] == KIND]
    assert [fault(each) for each in told] == [None] * len(told)
    return [(each["subject"], each["phase"], (each["event_time"] - NOON) / MINUTE) for each in told]


def test_a_host_that_stops_is_noticed_by_the_others_records() -> None:
    outcome = play(every(MINUTE, 30 * MINUTE), every(MINUTE, HOUR, **OTHER))
    assert silent(outcome) == [("web-1", "firing", 39)]
    (told,) = [each for each in candidates(outcome) if each["kind"] == KIND]
    assert told["summary"] == "web-1 has sent nothing since 2026-09-21 14:43:00 UTC: a sample every 60 s is usual"
    assert told["evidence"] == {"usual_gap_s": 60.0, "silent_after_s": 600.0}


@pytest.mark.parametrize(("tick", "expected"), [(LEAST_MS - 1, []), (LEAST_MS, [("web-1", "firing", 10)])])
def test_where_nobody_sends_time_alone_tells(tick: int, expected: list[object]) -> None:
    assert silent(play(sent(0), tick=tick)) == expected


def test_the_next_sample_clears_it() -> None:
    outcome = play(every(MINUTE, 30 * MINUTE), every(MINUTE, HOUR, 50 * MINUTE), every(MINUTE, 2 * HOUR, **OTHER))
    assert silent(outcome) == [
        ("web-1", "firing", 39), ("web-1", "clear", 50), ("web-1", "firing", 59 + outcome_gap()),
    ]  # fmt: skip


def outcome_gap() -> float:
    """Minutes after which the host counts as silent the second time: one long gap was learnt in part."""
    usual = 2 * MINUTE  # twice the usual minute
    for _ in range(9):  # and it fades while the host keeps its pace
        usual = max(MINUTE, int(0.9 * usual))
    return limit_ms(usual) / MINUTE


def test_a_slow_host_is_given_its_time() -> None:
    outcome = play(every(4 * MINUTE, 4 * HOUR), every(MINUTE, 5 * HOUR, **OTHER))
    assert silent(outcome) == [("web-1", "firing", 236 + 20)]


def test_a_host_slower_than_the_least_limit_is_learnt_in_steps() -> None:
    told = silent(play(every(HOUR, 48 * HOUR), every(MINUTE, 48 * HOUR, **OTHER)))
    assert 0 < len([phase for _, phase, _ in told if phase == "firing"]) <= 4
    assert told[-1][1] == "clear"


def test_after_an_outage_those_that_come_back_within_a_minute_are_not_silent() -> None:
    hosts = [every(MINUTE, HOUR, host=f"h{n}") for n in range(5)]
    back = [every(MINUTE, 3 * HOUR, 2 * HOUR + n * 10 * SECOND, host=f"h{n}") for n in range(4)]
    told = silent(play(*hosts, *back))
    assert told == [("h4", "firing", 121)]  # the one that did not come back


def test_the_doubt_ends_after_a_minute() -> None:
    outcome = play(sent(0), sent(0, HOUR, **OTHER), tick=HOUR + HASTE_MS - 1)
    assert silent(outcome) == []
    run(METRICS, (), start=outcome, tick=NOON + HOUR + HASTE_MS)
    assert silent(outcome) == [("web-1", "firing", 61)]


def test_a_silence_of_days_is_told_once() -> None:
    outcome = play(sent(0), every(HOUR, 5 * 24 * HOUR, **OTHER))
    assert [each for each in silent(outcome) if each[0] == "web-1"] == [("web-1", "firing", 61)]
    run(METRICS, [late(sent(6 * 24 * HOUR)[0])], start=outcome)
    assert [each for each in silent(outcome) if each[0] == "web-1"][1:] == [("web-1", "clear", 6 * 24 * 60)]


def late(event: dict[str, Any]) -> InputRecord:
    (record,) = records([event])
    return record


def test_at_one_sample_a_second_the_timer_is_written_twice_a_minute() -> None:
    outcome, written, before = Outcome(), 0, b""
    for record in records(every(SECOND, 5 * MINUTE)):
        outcome = run(METRICS, [record], start=outcome)
        (raw,) = [raw for key, raw in outcome.state.items() if b"~timer" in key]
        written += raw != before
        before = raw
    assert written <= 5 * MINUTE / STEP_MS + 2


def test_it_becomes_one_alert_that_resolves() -> None:
    asked = play(every(MINUTE, 30 * MINUTE), sent(50 * MINUTE), every(MINUTE, HOUR, **OTHER)).topic("alerts.candidates")
    rows = [InputRecord(key, value, NOON + HOUR, offset) for offset, (key, value) in enumerate(asked)]
    told = [topics.ALERTS.codec.decode(value or b"") for _, value in run(ALERTS, rows).topic("alerts")]
    of_host = [(each["state"], each["severity"], each["seq"]) for each in told if each["kind"] == KIND]
    assert of_host == [("open", "HIGH", 1), ("resolved", "HIGH", 2)]


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_limits(gap: int, more: int) -> None:
    assert LEAST_MS <= limit_ms(gap) <= limit_ms(gap + more) <= MOST_MS
    if LEAST_MS <= GAPS * gap <= MOST_MS:
        assert limit_ms(gap) == GAPS * gap
