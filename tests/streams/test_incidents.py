"""Correlation of a tenant's alerts into incidents."""

from typing import Any

import pytest

from models.incidents import MOST_ALERTS
from tests.streams.noc import Noc, candidate, command, minutes


@pytest.fixture(params=[False, True], ids=["", "restarted before each"])
def noc(request: pytest.FixtureRequest) -> Noc:
    return Noc(restarts=request.param)


def story(noc: Noc) -> list[tuple[str, str, str, int, int]]:
    return [
        (each["reason"], each["state"], each["severity"], each["alerts"], each["active"]) for each in noc.told.incidents
    ]


# What comes, and what is told of incidents: (reason, state, severity, alerts, active)
cpu, memory, queue = ({"metric": metric} for metric in ("cpu_percent", "memory_percent", "queue_depth"))
STORIES: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str, str, int, int]]]] = {
    "one alert is none": ([candidate(0)], []),
    "two of one host within ten minutes": (
        [candidate(0, **cpu), candidate(10, severity="HIGH", **memory)],
        [("opened", "candidate", "HIGH", 2, 2)],
    ),
    "too far apart": ([candidate(0, **cpu), candidate(10.1, **memory)], []),
    "of two hosts": ([candidate(0, **cpu), candidate(1, subject="db-1")], []),
    "a third confirms": (
        [candidate(0, **cpu), candidate(5, **memory), candidate(15, **queue)],
        [
            ("opened", "candidate", "WARNING", 2, 2),
            ("joined", "candidate", "WARNING", 3, 3),
            ("confirmed", "confirmed", "WARNING", 3, 3),
        ],
    ),
    "a critical one confirms": (
        [candidate(0, **cpu), candidate(5, severity="CRITICAL", **memory)],
        [("opened", "candidate", "CRITICAL", 2, 2), ("confirmed", "confirmed", "CRITICAL", 2, 2)],
    ),
    "one that becomes critical confirms": (
        [candidate(0, **cpu), candidate(5, **memory), candidate(6, severity="CRITICAL", **cpu)],
        [
            ("opened", "candidate", "WARNING", 2, 2),
            ("severity", "candidate", "CRITICAL", 2, 2),
            ("confirmed", "confirmed", "CRITICAL", 2, 2),
        ],
    ),
    "closed half an hour after the last one was resolved": (
        [
            candidate(0, **cpu),
            candidate(5, **memory),
            candidate(20, "clear", **cpu),
            candidate(25, "clear", **memory),
            candidate(56, subject="far"),
        ],
        [
            ("opened", "candidate", "WARNING", 2, 2),
            ("resolved", "candidate", "WARNING", 2, 1),
            ("resolved", "candidate", "WARNING", 2, 0),
            ("closed", "closed", "WARNING", 2, 0),
        ],
    ),
    "one that opens meanwhile keeps it from closing": (
        [
            candidate(0, **cpu),
            candidate(1, **memory),
            candidate(8, "clear", **cpu),
            candidate(8, "clear", **memory),
            candidate(9, **queue),
            candidate(500, subject="far"),
        ],
        [
            ("opened", "candidate", "WARNING", 2, 2),
            ("resolved", "candidate", "WARNING", 2, 1),
            ("resolved", "candidate", "WARNING", 2, 0),
            ("joined", "candidate", "WARNING", 3, 1),
            ("confirmed", "confirmed", "WARNING", 3, 1),
        ],
    ),
}


@pytest.mark.parametrize(("events", "expected"), STORIES.values(), ids=STORIES.keys())
def test_story(noc: Noc, events: list[dict[str, Any]], expected: list[tuple[str, str, str, int, int]]) -> None:
    for event in events:
        noc.hears(event)
    assert story(noc) == expected
    assert [each["seq"] for each in noc.told.incidents] == list(range(1, len(expected) + 1))
    assert len({each["incident_id"] for each in noc.told.incidents}) <= 1


def test_alerts_say_to_what_they_belong(noc: Noc) -> None:
    (first,) = noc.hears(candidate(0, severity="HIGH"))
    linked, second = noc.hears(candidate(5, metric="queue_depth"))
    (incident,) = noc.told.incidents
    assert (linked["alert_id"], linked["reason"], linked["seq"]) == (first["alert_id"], "linked", 2)
    assert linked["incident_id"] == second["incident_id"] == incident["incident_id"]
    assert (linked["state"], second["state"]) == ("open", "open")
    # The worst is looked at first.
    assert (incident["alert_id"], incident["summary"]) == (first["alert_id"], first["summary"])
    assert minutes(incident["opened_at"]) == 0


def test_the_time_of_closing_is_its_own(noc: Noc) -> None:
    for event in STORIES["closed half an hour after the last one was resolved"][0]:
        noc.hears(event)
    assert minutes(noc.told.incidents[-1]["closed_at"]) == minutes(noc.told.incidents[-1]["updated_at"]) == 55


def test_a_person_confirms_once(noc: Noc) -> None:
    noc.hears(candidate(0))
    noc.hears(candidate(5, metric="queue_depth"))
    found = noc.told.incidents[0]["incident_id"]
    noc.hears(command(6, "confirm", incident_id=found, text="the switch"))
    newest = noc.told.incidents[-1]
    assert (newest["reason"], newest["state"], newest["by"], newest["note"]) == (
        "confirmed",
        "confirmed",
        "ines",
        "the switch",
    )
    noc.hears(command(7, "confirm", incident_id=found))
    assert "cannot confirm an incident that is confirmed" in noc.answer["message"]


def test_no_new_alert_after_two_hours(noc: Noc) -> None:
    for number in range(15):
        noc.hears(candidate(number * 9, metric=f"m{number}"))
    old, new = {}, {}
    for version in noc.told.alerts:
        (old if minutes(version["opened_at"]) < 120 else new)[version["alert_id"]] = version["incident_id"]  # type: ignore[operator]
    assert len(set(old.values())) == 1
    assert (len(old), len(new)) == (14, 1)
    assert set(new.values()) == {None}  # it begins another one with the next


def test_no_more_than_fifty_alerts(noc: Noc) -> None:
    for number in range(MOST_ALERTS + 2):
        noc.hears(candidate(number / 10, metric=f"m{number}"))
    sizes: dict[str, int] = {}
    for each in noc.told.incidents:
        sizes[each["incident_id"]] = each["alerts"]
    assert list(sizes.values()) == [MOST_ALERTS, 2]


def test_one_that_fits_several_joins_the_oldest(noc: Noc) -> None:
    """The first is full until its alerts are those of an hour ago: a late one fits both."""
    for number in range(MOST_ALERTS - 1):
        noc.hears(candidate(number / 100, metric=f"m{number}"))
    first = noc.told.incidents[0]["incident_id"]
    # Two that opened too long after the first incident's newest begin another one.
    noc.hears(candidate(15, metric="x"))
    noc.hears(candidate(15, metric="y"))
    second = noc.told.incidents[-1]["incident_id"]
    assert second != first
    (late,) = noc.hears(candidate(8, metric="late"))
    assert late["incident_id"] == first
