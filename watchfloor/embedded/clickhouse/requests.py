"""One request of the HTTP interface and how the engine runs it."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chdb

from watchfloor.embedded.clickhouse.errors import UNKNOWN_DATABASE, DatabaseError
from watchfloor.embedded.clickhouse.sessions import Sessions, apply_settings
from watchfloor.embedded.clickhouse.statements import (
    Insert,
    first_word,
    identifier,
    output_format,
    quoted,
    refuse_files,
    split_insert,
)

# Formats whose chunks may simply follow each other.
STREAMABLE = {
    "native", "tabseparated", "tsv", "csv", "rowbinary", "jsoneachrow", "jsoncompacteachrow", "ndjson",
    "jsonlines",
}  # fmt: skip
CONTENT_TYPES = {"json": "application/json; charset=UTF-8", "csv": "text/csv; charset=UTF-8"}

# Hands (headers, bytes, whether these are the last) to the network side; blocks while that is behind.
Emit = Callable[[dict[str, str], bytes, bool], None]


@dataclass(frozen=True, slots=True)
class External:
    """A table sent along with a query."""

    name: str
    data: bytes
    format: str
    structure: str


@dataclass(frozen=True, slots=True)
class Request:
    user: str
    query_id: str
    statement: bytes
    data: Sequence[bytes] = ()  # of an INSERT whose statement came apart from them
    settings: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    externals: tuple[External, ...] = ()
    default_format: str = "TabSeparated"
    buffered: bool = False
    readonly: bool = False
    session: str | None = None
    session_timeout: float = 60.0
    session_must_exist: bool = False
    close_session: bool = False


class Database:
    """The engine over one folder. One process at a time may have it open."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._target = f"{folder}?config-file={config}"
        self._keeper = self.connect()  # keeps the engine up while no request runs
        answer = self._keeper.query("SELECT version(), timezone()", "TSV").bytes().decode().split()
        self.version, self.timezone = answer
        self.sessions = Sessions(self.connect)

    def connect(self) -> Any:
        return chdb.connect(self._target)

    def close(self) -> None:
        self._keeper.close()

    def kill(self, query_id: str) -> None:
        """Stop a reading query whose client has gone. chDB sets query_id itself: log_comment carries ours."""
        mine = f"Settings['log_comment'] = {quoted(query_id)} AND query_kind = 'Select'"
        connection = self.connect()
        try:
            connection.query(f"KILL QUERY WHERE {mine} ASYNC", "TSV")
        finally:
            connection.close()

    def run(self, request: Request, emit: Emit) -> None:
        """Run one statement and emit its result.

        Raises DatabaseError for a request that is refused here; the engine's own errors come as they are.
        """
        # readonly=1 cannot be lifted again, so such a request never touches a session's connection.
        if request.session is None or request.settings.get("readonly", "0") != "0":
            connection = self.connect()
            try:
                self._execute(connection, request, emit)
            finally:
                connection.close()
            return
        session = self.sessions.take(request.user, request.session, request.session_timeout, request.session_must_exist)
        names, usable = list(request.settings), False
        try:
            session.remember(names)
            self._execute(session.connection, request, emit)
            if first_word(request.statement) == b"SET":
                session.own.clear()
            usable = True
        except Exception as error:
            # SET database = <unknown> leaves a connection on which even SET fails.
            usable = DatabaseError.of(error).code != UNKNOWN_DATABASE
            raise
        finally:
            if usable and not request.close_session:
                session.give_back(names)
                self.sessions.release(session)
            else:
                self.sessions.drop(session)

    def _execute(self, connection: Any, request: Request, emit: Emit) -> None:
        started = time.perf_counter()
        readonly = {"readonly": request.settings["readonly"]} if "readonly" in request.settings else {}
        settings = {name: value for name, value in request.settings.items() if name != "readonly"}
        apply_settings(connection, {"log_comment": request.query_id, **settings})
        for table in request.externals:
            refuse_files(table.structure.encode())
            connection.query(f"CREATE OR REPLACE TEMPORARY TABLE {identifier(table.name)} ({table.structure})", "TSV")
            head = f"INSERT INTO {identifier(table.name)}"
            _insert(connection, Insert(head, "", identifier(table.format), memoryview(b"")), {}, [table.data])
        apply_settings(connection, readonly)

        insert = None if request.readonly else split_insert(request.statement)
        refuse_files(request.statement if insert is None else (insert.head + insert.settings).encode())
        if insert is not None:
            done = _insert(connection, insert, request.parameters, [insert.data, *request.data])
            summary = _headers(None, started, written_rows=done.rows_written(), written_bytes=done.bytes_written())
            emit(summary, b"", True)
            return

        text = request.statement.decode("utf-8", "surrogateescape")
        reads = _reads_only(connection, text, request.readonly)
        form = output_format(request.statement, request.default_format)
        selects = first_word(request.statement) in (b"SELECT", b"WITH", b"FROM")
        if selects and form.lower() in STREAMABLE and not request.buffered:
            stream = connection.send_query(text, form, params=request.parameters)
            try:
                for chunk in stream:
                    emit(_headers(form, started), chunk.bytes(), False)
            finally:
                stream.close()
            emit(_headers(form, started), b"", True)
            return
        result = connection.query(text, form, params=request.parameters)
        # A client takes the format header as "there is a result"; DDL must not have it.
        summary = _headers(
            form if reads or result.size() else None,
            started,
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
        )
        emit(summary, result.bytes(), True)


def _insert(connection: Any, insert: Insert, parameters: Mapping[str, str], data: Iterable[bytes | memoryview]) -> Any:
    """Have the engine read the data from a file in memory.

    Not as part of the statement: its parser ends inline data at the first blank line and runs the rest as SQL. And
    not through send_insert(): that reports success for blocks which the table then refuses (constraints, memory).
    """
    with _file_of(data) as path:
        return connection.query(
            f"{insert.head} FROM INFILE '{path}' COMPRESSION 'none' {insert.settings} FORMAT {insert.format}",
            "TSV",
            params=dict(parameters),
        )


@contextmanager
def _file_of(data: Iterable[bytes | memoryview]) -> Iterator[str]:
    """The path of a file that holds the data as long as the block lasts."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("insert"), "wb") as file:
            file.writelines(data)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(prefix="insert") as named:
            named.writelines(data)
            named.flush()
            yield named.name


def _reads_only(connection: Any, text: str, must: bool) -> bool:
    """Whether the statement only reads. Raises DatabaseError for several, or for a write where `must`."""
    info = connection._conn.classify_query(text)
    if info["statement_count"] > 1:
        raise DatabaseError.named(62, "Syntax error (Multi-statements are not allowed)", "SYNTAX_ERROR")
    reads = str(info["query_class"]).endswith("READ_ONLY")
    if must and info["statement_count"] and not reads:
        raise DatabaseError.named(
            164,
            "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
            "You should use method POST for modifying queries.",
            "READONLY",
        )
    return reads


def _headers(form: str | None, started: float, **figures: int) -> dict[str, str]:
    summary = dict.fromkeys(
        (
            "read_rows",
            "read_bytes",
            "written_rows",
            "written_bytes",
            "total_rows_to_read",
            "result_rows",
            "result_bytes",
        ),
        0,
    )
    summary |= figures | {"elapsed_ns": int((time.perf_counter() - started) * 1e9)}
    headers = {"X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()})}
    if form is not None:
        headers["X-ClickHouse-Format"] = form
        headers["Content-Type"] = CONTENT_TYPES.get(form.lower(), "text/plain; charset=UTF-8")
    return headers
