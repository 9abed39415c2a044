"""The control agent: commands in, versions of settings and the audit trail out. It alone writes them.

There is one partition of commands, so their offsets order all changes of all settings. See docs/control.md.
"""

import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from models.control import EVERYONE, InvalidValue, Setting, is_scope, setting_of
from schemas import topics
from schemas.codec import DecodeError
from schemas.topics import Topic
from streams.runtime import Agent, Frame, Part, State, StateVersionError
from streams.runtime.control import Span, standing

DAY_MS = 86_400_000
# A valid_from or expires_at outside these is a mistake of unit or year.
MOST_BEHIND_MS = 30 * DAY_MS
MOST_AHEAD_MS = 366 * DAY_MS
KEEP_MS = 35 * DAY_MS
"""A version that stopped holding so long ago is forgotten; no record that can still be read is that old."""
MOST_NAME = 400
"""Characters of a setting's name in the audit: more than any that is in the catalogue can have."""
MOST_TEXT = {"command_id": 100, "by": 200, "reason": 1000}

Command = Mapping[str, Any]
Entry = dict[str, Any]

_SPAN = struct.Struct(">II")
_VERSION = struct.Struct(">I")


def _unpack_span(raw: bytes) -> tuple[int, int]:
    oldest, newest = _SPAN.unpack(raw)
    return oldest, newest


def _unpack_entry(raw: bytes) -> Entry:
    try:
        entry: Entry = topics.CONTROL_FLAGS.codec.decode(raw)
    except DecodeError as error:
        raise StateVersionError(f"a stored version of a setting cannot be read: {error}") from error
    return entry


SPAN = Part("span", version=1, pack=lambda span: _SPAN.pack(*span), unpack=_unpack_span)
"""Oldest and newest version that are kept."""
ENTRY = Part("entry", version=1, pack=topics.CONTROL_FLAGS.codec.encode, unpack=_unpack_entry)
"""A version, by its number."""


class Refused(Exception):
    """A command that cannot be obeyed. `code` is its class; the message says what was expected and what came."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class History:
    """The versions of one setting of one tenant, as the frame sees them."""

    def __init__(self, state: State, key: bytes) -> None:
        self._state = state
        self._key = key
        self.oldest, self.newest = state.get(key, SPAN) or (1, 0)

    def __getitem__(self, version: int) -> Entry:
        """A kept version; KeyError for another."""
        entry: Entry | None = self._state.get(self._key, ENTRY, _VERSION.pack(version))
        if entry is None:
            raise KeyError(version)
        return entry

    @property
    def current(self) -> Entry | None:
        return self[self.newest] if self.newest else None

    def without(self, version: int, time: int) -> Entry | None:
        """The version that a record of that time would see if `version` and those above it were not there."""
        lower = (self[each] for each in range(version - 1, self.oldest - 1, -1))
        found = standing((Span(*(each[name] for name in Span._fields)) for each in lower), time)
        return None if found is None else self[found]

    def append(self, entry: Entry) -> None:
        self.newest = entry["version"]
        self._state.put(self._key, ENTRY, entry, _VERSION.pack(self.newest))
        self._state.put(self._key, SPAN, (self.oldest, self.newest))

    def forget(self, now: int) -> list[int]:
        """Drop the versions that no readable record and no undo can need, and return their numbers."""
        gone = []
        while self.oldest < self.newest - 1:
            # What a newer version took the place of comes back when that one expires.
            above, expires_at = self[self.oldest + 1], self[self.oldest]["expires_at"]
            replaced = above["expires_at"] is None and max(above["valid_from"], above["at"]) < now - KEEP_MS
            if not replaced and (expires_at is None or expires_at >= now - KEEP_MS):
                break
            self._state.delete(self._key, ENTRY, _VERSION.pack(self.oldest))
            gone.append(self.oldest)
            self.oldest += 1
        if gone:
            self._state.put(self._key, SPAN, (self.oldest, self.newest))
        return gone


def process(frame: Frame) -> None:
    commands = frame.decode()
    for record, command in zip(frame.records, commands, strict=True):
        key = topics.CONTROL_COMMANDS.key_of(command)
        try:
            setting = check(command)
            history = History(frame.state, key)
        except Refused as refusal:
            frame.send(topics.CONTROL_AUDIT, [audit(command, record.offset, None, None, refusal)])
            continue
        before = history.current
        try:
            entry = decide(setting, history, command, record.offset)
        except Refused as refusal:
            frame.send(topics.CONTROL_AUDIT, [audit(command, record.offset, before, before, refusal)])
            continue
        history.append(entry)
        topic = topics.CATALOGUE[setting.topic]
        frame.send(topic, [entry])
        if setting.record is not None:
            publish(frame, setting.record, entry)
        old = [(topic.key_of({**entry, "version": version}), None) for version in history.forget(entry["at"])]
        if old:
            frame.send_encoded(topic, old)
        frame.send(topics.CONTROL_AUDIT, [audit(command, record.offset, before, entry)])


def publish(frame: Frame, topic: Topic, entry: Entry) -> None:
    """The newest version of a record of reference data, in a schema of its own; nothing for one that was taken away."""
    scope = dict.fromkeys(topic.key or (), entry["name"].partition("|")[2])
    value = {} if entry["value"] is None else json.loads(entry["value"])
    record = {"tenant_id": entry["tenant_id"], **scope, **value, "updated_at": entry["valid_from"]}
    if value:
        frame.send(topic, [record])
    else:
        frame.send_encoded(topic, [(topic.key_of(record), None)])


def check(command: Command) -> Setting:
    """The setting that a command is about. Raises Refused for what no state of the setting could make right."""
    tenant, name, action, value = (command[field] for field in ("tenant_id", "name", "action", "value"))
    try:
        setting = setting_of(name)
    except ValueError as error:
        raise Refused("UnknownSetting", str(error)) from error
    if not is_scope(tenant):
        raise Refused(
            "InvalidTenant",
            f"tenant_id must be * or 1 to 63 of a-z, 0-9, _ and -, with no _ or - at the start, not {tenant[:100]!r}",
        )
    if setting.everyone and tenant != EVERYONE:
        raise Refused("InvalidTenant", f"{name} is for all tenants alike: tenant_id must be *, not {tenant!r}")
    if setting.of_tenant and tenant == EVERYONE:
        raise Refused("InvalidTenant", f"{name} is of one tenant: tenant_id must not be *")
    for field, most in MOST_TEXT.items():
        if not command[field].strip() or len(command[field]) > most:
            raise Refused("InvalidCommand", f"{field} must have 1 to {most} characters, it has {len(command[field])}")
    if action not in ("set", "undo"):
        raise Refused("InvalidCommand", f"action must be set or undo, not {action[:100]!r}")
    if action == "undo" and value is not None:
        raise Refused("InvalidCommand", f"an undo takes no value, not {value[:100]}")
    if action == "undo" and command["expires_at"] is not None:
        raise Refused("InvalidTime", "an undo takes no expires_at: what it brings back expires when it did before")
    if setting.rising and (value is None or command["expires_at"] is not None):
        raise Refused("NoWayBack", f"{name} can only be raised: no undo, no end, nothing to inherit")
    if value is not None:
        try:
            setting.read(value)
        except InvalidValue as error:
            raise Refused("InvalidValue", str(error)) from error
    if setting.at_once and command["valid_from"] is not None:
        raise Refused("InvalidTime", f"{name} acts at once: it takes no valid_from")
    return setting


def decide(setting: Setting, history: History, command: Command, offset: int) -> Entry:
    """The version that a command makes, which the history does not have yet. Raises Refused."""
    current, expected = history.current, command["expected_version"]
    if expected != history.newest:
        raise Refused("StaleVersion", f"version {expected} was expected; {_standing(command, current)}")
    undo = command["action"] == "undo"
    if undo and current is None:
        raise Refused("NothingToUndo", f"there is no version to undo; {_standing(command, current)}")
    # A sender whose clock is slow must not put its change before the one that it has seen.
    now = max(command["requested_at"], current["at"] if current else command["requested_at"])
    valid_from = now if command["valid_from"] is None else command["valid_from"]
    # A site was there before anybody entered it.
    earliest = now - MOST_BEHIND_MS if setting.record is None else 0
    if not earliest <= valid_from <= now + MOST_AHEAD_MS:
        raise Refused(
            "InvalidTime",
            f"valid_from must be between {f'{MOST_BEHIND_MS // DAY_MS} days before' if earliest else '1970'} and "
            f"{MOST_AHEAD_MS // DAY_MS} days after {_moment(now)} in epoch milliseconds, not {valid_from} "
            f"({_moment(valid_from)})",
        )
    expires_at = command["expires_at"]
    if expires_at is not None and not max(now, valid_from) < expires_at <= now + MOST_AHEAD_MS:
        raise Refused(
            "InvalidTime",
            f"expires_at must be after now and valid_from, and at most {MOST_AHEAD_MS // DAY_MS} days after "
            f"{_moment(now)} in epoch milliseconds, not {expires_at} ({_moment(expires_at)})",
        )
    if setting.at_once:
        valid_from = 0
    value = command["value"]
    if undo:
        restored = history.without(history.newest, valid_from)
        value, expires_at = (None, None) if restored is None else (restored["value"], restored["expires_at"])
    elif value is not None:
        value = _canonical(setting, value)
    if setting.rising and current is not None and json.loads(value) < json.loads(current["value"]):
        raise Refused("NoWayBack", f"{command['name']} can only be raised; {_standing(command, current)}")
    return {
        "tenant_id": command["tenant_id"],
        "name": command["name"],
        "version": history.newest + 1,
        "value": value,
        "valid_from": valid_from,
        "command_offset": offset,
        "command_id": command["command_id"],
        "undoes": history.newest if undo else None,
        "by": command["by"],
        "at": now,
        "reason": command["reason"],
        "expires_at": expires_at,
    }


def audit(
    command: Command, offset: int, before: Entry | None, after: Entry | None, refusal: Refused | None = None
) -> dict[str, Any]:
    """What came of a command; `after` is the newest version now."""
    return {
        "tenant_id": command["tenant_id"][:100],
        "command_id": command["command_id"][: MOST_TEXT["command_id"]],
        "action": command["action"][:100],
        "name": command["name"][:MOST_NAME],
        "outcome": "accepted" if refusal is None else "refused",
        "code": None if refusal is None else refusal.code,
        "message": _standing(command, after) if refusal is None else str(refusal),
        "asked": None if command["value"] is None else command["value"][:100],
        "expected_version": command["expected_version"],
        "previous_value": None if before is None else before["value"],
        "value": None if after is None else after["value"],
        "version": 0 if after is None else after["version"],
        "valid_from": None if after is None else after["valid_from"],
        "command_offset": offset,
        "by": command["by"][: MOST_TEXT["by"]],
        "at": command["requested_at"],
        "reason": command["reason"][: MOST_TEXT["reason"]],
        "expires_at": None if after is None else after["expires_at"],
    }


def _canonical(setting: Setting, text: str) -> str:
    """One text for each value: 1, 1.0 and 1e0 are the same threshold."""
    return json.dumps(setting.read(text))


def _standing(command: Command, entry: Entry | None) -> str:
    """How the setting stands, in words."""
    name = f"{command['name']} of {command['tenant_id']}"
    if entry is None:
        return f"{name} has no version yet (0), it is inherited"
    value = "inherited" if entry["value"] is None else entry["value"]
    since = f" from {_moment(entry['valid_from'])} on" if entry["valid_from"] else ""
    if entry["expires_at"] is not None:
        since = f"{since.removesuffix(' on')} until {_moment(entry['expires_at'])}"
    return f"{name} is {value}{since}, version {entry['version']} by {entry['by']}: {entry['reason']}"


def _moment(time: int) -> str:
    """A time for people; any number, because a sender may have sent any."""
    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time):%Y-%m-%d %H:%M:%S}Z"
    except OverflowError:
        return "no time of our calendar"


CONTROL = Agent(
    name="control",
    inputs=(topics.CONTROL_COMMANDS,),
    outputs=(*topics.CONTROL, *topics.REFERENCE, topics.CONTROL_AUDIT),
    process=process,
)
