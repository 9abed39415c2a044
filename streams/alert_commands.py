"""What people ask of the alert agent: each command is carried out once and answered, also when it is refused."""

from collections.abc import Callable, Mapping
from typing import Any

from models.alerts import DAY_MS, KINDS, RANK, VERDICTS, MoveRefused, move
from streams.alert_desk import Desk
from streams.alert_state import NEVER, Episode, Incident, Silence
from streams.alert_time import due
from streams.incidents import confirm

Command = Mapping[str, Any]

SNOOZE_LIMIT_MS = 7 * DAY_MS
SILENCE_LIMIT_MS = 30 * DAY_MS
SILENCES_LIMIT = 100
WORDS_LIMIT = 400
"""Bytes of what a person may say in one command, in all its texts."""


class CommandRefused(ValueError):
    """A command that cannot be carried out, and what could be."""


def obey(desk: Desk, command: Command) -> None:
    """Carry out one command after what is due by then, and answer it. What is refused changes nothing."""
    due(desk, command["at"])
    episode: Episode | None = None
    seq: int | None = None
    try:
        if command["command_id"] in desk.tenant.done:
            message = "it was carried out before"
        else:
            act = _checked(command)
            if act in ON_ALERTS:
                episode = _episode(desk, command)
                message = ON_ALERTS[act](desk, episode, command)
                seq = episode.alert["seq"]
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
        }
    )


def _checked(command: Command) -> str:
    """The action of a command that has all that it needs."""
    action: str = command["action"]
    if action not in NEEDS:
        raise CommandRefused(f"action must be one of {', '.join(NEEDS)}, not {action!r}")
    missing = [name for name in ("command_id", "by", *NEEDS[action]) if command[name] in (None, "")]
    if missing:
        raise CommandRefused(f"to {action} something needs {', '.join(missing)}")
    words = sum(len(value.encode()) for value in command.values() if isinstance(value, str))
    if words - len(command["fingerprint"] or "") > WORDS_LIMIT:
        raise CommandRefused(f"at most {WORDS_LIMIT} bytes of text are kept, this command has {words}")
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


def _until(command: Command, begins_at: int, limit_ms: int) -> int:
    until: int = command["until"]
    if not begins_at < until <= begins_at + limit_ms:
        raise CommandRefused(
            f"until must be after the beginning, by at most {limit_ms // DAY_MS} days, not by {until - begins_at} ms"
        )
    return until


def _acknowledge(desk: Desk, episode: Episode, command: Command) -> str:
    episode.alert["state"] = move(episode.alert["state"], "acknowledge")
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


def _verdict(desk: Desk, episode: Episode, command: Command) -> str:
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


def _said(desk: Desk, episode: Episode, command: Command, reason: str) -> str:
    desk.tell(episode, command["at"], reason, command["by"], command["text"])
    return f"the alert is {episode.alert['state']}, version {episode.alert['seq']} says: {reason}"


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
    unused = ("alert_id", "fingerprint", "incident_id", "silence_id", "assignee", "verdict")
    desk.tenant.keep(Silence({**command, **dict.fromkeys(unused), "begins_at": begins_at}))
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


def _confirm(desk: Desk, command: Command) -> str:
    incident = desk.tenant.find(Incident, command["incident_id"])
    if incident is None:
        raise CommandRefused(f"there is no incident {command['incident_id']} that is not closed")
    confirm(desk.tenant, desk.told.incidents, incident, command["at"], command["by"], command["text"])
    return "the incident is confirmed"


ON_ALERTS: dict[str, Callable[[Desk, Episode, Command], str]] = {
    "acknowledge": _acknowledge,
    "resolve": _resolve,
    "comment": _comment,
    "assign": _assign,
    "snooze": _snooze,
    "verdict": _verdict,
}
ON_OTHERS: dict[str, Callable[[Desk, Command], str]] = {
    "silence": _silence,
    "unsilence": _unsilence,
    "confirm": _confirm,
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
}
"""What a command must say, beside who asks and which alert."""
