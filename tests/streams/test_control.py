"""The control agent, through the offline driver: commands in, versions and audit out."""

import random
import re
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.control import DEFAULTS, EVERYONE, SETTINGS, STATE_LEVEL
from schemas import topics
from streams.runtime.control import Control
from streams.runtime.offline import Outcome
from tests.streams.control import (
    DAY,
    MINUTE,
    NOON,
    Naive,
    answers,
    command,
    judged,
    rows,
    view,
)

FLAGS = "control.flags"


def last(outcome: Outcome) -> dict[str, Any]:
    return answers(outcome)[-1]


def test_a_command_becomes_a_version_and_an_audit_record() -> None:
    outcome = judged([command(0), command(1, "false", expected=1)])
    versions = [topics.CONTROL_FLAGS.codec.decode(value or b"") for _, value in outcome.topic(FLAGS)]
    assert [key for key, _ in outcome.topic(FLAGS)] == [b"acme|observe_only|1", b"acme|observe_only|2"]
    assert versions[1] == {
        "tenant_id": "acme",
        "name": "observe_only",
        "version": 2,
        "value": "false",
        "valid_from": NOON + MINUTE,
        "command_offset": 1,
        "command_id": "c-1",
        "undoes": None,
        "by": "jane",
        "at": NOON + MINUTE,
        "reason": "reason 1",
        "expires_at": None,
    }
    assert last(outcome) == {
        "tenant_id": "acme",
        "command_id": "c-1",
        "action": "set",
        "name": "observe_only",
        "outcome": "accepted",
        "code": None,
        "message": "observe_only of acme is false from 2026-09-21 14:14:20Z on, version 2 by jane: reason 1",
        "asked": "false",
        "expected_version": 1,
        "previous_value": "true",
        "value": "false",
        "version": 2,
        "valid_from": NOON + MINUTE,
        "command_offset": 1,
        "by": "jane",
        "at": NOON + MINUTE,
        "reason": "reason 1",
        "expires_at": None,
    }


def test_a_stale_command_is_refused_with_what_holds() -> None:
    outcome = judged([command(0), command(1, "false", expected=0, by="joe")])
    answer = last(outcome)
    assert (answer["outcome"], answer["code"], answer["version"], answer["value"]) == (
        "refused", "StaleVersion", 1, "true",
    )  # fmt: skip
    assert answer["message"] == (
        "version 0 was expected; observe_only of acme is true from 2026-09-21 14:13:20Z on, version 1 by jane: reason 0"
    )
    assert view(outcome).get(FLAGS, "acme", "observe_only", NOON + DAY) is True
    first = last(judged([command(0, expected=3)]))
    assert first["message"] == "version 3 was expected; observe_only of acme has no version yet (0), it is inherited"


LEVEL = {"name": "state_level", "tenant_id": "*"}
TUNED = "surprise_factor|novelty|web-1|cpu_percent|34"

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "observe"}, "UnknownSetting", "no setting 'observe': is observe_only meant?"),
    ({"name": "zzz"}, "UnknownSetting", "no setting 'zzz': `watchfloor control get` lists them"),
    ({"tenant_id": "Acme"}, "InvalidTenant", r"must be \* or 1 to 63 of .* not 'Acme'"),
    ({"tenant_id": "a|b"}, "InvalidTenant", "not 'a|b'"),
    ({"name": "stop_automatic"}, "InvalidTenant", r"stop_automatic is for all tenants alike: tenant_id must be \*"),
    ({"value": "yes"}, "InvalidValue", "observe_only must be true or false, not yes"),
    ({"value": "x" * 100_000}, "InvalidValue", "observe_only must be true or false"),
    ({"name": "alert_budget", "value": "-3"}, "InvalidValue", "whole number from 0 to 10000"),
    ({"action": "toggle"}, "InvalidCommand", "action must be set or undo, not 'toggle'"),
    ({"action": "undo"}, "InvalidCommand", "an undo takes no value, not true"),
    ({"reason": " "}, "InvalidCommand", "reason must have 1 to 1000 characters"),
    ({"reason": "x" * 1001}, "InvalidCommand", "reason must have 1 to 1000 characters, it has 1001"),
    ({"by": ""}, "InvalidCommand", "by must have 1 to 200 characters"),
    ({"command_id": ""}, "InvalidCommand", "command_id must have 1 to 100 characters"),
    ({"expected_version": -1}, "StaleVersion", "version -1 was expected"),
    ({"action": "undo", "value": None}, "NothingToUndo", "no version to undo; .* has no version yet"),
    ({"valid_from": NOON // 1000}, "InvalidTime", "between 30 days before and 366 days after 2026-09-21 14:13:20Z"),
    ({"valid_from": NOON - 30 * DAY - 1}, "InvalidTime", "between 30 days before"),
    ({"valid_from": NOON + 366 * DAY + 1}, "InvalidTime", "366 days after"),
    ({"valid_from": 1 << 60}, "InvalidTime", "no time of our calendar"),
    ({"tenant_id": "*", "name": "stop_automatic", "valid_from": NOON}, "InvalidTime", "acts at once"),
    ({"expires_at": NOON}, "InvalidTime", "must be after now and valid_from, and at most 366 days after 2026-09-21"),
    ({"valid_from": NOON + DAY, "expires_at": NOON + DAY}, "InvalidTime", "must be after now and valid_from"),
    ({"expires_at": NOON + 366 * DAY + 1}, "InvalidTime", "at most 366 days after"),
    ({"action": "undo", "value": None, "expires_at": NOON + DAY}, "InvalidTime", "an undo takes no expires_at"),
    ({"name": "observe_only|x"}, "UnknownSetting", "observe_only has no scopes"),
    ({"name": "surprise_factor", "value": "1.1"}, "UnknownSetting", r"a scope is DETECTOR\|HOST\|METRIC\|HOUR, not ''"),
    ({"name": TUNED, "value": "1.1", "tenant_id": "*"}, "InvalidTenant", "is of one tenant: tenant_id must not be"),
    (LEVEL | {"value": str(STATE_LEVEL + 1)}, "InvalidValue", f"whole number from 0 to {STATE_LEVEL}"),
    (LEVEL | {"value": None}, "NoWayBack", "state_level can only be raised"),
    (LEVEL | {"value": None, "action": "undo"}, "NoWayBack", "state_level can only be raised"),
    (LEVEL | {"value": "0", "expires_at": NOON + DAY}, "NoWayBack", "state_level can only be raised"),
    ({"name": TUNED, "value": "2.1"}, "InvalidValue", r"must be a number from 0.5 to 2 \(times\), not 2.1"),
]


def test_a_setting_that_rises_never_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "state_level", replace(SETTINGS["state_level"], high=12))
    asked = [command(n, value, version, **LEVEL) for n, (value, version) in enumerate([("9", 0), ("10", 1), ("9", 2)])]
    outcome = judged([*asked, command(3, "10", 2, **LEVEL)])
    assert [(each["code"], each["value"]) for each in answers(outcome)] == [
        (None, "9"), (None, "10"), ("NoWayBack", "10"), (None, "10"),
    ]  # fmt: skip
    assert "can only be raised; state_level of * is 10, version 2 by jane" in answers(outcome)[2]["message"]


@pytest.mark.parametrize(("wrong", "code", "message"), BAD, ids=lambda part: str(part)[:40])
def test_what_is_wrong_is_refused_with_what_was_expected(wrong: dict[str, Any], code: str, message: str) -> None:
    outcome = judged([command(0) | wrong])
    (answer,) = answers(outcome)
    assert (answer["outcome"], answer["code"], answer["version"]) == ("refused", code, 0)
    assert re.search(message, answer["message"]), answer["message"]
    assert len(answer["message"]) <= 600
    assert outcome.state == {}
    assert rows(outcome) == []
    assert outcome.topic("dead-letters") == []


def test_an_undo_brings_back_what_held_before_as_a_new_version() -> None:
    undo = {"action": "undo", "value": None}
    outcome = judged(
        [command(0), command(1, "false", expected=1), command(2, expected=2, **undo), command(3, expected=3, **undo)]
    )
    assert [answer["value"] for answer in answers(outcome)] == ["true", "false", "true", "false"]
    found = view(outcome)
    assert [entry.undoes for entry in found.history(FLAGS, "acme", "observe_only")] == [None, None, 2, 3]
    seen = [found.get(FLAGS, "acme", "observe_only", NOON + minute * MINUTE) for minute in (0, 1, 2, 3)]
    assert seen == [True, False, True, False]


def test_the_undo_of_the_first_version_inherits_again() -> None:
    everyone = command(0, tenant_id=EVERYONE)
    outcome = judged([everyone, command(1, "false"), command(2, None, expected=1, action="undo")])
    found = view(outcome)
    assert found.get(FLAGS, "acme", "observe_only", NOON + MINUTE) is False
    assert found.get(FLAGS, "acme", "observe_only", NOON + 2 * MINUTE) is True
    assert last(outcome)["message"].startswith("observe_only of acme is inherited from 2026-09-21")


def test_the_undo_of_a_change_that_waits_calls_it_off() -> None:
    later = command(1, "false", expected=1, valid_from=NOON + DAY)
    outcome = judged([command(0), later, command(2, None, expected=2, action="undo")])
    assert view(outcome).get(FLAGS, "acme", "observe_only", NOON + 2 * DAY) is True


def test_a_stop_holds_for_every_record_however_old() -> None:
    stop = {"tenant_id": EVERYONE, "name": "stop_automatic"}
    outcome = judged([command(0, **stop)])
    assert view(outcome).get(FLAGS, "acme", "stop_automatic", NOON - 20 * DAY) is True
    lifted = judged([command(0, **stop), command(1, "false", expected=1, **stop)])
    assert view(lifted).get(FLAGS, "acme", "stop_automatic", NOON - 20 * DAY) is False


def test_a_slow_clock_does_not_put_a_change_before_the_one_it_has_seen() -> None:
    outcome = judged([command(5), command(1, "false", expected=1)])
    assert last(outcome)["valid_from"] == NOON + 5 * MINUTE
    assert view(outcome).get(FLAGS, "acme", "observe_only", NOON + 5 * MINUTE) is False


def test_equal_numbers_are_one_text() -> None:
    name = {"name": "anomaly_threshold"}
    outcome = judged([command(0, "1", **name), command(1, "10e-1", 1, **name)])
    assert [answer["value"] for answer in answers(outcome)] == ["1.0", "1.0"]
    assert view(outcome).get("control.thresholds", "acme", "anomaly_threshold", NOON) == 1.0


def test_a_version_that_expires_gives_way_to_what_held_before_it() -> None:
    until = {"expires_at": NOON + 7 * MINUTE}
    outcome = judged([command(0), command(1, "false", expected=1, **until)])
    assert last(outcome)["expires_at"] == NOON + 7 * MINUTE
    assert last(outcome)["message"].startswith(
        "observe_only of acme is false from 2026-09-21 14:14:20Z until 2026-09-21 14:20:20Z, version 2 by jane"
    )
    found = view(outcome)
    seen = [found.get(FLAGS, "acme", "observe_only", NOON + minute * MINUTE) for minute in (0, 1, 6, 7, 500)]
    assert seen == [True, False, False, True, True]
    coming = found.coming(FLAGS, "acme", "observe_only", NOON + 2 * MINUTE)
    assert [(start, entry and entry.version) for start, entry in coming] == [(NOON + 7 * MINUTE, 1)]


def test_what_an_undo_brings_back_expires_when_it_did_before() -> None:
    """Steps of a tuning job: the second is undone, and does not come back when the first is over."""
    outcome = judged(
        [
            command(0, "1.1", name=TUNED, expires_at=NOON + 10 * MINUTE),
            command(2, "1.21", 1, name=TUNED, expires_at=NOON + 12 * MINUTE),
            command(4, None, 2, name=TUNED, action="undo"),
        ]
    )
    assert (last(outcome)["value"], last(outcome)["expires_at"]) == ("1.1", NOON + 10 * MINUTE)
    found = view(outcome)
    seen = [found.get("control.thresholds", "acme", TUNED, NOON + minute * MINUTE) for minute in (1, 3, 5, 9, 10, 11)]
    assert seen == [1.1, 1.21, 1.1, 1.1, 1.0, 1.0]
    assert found.get("control.thresholds", "globex", TUNED, NOON + MINUTE) == 1.0


def test_settings_with_scopes_are_found_by_their_family() -> None:
    other = TUNED.replace("web-1", "*")
    outcome = judged([command(0, "1.1", name=TUNED), command(1, "1.3", name=other), command(2)])
    found = view(outcome)
    thresholds = "control.thresholds"
    assert list(found.scopes(thresholds, "acme", "surprise_factor")) == [other, TUNED]
    assert list(found.scopes(thresholds, "globex", "surprise_factor")) == []
    assert found.get(thresholds, "acme", TUNED, NOON) == 1.1
    assert found.get(thresholds, "acme", other, NOON + MINUTE) == 1.3
    assert [key for key, _ in outcome.topic(thresholds)] == [f"acme|{TUNED}|1".encode(), f"acme|{other}|1".encode()]


# Few places, so that changes meet.
PLACES = [
    *((tenant, name) for tenant in ("acme", "globex", EVERYONE) for name in ("observe_only", "alert_budget")),
    (EVERYONE, "stop_automatic"),
]
VALUES = {
    "observe_only": ("true", "false", None),
    "stop_automatic": ("true", "false"),
    "alert_budget": ("1", "7", None),
}
EXAMPLES = settings(max_examples=50)


@st.composite
def command_lists(draw: st.DrawFn, most_minutes: int = 30) -> list[dict[str, Any]]:
    """Commands of writers who read a version at some time and send later: some of them are too late."""
    out = []
    minute = 0
    counts = dict.fromkeys(PLACES, 0)
    for number in range(draw(st.integers(1, 25))):
        tenant, name = place = draw(st.sampled_from(PLACES))
        minute += draw(st.integers(0, most_minutes))
        undo = draw(st.booleans())
        start = draw(st.none() | st.integers(-25 * DAY // MINUTE, 25 * DAY // MINUTE))
        valid_from = None if name == "stop_automatic" or start is None else NOON + (minute + start) * MINUTE
        lasts = draw(st.none() | st.integers(1, 25 * DAY // MINUTE))
        expected = max(0, counts[place] - draw(st.sampled_from((0, 0, 0, 1))))
        out.append(
            command(
                number,
                None if undo else draw(st.sampled_from(VALUES[name])),
                expected,
                tenant_id=tenant,
                name=name,
                action="undo" if undo else "set",
                valid_from=valid_from,
                requested_at=NOON + minute * MINUTE,
                expires_at=None if undo or lasts is None else NOON + (minute + max(start or 0, 0) + lasts) * MINUTE,
            )
        )
        counts[place] += expected == counts[place] and not (undo and counts[place] == 0)
    return out


@EXAMPLES
@given(command_lists(), st.integers(0, 2**32))
def test_any_interleaving_gives_each_version_to_one_writer(commands: list[dict[str, Any]], seed: int) -> None:
    random.Random(seed).shuffle(commands)
    naive = Naive()
    expected = [naive.obey(each) for each in commands]
    said = answers(judged(commands))
    assert [answer["outcome"] == "accepted" for answer in said] == expected
    assert [answer["command_id"] for answer in said] == [each["command_id"] for each in commands]
    made = [(a["tenant_id"], a["name"], a["version"]) for a in said if a["outcome"] == "accepted"]
    assert len(made) == len(set(made))
    for place, versions in naive.versions.items():
        assert [version for *one, version in made if tuple(one) == place] == list(range(1, len(versions) + 1))
    # Who is late by its shuffling may ask for what would be over already.
    codes = {answer["code"] for answer in said if answer["code"]}
    assert codes <= {"StaleVersion", "NothingToUndo", "InvalidTime"}


@EXAMPLES
@given(command_lists(), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_where_frames_are_cut_makes_no_difference(commands: list[dict[str, Any]], sizes: list[int]) -> None:
    whole = judged(commands)
    next_size = cycle(sizes).__next__
    cut = judged(commands, cuts=next_size)
    assert cut.outputs == whole.outputs
    assert cut.state == whole.state


@EXAMPLES
@given(command_lists(), st.data())
def test_a_view_at_any_time_is_what_the_rules_say(commands: list[dict[str, Any]], data: st.DataObject) -> None:
    naive = Naive()
    for each in commands:
        naive.obey(each)
    # The records of different topics may come in any order, and in any portions.
    waiting = rows(judged(commands))
    found = Control(DEFAULTS)
    while waiting:
        size = data.draw(st.integers(1, len(waiting)))
        found, waiting = found.after(waiting[:size]), waiting[size:]
    edges = {edge for versions in naive.versions.values() for each in versions for edge in each[:2] if edge}
    for tenant in ("acme", "globex", "initech"):
        for name in VALUES:
            for time in {edge + beside for edge in edges for beside in (-1, 0, 1)} | {NOON}:
                assert found.get(SETTINGS[name].topic, tenant, name, time) == naive.get(tenant, name, time)


@EXAMPLES
@given(command_lists(most_minutes=20 * DAY // MINUTE))
def test_what_is_forgotten_nobody_can_miss(commands: list[dict[str, Any]]) -> None:
    """Months of changes: old versions go, and every time that a record can still have is answered as ever."""
    naive = Naive()
    for each in commands:
        naive.obey(each)
    found = view(judged(commands))
    end = max(naive.last.values(), default=NOON)
    for tenant, name in PLACES:
        for time in range(end - 30 * DAY, end + 30 * DAY, DAY):
            assert found.get(SETTINGS[name].topic, tenant, name, time) == naive.get(tenant, name, time)


def test_old_versions_are_removed_by_tombstones() -> None:
    changes = [command(0, requested_at=NOON + n * 20 * DAY, expected=n) for n in range(6)]
    outcome = judged(changes)
    tombstones = [key for key, value in outcome.topic(FLAGS) if value is None]
    assert tombstones == [b"acme|observe_only|1", b"acme|observe_only|2", b"acme|observe_only|3"]
    assert [entry.version for entry in view(outcome).history(FLAGS, "acme", "observe_only")] == [4, 5, 6]
