"""What people do with incidents: confirm, merge, split; what is refused, and why."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.incidents import MOST_ALERTS, MOST_LINKS
from streams.alert_state import NEVER, Episode, Incident
from streams.incidents import members
from tests.streams.noc import Noc, candidate, command, minutes

LEAD = {"severity": "HIGH"}


@pytest.fixture(params=[False, True], ids=["", "restarted before each"])
def noc(request: pytest.FixtureRequest) -> Noc:
    return Noc(restarts=request.param)


def begin(noc: Noc, at: float, subject: str, count: int = 2, **other: Any) -> str:
    """An incident of so many alerts of a host, one each second; its id."""
    for number in range(count):
        noc.hears(candidate(at + number / 60, subject=subject, metric=f"m{number}", **other))
    found: str = noc.told.incidents[-1]["incident_id"]
    return found


def alerts_of(noc: Noc, incident: str) -> list[str]:
    """What the topic says: the alerts whose newest version names the incident, in the order in which they opened."""
    newest = {version["alert_id"]: version["incident_id"] for version in noc.told.alerts}
    return [alert for alert, found in newest.items() if found == incident]


def newest(noc: Noc, incident: str) -> dict[str, Any]:
    return [each for each in noc.told.incidents if each["incident_id"] == incident][-1]


def told(noc: Noc, since: int) -> list[tuple[Any, ...]]:
    names = ("reason", "state", "alerts", "active", "related_incident_id")
    return [tuple(each[name] for name in names) for each in noc.told.incidents[since:]]


def test_a_merge_closes_one_incident_and_lets_the_other_go_on(noc: Noc) -> None:
    web, db = begin(noc, 0, "web-1"), begin(noc, 1, "db-1", severity="HIGH")
    ours, theirs = alerts_of(noc, web), alerts_of(noc, db)
    before = len(noc.told.incidents)
    said = noc.hears(command(5, "merge", incident_id=db, into=web, text="the switch"))
    assert told(noc, before) == [
        ("merged", "closed", 2, 0, web),
        ("took_over", "candidate", 4, 4, db),
        ("confirmed", "confirmed", 4, 4, None),
    ]
    assert [(each["reason"], each["incident_id"], each["by"], each["note"]) for each in said] == [
        ("linked", web, "ines", "the switch")
    ] * 2
    assert alerts_of(noc, web) == ours + theirs
    assert alerts_of(noc, db) == []
    assert noc.answer["accepted"]
    assert (noc.answer["incident_id"], noc.answer["alert_id"]) == (web, None)
    assert noc.answer["message"] == f"incident {db} is closed, {web} has its alerts: 4 in all"
    closed, goes_on = newest(noc, db), newest(noc, web)
    assert (minutes(closed["closed_at"]), closed["by"], closed["note"]) == (5, "ines", "the switch")
    # The worst alert is looked at first, whichever incident brought it.
    assert (goes_on["severity"], goes_on["alert_id"]) == ("HIGH", theirs[0])
    assert (goes_on["link"], goes_on["links"], minutes(goes_on["opened_at"])) == ("host:web-1", ["host:db-1"], 0)


def test_after_a_merge_alerts_of_either_host_join(noc: Noc) -> None:
    web, db = begin(noc, 0, "web-1"), begin(noc, 1, "db-1")
    noc.hears(command(5, "merge", incident_id=db, into=web))
    (joined,) = noc.hears(candidate(6, subject="db-1", metric="late"))
    assert joined["incident_id"] == web
    assert newest(noc, web)["alerts"] == 5


def test_how_long_new_alerts_join_goes_by_the_newest_alert_of_both(noc: Noc) -> None:
    web, db = begin(noc, 0, "web-1"), begin(noc, 9, "db-1")
    noc.hears(command(10, "merge", incident_id=db, into=web))
    (joined,) = noc.hears(candidate(18, subject="web-1", metric="late"))
    assert joined["incident_id"] == web


def test_of_two_equally_bad_incidents_the_older_one_is_looked_at_first(noc: Noc) -> None:
    web, db = begin(noc, 0, "web-1"), begin(noc, 1, "db-1")
    oldest = alerts_of(noc, web)[0]
    noc.hears(command(5, "merge", incident_id=web, into=db))
    assert newest(noc, db)["alert_id"] == oldest


def test_what_is_split_off_takes_new_alerts_by_its_newest_alert(noc: Noc) -> None:
    web, db = begin(noc, 0, "web-1"), begin(noc, 1, "db-1")
    noc.hears(candidate(9, subject="db-1", metric="later"))
    noc.hears(command(10, "merge", incident_id=db, into=web))
    noc.hears(command(11, "split", incident_id=web, alert_ids=alerts_of(noc, web)[2:]))
    (joined,) = noc.hears(candidate(18, subject="db-1", metric="late"))
    assert joined["incident_id"] == noc.answer["incident_id"]


def test_what_was_confirmed_stays_confirmed(noc: Noc) -> None:
    web, db = begin(noc, 0, "web-1"), begin(noc, 1, "db-1", severity="CRITICAL")
    before = len(noc.told.incidents)
    noc.hears(command(5, "merge", incident_id=db, into=web))
    assert [each["reason"] for each in noc.told.incidents[before:]] == ["merged", "took_over", "confirmed"]
    assert newest(noc, web)["by"] == "ines"


def test_a_merged_incident_closes_half_an_hour_after_the_last_alert_of_both(noc: Noc) -> None:
    web, db = begin(noc, 0, "web-1"), begin(noc, 1, "db-1")
    for subject, at in (("db-1", 20), ("web-1", 30)):
        for metric in ("m0", "m1"):
            noc.hears(candidate(at, "clear", subject=subject, metric=metric, samples=0))
    noc.hears(command(40, "merge", incident_id=web, into=db))
    noc.reaches(99)
    assert (newest(noc, db)["state"], minutes(newest(noc, db)["closed_at"])) == ("closed", 60)


def test_a_split_lets_some_alerts_begin_an_incident_of_their_own(noc: Noc) -> None:
    web, db = begin(noc, 0, "web-1", severity="HIGH"), begin(noc, 1, "db-1")
    noc.hears(command(5, "merge", incident_id=db, into=web))
    first, *_ = alerts_of(noc, web)
    theirs = alerts_of(noc, web)[2:]
    before = len(noc.told.incidents)
    said = noc.hears(command(9, "split", incident_id=web, alert_ids=[*theirs, theirs[0]], text="another cause"))
    new = noc.answer["incident_id"]
    assert new not in (web, db)
    assert told(noc, before) == [("split", "confirmed", 2, 2, new), ("opened", "candidate", 2, 2, web)]
    assert noc.answer["message"] == f"incident {new} has 2 of the alerts, {web} keeps 2"
    assert [(each["alert_id"], each["reason"], each["incident_id"], each["note"]) for each in said] == [
        (alert, "linked", new, "another cause") for alert in theirs
    ]
    old, made = newest(noc, web), newest(noc, new)
    assert (old["link"], old["links"], old["alert_id"], old["severity"]) == ("host:web-1", [], first, "HIGH")
    assert (made["link"], made["links"], made["alert_id"], made["severity"]) == ("host:db-1", [], theirs[0], "WARNING")
    assert minutes(made["opened_at"]) == 1
    # Each goes on with its own host.
    noc.hears(candidate(9.5, subject="db-1", metric="late"))
    assert (newest(noc, web)["alerts"], newest(noc, new)["alerts"]) == (2, 3)


def test_a_split_that_takes_the_worst_away(noc: Noc) -> None:
    found = begin(noc, 0, "web-1")
    noc.hears(candidate(1, metric="worse", severity="HIGH", subject="web-1"))
    first, _, worst = alerts_of(noc, found)
    noc.hears(command(5, "split", incident_id=found, alert_ids=[worst]))
    assert (newest(noc, found)["severity"], newest(noc, found)["alert_id"]) == ("WARNING", first)
    assert newest(noc, noc.answer["incident_id"])["severity"] == "HIGH"


@pytest.mark.parametrize(
    ("count", "severity", "state"),
    [(2, "HIGH", "candidate"), (3, "HIGH", "confirmed"), (1, "CRITICAL", "confirmed")],
)
def test_what_is_split_off_is_judged_like_any_other(noc: Noc, count: int, severity: str, state: str) -> None:
    found = begin(noc, 0, "web-1", 4, severity=severity)
    noc.hears(command(5, "split", incident_id=found, alert_ids=alerts_of(noc, found)[:count]))
    assert newest(noc, noc.answer["incident_id"])["state"] == state


@pytest.mark.parametrize("leaving", [0, 1])
def test_the_part_without_an_active_alert_closes_half_an_hour_after_the_split(noc: Noc, leaving: int) -> None:
    found = begin(noc, 0, "web-1")
    noc.hears(candidate(8, "clear", subject="web-1", metric="m0", samples=0))
    noc.hears(command(10, "split", incident_id=found, alert_ids=[alerts_of(noc, found)[leaving]]))
    new = noc.answer["incident_id"]
    noc.reaches(500)
    quiet, busy = (new, found) if leaving == 0 else (found, new)
    assert (newest(noc, quiet)["state"], minutes(newest(noc, quiet)["closed_at"])) == ("closed", 40)
    assert (newest(noc, busy)["state"], newest(noc, busy)["active"]) == ("candidate", 1)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "confirm without an incident": ({"action": "confirm"}, "to confirm something needs incident_id"),
    "confirm an unknown one": (
        {"action": "confirm", "incident_id": "i"},
        "there is no incident i that is not closed",
    ),
    "confirm twice": (
        {"action": "confirm", "incident_id": "{big}"},
        "cannot confirm an incident that is confirmed; possible: merge, split",
    ),
    "merge without a goal": ({"action": "merge", "incident_id": "{web}"}, "to merge something needs into"),
    "merge an unknown one": (
        {"action": "merge", "incident_id": "i", "into": "{web}"},
        "there is no incident i that is not closed",
    ),
    "merge into an unknown one": (
        {"action": "merge", "incident_id": "{web}", "into": "i"},
        "there is no incident i that is not closed",
    ),
    "merge into itself": (
        {"action": "merge", "incident_id": "{web}", "into": "{web}"},
        "an incident cannot be merged into itself",
    ),
    "merge into one that is full": (
        {"action": "merge", "incident_id": "{web}", "into": "{big}"},
        f"together they have {MOST_ALERTS + 1} alerts; an incident has {MOST_ALERTS} at most",
    ),
    "split without alerts": ({"action": "split", "incident_id": "{web}"}, "to split something needs alert_ids"),
    "split an unknown one": (
        {"action": "split", "incident_id": "i", "alert_ids": ["a"]},
        "there is no incident i that is not closed",
    ),
    "split off an alert that is not in it": (
        {"action": "split", "incident_id": "{web}", "alert_ids": ["{far}"]},
        "{far} cannot leave incident {web}; those that can: {first}, {second}",
    ),
    "split off all": (
        {"action": "split", "incident_id": "{web}", "alert_ids": ["{first}", "{second}"]},
        "one of its alerts must stay: all of them are the incident that there is",
    ),
}


@pytest.mark.parametrize(("asked", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_changes_nothing_and_says_why(asked: dict[str, Any], message: str) -> None:
    noc = Noc()
    names = {"web": begin(noc, 0, "web-1"), "big": begin(noc, 1, "db-1", MOST_ALERTS - 1)}
    names |= dict(zip(("first", "second"), alerts_of(noc, names["web"]), strict=True))
    names["far"] = noc.hears(candidate(2, subject="far"))[0]["alert_id"]
    noc.reaches(5)
    before, said = dict(noc.stored), len(noc.told.incidents)
    filled = {
        name: [each.format(**names) for each in value] if isinstance(value, list) else value.format(**names)
        for name, value in asked.items()
    }
    assert noc.hears(command(5, filled.pop("action"), **filled)) == []
    assert not noc.answer["accepted"]
    assert noc.answer["message"] == message.format(**names)
    assert noc.stored == before
    assert len(noc.told.incidents) == said


def test_an_incident_is_about_a_limited_number_of_things() -> None:
    noc = Noc()
    found = [begin(noc, number / 10, f"web-{number}") for number in range(MOST_LINKS + 1)]
    for other in found[1:]:
        noc.hears(command(5, "merge", incident_id=other, into=found[0], command_id=other))
    answers = [(each["accepted"], each["message"]) for each in noc.told.answers]
    assert [accepted for accepted, _ in answers] == [True] * (MOST_LINKS - 1) + [False]
    assert answers[-1][1] == "together they are about 17 things; an incident is about 16 at most"


def test_a_merge_that_comes_again_is_carried_out_once(noc: Noc) -> None:
    web, db = begin(noc, 0, "web-1"), begin(noc, 1, "db-1")
    noc.hears(command(5, "merge", incident_id=db, into=web))
    before = len(noc.told.incidents)
    noc.hears(command(5, "merge", incident_id=db, into=web))
    assert (noc.answer["message"], len(noc.told.incidents)) == ("it was carried out before", before)


SMALL = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(
        st.sampled_from(["firing", "firing", "clear"]),
        st.sampled_from(["web-1", "db-1", "far"]),
        st.sampled_from(["m0", "m1", "m2"]),
        st.sampled_from(["WARNING", "HIGH", "CRITICAL"]),
    ),
    st.tuples(st.just("merge"), SMALL, SMALL),
    st.tuples(st.just("split"), SMALL, st.sets(SMALL, min_size=1)),
)


def event_of(noc: Noc, number: int, at: float, action: str, *what: Any) -> dict[str, Any] | None:
    """A candidate, or a command about the incidents that there are; None when there is none."""
    if action in ("firing", "clear"):
        subject, metric, severity = what
        samples = int(action == "firing")
        return candidate(at, action, severity, samples, subject=subject, metric=metric, event_id=f"e-{number}")
    found = noc.tenant.every(Incident)
    if not found:
        return None
    incident, asked = found[what[0] % len(found)], {}
    if action == "merge":
        asked["into"] = found[what[1] % len(found)].name
    else:
        known = members(noc.tenant, incident)
        asked["alert_ids"] = sorted({known[n % len(known)].alert["alert_id"] for n in what[1]}) if known else []
    return command(at, action, command_id=f"c-{number}", incident_id=incident.name, **asked)


def check_counts(noc: Noc) -> None:
    incidents = noc.tenant.every(Incident)
    for incident in incidents:
        record, known = incident.record, members(noc.tenant, incident)
        assert record["active"] == sum(each.active for each in known)
        assert newest(noc, incident.name) == record  # what is told is what holds
        assert record["alerts"] >= max(1, len(known))
        assert (record["active"] == 0) == (incident.close_at != NEVER)
    active = [each.alert["incident_id"] for each in noc.tenant.every(Episode) if each.active]
    assert {*active} - {None} <= {incident.name for incident in incidents}


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([0, 0.5, 3, 9, 40]), STEPS), min_size=5, max_size=40))
def test_laws(steps: list[tuple[float, tuple[Any, ...]]]) -> None:
    """Whatever is merged and split: counts are those of the alerts, versions have no holes, restarts change nothing."""
    whole, restarted, at = Noc(), Noc(restarts=True), 0.0
    for number, (later, step) in enumerate(steps):
        at += later
        event = event_of(whole, number, at, *step)
        if event is None:
            continue
        whole.hears(event)
        restarted.hears(event)
        check_counts(whole)
    assert restarted.told == whole.told
    assert restarted.stored == whole.stored
    versions: dict[str, int] = {}
    for each in whole.told.incidents:
        assert each["seq"] == versions.get(each["incident_id"], 0) + 1
        versions[each["incident_id"]] = each["seq"]
