"""Connections to the engine: a fresh one per request, a kept one per session."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from watchfloor.embedded.clickhouse.errors import DatabaseError
from watchfloor.embedded.clickhouse.statements import identifier, quoted

MAX_SESSIONS = 1_000


def apply_settings(connection: Any, settings: Mapping[str, str]) -> None:
    if settings:
        changes = ", ".join(f"{identifier(name)} = {quoted(value)}" for name, value in settings.items())
        connection.query(f"SET {changes}", "TSV")


@dataclass(slots=True)
class Session:
    """A connection that outlives a request: temporary tables and SET stay, settings from the URL do not."""

    key: tuple[str, str]
    connection: Any
    lock: threading.Lock = field(default_factory=threading.Lock)
    timeout: float = 60.0
    expires: float = 0.0
    own: dict[str, str] = field(default_factory=dict)  # the session's values of settings that URLs have changed

    def remember(self, names: list[str]) -> None:
        """Note the session's own values of settings which a request is about to change."""
        unknown = [name for name in names if name not in self.own and name != "database"]
        if unknown:
            columns = ", ".join(f"toString(getSetting({quoted(identifier(name))}))" for name in unknown)
            row = self.connection.query(f"SELECT {columns}", "JSONCompactEachRow").bytes()
            self.own.update(zip(unknown, json.loads(row), strict=True))

    def give_back(self, names: list[str]) -> None:
        apply_settings(self.connection, {name: self.own[name] for name in names if name in self.own})


class Sessions:
    """Sessions by user and id; one request at a time in each, closed when unused for their timeout."""

    def __init__(self, connect: Any) -> None:
        self._connect = connect
        self._open: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    def take(self, user: str, name: str, timeout: float, must_exist: bool) -> Session:
        """Lock the session, opening it when needed.

        Raises DatabaseError: 372 not found, 373 another request is in it, 202 too many sessions.
        """
        key = (user, name)
        with self._lock:
            session = self._open.get(key)
            if session is None:
                if must_exist:
                    raise DatabaseError.named(372, "Session not found", "SESSION_NOT_FOUND")
                if len(self._open) >= MAX_SESSIONS:
                    raise DatabaseError.named(202, f"{MAX_SESSIONS} sessions are open", "TOO_MANY_SIMULTANEOUS_QUERIES")
                session = self._open[key] = Session(key, self._connect())
            if not session.lock.acquire(blocking=False):
                raise DatabaseError.named(373, f"Session {name} is locked by a concurrent client.", "SESSION_IS_LOCKED")
        session.timeout = timeout
        return session

    def release(self, session: Session) -> None:
        session.expires = time.monotonic() + session.timeout
        session.lock.release()

    def drop(self, session: Session) -> None:
        """Close a session that the caller holds."""
        with self._lock:
            self._open.pop(session.key, None)
        session.connection.close()

    def sweep(self) -> None:
        """Close sessions past their timeout."""
        now = time.monotonic()
        with self._lock:
            old = [s for s in self._open.values() if 0 < s.expires < now and s.lock.acquire(blocking=False)]
            for session in old:
                del self._open[session.key]
        for session in old:
            session.connection.close()
