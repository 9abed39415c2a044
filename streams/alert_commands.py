"""What people ask of the alert agent: each command is carried out once and answered, also when it is refused.

Verdicts of systems upstream go the same way; what is refused of them is a dead letter.
"""

from collections.abc import Callable, Mapping
from typing import Any

from models.alerts import DAY_MS, KINDS, RANK, VERDICTS, MoveRefused, move
from models.identity import derived_id
from models.incidents import incident_id
from streams.alert_desk import Desk
from streams.alert_state import MOST_PAST, NEVER, PAST_MS, Episode, Incident, Past, Silence
from streams.alert_time import due
from streams.commands import Command, CommandRefused, action_of, limit_words
from streams.incidents import confirm, members, merge, split

Outcome = Mapping[str, Any]

SNOOZE_LIMIT_MS = 7 * DAY_MS
SILENCE_LIMIT_MS = 30 * DAY_MS
SILENCES_LIMIT = 100


def obey(desk: Desk, command: Command) -> None:
    """Carry out one command after what is due by then, and answer it. What is refused changes nothing."""
    due(desk, command["at"])
    episode: Episode | Past | None = None
    incident: Incident | None = None
    seq: int | None = None
    try:
        if command["command_id"] in desk.tenant.done:
            message = "it was carried out before"
        else:
            act = _checked(command)
            if act == "verdict":
                episode = _judged(desk, command)
                message = _verdict(desk, episode, command)
                seq = episode.alert["seq"]
            elif act in ON_ALERTS:
                episode = _episode(desk, command)
                message = ON_ALERTS[act](desk, episode, command)
                seq = episode.alert["seq"]
            elif act in ON_INCIDENTS:
                incident, message = ON_INCIDENTS[act](desk, _incident(desk, command["incident_id"]), command)
            else:
                message = ON_OTHERS[act](desk, command)
            desk.tenant.done.add(command["command_id"])
        accepted = True
    except (CommandRefused, MoveRefused) as error:
        accepted, message = False, str(error)
    desk.told.answers.append(
        {name: command[name] for name in ("tenant_id", "command_id", "action", "by", "at")}
        | {
            "accepted": accepted,
            "message": message,
            "alert_id": command["alert_id"] if episode is None else episode.alert["alert_id"],
            "seq": seq,
            "incident_id": command["incident_id"] if incident is None else incident.name,
        }
    )


def judge(desk: Desk, outcome: Outcome) -> str | None:
    """Give an alert the verdict of a system upstream, as if a person had asked for it, but without an answer.

    One that came before, and one that is older than the verdict that holds, change nothing: the newest holds.

    Returns:
        Why it cannot be taken: what was expected and what came; None for a good one.
    """
    said = [outcome[name] for name in ("alert_id", "verdict", "by")]
    command = {
        "command_id": outcome["outcome_id"] or derived_id(*said, str(outcome["decided_at"])),
        "action": "verdict",
        "by": outcome["by"],
        "at": outcome["decided_at"],
        "alert_id": outcome["alert_id"],
        "fingerprint": None,
        "verdict": outcome["verdict"],
        "text": None,
    }
    due(desk, command["at"])
    if command["command_id"] in desk.tenant.done:
        return None
    try:
        episode = _judged(desk, command)
        holds = episode.alert["verdict_at"] or 0, episode.alert["verdict"] or ""
        if command["at"] >= holds[0] and (command["at"], command["verdict"]) != holds:
            _checked(command)
            _verdict(desk, episode, command)
    except (CommandRefused, MoveRefused) as error:
        return str(error)
    desk.tenant.done.add(command["command_id"])
    return None


def _checked(command: Command) -> str:
    """The action of a command that has all that it needs."""
    action = action_of(command, NEEDS, "something")
    limit_words(command, command["fingerprint"] or "")
    return action


def _episode(desk: Desk, command: Command) -> Episode:
    wanted, fingerprint = command["alert_id"], command["fingerprint"]
    if wanted is None and fingerprint is None:
        raise CommandRefused(f"to {command['action']} something needs alert_id or fingerprint")
    found = [
        each
        for each in desk.tenant.every(Episode)
        if wanted in (None, each.alert["alert_id"]) and fingerprint in (None, each.alert["fingerprint"])
    ]
    if not found:
        raise CommandRefused(
            f"no alert {wanted or fingerprint} is open or was within the last day; "
            "of each fingerprint only the newest alert can be changed"
        )
    return found[0]


def _judged(desk: Desk, command: Command) -> Episode | Past:
    """The alert that a verdict is about, which may be an older one."""
    try:
        return _episode(desk, command)
    except CommandRefused as error:
        wanted = command["alert_id"]
        past = None if wanted is None else desk.tenant.find(Past, wanted)
        if past is not None and command["fingerprint"] in (None, past.alert["fingerprint"]):
            return past
        if wanted is None:
            raise
        raise CommandRefused(
            f"no alert {wanted} is known; verdicts are taken for {PAST_MS // DAY_MS} days after an alert opened, "
            f"and of the older alerts on the newest {MOST_PAST:,}"
        ) from error


def _until(command: Command, begins_at: int, limit_ms: int) -> int:
    until: int = command["until"]
    if not begins_at < until <= begins_at + limit_ms:
        raise CommandRefused(
            f"until must be after the beginning, by at most {limit_ms // DAY_MS} days, not by {until - begins_at} ms"
        )
    return until


def _acknowledge(desk: Desk, episode: Episode, command: Command) -> str:
    episode.alert["state"] = move(episode.alert["state"], "acknowledge")
    episode.alert["assignee"] = episode.alert["assignee"] or command["by"]
    episode.escalate_at = NEVER
    return _said(desk, episode, command, "acknowledged")


def _resolve(desk: Desk, episode: Episode, command: Command) -> str:
    """What fires on is held back for the quiet time from here, and then opens a new alert that links this one."""
    desk.resolve(episode, command["at"], command["by"], command["text"])
    quiet_ms = KINDS[episode.alert["kind"]].quiet_ms
    episode.quiet_until = max(episode.quiet_until, episode.alert["resolved_at"] + quiet_ms)
    episode.ends = ()
    desk.tenant.keep(episode)
    return "the alert is resolved; if it fires on, a new one opens after the quiet time"


def _comment(desk: Desk, episode: Episode, command: Command) -> str:
    episode.alert["state"] = move(episode.alert["state"], "comment")
    return _said(desk, episode, command, "comment")


def _assign(desk: Desk, episode: Episode, command: Command) -> str:
    episode.alert["state"] = move(episode.alert["state"], "assign")
    episode.alert["assignee"] = command["assignee"]
    return _said(desk, episode, command, "assigned")


def _snooze(desk: Desk, episode: Episode, command: Command) -> str:
    state = move(episode.alert["state"], "snooze")
    until = _until(command, max(command["at"], desk.tenant.clock), SNOOZE_LIMIT_MS)
    episode.alert |= {"state": state, "snoozed_until": until}
    return _said(desk, episode, command, "snoozed")


def _verdict(desk: Desk, episode: Episode | Past, command: Command) -> str:
    """The newest verdict holds; its time is when it was asked for."""
    alert, verdict = episode.alert, command["verdict"]
    state = move(alert["state"], "verdict")
    if verdict not in VERDICTS:
        raise CommandRefused(f"verdict must be one of {', '.join(VERDICTS)}, not {verdict!r}")
    if alert["verdict_at"] is not None and command["at"] < alert["verdict_at"]:
        raise CommandRefused(f"a newer verdict holds: {alert['verdict']}")
    alert |= {
        "state": state,
        "verdict": verdict,
        "verdict_at": command["at"],
        "label_version": alert["label_version"] + 1,
    }
    desk.told.labels.append(
        {name: alert[name] for name in LABEL_FIELDS} | {"by": command["by"], "decided_at": command["at"]}
    )
    return _said(desk, episode, command, "verdict")


LABEL_FIELDS = (
    *("tenant_id", "alert_id", "label_version", "verdict", "event_id", "opened_at"),
    *("kind", "subject", "metric", "direction", "severity", "score"),
)


def _said(desk: Desk, episode: Episode | Past, command: Command, reason: str) -> str:
    desk.tell(episode, command["at"], reason, command["by"], command["text"])
    return f"{reason}: the alert is {episode.alert['state']} (version {episode.alert['seq']})"


def _silence(desk: Desk, command: Command) -> str:
    if all(command[name] is None for name in ("kind", "subject", "metric", "severity")):
        raise CommandRefused(
            "a silence needs kind, subject, metric or severity; for everything, a severity of at most CRITICAL"
        )
    if command["kind"] is not None and command["kind"] not in KINDS:
        raise CommandRefused(f"kind must be one of {', '.join(KINDS)}, not {command['kind']!r}")
    if command["severity"] is not None and command["severity"] not in RANK:
        raise CommandRefused(f"severity must be one of {', '.join(RANK)}, not {command['severity']!r}")
    begins_at = command["at"] if command["begins_at"] is None else command["begins_at"]
    until = _until(command, begins_at, SILENCE_LIMIT_MS)
    if until <= desk.tenant.clock:
        raise CommandRefused("it would be over already")
    if len(desk.tenant.every(Silence)) >= SILENCES_LIMIT:
        raise CommandRefused(f"there are {SILENCES_LIMIT} silences already; end one first")
    unused = ("alert_id", "fingerprint", "incident_id", "silence_id", "assignee", "verdict", "into")
    desk.tenant.keep(Silence({**command, **dict.fromkeys(unused), "alert_ids": [], "begins_at": begins_at}))
    return f"silence {command['command_id']} mutes what it covers, and changes no state"


def _unsilence(desk: Desk, command: Command) -> str:
    silence = desk.tenant.find(Silence, command["silence_id"])
    if silence is None:
        there = [each.name for each in desk.tenant.every(Silence)][:10]
        raise CommandRefused(f"there is no silence {command['silence_id']}; there are: {', '.join(there) or 'none'}")
    began = silence.lasts(desk.tenant.clock)
    desk.tenant.drop(silence)
    if began:
        desk.unmute(command["at"], silence.covers)
    return f"silence {silence.name} has ended"


def _incident(desk: Desk, wanted: str) -> Incident:
    incident = desk.tenant.find(Incident, wanted)
    if incident is None:
        raise CommandRefused(f"there is no incident {wanted} that is not closed")
    return incident


def _confirm(desk: Desk, incident: Incident, command: Command) -> tuple[Incident, str]:
    confirm(desk.tenant, desk.told.incidents, incident, command["at"], command["by"], command["text"])
    return incident, "the incident is confirmed"


def _merge(desk: Desk, incident: Incident, command: Command) -> tuple[Incident, str]:
    """Its alerts that nothing is known of any more go on naming it; its last version says where they are now."""
    into = _incident(desk, command["into"])
    if into is incident:
        raise CommandRefused("an incident cannot be merged into itself")
    asked = (command["at"], command["by"], command["text"])
    _link(desk, merge(desk.tenant, desk.told.incidents, incident, into, *asked), command)
    return into, f"incident {incident.name} is closed, {into.name} has its alerts: {into.record['alerts']} in all"


def _split(desk: Desk, incident: Incident, command: Command) -> tuple[Incident, str]:
    known = {each.alert["alert_id"]: each for each in members(desk.tenant, incident)}
    unknown = [each for each in command["alert_ids"] if each not in known]
    if unknown:
        raise CommandRefused(
            f"{', '.join(unknown[:5])} cannot leave incident {incident.name}; those that can: {', '.join(known)}"
        )
    leaving = [known[each] for each in dict.fromkeys(command["alert_ids"])]
    name = incident_id(incident.name, command["command_id"])
    asked = (command["at"], command["by"], command["text"])
    new = split(desk.tenant, desk.told.incidents, incident, leaving, name, *asked)
    _link(desk, leaving, command)
    return new, f"incident {name} has {len(leaving)} of the alerts, {incident.name} keeps {incident.record['alerts']}"


def _link(desk: Desk, episodes: list[Episode], command: Command) -> None:
    for episode in episodes:
        desk.tell(episode, command["at"], "linked", command["by"], command["text"])


ON_ALERTS: dict[str, Callable[[Desk, Episode, Command], str]] = {
    "acknowledge": _acknowledge,
    "resolve": _resolve,
    "comment": _comment,
    "assign": _assign,
    "snooze": _snooze,
}
ON_OTHERS: dict[str, Callable[[Desk, Command], str]] = {
    "silence": _silence,
    "unsilence": _unsilence,
}
ON_INCIDENTS: dict[str, Callable[[Desk, Incident, Command], tuple[Incident, str]]] = {
    "confirm": _confirm,
    "merge": _merge,
    "split": _split,
}
NEEDS: dict[str, tuple[str, ...]] = {
    "acknowledge": (),
    "resolve": (),
    "comment": ("text",),
    "assign": ("assignee",),
    "snooze": ("until",),
    "verdict": ("verdict",),
    "silence": ("until", "text"),
    "unsilence": ("silence_id",),
    "confirm": ("incident_id",),
    "merge": ("incident_id", "into"),
    "split": ("incident_id", "alert_ids"),
}
"""What a command must say, beside who asks and which alert."""
