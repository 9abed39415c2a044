"""The metrics agent, through the offline driver: samples in, predictions and candidates out."""

import math
import random
import re
import uuid
from collections.abc import Iterable
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import metrics
from models.identity import prediction_id
from schemas import topics
from streams.host_state import EXTRA_LIMIT
from streams.metrics import METRICS
from streams.repeats import CAPACITY
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run

NOON = 1_790_000_040_000  # the start of a minute
SECOND, MINUTE = 1000, 60_000


def sample(number: int, at_ms: int | None = None, **fields: Any) -> dict[str, Any]:
    """Sample `number` of web-1, by default one a minute; metrics not given are null."""
    return {
        "tenant_id": "acme",
        "event_id": f"e-{number}",
        "host": "web-1",
        "occurred_at": NOON + (number * MINUTE if at_ms is None else at_ms),
        **dict.fromkeys(metrics.NAMES),
        "extra": {},
    } | fields


def records(samples: Iterable[dict[str, Any]]) -> list[InputRecord]:
    topic = topics.EVENTS_METRICS
    return [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each["occurred_at"], offset)
        for offset, each in enumerate(samples)
    ]


def play(samples: Iterable[dict[str, Any]]) -> Outcome:
    return run(METRICS, records(samples))


def read(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    codec = topics.CATALOGUE[name].codec
    return [codec.decode(value) for _, value in outcome.topic(name) if value is not None]


def predictions(outcome: Outcome) -> list[dict[str, Any]]:
    return read(outcome, "predictions.anomaly")


def candidates(outcome: Outcome) -> list[dict[str, Any]]:
    return read(outcome, "alerts.candidates")


def letters(outcome: Outcome) -> list[dict[str, Any]]:
    return read(outcome, "dead-letters")


def nine(seed: int, busy: float = 0.0) -> dict[str, float]:
    """A quiet host's nine metrics, with some noise; `busy` 0..1 is how hard it works."""
    noise = random.Random(seed).gauss
    return {
        "cpu_percent": min(100.0, max(0.0, 12 + noise(0, 2) + 80 * busy)),
        "memory_percent": 40 + noise(0, 0.5) + 45 * busy,
        "disk_read_bytes_per_s": abs(4e5 + noise(0, 5e4) + 3e8 * busy),
        "disk_write_bytes_per_s": abs(8e5 + noise(0, 1e5) + 3e8 * busy),
        "db_connections": float(round(8 + noise(0, 1))),
        "db_query_ms": abs(3 + noise(0, 0.3) + 50 * busy),
        "queue_depth": float(max(0, round(noise(2, 2)))),
        "request_latency_ms": abs(20 + noise(0, 2) + 400 * busy),
        "error_rate": 0.0,
    }


def test_prediction_says_everything() -> None:
    outcome = play([sample(0, cpu_percent=12.5, error_rate=0.0, extra={"gpu_percent": 3.0})])
    (record,) = predictions(outcome)
    assert record == {
        "tenant_id": "acme",
        "prediction_id": prediction_id("acme", "anomaly", "champion", "e-0"),
        "event_id": "e-0",
        "subject": "web-1",
        "model": "anomaly",
        "model_version": "detectors_v2",
        "calibration_version": "none",
        "feature_set": "metrics-1",
        "slot": "champion",
        "event_time": NOON,
        "probability": max(record["detail"].values()),
        "interval_low": None,
        "interval_high": None,
        "interval_width": None,
        "label_set_90": None,
        "label_set_95": None,
        "label_set_99": None,
        "calibration_score": None,
        "risk_level": "LOW",
        "decision": "clear",
        "certified": False,
        "control_offset": -1,
        "features": [12.5, None, None, None, None, None, None, None, 0.0],
        "contributions": None,
        "detail": record["detail"],
        "advice": None,
        "held_out": False,
        "fallback_reason": None,
        "scored_by": "stream",
    }
    assert set(record["detail"]) == {
        "cpu_percent/novelty",
        "cpu_percent/static",
        "error_rate/novelty",
        "gpu_percent/novelty",
    }
    assert all(0 <= score < 0.5 for score in record["detail"].values())
    assert uuid.UUID(record["prediction_id"]).hex == record["prediction_id"].replace("-", "")


# (change of a good sample, what the dead letter must say)
POISON = {
    "percent above": ({"cpu_percent": 100.5}, "cpu_percent must be 0 to 100, not 100.5"),
    "percent below": ({"memory_percent": -0.1}, "memory_percent must be 0 to 100, not -0.1"),
    "rate above one": ({"error_rate": 1.5}, "error_rate must be 0 to 1, not 1.5"),
    "negative": ({"db_query_ms": -1.0}, "db_query_ms must be finite and 0 or more, not -1.0"),
    "not a number": ({"queue_depth": math.nan}, "queue_depth must be finite and 0 or more, not nan"),
    "percent not a number": ({"cpu_percent": math.nan}, "cpu_percent must be 0 to 100, not nan"),
    "infinite": ({"disk_read_bytes_per_s": math.inf}, "disk_read_bytes_per_s must be finite"),
    "infinite custom": ({"extra": {"a": -math.inf}}, "extra['a'] must be finite, not -inf"),
    "custom not a number": ({"extra": {"a": math.nan}}, "extra['a'] must be finite, not nan"),
    "custom repeats": ({"extra": {"cpu_percent": 1.0}}, "extra must not repeat cpu_percent"),
    "custom without name": ({"extra": {"": 1.0}}, "a name in extra must be 1 to 64 bytes"),
    "custom long name": ({"extra": {"m" * 65: 1.0}}, "a name in extra must be 1 to 64 bytes"),
    "tenant": ({"tenant_id": "Acme Ltd"}, "tenant_id must match"),
    "no host": ({"host": ""}, "host must be 1 to 200 bytes"),
    "blank host": ({"host": "  "}, "host must be 1 to 200 bytes"),
    "host with separator": ({"host": "a|b"}, "host must be 1 to 200 bytes of printable text without |"),
    "host with control": ({"host": "a\nb"}, "host must be 1 to 200 bytes of printable text"),
    "long host": ({"host": "é" * 101}, "host must be 1 to 200 bytes"),
    "no id": ({"event_id": ""}, "event_id must be 1 to 128 bytes"),
}


@pytest.mark.parametrize(("change", "message"), POISON.values(), ids=POISON.keys())
def test_a_poisonous_sample_is_a_dead_letter_that_names_the_field(change: dict[str, Any], message: str) -> None:
    outcome = play([sample(0, cpu_percent=10.0), sample(1, cpu_percent=10.0) | change, sample(2, cpu_percent=10.0)])
    (letter,) = letters(outcome)
    assert letter["error_class"] == "InvalidEvent"
    assert letter["source_offset"] == 1
    assert message in letter["message"]
    assert [each["event_id"] for each in predictions(outcome)] == ["e-0", "e-2"]


@pytest.mark.parametrize("name", metrics.NAMES)
def test_bounds_are_good_values(name: str) -> None:
    high = min(metrics.BY_NAME[name].high, 1e300)
    outcome = play([sample(0) | {name: 0.0}, sample(1) | {name: high}])
    assert not letters(outcome)


def test_a_repeat_is_dropped_and_other_content_is_a_dead_letter() -> None:
    first = sample(0, cpu_percent=10.0, extra={"a": 1.0, "b": 2.0})
    swapped = first | {"extra": {"b": 2.0, "a": 1.0}}
    outcome = play([first, first, swapped, first | {"cpu_percent": 11.0}, first | {"occurred_at": NOON + 1}])
    assert [each["event_id"] for each in predictions(outcome)] == ["e-0"]
    assert [letter["error_class"] for letter in letters(outcome)] == ["ConflictingEvent"] * 2
    assert "event_id 'e-0' came before with other content" in letters(outcome)[0]["message"]


def test_the_same_id_of_another_host_or_tenant_is_another_event() -> None:
    outcome = play([sample(0), sample(0, host="web-2"), sample(0, tenant_id="umbrella")])
    assert len(predictions(outcome)) == 3
    assert not letters(outcome)


def test_ids_are_remembered_for_1024_samples() -> None:
    history = [sample(n) for n in range(CAPACITY + 1)]
    outcome = run(METRICS, records([*history, history[1], history[-1]]))
    assert len(predictions(outcome)) == CAPACITY + 1
    outcome.store.live.clear()
    # The oldest one's place was taken: it is a late sample now, and takes the place of the second one.
    outcome = run(METRICS, records([history[0], history[2]]), start=outcome)
    assert [each["event_id"] for each in predictions(outcome)[CAPACITY + 1 :]] == ["e-0"]


def test_a_late_sample_is_logged_but_not_scored() -> None:
    history = [sample(n, **nine(n)) for n in range(40)]
    strange = sample(99, at_ms=5 * MINUTE + 1, cpu_percent=99.0, memory_percent=99.0)
    plain = play([*history, sample(40, **nine(40))])
    with_late = play([*history, strange, sample(40, **nine(40))])
    said = predictions(with_late)
    late = said.pop(40)
    assert said == predictions(plain)
    assert candidates(with_late) == candidates(plain)
    assert (late["event_id"], late["detail"], late["probability"], late["decision"]) == ("e-99", {}, 0.0, "clear")
    assert late["features"][:2] == [99.0, 99.0]
    assert late["fallback_reason"] == f"late: {34 * MINUTE - 1} ms older than the newest sample of its host"


def test_custom_metrics_are_scored_up_to_the_limit_and_never_dropped_silently() -> None:
    names = [f"m{n:02}" for n in range(EXTRA_LIMIT + 2)]
    outcome = play([sample(n, extra=dict.fromkeys(names, 1.0)) for n in range(2)])
    outcome.store.live.clear()
    outcome = run(METRICS, records([sample(2, extra=dict.fromkeys(names, 1.0))]), start=outcome)
    for record in predictions(outcome):
        assert sorted(record["detail"]) == [f"{name}/novelty" for name in names[:EXTRA_LIMIT]]
        assert record["fallback_reason"] == ("custom metrics past the limit of 32 per host were not scored: m32, m33")


def memory(pattern: str, seconds: int = 60) -> list[dict[str, Any]]:
    """Samples of memory_percent: '#' over the limit, '.' under it, ' ' not measured, '-' no sample."""
    levels = {"#": 90.0, ".": 40.0, " ": None}
    return [
        sample(n, at_ms=n * seconds * SECOND, memory_percent=levels[mark])
        for n, mark in enumerate(pattern)
        if mark != "-"
    ]


def static(outcome: Outcome) -> list[tuple[Any, ...]]:
    """(minute, phase, samples) of the static limit's candidates."""
    return [
        ((each["event_time"] - NOON) / MINUTE, each["phase"], each["samples"])
        for each in candidates(outcome)
        if each["kind"] == "metric_static"
    ]


# pattern, seconds between samples, (minute, phase, samples since the last candidate)
RUNS = {
    "one sample": ("#", 60, [(0, "firing", 1)]),
    "each minute": ("###", 60, [(0, "firing", 1), (1, "firing", 1), (2, "firing", 1)]),
    "five clean samples end it": ("#.....", 60, [(0, "firing", 1), (5, "clear", 0)]),
    "four do not": ("#....", 60, [(0, "firing", 1)]),
    "clean ones must be in a row": ("#....#....", 60, [(0, "firing", 1), (5, "firing", 1)]),
    "not measured is not clean": ("#..    ..", 60, [(0, "firing", 1)]),
    "nor does it break the row": ("#..    ...", 60, [(0, "firing", 1), (9, "clear", 0)]),
    "no sample is not clean": ("#-----------", 60, [(0, "firing", 1)]),
    "a new run after the end": ("#.....#", 60, [(0, "firing", 1), (5, "clear", 0), (6, "firing", 1)]),
    "every 30 s: four minutes at least": ("#" + "." * 9, 30, [(0, "firing", 1), (4, "clear", 0)]),
    "every 5 min: five samples": ("#" + "." * 5, 300, [(0, "firing", 1), (25, "clear", 0)]),
    "every second: one a minute, the count of those between": (
        "#" * 121,
        1,
        [(0, "firing", 1), (1, "firing", 60), (2, "firing", 60)],
    ),
    "every second: the end tells the rest": (
        "#" * 70 + "." * 240,
        1,
        [(0, "firing", 1), (1, "firing", 60), (309 / 60, "clear", 9)],
    ),
    "every second: five clean seconds are no recovery": ("#" + "." * 200, 1, [(0, "firing", 1)]),
}


@pytest.mark.parametrize(("pattern", "seconds", "expected"), RUNS.values(), ids=RUNS.keys())
def test_runs(pattern: str, seconds: int, expected: list[tuple[Any, ...]]) -> None:
    assert static(play(memory(pattern, seconds))) == expected


def test_static_candidates_say_everything() -> None:
    outcome = play(memory("#....."))
    opening, end = (each for each in candidates(outcome) if each["kind"] == "metric_static")
    assert opening == {
        "tenant_id": "acme",
        "candidate_id": opening["candidate_id"],
        "kind": "metric_static",
        "subject": "web-1",
        "metric": "memory_percent",
        "direction": "up",
        "fingerprint": "acme|metric_static|web-1|memory_percent|up",
        "phase": "firing",
        "severity": "WARNING",
        "event_id": "e-0",
        "event_time": NOON,
        "samples": 1,
        "score": opening["score"],
        "value": 90.0,
        "expected": None,
        "limit": 80.0,
        "summary": "memory_percent 90 % on web-1: over the limit of 80 %",
        "evidence": opening["evidence"],
    }
    assert opening["score"] >= 0.5
    assert (end["phase"], end["event_id"], end["severity"]) == ("clear", "e-5", "WARNING")
    assert end["candidate_id"] != opening["candidate_id"]
    first = predictions(outcome)[0]
    assert (first["decision"], first["risk_level"]) == ("alert", "MEDIUM")


def test_cpu_over_the_limit_for_five_minutes_is_critical() -> None:
    outcome = play([sample(n, cpu_percent=97.0) for n in range(8)])
    found = [each for each in candidates(outcome) if each["kind"] == "metric_static"]
    assert {(each["metric"], each["severity"], each["limit"]) for each in found} == {("cpu_percent", "CRITICAL", 95.0)}
    assert (found[0]["event_time"] - NOON) / MINUTE == 5
    assert predictions(outcome)[-1]["risk_level"] == "CRITICAL"


def burst(seconds: int = 1, length: int = 1200, at: int = 1100, busy: int = 30) -> list[dict[str, Any]]:
    """A quiet host, and `busy` samples of hard work from sample `at` on."""
    return [
        sample(n, at_ms=n * seconds * SECOND, **nine(n, busy=1.0 if at <= n < at + busy else 0.0))
        for n in range(length)
    ]


# seconds between samples, samples that it may take until the jump is told
PACES = [(1, 4), (10, 2), (60, 1)]


@pytest.mark.parametrize(("seconds", "samples"), PACES)
def test_a_burst_of_work_is_told_soon_and_its_end_once(seconds: int, samples: int) -> None:
    start = 1100 * seconds * SECOND
    outcome = play(burst(seconds, length=1130 + max(20, 300 // seconds)))
    found = [each for each in candidates(outcome) if each["kind"] == "metric_anomaly"]
    early = [each for each in found if each["event_time"] < NOON + start]
    assert len(early) <= 2
    assert {each["severity"] for each in early} <= {"INFO", "WARNING"}
    found = found[len(early) :]
    lives: dict[str, list[str]] = {}
    for each in found:
        lives.setdefault(each["fingerprint"], []).append(each["phase"])
    busy = ("cpu_percent", "memory_percent", "disk_read_bytes_per_s", "disk_write_bytes_per_s", "db_query_ms")
    assert set(lives) == {f"acme|metric_anomaly|web-1|{name}|up" for name in (*busy, "request_latency_ms")}
    for phases in lives.values():
        # The end is told although the detector is still excited, and nothing opens again because of that.
        assert phases == ["firing"] * (len(phases) - 1) + ["clear"]
    cpu = [each for each in found if each["metric"] == "cpu_percent"]
    assert cpu[0]["event_time"] < NOON + start + samples * seconds * SECOND
    assert cpu[0]["severity"] == "CRITICAL"
    assert re.fullmatch(r"cpu_percent [\d.]+ % on web-1: usual [\d.]+-[\d.]+ % at this hour", cpu[0]["summary"])
    assert cpu[0]["value"] > 85
    assert 5 < cpu[0]["expected"] < 20
    # Every sample until the value was usual again has been counted.
    assert abs(sum(each["samples"] for each in cpu) - 30) <= samples
    decisions = [each["decision"] for each in predictions(outcome)]
    assert decisions[:1100].count("alert") <= 2
    assert decisions[1100 + samples] == "alert"
    assert decisions[-1] == "clear"


def test_a_second_burst_within_the_echo_of_the_first_is_told() -> None:
    quiet, first, second = 1100, range(1100, 1110), range(1130, 1140)
    history = [sample(n, **nine(n, 1.0 if n in first or n in second else 0.0)) for n in range(1150)]
    found = [
        ((each["event_time"] - NOON) // MINUTE - quiet, each["phase"])
        for each in candidates(play(history))
        if each["kind"] == "metric_anomaly" and each["metric"] == "disk_write_bytes_per_s"
        if each["event_time"] >= NOON + quiet * MINUTE
    ]
    assert found == [
        *((minute, "firing") for minute in range(10)),
        (14, "clear"),
        *((minute, "firing") for minute in range(30, 40)),
        (44, "clear"),
    ]


WEEK = 8 * 288

# cpu_percent from the ninth day on, where 20 is usual; (sample, phase) of what is told
KNOWN = {
    "one sample is over at once": ([95.0], []),
    "two in a row": ([95.0, 95.0], [(1, "firing"), (6, "clear")]),
    "three of five": ([45.0, 20.0, 45.0, 20.0, 45.0], [(4, "firing"), (9, "clear")]),
    "held until half of the way back": (
        [60.0, 60.0, 60.0, 24.7, 24.7, 24.7, 24.7],
        [*((at, "firing") for at in range(1, 9)), (13, "clear")],
    ),
    "new, but too small to matter": ([24.5] * 20, []),
}


@pytest.mark.parametrize(("values", "expected"), KNOWN.values(), ids=KNOWN.keys())
def test_of_a_known_host_only_what_stands_out_is_told(values: list[float], expected: list[tuple[int, str]]) -> None:
    chance = random.Random(4)
    usual = [20 + chance.gauss(0, 1) for _ in range(WEEK + 30)]
    usual[WEEK : WEEK + len(values)] = values
    history = [sample(n, at_ms=n * 300 * SECOND, cpu_percent=value) for n, value in enumerate(usual)]
    told = [each for each in candidates(play(history)) if each["event_time"] >= NOON + WEEK * 300 * SECOND]
    found = [((each["event_time"] - NOON) // (300 * SECOND) - WEEK, each["phase"]) for each in told]
    assert found == expected
    for each in told:
        if each["phase"] == "firing":
            assert each["score"] < 0.5 or each["severity"] in ("WARNING", "HIGH", "CRITICAL")
            assert re.fullmatch(
                r"cpu_percent [\d.]+ % on web-1: usual 1\d[\d.]*-2\d[\d.]* % at this time of day", each["summary"]
            )
            assert {"stands", "excess", "excess_limit"} < each["evidence"].keys()


def hosts(seed: int, count: int, odd: float = 1.0) -> list[dict[str, Any]]:
    """Samples of four hosts of two tenants, with gaps, bursts, repeats, conflicts, late and poisonous ones.

    `odd`: how many of them, as a multiple.
    """
    chance = random.Random(seed)
    made: list[dict[str, Any]] = []
    clocks: dict[tuple[str, str], int] = {}
    for number in range(count):
        place = (chance.choice(("acme", "umbrella")), chance.choice(("web-1", "web-2")))
        now = clocks[place] = clocks.get(place, 0) + chance.choice((1, 10, 10, 10, 60, 900)) * SECOND
        busy = chance.choice((0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
        made.append(sample(number, at_ms=now, tenant_id=place[0], host=place[1], **nine(seed * 1000 + number, busy)))
        kind = chance.random() / odd
        if kind < 0.05:
            made.append(chance.choice(made[-20:]))
        elif kind < 0.08:
            made.append(chance.choice(made[-20:]) | {"cpu_percent": 1.0})
        elif kind < 0.11:
            made.append(made[-1] | {"event_id": f"late-{number}", "occurred_at": made[-1]["occurred_at"] - 5 * SECOND})
        elif kind < 0.13:
            made.append(made[-1] | {"event_id": f"poison-{number}", "queue_depth": -1.0})
        elif kind < 0.2:
            made[-1] = made[-1] | dict.fromkeys(chance.sample(metrics.NAMES, 3)) | {"extra": {"gpu_percent": 4.0}}
    return made


HISTORIES = st.builds(hosts, st.integers(0, 10_000), st.integers(1, 250))


@settings(max_examples=25)
@given(HISTORIES, st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_any_cut_gives_the_same_bytes(history: list[dict[str, Any]], cuts: list[int]) -> None:
    source = records(history)
    whole = run(METRICS, source)
    sizes = cycle(cuts)
    pieces = run(METRICS, source, cuts=lambda: next(sizes))
    assert pieces.outputs == whole.outputs
    assert pieces.state == whole.state


@settings(max_examples=25)
@given(HISTORIES, st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_started_again_and_again(history: list[dict[str, Any]], cuts: list[int]) -> None:
    same_after_restarts(history, cuts)


@pytest.mark.parametrize("size", [1, 31, 32, 33, 1000])
def test_started_again_during_a_burst(size: int) -> None:
    same_after_restarts(burst(seconds=20, length=400, at=330, busy=20), [size])


def same_after_restarts(history: list[dict[str, Any]], cuts: list[int]) -> None:
    """The agent that starts again after every frame must say and store what it would without."""
    source = records(history)
    whole = run(METRICS, source)
    outcome, sizes = Outcome(), cycle(cuts)
    rest = iter(source)
    while piece := list(islice(rest, next(sizes))):
        outcome = run(METRICS, piece, start=outcome)
        outcome.store.live.clear()  # as after a restart: only what was stored is left
    assert outcome.outputs == whole.outputs
    assert outcome.state == whole.state


@settings(max_examples=15)
@given(HISTORIES)
def test_tenants_do_not_meet(history: list[dict[str, Any]]) -> None:
    """Silence apart: that time passes is seen from the records of all."""

    def of(outcome: Outcome, topic: str, tenant: str) -> list[dict[str, Any]]:
        told = [each for each in read(outcome, topic) if each["tenant_id"] == tenant]
        return [each for each in told if each.get("kind") != "host_silent"]

    together = play(history)
    for tenant in ("acme", "umbrella"):
        alone = play([each for each in history if each["tenant_id"] == tenant])
        for topic in ("predictions.anomaly", "alerts.candidates"):
            assert of(together, topic, tenant) == of(alone, topic, tenant)


@settings(max_examples=15)
@given(HISTORIES)
def test_one_prediction_per_sample_and_no_candidate_twice(history: list[dict[str, Any]]) -> None:
    outcome = play(history)
    scored = [each["prediction_id"] for each in predictions(outcome)]
    refused = {(letter["source_offset"]) for letter in letters(outcome)}
    good = {(each["tenant_id"], each["host"], each["event_id"]) for n, each in enumerate(history) if n not in refused}
    assert len(scored) == len(set(scored)) == len(good)
    asked = [each["candidate_id"] for each in candidates(outcome)]
    assert len(asked) == len(set(asked))


def test_stored_parts_are_small() -> None:
    """Under 1 kB per part always, and per sample on average, a frame each second."""
    outcome = Outcome()
    for record in records(burst()):
        outcome = run(METRICS, [record], start=outcome)
    assert max(map(len, outcome.state.values())) < 1000
    assert outcome.written / outcome.records < 1000
    assert sum(len(key) + len(raw) for key, raw in outcome.state.items()) < 300_000
