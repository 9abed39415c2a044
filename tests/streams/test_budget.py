"""What the alert budget holds back: in the metrics agent, and on its way to the alert agent."""

import random
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.alerts import fault
from streams.metrics import METRICS
from streams.runtime import Control
from streams.runtime.offline import Outcome, run
from tests.streams.control import command, judged, view
from tests.streams.noc import Noc, candidate
from tests.streams.test_metrics import MINUTE, NOON, candidates, play, predictions, records, sample

# Value of three samples, by minute, where 50 is usual; they are told from 0.54 to 0.75.
BURSTS = {200: 59.2, 275: 40.5, 350: 64.9, 425: 34.3, 500: 72.0, 575: 28.9}
CUT = 0.7


def series(tenant: str = "acme", count: int = 600, metric: str = "cpu_percent") -> list[dict[str, Any]]:
    out = []
    for minute in range(count):
        burst = next((at for at in BURSTS if at <= minute < at + 3), None)
        value = 50 + random.Random(minute).gauss(0, 2) if burst is None else BURSTS[burst]
        out.append(sample(minute, tenant_id=tenant, **{metric: value}))
    return out


def at(minute: int) -> int:
    return NOON + minute * MINUTE


def cut(value: float, minute: int = 0, number: int = 0, expected: int = 0, **other: Any) -> dict[str, Any]:
    """A cut of acme's that holds from a minute on."""
    times = {"valid_from": at(minute), "requested_at": at(minute)}
    return command(number, str(value), expected, name="novelty_cut", **times | other)


def says(*asked: dict[str, Any]) -> Control:
    control = view(judged(asked))
    assert control.offset == len(asked) - 1
    return control


SOURCE = records(series())
PLAIN = run(METRICS, SOURCE)
HELD = run(METRICS, SOURCE, control=says(cut(CUT)))


def told(outcome: Outcome, *phases: str) -> list[tuple[int, float]]:
    """Minute and score of what is told in these phases."""
    return [
        ((each["event_time"] - NOON) // MINUTE, each["score"])
        for each in candidates(outcome)
        if each["phase"] in phases
    ]


def episodes(rows: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """What is told of each burst."""
    return [[each for each in rows if burst <= each[0] < burst + 10] for burst in BURSTS]


def test_an_anomaly_opens_when_it_is_rare_enough_and_goes_on_from_there() -> None:
    plain, fired, held = (episodes(told(*what)) for what in ((PLAIN, "firing"), (HELD, "firing"), (HELD, "held_back")))
    expected = []
    for rows in plain:
        opens = next((place for place, (_, score) in enumerate(rows) if score >= CUT), len(rows))
        expected.append((rows[opens:], rows[:opens]))
    assert list(zip(fired, held, strict=True)) == expected
    assert [bool(rows) for rows in fired] == [True, False, True, True, True, False]
    assert [bool(rows) for rows in held] == [True, True, False, True, True, True]


def test_what_is_held_back_says_what_it_lacks_and_how_it_ends() -> None:
    first = next(each for each in candidates(HELD) if each["phase"] == "held_back")
    plain = next(each for each in candidates(PLAIN) if each["phase"] == "firing")
    assert first == plain | {"phase": "held_back", "evidence": plain["evidence"] | {"cut": CUT}} | {
        "candidate_id": first["candidate_id"]
    }
    assert first["candidate_id"] != plain["candidate_id"]
    assert told(HELD, "clear") == told(PLAIN, "clear")


def test_scores_stay_and_the_prediction_says_that_it_was_held_back() -> None:
    names = ("detail", "probability", "risk_level", "features")
    assert [[each[name] for name in names] for each in predictions(HELD)] == [
        [each[name] for name in names] for each in predictions(PLAIN)
    ]
    minutes = {minute for minute, _ in told(HELD, "held_back")}
    for number, (each, plain) in enumerate(zip(predictions(HELD), predictions(PLAIN), strict=True)):
        held = number in minutes
        assert each["decision"] == ("clear" if held else plain["decision"])
        assert each["fallback_reason"] == ("held back by the alert budget: cpu_percent" if held else None)


def test_a_cut_holds_by_the_records_own_time_and_for_its_tenant() -> None:
    mixed = records(sorted(series() + series("globex"), key=lambda each: each["occurred_at"]))
    before = run(METRICS, mixed)
    outcome = run(METRICS, mixed, control=says(cut(1.0, 300), cut(0.0, 450, number=1, expected=1)))

    def of(tenant: str, found: Outcome) -> list[dict[str, Any]]:
        return [each for each in candidates(found) if each["tenant_id"] == tenant]

    assert of("globex", outcome) == of("globex", before)
    held = [each for each in of("acme", outcome) if each["phase"] == "held_back"]
    assert {(each["event_time"] - NOON) // MINUTE // 75 for each in held} == {350 // 75, 425 // 75}
    assert [each for each in of("acme", outcome) if not 300 <= (each["event_time"] - NOON) // MINUTE < 450] == [
        each for each in of("acme", before) if not 300 <= (each["event_time"] - NOON) // MINUTE < 450
    ]


def test_when_the_cut_ends_what_still_fires_opens() -> None:
    samples = [
        sample(n, cpu_percent=50 + random.Random(n).gauss(0, 2) if n < 250 else 64.0 + n % 5) for n in range(258)
    ]
    plain = [minute for minute, _ in told(play(samples), "firing")]
    lifted = told(run(METRICS, records(samples), control=says(cut(1.0, expires_at=at(253)))), "firing")
    assert plain[0] <= 252
    assert [minute for minute, _ in lifted] == [minute for minute in plain if minute >= 253] != []


def test_critical_ones_static_limits_and_silence_are_never_held_back() -> None:
    samples = [
        sample(n, memory_percent=85.0 if 400 <= n < 410 else 40.0, cpu_percent=99.0 if 300 <= n < 320 else 5.0 + n % 3)
        for n in range(420)
    ]
    plain = run(METRICS, records(samples), tick=at(429) + 1000)
    held = run(METRICS, records(samples), tick=at(429) + 1000, control=says(cut(2.0)))
    fired = {(each["kind"], each["severity"]) for each in candidates(held) if each["phase"] == "firing"}
    assert fired >= {("metric_anomaly", "CRITICAL"), ("metric_static", "CRITICAL"), ("host_silent", "HIGH")}
    assert all(each["severity"] != "CRITICAL" for each in candidates(held) if each["phase"] == "held_back")
    for kind in ("metric_static", "host_silent"):
        assert [each for each in candidates(held) if each["kind"] == kind] == [
            each for each in candidates(plain) if each["kind"] == kind
        ]


def test_every_second_the_sample_that_is_rare_enough_opens_at_once() -> None:
    chance = random.Random(3)
    values = [50 + chance.gauss(0, 2) for _ in range(1100)] + [61.0] * 20 + [90.0] * 15
    samples = [sample(n, at_ms=n * 1000, queue_depth=max(0.0, value)) for n, value in enumerate(values)]
    rows = [each for each in predictions(play(samples)) if each["event_time"] >= NOON + 1_100_000]
    scores = [each["detail"]["queue_depth/novelty"] for each in rows]
    first = next(place for place, score in enumerate(scores) if score >= 0.5)
    limit = max(scores)
    opens = next(place for place, score in enumerate(scores) if score >= limit)
    assert first < opens
    outcome = run(METRICS, records(samples), control=says(cut(limit)))
    fired = [each for each in candidates(outcome) if each["phase"] == "firing"]
    assert fired[0]["event_time"] == NOON + 1_100_000 + opens * 1000


def test_who_only_observes_hears_nothing_of_it() -> None:
    outcome = run(METRICS, SOURCE, control=says(cut(CUT), command(1)))
    assert {each["phase"] for each in candidates(outcome)} == {"clear"}


@settings(max_examples=10)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_cuts_into_frames_and_restarts_change_nothing(sizes: list[int]) -> None:
    control, outcome, rest, given_sizes = says(cut(CUT)), Outcome(), iter(SOURCE[150:520]), cycle(sizes)
    whole = run(METRICS, SOURCE[150:520], control=control)
    while piece := list(islice(rest, next(given_sizes))):
        outcome = run(METRICS, piece, start=outcome, control=control)
        outcome.store.live.clear()  # as after a restart: only what was stored is left
    assert outcome.outputs == whole.outputs
    assert outcome.state == whole.state


def test_the_alert_agent_opens_nothing_for_what_is_held_back() -> None:
    noc = Noc(restarts=True)
    assert noc.hears(candidate(0, "held_back")) == []
    assert noc.hears(candidate(5, "clear", samples=0)) == []
    (opened,) = noc.hears(candidate(10))
    assert (opened["reason"], opened["count"]) == ("opened", 1)
    noc.hears(candidate(15, "clear", samples=0))
    # Within the quiet time, too, it is nothing that the quiet time holds back.
    assert noc.hears(candidate(20, "held_back", "HIGH")) == []
    assert noc.hears(candidate(90, "held_back")) == []


def test_what_is_held_back_counts_where_an_alert_is_open() -> None:
    noc = Noc()
    noc.hears(candidate(0))
    (more,) = noc.hears(candidate(3, "held_back", samples=2))
    assert (more["reason"], more["count"]) == ("more", 3)


@pytest.mark.parametrize("samples", [0, -1])
def test_what_is_held_back_has_fired(samples: int) -> None:
    assert "samples must be at least 1" in (fault(candidate(0, "held_back", samples=samples)) or "")
