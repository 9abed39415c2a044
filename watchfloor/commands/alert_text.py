"""How alerts, incidents and tickets look to people. Times are event times in UTC."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from rich.text import Text

from models.tickets import AUDIT

Record = Mapping[str, Any]

COLOURS = {
    "INFO": "cyan",
    "LOW": "cyan",
    "WARNING": "yellow",
    "MEDIUM": "yellow",
    "HIGH": "dark_orange",
    "CRITICAL": "bold red",
}
OVER = ("resolved", "closed")


def moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"


def line(alert: Record) -> Text:
    """One version of an alert on one line: what has just happened."""
    notes = [note for note in _notes(alert) if note != alert["reason"]]
    return _line(alert, alert["updated_at"], alert["summary"], [_said(alert), *notes], alert["alert_id"])


def standing(alert: Record) -> Text:
    """An alert as it stands on one line, with the time at which it opened."""
    notes = [*_notes(alert), _changed(alert)]
    return _line(alert, alert["opened_at"], alert["summary"], notes, alert["alert_id"])


def _notes(alert: Record) -> Iterator[str]:
    yield counted(alert["count"], "sample")
    if alert["held_back"]:
        yield f"{alert['held_back']} held back"
    if alert["previous_alert_id"]:
        yield f"after {alert['previous_alert_id'][:8]}"
    if alert["assignee"]:
        yield f"with {alert['assignee']}"
    if alert["escalation"]:
        yield "escalated" if alert["escalation"] == 1 else f"escalated {alert['escalation']} times"
    if alert["flapping"]:
        yield "flapping"
    if alert["verdict"]:
        yield alert["verdict"]
    if alert["incident_id"]:
        yield f"incident {alert['incident_id'][:8]}"
    if alert["muted"]:
        yield f"muted: {alert['muted']}"


def incident_line(incident: Record) -> Text:
    """An incident as it stands on one line, with the time at which it opened."""
    about = f"{_about(incident)}: {incident['summary']}"
    notes = [counted(incident["alerts"], "alert"), f"{incident['active']} active"]
    notes.append(f"{_changed(incident)}: {_said(incident)}")
    return _line(incident, incident["opened_at"], about, notes, incident["incident_id"])


def _line(record: Record, time: int, about: str, notes: Iterable[str], name: str) -> Text:
    return Text.assemble(
        (f"{moment(time)} ", "dim"),
        (f"{record['severity']:<8} ", COLOURS[record["severity"]]),
        _state(record, 12),
        (f"{record['tenant_id']} ", "dim"),
        about,
        (f"  ({', '.join(notes)}) {name[:8]}", "dim"),
    )


def alert_story(alert: Record, history: Iterable[Record], incident: Record | None) -> Iterator[Text]:
    """Everything about an alert: what it says, what it rests on, where it belongs, what happened to it."""
    yield _title(alert, alert["summary"])
    yield from facts(
        {
            "alert": alert["alert_id"],
            "about": f"{alert['kind']} of {alert['subject']}, {alert['metric']} {alert['direction']}",
            "tenant": alert["tenant_id"],
            "opened": f"{moment(alert['opened_at'])} by event {alert['event_id']}",
            "resolved": alert["resolved_at"] and moment(alert["resolved_at"]),
            "fired": counted(alert["count"], "sample")
            + (f", {alert['held_back']} openings held back" if alert["held_back"] else "")
            + (", flapping: held open until it is calm" if alert["flapping"] else ""),
            "score": f"{alert['score']:.3g}",
            "value": _number(alert["value"]),
            "expected": _number(alert["expected"]),
            "limit": _number(alert["limit"]),
            "evidence": ", ".join(f"{name} {value:g}" for name, value in sorted(alert["evidence"].items())),
            "with": alert["assignee"],
            "escalated": alert["escalation"] and counted(alert["escalation"], "time"),
            "snoozed": alert["snoozed_until"] and f"until {moment(alert['snoozed_until'])}",
            "muted": alert["muted"],
            "verdict": alert["verdict"] and f"{alert['verdict']} at {moment(alert['verdict_at'])}",
            "reopens": alert["previous_alert_id"],
            "incident": _belongs(alert, incident),
            "what to do": alert["runbook"],
        }
    )
    yield from _happened(history)


def incident_story(incident: Record, alerts: Iterable[Record], history: Iterable[Record]) -> Iterator[Text]:
    """Everything about an incident: what it is about, its alerts, what happened to it."""
    yield _title(incident, _about(incident))
    related = incident["related_incident_id"]
    yield from facts(
        {
            "incident": incident["incident_id"],
            "tenant": incident["tenant_id"],
            "opened": moment(incident["opened_at"]),
            "closed": incident["closed_at"] and moment(incident["closed_at"]),
            "alerts": f"{incident['alerts']}, {incident['active']} of them active",
            "look first at": f"{incident['alert_id']}: {incident['summary']}",
            "went into": related if incident["reason"] == "merged" else None,
        }
    )
    for number, each in enumerate(alerts):
        if number == 0:
            yield Text("\nIts alerts", style="bold")
        yield standing(each)
    yield from _happened(history)


def ticket_line(ticket: Record) -> Text:
    """A ticket as it stands on one line, with the time at which it opened."""
    notes = ["audit"] if ticket["purpose"] == AUDIT else [counted(len(ticket["event_ids"]), "event")]
    notes += [f"with {ticket['assignee']}"] if ticket["assignee"] else []
    notes += [ticket["resolution"]] if ticket["resolution"] else []
    notes.append(f"{_changed(ticket)}: {_said(ticket)}")
    return _line(ticket, ticket["opened_at"], ticket["summary"], notes, ticket["ticket_id"])


def ticket_story(ticket: Record, history: Iterable[Record]) -> Iterator[Text]:
    """Everything about a ticket: what it says, its events, what happened to it.

    Of one of the audit the score is not told: it would sway who judges.
    """
    low, high = ticket["interval_low"], ticket["interval_high"]
    audit = ticket["purpose"] == AUDIT
    yield _title(ticket, ticket["summary"])
    yield from facts(
        {
            "ticket": ticket["ticket_id"],
            "about": ticket["subject"],
            "tenant": ticket["tenant_id"],
            "opened": moment(ticket["opened_at"]),
            "closed": ticket["closed_at"] and f"{moment(ticket['closed_at'])}: {ticket['resolution']}",
            "purpose": "random audit of what was cleared" if audit else None,
            "probability": None if audit else f"{ticket['probability']:.0%} ({low:.0%} to {high:.0%})",
            "by model": ticket["model_version"],
            "with": ticket["assignee"],
            "events": ", ".join(ticket["event_ids"]),
        }
    )
    yield from _happened(history)


def silence_line(command: Record) -> Text:
    """A silence as it was asked for on one line: whom it mutes, from when to when, by whom, why."""
    parts = [f"{name} {command[name]}" for name in ("kind", "subject", "metric") if command[name]]
    if command["severity"]:
        parts.append(f"at most {command['severity']}")
    begins = command["begins_at"] or command["at"]
    return Text.assemble(
        (f"{moment(begins)} ", "dim"),
        "until ",
        (f"{moment(command['until'])} ", "bold"),
        (f"{command['tenant_id']} ", "dim"),
        f"{', '.join(parts)}, by {command['by']}: {command['text']}",
        (f"  {command['command_id']}", "dim"),
    )


def held_back_line(anomaly: Record) -> Text:
    """An anomaly that the alert budget held back on one line, with the time at which it began."""
    notes = [counted(anomaly["samples"], "sample"), f"score {anomaly['score']:g}"]
    if anomaly["cut"] is not None:
        notes.append(f"needs {anomaly['cut']:g}")
    if anomaly["opened"]:
        notes.append("an alert later")
    return Text.assemble(
        (f"{moment(anomaly['began_at'])} ", "dim"),
        (f"{anomaly['severity']:<8} ", COLOURS[anomaly["severity"]]),
        (f"{anomaly['tenant_id']} ", "dim"),
        anomaly["summary"],
        (f"  ({', '.join(notes)})", "dim"),
    )


def _happened(history: Iterable[Record]) -> Iterator[Text]:
    """A line for each version; of several `more` in a row, the last one and how many there are."""
    yield Text("\nWhat happened", style="bold")
    for more, run in groupby(history, key=lambda each: bool(each["reason"] == "more")):
        versions = list(run)
        for each in versions[-1:] if more else versions:
            fired = f" {len(versions)} times" if more and len(versions) > 1 else ""
            yield Text.assemble(
                (f"{each['seq']:>4} ", "dim"),
                (f"{moment(each['updated_at'])} ", "dim"),
                (f"{each['severity']:<8} ", COLOURS[each["severity"]]),
                _state(each, 12),
                _said(each) + fired,
                (f"  (muted: {each['muted']})" if each.get("muted") else "", "dim"),
            )


def _title(record: Record, about: str) -> Text:
    return Text.assemble((f"{record['severity']} ", COLOURS[record["severity"]]), _state(record), about)


def facts(known: Mapping[str, str | int | None]) -> Iterator[Text]:
    """Those that there are, one below the other."""
    width = max(map(len, known)) + 2
    for name, value in known.items():
        if value:
            yield Text.assemble((name.ljust(width), "dim"), str(value))


def _state(record: Record, width: int = 0) -> tuple[str, str]:
    return f"{record['state']:<{width}} ", "green" if record["state"] in OVER else "bold"


def _changed(record: Record) -> str:
    """When it last changed: the time of day, where that is the day on which it opened."""
    opened, changed = moment(record["opened_at"]), moment(record["updated_at"])
    return f"last change {changed[11:] if changed[:10] == opened[:10] else changed}"


def _said(record: Record) -> str:
    """Why there is this version, by whom, and what he said."""
    said: str = record["reason"]
    if said == "assigned":
        said += f" to {record['assignee']}"
    if said == "verdict":
        said += f" {record['verdict']}"
    if said == "linked":
        said += f" to incident {record['incident_id'][:8]}"
    if record["by"] != "system":
        said += f" by {record['by']}"
    if record.get("related_incident_id"):
        said += f", incident {record['related_incident_id'][:8]}"
    return said + (f": {record['note']}" if record["note"] else "")


def _about(incident: Record) -> str:
    return ", ".join([incident["link"], *incident["links"]])


def _belongs(alert: Record, incident: Record | None) -> str | None:
    if incident is None:
        found: str | None = alert["incident_id"]
        return found
    return f"{incident['incident_id']}, {incident['state']}, {counted(incident['alerts'], 'alert')}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def counted(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
