"""The agents of OCR readings: each judged once, redacted, scored, corrected, labelled; and capture health."""

import json
import random
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ocr.health import Health, least, normal, read, silent_at, unpack_health
from models.ocr.redaction import Keys, plate
from models.readings import CORRECTABLE_DAYS, METER, VEHICLE
from producers.simulator.ocr import Scenario, Simulation
from schemas import topics
from schemas.topics import Topic
from streams.ocr import UNKEYED, agent
from streams.ocr_health import OCR_HEALTH
from streams.ocr_outcomes import OCR_OUTCOMES
from streams.runtime import Agent
from streams.runtime.control import Control
from streams.runtime.frame import InputRecord, order
from streams.runtime.offline import Outcome, run
from tests.streams.control import command, judged, view

NOON = 1_790_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
KEYS = Keys(b"s" * 32)
OCR = agent(keys=KEYS)


def event(name: str, text: str, at: int = NOON, source: str = METER, **other: Any) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "event_id": name,
        "source_type": source,
        "source_id": f"img-{name}",
        "asset_id": "a-1",
        "raw_text": text,
        "value": None,
        "unit": None,
        "confidence": 0.9,
        "engine": "reader",
        "engine_version": "1",
        "image_uri": f"s3://images/{name}",
        "occurred_at": at,
    } | other


def correction(name: str, text: str, at: int, source: str = METER, **other: Any) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "outcome_id": f"o-{name}-{at}",
        "source_type": source,
        "asset_id": "a-1",
        "source_id": f"img-{name}",
        "corrected_text": text,
        "correction_type": "OCR_ERROR",
        "corrected_by": "jane",
        "decided_at": at,
    } | other


def records(given: Sequence[dict[str, Any]]) -> list[InputRecord]:
    found = []
    for offset, record in enumerate(given):
        topic = topics.OUTCOMES_OCR if "corrected_text" in record else topics.EVENTS_OCR
        found.append(
            InputRecord(topic.key_of(record), topic.codec.encode(record), record[topic.time], offset, (), topic.name)
        )
    return sorted(found, key=order)


def said(outcome: Outcome, topic: Topic) -> list[dict[str, Any]]:
    return [topic.codec.decode(value or b"") for _, value in outcome.topic(topic.name)]


def letters(outcome: Outcome) -> list[str]:
    return [each["error_class"] for each in said(outcome, topics.DEAD_LETTERS)]


def changed(*settings: tuple[str, str, str]) -> Control:
    """Control after (tenant, name, value) have been set, the day before."""
    made = [
        command(number, value, tenant_id=tenant, name=name, requested_at=NOON - DAY)
        for number, (tenant, name, value) in enumerate(settings)
    ]
    return view(judged(made))


def ran(*given: dict[str, Any], control: Control | None = None, of: Agent = OCR) -> Outcome:
    return run(of, records(given), control=control)


@pytest.fixture(scope="module")
def world() -> list[dict[str, Any]]:
    simulation = Simulation(Scenario(1, 6, 1, 12, date(2026, 9, 1), 5, 0.2, 0.9, 0.3))
    return [each for day in simulation.days() for each in (*day.events, *day.outcomes)]


def test_every_reading_is_scored_and_uncertain_ones_are_captured(world: list[dict[str, Any]]) -> None:
    outcome = ran(*world)
    events = [each for each in world if "raw_text" in each]
    predictions = {each["event_id"]: each for each in said(outcome, topics.PREDICTIONS_OCR_TRUST)}
    readings = {each["event_id"]: each for each in said(outcome, topics.OCR_READINGS)}
    captures = {each["event_id"]: each for each in said(outcome, topics.OCR_CAPTURES) if each["version"] == 0}
    assert not letters(outcome)
    assert predictions.keys() == readings.keys() == {each["event_id"] for each in events}
    assert captures.keys() == {each["event_id"] for each in events if each["confidence"] < 0.7}
    assert {name for name, each in readings.items() if each["captured"]} == captures.keys()
    for each in events:
        made = predictions[each["event_id"]]
        assert made["subject"] == f"{each['source_type']}|{each['asset_id']}"
        assert topics.PREDICTIONS_OCR_TRUST.key_of(made) == topics.EVENTS_OCR.key_of(each)
        implausible = made["features"][-1]
        assert made["probability"] == max(1 - each["confidence"], 0.8 * implausible)
        assert (made["model_version"], made["decision"]) == ("heuristic_v1", "clear")


def test_corrections_become_gold_labels(world: list[dict[str, Any]]) -> None:
    outcome = ran(*world)
    events = {(each["asset_id"], each["source_id"]): each for each in world if "raw_text" in each}
    corrections = [each for each in world if "corrected_text" in each]
    gold = [each for each in said(outcome, topics.OCR_CAPTURES) if each["origin"] == "correction"]
    assert len(gold) == len(corrections) > 20
    first = {each["event_id"]: each["capture_id"] for each in said(outcome, topics.OCR_CAPTURES)}
    for each in gold:
        assert each["uncertainty"] == 1.0
        assert each["capture_id"] == first[each["event_id"]]
        assert each["version"] == each["decided_at"]
    verdicts = {each["event_id"]: each["verdict"] for each in said(outcome, topics.OCR_VERDICTS)}
    for each in corrections:
        reading = events[each["asset_id"], each["source_id"]]
        same = plate(reading["raw_text"]) == plate(each["corrected_text"])
        if each["source_type"] == METER:
            same = reading["raw_text"].split(" ")[0].lstrip("0") == each["corrected_text"].lstrip("0")
        assert verdicts[reading["event_id"]] == ("right" if same else "wrong")


def test_verdicts_label_the_predictions(world: list[dict[str, Any]]) -> None:
    outcome = ran(*world)
    inputs = []
    for topic in (topics.PREDICTIONS_OCR_TRUST, topics.OCR_VERDICTS):
        for offset, (key, value) in enumerate(outcome.topic(topic.name)):
            time = topic.codec.decode(value or b"")[topic.time]
            inputs.append(InputRecord(key, value, time, offset, (), topic.name))
    joined = run(OCR_OUTCOMES, sorted(inputs, key=order))
    labels = said(joined, topics.LABELLED_OCR_TRUST)
    verdicts = said(outcome, topics.OCR_VERDICTS)
    early = {each["event_id"] for each in verdicts}
    assert not letters(joined)
    assert {each["event_id"] for each in labels} == early
    for each in labels:
        assert each["label"] == ({one["event_id"]: one["verdict"] for one in verdicts}[each["event_id"]] == "wrong")
        assert each["source"] == "user_correction"


Told = tuple[float, float | None, str]
"""Days after noon at which a record is published, and at which it was decided; its verdict, or which slot scored."""

CHAMPION: Told = (0.0, None, "champion")
LAST = CORRECTABLE_DAYS
JOINS: dict[str, tuple[list[Told], list[tuple[bool | None, float]]]] = {
    "missing": ([CHAMPION], []),
    "in time": ([CHAMPION, (1, 1, "wrong")], [(True, 1)]),
    "early": ([(-1, -1, "wrong"), CHAMPION], [(True, -1)]),
    "two early ones, the older one last": ([(-2, -2, "right"), (-1, -3, "wrong"), CHAMPION], [(False, -2)]),
    "late": ([CHAMPION, (LAST - 0.25, LAST - 0.25, "wrong")], [(True, LAST - 0.25)]),
    "twice": ([CHAMPION, (1, 1, "wrong"), (2, 1, "wrong")], [(True, 1)]),
    "reversed": ([CHAMPION, (1, 1, "wrong"), (3, 3, "right")], [(True, 1), (False, 3)]),
    "the older one last": ([CHAMPION, (3, 3, "right"), (4, 1, "wrong")], [(False, 3)]),
    "taken back": ([CHAMPION, (1, 1, "wrong"), (2, 2, "unsure")], [(True, 1), (None, 2)]),
    "two slots": ([CHAMPION, (1, 1, "wrong"), (2, None, "challenger")], [(True, 1), (True, 1)]),
    "after the horizon": ([CHAMPION, (LAST + 0.25, LAST + 0.25, "wrong")], []),
}


@pytest.mark.parametrize("name", JOINS)
def test_labels_by_what_comes(name: str) -> None:
    given, expected = JOINS[name]
    (scored,) = said(ran(event("e-1", "001234")), topics.PREDICTIONS_OCR_TRUST)
    found = []
    for offset, (published, decided, what) in enumerate(given):
        topic, record = topics.PREDICTIONS_OCR_TRUST, scored | {"slot": what}
        if decided is not None:
            at = NOON + round(decided * DAY)
            told = {"outcome_id": f"o-{at}", "verdict": what, "decided_by": "jane", "decided_at": at, "reason": None}
            names = {each: scored[each] for each in ("tenant_id", "event_id", "subject")}
            topic, record = topics.OCR_VERDICTS, names | told
        time = NOON + round(published * DAY)
        found.append(InputRecord(topic.key_of(record), topic.codec.encode(record), time, offset, (), topic.name))
    for cuts in (1, 2, 2000):
        joined = run(OCR_OUTCOMES, sorted(found, key=order), tick=NOON + 2 * LAST * DAY, cuts=lambda cuts=cuts: cuts)
        labels = said(joined, topics.LABELLED_OCR_TRUST)
        assert [(each["label"], (each["label_version"] - NOON) / DAY) for each in labels] == expected
        assert not letters(joined)


def test_any_cut_gives_the_same_bytes(world: list[dict[str, Any]]) -> None:
    r = random.Random(3)
    whole = ran(*world)
    cut = run(OCR, records(world), cuts=lambda: r.randint(1, 40))
    assert cut.outputs == whole.outputs
    assert cut.state == whole.state


def test_a_run_that_is_interrupted_goes_on(world: list[dict[str, Any]]) -> None:
    whole, given = ran(*world), records(world)
    half = run(OCR, given[: len(given) // 2])
    restored = Outcome(half.outputs, type(half.store)(dict(half.state)), half.clock, half.poison)
    assert run(OCR, given[len(given) // 2 :], start=restored).outputs == whole.outputs


def test_nothing_of_a_text_with_personal_data_goes_out_or_is_remembered() -> None:
    secrets = ["Jane Doe", "jane.doe@example.org", "+49 171 2345678", "HH-AB 1234", "HHAB1284", "4915112345678"]
    given = [
        event(f"{source}-{number}", text, NOON + number, source, confidence=0.2)
        for number, text in enumerate(secrets)
        for source in (METER, VEHICLE)
    ]
    given += [
        correction(f"{source}-{number}", secrets[-1 - number], NOON + HOUR + number, source)
        for number in range(len(secrets))
        for source in (METER, VEHICLE)
    ]
    for keys in (KEYS, Keys()):
        outcome = ran(*given, of=agent(keys=keys))
        assert not letters(outcome)
        rows = [row for name in outcome.outputs for row in outcome.outputs[name]]
        kept = b"\n".join([*(b"%b %b" % (key or b"", value or b"") for key, value in rows), *outcome.state.values()])
        kept += json.dumps([str(each) for topic in OCR.outputs for each in said(outcome, topic)]).encode()
        for secret in secrets:
            for form in (secret, secret.replace(" ", ""), secret.replace("-", "").replace(" ", "").strip("+")):
                assert form.encode() not in kept, form
                assert form.upper().encode() not in kept, form


def test_a_tenant_may_allow_plates_and_say_what_is_uncertain() -> None:
    control = changed(("acme", "plain_plates", "true"), ("acme", "vehicle_entry_capture_threshold", "0.95"))
    given = event("e-1", "HH-AB 1234", source=VEHICLE), event("e-2", "HH-AB 1234", source=VEHICLE, tenant_id="umbrella")
    plain, hidden = said(ran(*given, control=control), topics.OCR_READINGS)
    assert (plain["text"], plain["captured"]) == ("HHAB1234", True)
    assert (hidden["text"], hidden["captured"]) == ("AA-AA-9999", False)
    assert len(plain["fingerprints"]) == len(hidden["fingerprints"]) == 9


def test_without_a_secret_predictions_of_plates_say_so() -> None:
    outcome = ran(event("e-1", "HH-AB 1234", source=VEHICLE), event("e-2", "001234"), of=agent())
    assert [each["fallback_reason"] for each in said(outcome, topics.PREDICTIONS_OCR_TRUST)] == [UNKEYED, None]
    assert said(outcome, topics.OCR_READINGS)[0]["fingerprints"] == []


def test_repeats_conflicts_and_what_is_wrong() -> None:
    outcome = ran(
        event("e-1", "001234"),
        event("e-1", "001234", NOON),
        event("e-1", "001235", NOON),
        event("e-2", "001234", NOON + 1, confidence=1.5),
        event("e-3", "001234", NOON + 2, "passport"),
        correction("e-9", "001234", NOON + 3),
        correction("e-1", "001234", NOON + 4, correction_type="TYPO"),
        correction("e-1", "001239", NOON + 5),
        correction("e-1", "001238", NOON + 5 - HOUR),  # decided before the one that came first
    )
    assert len(said(outcome, topics.PREDICTIONS_OCR_TRUST)) == 1
    assert sorted(letters(outcome)) == [
        "ConflictingEvent",
        "InvalidEvent",
        "InvalidEvent",
        "InvalidOutcome",
        "NoSuchReading",
        "NoSuchReading",
    ]
    assert not any("00123" in each["message"] for each in said(outcome, topics.DEAD_LETTERS))


def test_the_newest_correction_holds() -> None:
    late = correction("e-1", "001238", NOON + HOUR)
    given = [*records([event("e-1", "001234"), correction("e-1", "001239", NOON + 2 * HOUR)])]
    given.append(given[-1]._replace(value=topics.OUTCOMES_OCR.codec.encode(late), offset=9))
    newer = correction("e-1", "001234", NOON + 3 * HOUR)
    outcome = run(OCR, [*given, *records([newer, newer])])
    assert [each["verdict"] for each in said(outcome, topics.OCR_VERDICTS)] == ["wrong", "right"]


def test_a_reading_may_be_corrected_for_two_weeks() -> None:
    for days, found in ((13.9, 1), (14.1, 0)):
        outcome = ran(event("e-1", "001234"), correction("e-1", "001234", NOON + int(days * DAY)))
        assert len(said(outcome, topics.OCR_VERDICTS)) == found
        assert len(letters(outcome)) == 1 - found


def test_three_rejections_open_a_task() -> None:
    given: list[dict[str, Any]] = []
    for day, value in enumerate((1000, 1010, 1020, 1030)):
        given += [event(f"c-{day}", f"{value:06}", NOON + day * DAY)]
        given += [correction(f"c-{day}", f"{value:06}", NOON + day * DAY + HOUR)]
    given += [event(f"n-{day}", f"{5 + 10 * day:06}", NOON + (5 + day) * DAY) for day in range(5)]
    (task,) = said(ran(*given), topics.OCR_LABELING_TASKS)
    assert (task["event_id"], task["state"], task["reason"], task["text"]) == ("n-2", "open", "implausible", "000025")


# ---- capture health -----------------------------------------------------------------------------------------


def pulses(times: Sequence[tuple[int, bool]], tenant: str = "acme") -> list[InputRecord]:
    """Readings at these times, captured or not."""
    topic = topics.OCR_READINGS
    out = []
    for offset, (time, captured) in enumerate(sorted(times)):
        base = event(f"{tenant}-{offset}", "", time, tenant_id=tenant)
        del base["raw_text"]
        record = base | {"text": "1", "fingerprints": [], "published_at": time, "captured": captured}
        out.append(InputRecord(topic.key_of(record), topic.codec.encode(record), time, offset))
    return out


MONDAY = NOON // (7 * DAY) * 7 * DAY + 11 * DAY


def days(counts: Sequence[int], extra: int = 5) -> list[tuple[int, bool]]:
    """So many captures on each day from MONDAY on, evenly, and `extra` other readings on days with captures."""
    out = []
    for day, count in enumerate(counts):
        out += [(MONDAY + day * DAY + number * DAY // count, True) for number in range(count)]
        out += [(MONDAY + day * DAY + HOUR + number * MINUTE, False) for number in range(extra if count else 0)]
    return out


def told(
    given: Sequence[tuple[int, bool]],
    until: int,
    control: Control | None = None,
    then: Sequence[tuple[int, bool]] = (),
) -> list[dict[str, Any]]:
    """What is told until a time, with ticks between the last reading and it; `then` comes after that."""
    outcome = run(OCR_HEALTH, pulses(given), control=control)
    for time in range(outcome.clock, until, 10 * MINUTE):
        outcome = run(OCR_HEALTH, (), start=outcome, tick=time, control=control)
    outcome = run(OCR_HEALTH, pulses(then), start=outcome, control=control)
    assert not letters(outcome)
    return said(outcome, topics.ALERTS_CANDIDATES)


def kinds(candidates: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(each["kind"], each["metric"], each["phase"]) for each in candidates]


def silent_after(candidates: Sequence[dict[str, Any]], since: int) -> float:
    (first, *_) = [each for each in candidates if each["kind"] == "ocr_silent"]
    return (first["event_time"] - since) / HOUR


def test_silence_itself_raises_the_alert() -> None:
    given = days([12] * 10)
    last = max(time for time, captured in given if captured)
    assert told(given, last + 23 * HOUR) == []
    found = told(given, last + 30 * HOUR)
    assert kinds(found)[0] == ("ocr_silent", "readings", "firing")
    assert found[0]["severity"] == "CRITICAL"
    assert 23.5 <= silent_after(found, last) <= 24.5
    assert "no reading has come" in found[0]["summary"]
    # It is told once, and ends with the next capture.
    again = told(given, last + 50 * HOUR, then=[(last + 51 * HOUR, True)])
    assert [each for each in kinds(again) if each[0] == "ocr_silent"] == [
        ("ocr_silent", "readings", "firing"),
        ("ocr_silent", "readings", "clear"),
    ]


def test_readings_none_of_which_is_uncertain_are_told_apart() -> None:
    given = days([12] * 10)
    last = max(time for time, captured in given if captured)
    found = told([*given, *((last + hour * HOUR, False) for hour in range(1, 40))], last + 40 * HOUR)
    assert kinds(found)[0] == ("ocr_silent", "captures", "firing")
    assert "none is uncertain" in found[0]["summary"]


@pytest.mark.parametrize(
    ("usual", "day", "alarm"), [(12, 4, True), (12, 5, False), (30, 4, True), (6, 1, False), (9, 1, True)]
)
def test_too_few_captures_in_a_day(usual: int, day: int, alarm: bool) -> None:
    found = told(days([*[usual] * 10, day, usual]), MONDAY + 12 * DAY + HOUR)
    found = [each for each in found if each["kind"] == "ocr_low_capture"]
    expected = [("ocr_low_capture", "captures", "firing"), ("ocr_low_capture", "captures", "clear")]
    assert kinds(found) == (expected if alarm else [])
    if alarm:
        assert (found[0]["severity"], found[0]["value"], found[0]["event_time"]) == ("WARNING", day, MONDAY + 11 * DAY)


def test_who_never_reads_on_weekends_is_not_silent_on_one() -> None:
    week = [12, 12, 12, 12, 12, 0, 0]
    given = days([*week * 4, 12, 12, 12, 12, 12])
    friday = max(time for time, captured in given if captured)
    # The first weekends come as a surprise.
    assert not [each for each in told(given, friday + 58 * HOUR) if each["event_time"] > MONDAY + 23 * DAY]
    found = [each for each in told(given, friday + 96 * HOUR) if each["event_time"] > friday]
    assert kinds(found)[-1] == ("ocr_silent", "readings", "firing")


def test_nothing_is_normal_in_the_first_week_nor_for_who_has_hardly_a_capture() -> None:
    assert told(days([12] * 6), MONDAY + 8 * DAY - HOUR) == []
    # Then silence is one.
    assert ("ocr_silent", "readings", "firing") in kinds(told(days([12] * 6), MONDAY + 9 * DAY + HOUR))
    assert told(days([1, 0, 0, 0, 0, 0] * 5), MONDAY + 40 * DAY) == []


def test_who_only_observes_hears_nothing() -> None:
    given = days([12] * 10)
    assert told(given, MONDAY + 14 * DAY, changed(("acme", "observe_only", "true"))) == []


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60), st.data())
def test_health_is_blind_to_cuts_and_small(steps: list[tuple[int, bool]], data: st.DataObject) -> None:
    time, given_ = MONDAY, []
    for gap, captured in steps:
        time += gap * 7 * HOUR
        given_.append((time, captured))
    source = pulses(given_)
    cuts: Callable[[], int] = lambda: data.draw(st.integers(1, 9))  # noqa: E731
    one, other = run(OCR_HEALTH, source, tick=time + 3 * DAY), run(OCR_HEALTH, source, cuts=cuts, tick=time + 3 * DAY)
    assert one.outputs == other.outputs
    assert one.state == other.state
    assert max(map(len, one.state.values()), default=0) < 300


def test_what_is_normal() -> None:
    health = Health(MONDAY // DAY)
    for time, captured in days([12, 12, 12, 12, 12, 2, 1] * 4 + [12]):
        health = read(health, time, captured)
    assert unpack_health(health.pack()) == health
    today = health.today
    assert normal(health, today) == 12.0
    assert normal(health, today + 5) == 2.0
    assert silent_at(health, MONDAY + 28 * DAY) == MONDAY + 29 * DAY
    assert all(one <= other for one, other in pairwise(least(usual / 4) for usual in range(60)))
