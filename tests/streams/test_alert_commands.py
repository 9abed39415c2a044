"""What people ask of the alert agent, and what it answers; flapping, escalation, silences, inhibition, verdicts."""

import struct
from typing import Any

import pytest

from models import alerts
from models.alerts import HOUR_MS
from schemas import topics
from streams.alert_state import MOST_PAST, Episode, Past, TenantAlerts
from streams.runtime import StateVersionError
from tests.streams.noc import MINUTE, NOON, Noc, candidate, command, minutes

CPU = "acme|metric_anomaly|web-1|cpu_percent|up"


def on(at: float, action: str, **other: Any) -> dict[str, Any]:
    """A command about the alert of the CPU."""
    return command(at, action, fingerprint=CPU, **other)


@pytest.fixture(params=[False, True], ids=["", "restarted before each"])
def noc(request: pytest.FixtureRequest) -> Noc:
    return Noc(restarts=request.param)


def test_a_life_in_the_hands_of_a_person(noc: Noc) -> None:
    (opened,) = noc.hears(candidate(0, severity="HIGH"))
    for number, (asked, expected) in enumerate(
        [
            (on(1, "comment", text="looking"), {"reason": "comment", "state": "open", "note": "looking"}),
            (on(2, "assign", assignee="omar"), {"reason": "assigned", "assignee": "omar", "note": None}),
            (on(3, "acknowledge"), {"reason": "acknowledged", "state": "acknowledged", "assignee": "omar"}),
            (on(4, "snooze", until=30), {"reason": "snoozed", "muted": "snoozed until 2026-09-21 14:44:00Z"}),
            (on(5, "resolve", text="export"), {"reason": "resolved", "state": "resolved", "note": "export"}),
            (on(6, "comment", text="again"), {"reason": "comment", "state": "resolved"}),
            (on(7, "verdict", verdict="false_positive"), {"reason": "verdict", "verdict": "false_positive"}),
        ]
    ):
        (version,) = noc.hears(asked)
        assert {name: version[name] for name in expected} == expected
        assert version["by"] == "ines"
        assert (version["seq"], version["updated_at"]) == (number + 2, asked["at"])
        assert noc.answer["accepted"]
        assert (noc.answer["command_id"], noc.answer["alert_id"]) == (asked["command_id"], opened["alert_id"])
        assert noc.answer["seq"] == version["seq"]


REFUSED = {
    "unknown action": (on(5, "dance"), "action must be one of acknowledge, resolve,"),
    "unknown alert": (command(5, "acknowledge", alert_id="no-such"), "no alert no-such is open"),
    "no alert": (command(5, "acknowledge"), "to acknowledge something needs alert_id or fingerprint"),
    "nobody": (on(5, "acknowledge", by=""), "to acknowledge something needs by"),
    "empty comment": (on(5, "comment"), "to comment something needs text"),
    "long comment": (on(5, "comment", text="x" * 500), "at most 400 bytes of text are kept"),
    "snooze for ever": (on(5, "snooze", until=1e6), "until must be after the beginning, by at most 7 days"),
    "snooze before now": (on(5, "snooze", until=4), "until must be after the beginning"),
    "verdict": (on(5, "verdict", verdict="maybe"), "verdict must be one of true_positive, false_positive"),
    "silence of nothing": (command(5, "silence", until=9, text="x"), "a silence needs kind, subject, metric or"),
    "silence of a wrong kind": (command(5, "silence", until=9, text="x", kind="mood"), "kind must be one of"),
    "silence of a wrong severity": (command(5, "silence", until=9, text="x", severity="FATAL"), "severity must be"),
    "silence without a reason": (command(5, "silence", until=9, kind="metric_static"), "needs text"),
    "silence that is over": (command(5, "silence", until=4, text="x", subject="a", begins_at=NOON), "over already"),
    "unknown silence": (command(5, "unsilence", silence_id="s"), "there is no silence s; there are: none"),
    "unknown incident": (command(5, "confirm", incident_id="i"), "there is no incident i that is not closed"),
}


@pytest.mark.parametrize(("asked", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_changes_nothing_and_says_why(asked: dict[str, Any], message: str) -> None:
    noc = Noc()
    noc.hears(candidate(0))
    noc.reaches(5)
    before = dict(noc.stored)
    assert noc.hears(asked) == []
    assert not noc.answer["accepted"]
    assert message in noc.answer["message"]
    assert noc.answer["seq"] is None
    assert noc.stored == before


def test_who_takes_an_alert_looks_after_it_until_it_is_assigned(noc: Noc) -> None:
    noc.hears(candidate(0))
    (taken,) = noc.hears(on(1, "acknowledge"))
    (given,) = noc.hears(on(2, "assign", assignee="omar"))
    assert (taken["assignee"], given["assignee"]) == ("ines", "omar")


def test_a_move_that_the_state_does_not_allow_says_what_is_possible(noc: Noc) -> None:
    noc.hears(candidate(0))
    noc.hears(on(1, "acknowledge"))
    assert noc.hears(on(2, "acknowledge")) == []
    assert noc.answer["message"] == (
        "cannot acknowledge an alert that is acknowledged; possible: resolve, comment, assign, snooze, verdict"
    )


ASKED: dict[str, dict[str, Any]] = {
    "acknowledge": {},
    "resolve": {},
    "comment": {"text": "looking"},
    "assign": {"assignee": "omar"},
    "snooze": {"until": 60},
    "verdict": {"verdict": "true_positive"},
}
WAYS: dict[str, tuple[str, ...]] = {"open": (), "acknowledged": ("acknowledge",), "resolved": ("resolve",)}
# What each state becomes by each command; what is not here is refused, with what would be possible.
BECOMES = {
    ("open", "acknowledge"): "acknowledged",
    ("open", "resolve"): "resolved",
    ("acknowledged", "resolve"): "resolved",
    **{(state, action): state for state in WAYS for action in ("comment", "verdict")},
    **{(state, action): state for state in ("open", "acknowledged") for action in ("assign", "snooze")},
}


@pytest.mark.parametrize("action", ASKED)
@pytest.mark.parametrize("state", WAYS)
def test_every_command_in_every_state(state: str, action: str) -> None:
    noc = Noc()
    noc.hears(candidate(0))
    for before in WAYS[state]:
        noc.hears(on(1, before))
    said = noc.hears(on(2, action, **ASKED[action]))
    expected = BECOMES.get((state, action))
    assert noc.answer["accepted"] == (expected is not None)
    if expected is not None:
        assert [version["state"] for version in said] == [expected]
    else:
        able = ", ".join(each for each in ASKED if (state, each) in BECOMES)
        assert said == []
        assert noc.answer["message"] == f"cannot {action} an alert that is {state}; possible: {able}"


@pytest.mark.parametrize(
    ("at", "accepted", "told"),
    [(5, True, []), (15, True, ["unmuted"]), (31, False, [])],
    ids=["planned", "lasting", "over"],
)
def test_a_silence_in_each_of_its_states_is_ended(noc: Noc, at: float, accepted: bool, told: list[str]) -> None:
    noc.hears(candidate(0))
    noc.hears(command(1, "silence", until=30, begins_at=NOON + 10 * MINUTE, text="patching", subject="web-1"))
    noc.reaches(at)
    assert [each["reason"] for each in noc.hears(command(at, "unsilence", silence_id="silence-1"))] == told
    assert noc.answer["accepted"] == accepted
    if not accepted:
        assert noc.answer["message"] == "there is no silence silence-1; there are: none"


def test_a_command_that_comes_again_is_carried_out_once(noc: Noc) -> None:
    noc.hears(candidate(0))
    assert len(noc.hears(on(1, "comment", text="looking"))) == 1
    assert noc.hears(on(1, "comment", text="looking")) == []
    assert noc.answer["accepted"]
    assert noc.answer["message"] == "it was carried out before"


def test_resolved_by_hand_while_it_fires_it_comes_back_after_the_quiet_time(noc: Noc) -> None:
    """The quiet time counts from the resolution: the alert had been open for longer than that."""
    (old,) = noc.hears(candidate(0))
    noc.hears(on(180.5, "resolve"))
    reasons = [version["reason"] for at in range(181, 240) for version in noc.hears(candidate(at))]
    assert reasons == ["held_back"]
    assert noc.hears(candidate(240)) == []
    (new,) = noc.hears(candidate(241))
    assert (new["reason"], new["state"], new["previous_alert_id"]) == ("reopened", "open", old["alert_id"])


def test_a_command_does_not_hide_the_end(noc: Noc) -> None:
    """A person's clock may be ahead of the samples: a clear that comes after the command still ends the alert."""
    noc.hears(candidate(0))
    noc.hears(on(6.5, "acknowledge"))
    (version,) = noc.hears(candidate(6, "clear", samples=0))
    assert (version["reason"], version["state"]) == ("resolved", "resolved")


def cycles(*times: float) -> list[dict[str, Any]]:
    """Fires and ends 5 minutes later, again and again."""
    return [each for at in times for each in (candidate(at), candidate(at + 5, "clear", samples=0))]


def test_flapping_holds_open_until_it_is_calm(noc: Noc) -> None:
    said = [version["reason"] for each in cycles(0, 10, 20) for version in noc.hears(each)]
    assert said == ["opened", "resolved", "held_back", "held_back"]
    (held,) = noc.hears(candidate(30))  # the fourth time in an hour, in spite of the quiet time
    assert (held["reason"], held["flapping"], held["state"]) == ("reopened", True, "open")
    assert noc.hears(candidate(35, "clear", samples=0)) == []
    (more,) = noc.hears(candidate(80))
    assert (more["reason"], more["alert_id"]) == ("more", held["alert_id"])
    assert noc.hears(candidate(85, "clear", samples=0)) == []
    assert noc.reaches(144) == []
    (calm,) = noc.reaches(150)
    assert (calm["reason"], calm["state"], minutes(calm["resolved_at"])) == ("resolved", "resolved", 145)


def test_an_open_alert_is_held_open_at_its_third_end(noc: Noc) -> None:
    """Each time worse, so that the quiet time holds nothing back."""
    said = []
    for at, severity in ((0, "INFO"), (10, "WARNING"), (20, "HIGH")):
        said += noc.hears(candidate(at, severity=severity)) + noc.hears(candidate(at + 5, "clear", samples=0))
    assert [each["reason"] for each in said if each["reason"] != "linked"][-2:] == ["reopened", "flapping"]
    assert (said[-1]["state"], said[-1]["flapping"]) == ("open", True)


def test_three_times_in_more_than_an_hour_is_no_flapping(noc: Noc) -> None:
    said = [version for each in cycles(0, 30, 61, 95) for version in noc.hears(each)]
    assert not any(version["flapping"] for version in said)


@pytest.mark.parametrize(
    ("severity", "expected"),
    [("WARNING", []), ("HIGH", [(60, 1), (120, 2), (180, 3)]), ("CRITICAL", [(15, 1), (30, 2), (45, 3)])],
)
def test_what_nobody_takes_is_escalated(noc: Noc, severity: str, expected: list[tuple[int, int]]) -> None:
    noc.hears(candidate(0, severity=severity))
    said = noc.reaches(1000)
    assert [(minutes(each["updated_at"]), each["escalation"]) for each in said] == expected
    assert all(each["reason"] == "escalated" for each in said)


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_what_somebody_took_is_not_escalated(noc: Noc, action: str) -> None:
    noc.hears(candidate(0, severity="CRITICAL"))
    noc.hears(on(14, action))
    assert noc.reaches(300) == []


def test_escalation_counts_from_the_rise(noc: Noc) -> None:
    noc.hears(candidate(0))
    noc.hears(candidate(50, severity="CRITICAL"))
    assert [minutes(each["updated_at"]) for each in noc.reaches(66)] == [65]


def test_snooze_mutes_one_alert_until_its_end(noc: Noc) -> None:
    noc.hears(candidate(0))
    noc.hears(candidate(0, subject="db-1"))
    noc.hears(on(1, "snooze", until=30))
    assert noc.hears(candidate(2))[0]["muted"] == "snoozed until 2026-09-21 14:44:00Z"
    assert noc.hears(candidate(2, subject="db-1"))[0]["muted"] is None
    (told,) = noc.reaches(31)
    assert (told["reason"], told["subject"], told["muted"], told["snoozed_until"]) == ("unmuted", "web-1", None, None)


def test_a_silence_mutes_what_it_covers_and_tells_at_its_end_what_is_open(noc: Noc) -> None:
    noc.hears(command(0, "silence", until=30, text="patching", subject="web-1", severity="HIGH"))
    assert noc.answer["accepted"]
    said = noc.hears(candidate(1)) + noc.hears(candidate(1, metric="memory_percent", severity="CRITICAL"))
    said += noc.hears(candidate(1, subject="db-1")) + noc.hears(candidate(2, metric="queue_depth"))
    muted = {(each["subject"], each["metric"]): each["muted"] for each in said}
    why = "silence silence- by ines: patching"
    assert muted == {
        ("web-1", "cpu_percent"): why,
        ("web-1", "memory_percent"): None,
        ("db-1", "cpu_percent"): None,
        ("web-1", "queue_depth"): why,
    }
    assert all(each["state"] == "open" for each in said)  # never state
    (gone,) = noc.hears(candidate(10, "clear", metric="queue_depth", samples=0))
    assert (gone["state"], gone["muted"]) == ("resolved", why)
    told = [each for each in noc.reaches(31) if each["reason"] == "unmuted"]
    assert [(each["subject"], each["metric"], minutes(each["updated_at"])) for each in told] == [
        ("web-1", "cpu_percent", 30)
    ]
    assert told[0]["muted"] is None


def test_maintenance_that_is_planned_begins_later(noc: Noc) -> None:
    noc.hears(command(0, "silence", until=60, begins_at=NOON + 10 * MINUTE, text="patching", kind="metric_anomaly"))
    assert noc.hears(candidate(5))[0]["muted"] is None
    assert noc.hears(candidate(10))[0]["muted"] == "silence silence- by ines: patching"


def test_the_end_of_one_silence_says_nothing_while_another_holds(noc: Noc) -> None:
    noc.hears(command(0, "silence", until=30, text="a", subject="web-1"))
    noc.hears(command(1, "silence", until=40, text="b", metric="cpu_percent"))
    noc.hears(candidate(2))
    assert [(each["reason"], minutes(each["updated_at"])) for each in noc.reaches(99)] == [("unmuted", 40)]


def test_a_silence_that_is_ended_by_hand(noc: Noc) -> None:
    noc.hears(command(0, "silence", until=30, text="a", subject="web-1"))
    noc.hears(candidate(2))
    (told,) = noc.hears(command(5, "unsilence", silence_id="silence-0"))
    assert (told["reason"], told["muted"]) == ("unmuted", None)
    assert noc.reaches(99) == []


def silent(at: float, phase: str = "firing") -> dict[str, Any]:
    return candidate(at, phase, "HIGH", kind="host_silent", metric="samples", samples=int(phase == "firing"))


def test_a_silent_host_mutes_its_metrics(noc: Noc) -> None:
    (down,) = noc.hears(silent(0))
    said = noc.hears(candidate(20)) + noc.hears(candidate(20, subject="db-1"))
    assert [each["muted"] for each in said] == [f"host_silent is open: {down['alert_id'][:8]}", None]
    assert down["muted"] is None
    back = noc.hears(silent(30, "clear"))
    assert [(each["kind"], each["reason"]) for each in back] == [
        ("host_silent", "resolved"),
        ("metric_anomaly", "unmuted"),
    ]


def test_the_newest_verdict_holds(noc: Noc) -> None:
    (opened,) = noc.hears(candidate(0, severity="HIGH"))
    noc.hears(on(5, "verdict", verdict="false_positive"))
    noc.hears(on(4, "verdict", verdict="true_positive"))
    assert not noc.answer["accepted"]
    assert "a newer verdict holds: false_positive" in noc.answer["message"]
    noc.hears(on(9, "verdict", verdict="true_positive"))
    found = [(each["label_version"], each["verdict"], minutes(each["decided_at"])) for each in noc.told.labels]
    assert found == [(1, "false_positive", 5), (2, "true_positive", 9)]
    assert {each["event_id"] for each in noc.told.labels} == {opened["event_id"]}


DAY = 24 * 60


def test_an_older_alert_takes_a_verdict_and_nothing_else(noc: Noc) -> None:
    (first,) = noc.hears(candidate(0, severity="HIGH", summary="the first"))
    (over,) = noc.hears(candidate(6, "clear", samples=0))
    (second,) = noc.hears(candidate(120, summary="the second"))
    assert first["alert_id"] != second["alert_id"]
    (judged,) = noc.hears(command(130, "verdict", alert_id=first["alert_id"], verdict="false_positive"))
    assert judged == over | {
        "seq": 3, "reason": "verdict", "by": "ines", "verdict": "false_positive",
        "verdict_at": NOON + 130 * MINUTE, "updated_at": NOON + 130 * MINUTE, "label_version": 1,
    }  # fmt: skip
    assert (noc.answer["accepted"], noc.answer["alert_id"], noc.answer["seq"]) == (True, first["alert_id"], 3)
    (label,) = noc.told.labels
    assert (label["alert_id"], label["verdict"], label["severity"]) == (first["alert_id"], "false_positive", "HIGH")
    # A newer one holds here, too.
    noc.hears(command(129, "verdict", alert_id=first["alert_id"], verdict="true_positive"))
    assert "a newer verdict holds: false_positive" in noc.answer["message"]
    (again,) = noc.hears(command(140, "verdict", alert_id=first["alert_id"], verdict="true_positive"))
    assert (again["seq"], again["label_version"]) == (4, 2)
    assert noc.hears(command(150, "comment", alert_id=first["alert_id"], text="late")) == []
    assert "of each fingerprint only the newest alert can be changed" in noc.answer["message"]
    (newest,) = noc.hears(on(160, "verdict", verdict="true_positive"))
    assert newest["alert_id"] == second["alert_id"]


def test_a_forgotten_alert_takes_a_verdict_for_two_weeks(noc: Noc) -> None:
    (opened,) = noc.hears(candidate(0))
    noc.hears(candidate(6, "clear", samples=0))
    for day in range(1, 14):
        noc.hears(candidate(day * DAY, subject="web-2"))
    about = {"alert_id": opened["alert_id"], "verdict": "false_positive"}
    (judged,) = noc.hears(command(14 * DAY - 1, "verdict", **about))
    assert (judged["seq"], judged["state"], judged["verdict"]) == (3, "resolved", "false_positive")
    assert noc.hears(command(14 * DAY, "verdict", **about)) == []
    assert noc.answer["message"] == (
        f"no alert {opened['alert_id']} is known; verdicts are taken for 14 days after an alert opened, and of the "
        "older alerts on the newest 1,000"
    )
    assert noc.hears(on(14 * DAY, "verdict", verdict="false_positive")) == []
    assert "is open or was within the last day" in noc.answer["message"]
    assert len(noc.tenant.every(Past)) == 0


def test_of_a_flood_the_newest_alerts_take_verdicts() -> None:
    noc = Noc()
    more = 3
    opened = [noc.hears(candidate(at, subject=f"host-{at}"))[0]["alert_id"] for at in range(MOST_PAST + more)]
    for at in range(MOST_PAST + more):
        noc.hears(candidate(MOST_PAST + more + 6, "clear", samples=0, subject=f"host-{at}"))
    noc.reaches(3 * DAY)
    assert len(noc.tenant.every(Past)) == MOST_PAST
    for number in (0, more - 1, more, MOST_PAST + more - 1):
        noc.hears(
            command(3 * DAY, "verdict", command_id=f"v-{number}", alert_id=opened[number], verdict="true_positive")
        )
        assert noc.answer["accepted"] is (number >= more)
    assert sum(map(len, noc.stored.values())) < 600 * MOST_PAST


def test_what_is_stored_is_small() -> None:
    noc = Noc()
    long = {"subject": "h" * 200, "metric": "m" * 64}
    noc.hears(candidate(0, **long, summary="s" * 300, event_id="e" * 36))
    noc.hears(candidate(1, **long | {"metric": "other"}, summary="s" * 300))
    noc.hears(command(2, "silence", until=30, text="t" * 300, command_id="c" * 40, kind="metric_anomaly"))
    for number in range(100):
        noc.hears(command(3 + number, "comment", text="x" * 300, fingerprint=noc.told.alerts[0]["fingerprint"]))
    noc.hears(command(200, "snooze", until=300, fingerprint=noc.told.alerts[0]["fingerprint"]))
    assert max(map(len, noc.stored.values())) < 1000


def test_an_entry_of_the_first_format_is_read() -> None:
    (opened,) = Noc().hears(candidate(0, severity="HIGH"))
    first = struct.pack(">qqq?", NOON + HOUR_MS, NOON // MINUTE, NOON + 24 * HOUR_MS, False)
    stored = {
        b"head": struct.pack(">qI", NOON, 1),
        struct.pack(">I", 0): first + topics.ALERTS.codec.encode({**opened, "fingerprint": "", "runbook": ""}),
    }
    noc = Noc()
    noc.tenant = TenantAlerts.load(b"acme", stored.get)
    (episode,) = noc.tenant.every(Episode)
    assert episode.alert == {**opened, "muted": None}
    assert (episode.quiet_until, episode.escalate_at) == (NOON + HOUR_MS, NOON + alerts.ESCALATE_MS["HIGH"])
    (version,) = noc.hears(candidate(6, "clear", samples=0))
    assert (version["state"], version["seq"]) == ("resolved", 2)


def test_an_entry_of_a_later_format_stops_the_partition() -> None:
    stored = {b"head": struct.pack(">qI", NOON, 1), struct.pack(">I", 0): b"Z123"}
    with pytest.raises(StateVersionError, match="format b'Z'"):
        TenantAlerts.load(b"acme", stored.get)
