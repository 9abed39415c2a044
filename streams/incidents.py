"""Correlation: alerts of one tenant that open together around one thing join an incident, and stay as they are.

A person may put incidents together and take them apart.
"""

from typing import Any

from models import incidents
from models.alerts import RANK, MoveRefused, move
from models.incidents import MOVES, incident_id
from streams.alert_state import NEVER, Episode, Incident, TenantAlerts

SUMMARY_LIMIT = 200

Rows = list[dict[str, Any]]


def correlate(tenant: TenantAlerts, told: Rows, alert: dict[str, Any]) -> Episode | None:
    """Let an alert that opens join the oldest incident that fits, or begin one with the oldest alert that is related.

    Returns:
        The related alert, when an incident begins: it, too, belongs to one now.
    """
    time, links = alert["opened_at"], alert["links"]
    fitting = [each for each in tenant.every(Incident) if any(each.takes(link, time) for link in links)]
    if fitting:
        oldest = min(fitting, key=lambda each: (each.record["opened_at"], each.record["incident_id"]))
        _join(tenant, told, oldest, alert)
        return None
    for link in links:
        related = [
            each
            for each in tenant.linked(link)
            if each.alert["incident_id"] is None
            and each.alert["alert_id"] != alert["alert_id"]
            and abs(time - each.alert["opened_at"]) <= incidents.RELATED_MS
        ]
        if related:
            first = min(related, key=lambda each: (each.alert["opened_at"], each.alert["alert_id"]))
            _begin(tenant, told, link, first, alert)
            return first
    return None


def _begin(tenant: TenantAlerts, told: Rows, link: str, first: Episode, alert: dict[str, Any]) -> None:
    old = first.alert
    record = {
        "tenant_id": alert["tenant_id"],
        "incident_id": incident_id(old["alert_id"], alert["alert_id"]),
        "seq": 0,
        "state": move("none", "open", MOVES, "incident"),
        "link": link,
        "opened_at": min(old["opened_at"], alert["opened_at"]),
        "updated_at": alert["opened_at"],
        "closed_at": None,
        "alerts": 2,
        "active": 1 + first.active,
        "note": None,
        "links": [],
        "related_incident_id": None,
        **_leading(old),
    }
    if RANK[alert["severity"]] > RANK[old["severity"]]:
        record |= _leading(alert)
    incident = Incident(record, joined_at=max(old["opened_at"], alert["opened_at"]))
    old["incident_id"] = alert["incident_id"] = record["incident_id"]
    _tell(tenant, told, incident, alert["opened_at"], "opened")
    _judge(tenant, told, incident, alert["opened_at"])


def _join(tenant: TenantAlerts, told: Rows, incident: Incident, alert: dict[str, Any]) -> None:
    record = incident.record
    record["state"] = move(record["state"], "join", MOVES, "incident")
    record["alerts"] += 1
    record["active"] += 1
    incident.joined_at = max(incident.joined_at, alert["opened_at"])
    incident.close_at = NEVER
    if RANK[alert["severity"]] > RANK[record["severity"]]:
        record |= _leading(alert)
    alert["incident_id"] = record["incident_id"]
    _tell(tenant, told, incident, alert["opened_at"], "joined")
    _judge(tenant, told, incident, alert["opened_at"])


def worsened(tenant: TenantAlerts, told: Rows, alert: dict[str, Any]) -> None:
    """An alert has become worse: so may its incident."""
    incident = _of(tenant, alert)
    if incident is not None and RANK[alert["severity"]] > RANK[incident.record["severity"]]:
        incident.record |= _leading(alert)
        _tell(tenant, told, incident, alert["updated_at"], "severity")
        _judge(tenant, told, incident, alert["updated_at"])


def resolved(tenant: TenantAlerts, told: Rows, alert: dict[str, Any]) -> None:
    """An alert has ended: when it is the last one of its incident, that closes after a while."""
    incident = _of(tenant, alert)
    if incident is None:
        return
    incident.record["active"] -= 1
    if not incident.record["active"]:
        incident.close_at = alert["resolved_at"] + incidents.CLOSE_MS
    _tell(tenant, told, incident, alert["resolved_at"], "resolved")


def confirm(
    tenant: TenantAlerts, told: Rows, incident: Incident, time: int, by: str = "system", note: str | None = None
) -> None:
    """Raises MoveRefused when it was confirmed before."""
    record = incident.record
    record["state"] = move(record["state"], "confirm", MOVES, "incident")
    _tell(tenant, told, incident, time, "confirmed", by, note)


def close(tenant: TenantAlerts, told: Rows, incident: Incident) -> None:
    """Its time has come: all its alerts have been resolved for long enough."""
    record = incident.record
    record["state"] = move(record["state"], "close", MOVES, "incident")
    record["closed_at"] = incident.close_at
    _tell(tenant, told, incident, incident.close_at, "closed")
    tenant.drop(incident)


def members(tenant: TenantAlerts, incident: Incident) -> list[Episode]:
    """The alerts of an incident that are the newest of their fingerprints and not forgotten."""
    return [each for each in tenant.every(Episode) if each.alert["incident_id"] == incident.name]


def merge(
    tenant: TenantAlerts, told: Rows, incident: Incident, into: Incident, time: int, by: str, note: str | None
) -> list[Episode]:
    """Close an incident whose alerts another one takes over.

    Returns:
        These alerts, as far as they are known: they belong to the other incident now.
    Raises:
        MoveRefused: together they are too large.
    """
    old, record = incident.record, into.record
    links = list(dict.fromkeys([*into.links, *incident.links]))
    if old["alerts"] + record["alerts"] > incidents.MOST_ALERTS:
        count = old["alerts"] + record["alerts"]
        raise MoveRefused(f"together they have {count} alerts; an incident has {incidents.MOST_ALERTS} at most")
    if len(links) > incidents.MOST_LINKS:
        raise MoveRefused(
            f"together they are about {len(links)} things; an incident is about {incidents.MOST_LINKS} at most"
        )
    moved = members(tenant, incident)
    confirmed = old["state"] == "confirmed" and record["state"] == "candidate"
    old["state"] = move(old["state"], "merge", MOVES, "incident")
    record["state"] = move(record["state"], "take_over", MOVES, "incident")
    record |= {
        "alerts": record["alerts"] + old["alerts"],
        "active": record["active"] + old["active"],
        "links": links[1:],
    }
    if (RANK[old["severity"]], -old["opened_at"]) > (RANK[record["severity"]], -record["opened_at"]):
        record |= {name: old[name] for name in ("severity", "alert_id", "summary")}
    into.joined_at = max(into.joined_at, incident.joined_at)
    ends = [each.close_at for each in (incident, into) if each.close_at != NEVER]
    into.close_at = NEVER if record["active"] else max(ends)
    for each in moved:
        each.alert["incident_id"] = into.name
    old |= {"active": 0, "closed_at": time}
    _tell(tenant, told, incident, time, "merged", by, note, into.name)
    tenant.drop(incident)
    _tell(tenant, told, into, time, "took_over", by, note, incident.name)
    if confirmed:
        confirm(tenant, told, into, time, by, note)
    _judge(tenant, told, into, time)
    return moved


def split(
    tenant: TenantAlerts,
    told: Rows,
    incident: Incident,
    leaving: list[Episode],
    name: str,
    time: int,
    by: str,
    note: str | None,
) -> Incident:
    """Let some alerts of an incident begin one of their own, called `name`.

    Raises:
        MoveRefused: all its alerts would leave, as far as they are known.
    """
    record = incident.record
    staying = [each for each in members(tenant, incident) if each not in leaving]
    if not staying:
        raise MoveRefused("one of its alerts must stay: all of them are the incident that there is")
    record["state"] = move(record["state"], "split", MOVES, "incident")
    worst = _worst(leaving)
    links = _links(leaving)
    new = Incident(
        {
            "tenant_id": record["tenant_id"],
            "incident_id": name,
            "seq": 0,
            "state": move("none", "open", MOVES, "incident"),
            "link": links[0],
            "links": links[1:],
            "opened_at": min(each.alert["opened_at"] for each in leaving),
            "updated_at": time,
            "closed_at": None,
            "alerts": len(leaving),
            "active": sum(each.active for each in leaving),
            **_leading(worst),
        },
        joined_at=max(each.alert["opened_at"] for each in leaving),
    )
    record["alerts"] -= len(leaving)
    record["active"] -= new.record["active"]
    record["link"], *record["links"] = _links(staying)
    if any(each.alert["alert_id"] == record["alert_id"] for each in leaving):
        record |= _leading(_worst(staying))
    for each in (incident, new):
        if not each.record["active"] and each.close_at == NEVER:
            each.close_at = time + incidents.CLOSE_MS
    for episode in leaving:
        episode.alert["incident_id"] = name
    _tell(tenant, told, incident, time, "split", by, note, name)
    _tell(tenant, told, new, time, "opened", by, note, incident.name)
    _judge(tenant, told, new, time)
    return new


def _worst(episodes: list[Episode]) -> dict[str, Any]:
    """The worst of some alerts, of these the oldest."""
    return min(
        (each.alert for each in episodes),
        key=lambda alert: (-RANK[alert["severity"]], alert["opened_at"], alert["alert_id"]),
    )


def _links(episodes: list[Episode]) -> list[str]:
    """What some alerts are about, the oldest first."""
    by_age = sorted(episodes, key=lambda each: (each.alert["opened_at"], each.alert["alert_id"]))
    return list(dict.fromkeys(link for each in by_age for link in each.alert["links"]))


def _judge(tenant: TenantAlerts, told: Rows, incident: Incident, time: int) -> None:
    record = incident.record
    enough = record["alerts"] >= incidents.CONFIRMING_ALERTS or record["severity"] == "CRITICAL"
    if record["state"] == "candidate" and enough:
        confirm(tenant, told, incident, time)


def _of(tenant: TenantAlerts, alert: dict[str, Any]) -> Incident | None:
    """The incident of an alert, unless it has closed since."""
    found = alert["incident_id"]
    return None if found is None else tenant.find(Incident, found)


def _leading(alert: dict[str, Any]) -> dict[str, Any]:
    """What an incident says about the worst of its alerts."""
    return {
        "severity": alert["severity"],
        "alert_id": alert["alert_id"],
        "summary": alert["summary"][:SUMMARY_LIMIT],
    }


def _tell(
    tenant: TenantAlerts,
    told: Rows,
    incident: Incident,
    time: int,
    reason: str,
    by: str = "system",
    note: str | None = None,
    related: str | None = None,
) -> None:
    record = incident.record
    record["seq"] += 1
    record["updated_at"] = max(record["updated_at"], time)
    record |= {"by": by, "reason": reason, "note": note, "related_incident_id": related}
    tenant.keep(incident)
    told.append(dict(record))
