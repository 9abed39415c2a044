"""The ticket agent: what becomes a ticket, every move of one, and what closing it says of its events."""

import random
from collections.abc import Iterable
from typing import Any

import pytest

from models.attendance import outcome_fault
from models.identity import derived_id
from models.tickets import BY_PEOPLE, KEPT_MS, MOST_EVENTS, MOVES, ticket_id
from schemas import topics
from schemas.topics import Topic
from streams.fraud_outcomes import FRAUD_OUTCOMES
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from streams.tickets import TICKETS
from tests.schemas.samples import SAMPLES

NOON = 1_790_000_000_000
HOUR = 3_600_000

Record = dict[str, Any]


def fraud(event: str, hours: float = 0, **other: Any) -> Record:
    return {
        "tenant_id": "acme",
        "candidate_id": f"c-{event}",
        "model": "fraud",
        "subject": "p-1",
        "event_id": event,
        "event_time": NOON + round(hours * HOUR),
        "severity": "HIGH",
        "probability": 0.9,
        "interval_low": 0.85,
        "interval_high": 0.95,
        "model_version": "v20260401_060000",
        "summary": "check-in of p-1 at s-1: probability of fraud 90%",
        "purpose": "decision",
    } | other


def asked(action: str, hours: float = 1, event: str = "e-1", **other: Any) -> Record:
    """A command about the ticket that an event opened."""
    return {
        "tenant_id": "acme",
        "command_id": f"{action}-{hours}-{event}",
        "action": action,
        "by": "ines",
        "at": NOON + round(hours * HOUR),
        "ticket_id": ticket_id("acme", "fraud", "p-1", event),
        "text": None,
        "assignee": None,
        "resolution": None,
    } | other


def close(resolution: str = "confirmed", hours: float = 2, **other: Any) -> Record:
    return asked("close", hours, resolution=resolution, **other)


def heard(said: Iterable[Record]) -> list[InputRecord]:
    """Both topics in the order given, each record an instant after the one before and not before its own time."""
    out: list[InputRecord] = []
    clock = 0
    for offset, each in enumerate(said):
        command = "command_id" in each
        topic = topics.COMMANDS_TICKETS if command else topics.TICKETS_CANDIDATES
        clock = max(clock + 1, each["at" if command else "event_time"])
        out.append(InputRecord(topic.key_of(each), topic.codec.encode(each), clock, offset, (), topic.name))
    return out


def told(outcome: Outcome, topic: Topic = topics.TICKETS) -> list[Record]:
    return [topic.codec.decode(value or b"") for _, value in outcome.topic(topic.name)]


def after(*said: Record, **options: Any) -> Outcome:
    return run(TICKETS, heard(said), **options)


def answer(outcome: Outcome) -> Record:
    return told(outcome, topics.TICKETS_ANSWERS)[-1]


def test_an_event_opens_a_ticket() -> None:
    (opened,) = told(after(fraud("e-1")))
    assert opened == {
        "tenant_id": "acme",
        "ticket_id": ticket_id("acme", "fraud", "p-1", "e-1"),
        "seq": 1,
        "model": "fraud",
        "subject": "p-1",
        "state": "open",
        "resolution": None,
        "severity": "HIGH",
        "opened_at": NOON,
        "updated_at": NOON,
        "closed_at": None,
        "event_ids": ["e-1"],
        "probability": 0.9,
        "interval_low": 0.85,
        "interval_high": 0.95,
        "model_version": "v20260401_060000",
        "summary": "check-in of p-1 at s-1: probability of fraud 90%",
        "by": "system",
        "reason": "opened",
        "note": None,
        "assignee": None,
        "purpose": "decision",
    }


def test_an_audited_event_has_a_ticket_of_its_own_and_a_verdict_of_its_own() -> None:
    audits = [fraud(event, 1, purpose="audit", severity="LOW", interval_low=0.0) for event in ("e-2", "e-3")]
    work = [asked("start", 3, "e-2"), close("rejected", 4, event="e-2"), asked("start", 5), close(hours=6)]
    outcome = after(audits[0], fraud("e-1"), audits[1], fraud("e-4", 2), audits[0], *work)
    newest = {each["ticket_id"]: each for each in told(outcome)}
    assert [(each["purpose"], each["event_ids"]) for each in newest.values()] == [
        ("audit", ["e-2"]),
        ("decision", ["e-1", "e-4"]),
        ("audit", ["e-3"]),
    ]
    verdicts = [(each["event_id"], each["verdict"]) for each in told(outcome, topics.OUTCOMES_ATTENDANCE)]
    assert verdicts == [("e-2", "genuine"), ("e-1", "fraud"), ("e-4", "fraud")]


def test_what_a_closed_ticket_says_becomes_a_label() -> None:
    """From the agent's outcome through the join of outcomes to the labels of both predictions."""
    outcome = after(fraud("e-1"), fraud("e-2", 1), asked("start", 2), close(hours=3))
    predictions = [
        SAMPLES["predictions.fraud"]
        | {"tenant_id": "acme", "subject": "p-1", "event_id": event, "prediction_id": uuid, "event_time": NOON}
        for event, uuid in (("e-1", derived_id("1")), ("e-2", derived_id("2")), ("e-3", derived_id("3")))
    ]
    closed = NOON + 3 * HOUR
    both = [
        *((topics.PREDICTIONS_FRAUD, each, NOON) for each in predictions),
        *((topics.OUTCOMES_ATTENDANCE, each, closed) for each in told(outcome, topics.OUTCOMES_ATTENDANCE)),
    ]
    source = [
        InputRecord(topic.key_of(each), topic.codec.encode(each), at, offset, (), topic.name)
        for offset, (topic, each, at) in enumerate(both)
    ]
    labels = told(run(FRAUD_OUTCOMES, source), topics.LABELLED_FRAUD)
    assert [(each["event_id"], each["prediction_id"]) for each in labels] == [
        ("e-1", derived_id("1")), ("e-2", derived_id("2"))
    ]  # fmt: skip
    assert {(each["label"], each["source"], each["decided_by"]) for each in labels} == {(True, "supervisor", "ines")}
    assert {each["decided_at"] for each in labels} == {NOON + 3 * HOUR}


def test_frauds_of_a_person_within_a_day_are_one_ticket() -> None:
    worse = fraud(
        "e-2", 24, severity="CRITICAL", probability=0.97, interval_low=0.9, interval_high=0.99, summary="worse"
    )
    milder = fraud("e-3", -24, severity="MEDIUM", probability=0.8, summary="milder")
    *_, last = found = told(after(fraud("e-1"), worse, milder))
    assert [each["reason"] for each in found] == ["opened", "added", "added"]
    assert [each["seq"] for each in found] == [1, 2, 3]
    assert {each["ticket_id"] for each in found} == {ticket_id("acme", "fraud", "p-1", "e-1")}
    assert (last["event_ids"], last["opened_at"]) == (["e-1", "e-2", "e-3"], NOON)
    assert (last["updated_at"], last["severity"]) == (worse["event_time"], "CRITICAL")
    assert (last["probability"], last["interval_low"], last["summary"]) == (0.97, 0.9, "worse")


@pytest.mark.parametrize(
    "other",
    [
        fraud("e-2", 24.001),
        fraud("e-2", -24.001),
        fraud("e-2", subject="p-2"),
        fraud("e-2", tenant_id="bolt"),
    ],
    ids=["later", "earlier", "somebody else", "another tenant"],
)
def test_what_is_a_ticket_of_its_own(other: Record) -> None:
    found = told(after(fraud("e-1"), other))
    assert [each["reason"] for each in found] == ["opened", "opened"]
    assert len({each["ticket_id"] for each in found}) == 2


def test_a_ticket_holds_so_many_events() -> None:
    found = told(after(*(fraud(f"e-{number}") for number in range(MOST_EVENTS + 2))))
    assert [each["reason"] for each in found] == ["opened", *["added"] * (MOST_EVENTS - 1), "opened", "added"]
    assert len(found[MOST_EVENTS - 1]["event_ids"]) == MOST_EVENTS


def test_an_event_that_comes_again_changes_nothing() -> None:
    closed = (fraud("e-1"), fraud("e-2"), asked("start"), close())
    again = after(*closed, fraud("e-1"), fraud("e-2"))
    assert told(again) == told(after(*closed))
    # What is new after that is another ticket.
    assert told(after(*closed, fraud("e-3", 3)))[-1]["reason"] == "opened"


BEFORE: dict[str, tuple[Record, ...]] = {
    "open": (fraud("e-1"),),
    "in_progress": (fraud("e-1"), asked("start", 0.5)),
    "closed": (fraud("e-1"), asked("start", 0.5), close(hours=0.7)),
}
ASKED = {
    "start": asked("start"),
    "close": close("rejected", 1),
    "comment": asked("comment", text="looking"),
    "assign": asked("assign", assignee="omar"),
}
REASONS = {"start": "started", "close": "closed", "comment": "comment", "assign": "assigned"}


@pytest.mark.parametrize("state", BEFORE)
@pytest.mark.parametrize("action", ASKED)
def test_every_move(state: str, action: str) -> None:
    """Those of docs/tickets.md, and no other."""
    possible = {
        "open": {"start": "in_progress", "comment": "open", "assign": "open"},
        "in_progress": {"close": "closed", "comment": "in_progress", "assign": "in_progress"},
        "closed": {"comment": "closed"},
    }[state]
    outcome, before = after(*BEFORE[state], ASKED[action]), told(after(*BEFORE[state]))
    said = answer(outcome)
    if action not in possible:
        able = ", ".join(possible)
        assert (said["accepted"], said["seq"]) == (False, None)
        assert said["message"] == f"cannot {action} a ticket that is {state}; possible: {able}"
        assert told(outcome) == before
        return
    version = told(outcome)[-1]
    assert (said["accepted"], said["seq"], said["ticket_id"]) == (True, len(before) + 1, version["ticket_id"])
    assert said["message"] == f"{REASONS[action]}: the ticket is {possible[action]} (version {said['seq']})"
    assert (version["state"], version["reason"], version["by"]) == (possible[action], REASONS[action], "ines")
    assert version["updated_at"] == ASKED[action]["at"]
    assert version["note"] == ASKED[action]["text"]
    expected = {"start": "ines", "assign": "omar"}.get(action, before[-1]["assignee"])
    assert version["assignee"] == expected


def test_every_move_of_people_is_asked_for_above() -> None:
    assert set(ASKED) == set(BY_PEOPLE) == {action for _, action in MOVES} - {"open", "add"}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (asked("reopen"), "action must be one of start, close, comment, assign, not 'reopen'"),
        (asked("close"), "to close a ticket needs resolution"),
        (close("fixed"), "resolution must be one of confirmed, rejected, duplicate, not 'fixed'"),
        (asked("comment"), "to comment a ticket needs text"),
        (asked("assign", assignee=""), "to assign a ticket needs assignee"),
        (asked("start", by=""), "to start a ticket needs by"),
        (asked("start", by="a|b"), "by must be 1 to 200 bytes of printable text"),
        (asked("comment", text="x" * 401), "at most 400 bytes of text are kept"),
        (asked("start", event="e-9"), "is open or was closed within 31 days"),
        (asked("start", tenant_id="bolt"), "is open or was closed within 31 days"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(command: Record, message: str) -> None:
    outcome = after(*BEFORE["in_progress"], command)
    said = answer(outcome)
    assert not said["accepted"]
    assert message in said["message"]
    assert told(outcome) == told(after(*BEFORE["in_progress"]))
    assert told(outcome, topics.OUTCOMES_ATTENDANCE) == []


def test_a_command_that_comes_again_is_carried_out_once() -> None:
    outcome = after(fraud("e-1"), asked("comment", text="hm"), asked("comment", text="hm"))
    assert [each["reason"] for each in told(outcome)] == ["opened", "comment"]
    assert (answer(outcome)["accepted"], answer(outcome)["message"]) == (True, "it was carried out before")


@pytest.mark.parametrize(
    ("resolution", "verdict"), [("confirmed", "fraud"), ("rejected", "genuine"), ("duplicate", None)]
)
def test_closing_is_a_verdict_on_each_event(resolution: str, verdict: str | None) -> None:
    outcome = after(fraud("e-1"), fraud("e-2", 0.1), asked("start"), close(resolution, text="seen on camera"))
    last = told(outcome)[-1]
    assert (last["state"], last["resolution"], last["closed_at"]) == ("closed", resolution, NOON + 2 * HOUR)
    given = told(outcome, topics.OUTCOMES_ATTENDANCE)
    assert [each["event_id"] for each in given] == (["e-1", "e-2"] if verdict else [])
    assert len({each["outcome_id"] for each in given}) == len(given)
    for each in given:
        assert outcome_fault(each) is None
        assert (each["verdict"], each["person_id"], each["decided_by"]) == (verdict, "p-1", "ines")
        assert (each["decided_at"], each["reason"]) == (NOON + 2 * HOUR, "seen on camera")


def test_closed_tickets_are_forgotten_and_open_ones_are_not() -> None:
    start = after(*BEFORE["closed"], fraud("o-1", subject="p-2"))
    for wait, known in ((KEPT_MS - HOUR, True), (KEPT_MS + HOUR, False)):
        later = run(TICKETS, (), start=start, tick=NOON + wait)
        outcome = run(TICKETS, heard([asked("comment", wait / HOUR, text="late")]), start=later)
        assert answer(outcome)["accepted"] == known
    assert b"p-1" not in b"".join(later.store.committed)
    other = {"ticket_id": ticket_id("acme", "fraud", "p-2", "o-1")}
    assert answer(run(TICKETS, heard([asked("start", 32 * 24, **other)]), start=later))["accepted"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "other"}, "model must be fraud, not 'other'"),
        ({"severity": "WARNING"}, "severity must be one of LOW, MEDIUM, HIGH, CRITICAL, not 'WARNING'"),
        ({"interval_low": float("nan")}, "interval_low must be 0 to 1, not nan"),
    ],
)
def test_a_wrong_candidate_is_a_dead_letter(wrong: Record, message: str) -> None:
    outcome = after(fraud("e-1", **wrong))
    assert told(outcome) == []
    assert [(each["error_class"], each["message"]) for each in told(outcome, topics.DEAD_LETTERS)] == [
        ("InvalidCandidate", message)
    ]


def test_where_frames_are_cut_and_who_else_is_there_does_not_show() -> None:
    chance = random.Random(7)
    said: list[Record] = []
    for number in range(300):
        who = {"tenant_id": chance.choice(("acme", "bolt")), "subject": f"p-{chance.randrange(3)}"}
        said.append(fraud(f"e-{chance.randrange(150)}", number / 2, **who))
        if number % 2 == 0:
            other = chance.choice([each for each in said if "candidate_id" in each][-8:])
            about = ticket_id(other["tenant_id"], "fraud", other["subject"], other["event_id"])
            of = {"tenant_id": other["tenant_id"], "ticket_id": about, "command_id": f"k-{number}"}
            said.append(chance.choice([asked("start", number / 2, **of), close(hours=number / 2, **of)]))
    source = heard(said)
    whole = run(TICKETS, source)
    assert {"opened", "added", "started", "closed"} <= {each["reason"] for each in told(whole)}
    cut = run(TICKETS, source, cuts=lambda: chance.randrange(1, 20))
    assert cut.outputs == whole.outputs
    alone = run(TICKETS, [each for each in source if each.key == b"acme"])
    for topic in (topics.TICKETS, topics.TICKETS_ANSWERS, topics.OUTCOMES_ATTENDANCE):
        assert told(alone, topic) == [each for each in told(whole, topic) if each["tenant_id"] == "acme"]
