"""The ticket agent: events decided tickets, or drawn for the audit, and people's commands in, tickets out.

It alone says what is a ticket: frauds of one person within a day are one, an audited event is one by itself. What a
closed ticket says of its events is an outcome of each, which labels their predictions. See docs/tickets.md.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from models.alerts import MoveRefused
from models.alerts import move as any_move
from models.decisions import RISKS
from models.identity import NAME_BYTES, derived_id, name_fault
from models.tickets import (
    ACTIVE,
    BY_PEOPLE,
    DECISION,
    FRAUD_MODEL,
    KEPT_MS,
    MOST_EVENTS,
    MOVES,
    PURPOSES,
    RESOLUTIONS,
    TOGETHER_MS,
    ticket_id,
)
from schemas import topics
from schemas.codec import DecodeError
from streams.alert_state import Done
from streams.commands import Command, CommandRefused, action_of, limit_words
from streams.runtime import Agent, Due, Frame, Part, StateVersionError
from streams.runtime.state import Values
from streams.runtime.timers import Timers

Ticket = dict[str, Any]
Candidate = Mapping[str, Any]
Rows = list[dict[str, Any]]

EVIDENCE = ("probability", "interval_low", "interval_high", "model_version", "summary")
"""Of the event that stands out most."""

move = partial(any_move, moves=MOVES, thing="ticket", by_people=BY_PEOPLE)


def _unpack(raw: bytes) -> Ticket:
    try:
        found: Ticket = topics.TICKETS.codec.decode(raw)
    except DecodeError as error:
        raise StateVersionError(f"a stored ticket cannot be read: {error}") from error
    return found


STORED = Part("ticket", version=1, pack=topics.TICKETS.codec.encode, unpack=_unpack)
"""By ticket_id: its last version."""
SUBJECTS: Part[list[str]] = Part("subject", version=1, pack=lambda ids: json.dumps(ids).encode(), unpack=json.loads)
"""By subject: the tickets that are known, the oldest first."""
DONE: Part[Done] = Part(
    "done",
    version=1,
    pack=lambda done: b"".join(done.hashes),
    unpack=lambda raw: Done([raw[at : at + 8] for at in range(0, len(raw), 8)]),
)
"""The commands that were carried out lately."""


@dataclass(slots=True)
class Told:
    """Records to be written, by topic, in order."""

    tickets: Rows = field(default_factory=list)
    answers: Rows = field(default_factory=list)
    outcomes: Rows = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Desk:
    """The tickets of one tenant at work. `clock`: the partition's, epoch milliseconds."""

    key: bytes
    clock: int
    stored: Values
    subjects: Values
    done: Values
    timers: Timers
    told: Told

    def find(self, name: str) -> Ticket | None:
        found: Ticket | None = self.stored[self.key, name.encode()]
        return found

    def of(self, subject: str) -> list[Ticket]:
        """Its tickets that are known, the oldest first."""
        names = self.subjects[self.key, subject.encode()] or []
        return [found for found in map(self.find, names) if found is not None]

    def tell(
        self, ticket: Ticket, time: int, reason: str, by: str = "system", note: str | None = None, **news: Any
    ) -> None:
        """Tell the next version of a ticket, and keep it."""
        version = {**ticket, **news, "seq": ticket["seq"] + 1, "updated_at": max(ticket["updated_at"], time)}
        version |= {"by": by, "reason": reason, "note": note}
        self.stored[self.key, version["ticket_id"].encode()] = version
        self.told.tickets.append(version)


def process(frame: Frame) -> None:
    told, state = Told(), frame.state
    parts = state.values(STORED), state.values(SUBJECTS), state.values(DONE), frame.timers, told
    for moment in frame.timeline():
        if isinstance(moment, Due):
            forget(Desk(moment.key, moment.deadline, *parts), moment.name.decode())
            continue
        event = moment.value
        desk = Desk(topics.TICKETS.key_of(event), moment.clock, *parts)
        if moment.topic == topics.COMMANDS_TICKETS.name:
            obey(desk, event)
        elif wrong := fault(event):
            frame.reject(moment.record, "InvalidCandidate", wrong)
        else:
            take(desk, event)
    frame.send(topics.TICKETS, told.tickets)
    frame.send(topics.TICKETS_ANSWERS, told.answers)
    frame.send(topics.OUTCOMES_ATTENDANCE, told.outcomes)


def fault(candidate: Candidate) -> str | None:
    """What is wrong with a candidate: what was expected and what came; None for a good one."""
    if candidate["model"] != FRAUD_MODEL:
        return f"model must be {FRAUD_MODEL}, not {candidate['model'][:100]!r}"
    if candidate["purpose"] not in PURPOSES:
        return f"purpose must be one of {', '.join(PURPOSES)}, not {candidate['purpose'][:100]!r}"
    if candidate["severity"] not in RISKS:
        return f"severity must be one of {', '.join(RISKS)}, not {candidate['severity'][:100]!r}"
    for name in ("probability", "interval_low", "interval_high"):
        # NaN does not pass this comparison.
        if not 0.0 <= candidate[name] <= 1.0:
            return f"{name} must be 0 to 1, not {candidate[name]}"
    return None


def take(desk: Desk, candidate: Candidate) -> None:
    """Let an event add to a ticket of its subject, or open one; one that came before changes nothing."""
    event, time, subject = candidate["event_id"], candidate["event_time"], candidate["subject"]
    known = desk.of(subject)
    if any(event in each["event_ids"] for each in known):
        return
    for ticket in known:
        # What closing says of its events must be about an audited one alone.
        together = ticket["purpose"] == candidate["purpose"] == DECISION
        near = abs(time - ticket["opened_at"]) <= TOGETHER_MS
        if together and near and ticket["state"] in ACTIVE and len(ticket["event_ids"]) < MOST_EVENTS:
            _add(desk, ticket, candidate)
            return
    tenant, model = candidate["tenant_id"], candidate["model"]
    opened = {
        "tenant_id": tenant,
        "ticket_id": ticket_id(tenant, model, subject, event),
        "seq": 0,
        "model": model,
        "subject": subject,
        "state": move("none", "open"),
        "resolution": None,
        "severity": candidate["severity"],
        "opened_at": time,
        "updated_at": time,
        "closed_at": None,
        "event_ids": [event],
        **{name: candidate[name] for name in EVIDENCE},
        "assignee": None,
        "purpose": candidate["purpose"],
    }
    names = [each["ticket_id"] for each in known]
    desk.subjects[desk.key, subject.encode()] = [*names, opened["ticket_id"]]
    desk.tell(opened, time, "opened")


def _add(desk: Desk, ticket: Ticket, candidate: Candidate) -> None:
    more = candidate["probability"] > ticket["probability"]
    desk.tell(
        ticket,
        candidate["event_time"],
        "added",
        state=move(ticket["state"], "add"),
        severity=max(ticket["severity"], candidate["severity"], key=RISKS.index),
        event_ids=[*ticket["event_ids"], candidate["event_id"]],
        **{name: candidate[name] for name in EVIDENCE if more},
    )


def obey(desk: Desk, command: Command) -> None:
    """Carry out one command and answer it. What is refused changes nothing."""
    done = desk.done[desk.key] or Done()
    seq: int | None = None
    try:
        if command["command_id"] in done:
            message = "it was carried out before"
        else:
            action = _checked(command)
            ticket = desk.find(command["ticket_id"])
            if ticket is None:
                days = KEPT_MS // topics.DAY_MS
                raise CommandRefused(f"no ticket {command['ticket_id']} is open or was closed within {days} days")
            reason, news = ACTIONS[action](ticket, command)
            state = move(ticket["state"], action)
            desk.tell(ticket, command["at"], reason, command["by"], command["text"], state=state, **news)
            if action == "close":
                _closed(desk, ticket, command)
            seq = ticket["seq"] + 1
            message = f"{reason}: the ticket is {state} (version {seq})"
            done.add(command["command_id"])
            desk.done[desk.key] = done
        accepted = True
    except (CommandRefused, MoveRefused) as error:
        accepted, message = False, str(error)
    said = {name: command[name] for name in ("tenant_id", "command_id", "action", "by", "at", "ticket_id")}
    desk.told.answers.append({**said, "accepted": accepted, "message": message, "seq": seq})


def _checked(command: Command) -> str:
    """The action of a command that has all that it needs."""
    action = action_of(command, NEEDS, "a ticket")
    if wrong := name_fault(command["by"], NAME_BYTES):
        raise CommandRefused(f"by {wrong}")
    limit_words(command)
    if action == "close" and command["resolution"] not in RESOLUTIONS:
        raise CommandRefused(f"resolution must be one of {', '.join(RESOLUTIONS)}, not {command['resolution']!r}")
    return action


def _closed(desk: Desk, ticket: Ticket, command: Command) -> None:
    """Say what a closed ticket says of its events, and let it be forgotten."""
    desk.timers.set(desk.key, ticket["ticket_id"].encode(), desk.clock + KEPT_MS)
    verdict = RESOLUTIONS[command["resolution"]]
    if verdict is None:
        return
    desk.told.outcomes += [
        {
            "tenant_id": ticket["tenant_id"],
            "outcome_id": derived_id(ticket["ticket_id"], event, verdict),
            "event_id": event,
            "person_id": ticket["subject"],
            "verdict": verdict,
            "decided_by": command["by"],
            "decided_at": command["at"],
            "reason": command["text"],
        }
        for event in ticket["event_ids"]
    ]


def forget(desk: Desk, name: str) -> None:
    """Drop a ticket that was closed long ago."""
    ticket = desk.find(name)
    if ticket is None:
        return
    subject = ticket["subject"]
    left = [each["ticket_id"] for each in desk.of(subject) if each["ticket_id"] != name]
    desk.subjects[desk.key, subject.encode()] = left or None
    desk.stored[desk.key, name.encode()] = None


ACTIONS: dict[str, Callable[[Ticket, Command], tuple[str, dict[str, Any]]]] = {
    "start": lambda ticket, asked: ("started", {"assignee": ticket["assignee"] or asked["by"]}),
    "close": lambda ticket, asked: (
        "closed",
        {"resolution": asked["resolution"], "closed_at": max(ticket["updated_at"], asked["at"])},
    ),
    "comment": lambda ticket, asked: ("comment", {}),
    "assign": lambda ticket, asked: ("assigned", {"assignee": asked["assignee"]}),
}
"""What a command changes, beside the state: the reason of the new version and its fields."""

NEEDS: dict[str, tuple[str, ...]] = {
    "start": ("ticket_id",),
    "close": ("ticket_id", "resolution"),
    "comment": ("ticket_id", "text"),
    "assign": ("ticket_id", "assignee"),
}
"""What a command must say, beside who asks."""

TICKETS = Agent(
    name="tickets",
    inputs=(topics.TICKETS_CANDIDATES, topics.COMMANDS_TICKETS),
    outputs=(topics.TICKETS, topics.TICKETS_ANSWERS, topics.OUTCOMES_ATTENDANCE),
    process=process,
    linger_ms=25,
    max_age=None,  # events were judged by their age before they were scored
    timers=True,
)
