"""ClickHouse's HTTP interface over the engine: who may, requests in, results, streams and errors out."""

import asyncio
import base64
import binascii
import hmac
import secrets
import threading
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from watchfloor.embedded.clickhouse.encodings import decompress
from watchfloor.embedded.clickhouse.errors import DatabaseError
from watchfloor.embedded.clickhouse.requests import Database, External, Request
from watchfloor.embedded.clickhouse.statements import awaits_data

THREADS = 16
MAX_REQUESTS = 256  # running and waiting; more are refused with a 503 which clients retry
MAX_BODY = 256 << 20
MAX_BODIES = 1 << 30  # of all requests under way together
CHUNKS_AHEAD = 8  # results read ahead of a slow client
BODY_SECONDS = 120.0
CLIENT_SECONDS = 120.0  # a client that takes nothing for so long loses its request

# Names in the URL that are not settings of the engine.
TRANSPORT = {
    "buffer_size", "cancel_http_readonly_queries_on_client_close", "client_protocol_version",
    "close_session", "compress", "decompress", "default_format", "enable_http_compression",
    "http_headers_progress_interval_ms", "password", "query", "query_id", "quota_key", "role",
    "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "stacktrace",
    "user", "wait_end_of_query",
}  # fmt: skip


class ClientGone(Exception):
    """The client closed its connection, or stopped reading, before the result was out."""


class Outbox:
    """Results on their way from a worker thread to the event loop: bounded, closed when the client goes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: asyncio.Queue[tuple[dict[str, str], bytes, bool] | None] = asyncio.Queue()
        self._free = threading.Semaphore(CHUNKS_AHEAD)
        self._closed = False

    def emit(self, headers: dict[str, str], data: bytes, last: bool) -> None:
        """Called in the worker thread. Raises ClientGone when nobody takes the result."""
        if not self._free.acquire(timeout=CLIENT_SECONDS) or self._closed:
            raise ClientGone("the client takes no more of the result")
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (headers, data, last))

    def finish(self) -> None:
        """Called in the event loop when the worker is done."""
        self._queue.put_nowait(None)

    async def take(self) -> tuple[dict[str, str], bytes, bool] | None:
        item = await self._queue.get()
        self._free.release()
        return item

    def close(self) -> None:
        self._closed = True
        self._free.release(CHUNKS_AHEAD)


class Gateway:
    """Serves one database. `users` maps names to passwords; there is no access without one."""

    def __init__(self, database: Database, users: Mapping[str, str]) -> None:
        self._database = database
        self._users = users
        self._pool = ThreadPoolExecutor(THREADS, "engine")
        self._requests = 0
        self._bytes = 0

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_get("/ping", _pong)
        application.router.add_get("/replicas_status", _pong)
        application.router.add_route("*", "/", self._handle)
        application.cleanup_ctx.append(self._background)
        return application

    async def _background(self, _: web.Application) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(5)
                await asyncio.get_running_loop().run_in_executor(self._pool, self._database.sessions.sweep)

        task = asyncio.create_task(sweep())
        yield
        task.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._database.close()

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        query_id = http.query.get("query_id") or str(uuid.uuid4())
        tag = secrets.token_hex(8)
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self._database.timezone,
            "X-ClickHouse-Server-Display-Name": "watchfloor",
            "X-ClickHouse-Exception-Tag": tag,
        }
        try:
            user = self._authenticate(http)
            announced = http.content_length or 0
            if self._requests >= MAX_REQUESTS or self._bytes + announced > MAX_BODIES:
                raise DatabaseError.named(
                    202,
                    f"{self._requests} requests of {self._bytes} bytes are under way; try again later",
                    "TOO_MANY_SIMULTANEOUS_QUERIES",
                )
            self._requests += 1
            self._bytes += announced
            try:
                try:
                    async with asyncio.timeout(BODY_SECONDS):
                        request = await self._read(http, user, query_id)
                except TimeoutError:
                    raise DatabaseError.named(
                        209, f"The body took over {BODY_SECONDS:.0f} s", "SOCKET_TIMEOUT"
                    ) from None
                if not request.statement.strip():
                    return await _pong(http)
                return await self._run(http, request, headers, tag)
            finally:
                self._requests -= 1
                self._bytes -= announced
        except web.HTTPRequestEntityTooLarge:
            large = DatabaseError.named(
                223, f"The body is over {MAX_BODY} bytes; send smaller batches", "QUERY_IS_TOO_LARGE"
            )
            return self._refusal(large, headers)
        except DatabaseError as error:
            return self._refusal(error, headers)

    def _authenticate(self, http: web.Request) -> str:
        """The user's name. Raises DatabaseError 516, the same for a wrong name and a wrong password."""
        user, password = "default", ""
        basic = http.headers.get("Authorization", "")
        if "X-ClickHouse-User" in http.headers:
            user, password = http.headers["X-ClickHouse-User"], http.headers.get("X-ClickHouse-Key", "")
        elif basic.startswith("Basic "):
            try:
                user, _, password = base64.b64decode(basic[6:], validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                user = ""
        elif "user" in http.query:
            user, password = http.query["user"], http.query.get("password", "")
        known = self._users.get(user, secrets.token_hex(16))
        if not hmac.compare_digest(known.encode(), password.encode("utf-8", "surrogateescape")):
            raise DatabaseError.named(
                516,
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name.",
                "AUTHENTICATION_FAILED",
            )
        return user

    async def _read(self, http: web.Request, user: str, query_id: str) -> Request:
        """The whole request first: of a client that dies midway nothing is inserted."""
        given = dict(http.query)
        if "X-ClickHouse-Database" in http.headers:
            given.setdefault("database", http.headers["X-ClickHouse-Database"])
        if "X-ClickHouse-Format" in http.headers:
            given.setdefault("default_format", http.headers["X-ClickHouse-Format"])
        if "1" in (given.get("compress"), given.get("decompress")):
            raise DatabaseError.named(
                48, "compress=1 and decompress=1 are not supported; use Content-Encoding", "NOT_IMPLEMENTED"
            )
        files: dict[str, bytes] = {}
        chunks: list[bytes] = []
        if http.content_type == "multipart/form-data":
            for name, part in (await http.post()).items():
                if isinstance(part, web.FileField):
                    files[name] = part.file.read()
                else:
                    given[name] = part.decode() if isinstance(part, bytes | bytearray) else part
        elif http.body_exists:
            chunks = await _chunks(http)
            encoding = http.headers.get("Content-Encoding", "identity").lower()
            if encoding != "identity":
                loop = asyncio.get_running_loop()
                chunks = [await loop.run_in_executor(self._pool, decompress, b"".join(chunks), encoding, MAX_BODY)]
        statement = given.get("query", "").encode("utf-8", "surrogateescape")
        if awaits_data(statement):
            return _request(http.method, user, query_id, given, statement, files, chunks)
        body = b"".join(chunks)
        whole = statement + b"\n" + body if statement and body else statement or body
        return _request(http.method, user, query_id, given, whole, files)

    async def _run(self, http: web.Request, request: Request, headers: dict[str, str], tag: str) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop)
        job = loop.run_in_executor(self._pool, self._database.run, request, outbox.emit)
        job.add_done_callback(lambda _: outbox.finish())
        response: web.StreamResponse | None = None
        try:
            while (item := await outbox.take()) is not None:
                more, data, last = item
                if response is None and last:
                    await job
                    return web.Response(body=data, headers=headers | more)
                if response is None:
                    response = web.StreamResponse(headers=headers | more)
                    await response.prepare(http)
                if data:
                    async with asyncio.timeout(CLIENT_SECONDS):
                        await response.write(data)
            await job
            if response is None:
                raise RuntimeError("the engine gave neither a result nor an error")
            await response.write_eof()
            return response
        except (ConnectionResetError, TimeoutError, ClientGone, asyncio.CancelledError):
            outbox.close()
            job.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._pool.submit(self._database.kill, request.query_id)
            raise
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is the client's answer
            failed = DatabaseError.of(error)
            if response is None:
                return self._refusal(failed, headers)
            # Headers are out: a tagged block ends the body, as from servers since 25.11.
            text = failed.body(self._database.version)
            block = f"\r\n__exception__\r\n{tag}\r\n{text}{len(text.encode())} {tag}\r\n__exception__\r\n"
            await response.write(block.encode())
            if http.transport is not None:
                http.transport.close()
            return response

    def _refusal(self, error: DatabaseError, headers: Mapping[str, str]) -> web.Response:
        return web.Response(
            status=error.status,
            text=error.body(self._database.version),
            headers={**headers, "X-ClickHouse-Exception-Code": str(error.code)},
        )


async def _chunks(http: web.Request) -> list[bytes]:
    """The body in the pieces in which it came: put together, a large insert would be copied three times."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in http.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY:
            raise web.HTTPRequestEntityTooLarge(MAX_BODY, size)
        chunks.append(chunk)
    return chunks


async def _pong(_: web.Request) -> web.StreamResponse:
    return web.Response(text="Ok.\n")


def _request(
    method: str,
    user: str,
    query_id: str,
    given: Mapping[str, str],
    statement: bytes,
    files: Mapping[str, bytes],
    data: Sequence[bytes] = (),
) -> Request:
    externals = tuple(
        External(
            name,
            data,
            given.get(f"{name}_format", "TabSeparated"),
            given.get(f"{name}_structure") or _structure(given.get(f"{name}_types", "")),
        )
        for name, data in files.items()
    )
    of_files = {f"{name}_{part}" for name in files for part in ("format", "structure", "types")}
    return Request(
        user=user,
        query_id=query_id,
        statement=statement,
        data=data,
        settings={
            name: value
            for name, value in given.items()
            if name not in TRANSPORT and name not in of_files and not name.startswith("param_")
        },
        parameters={name[6:]: value for name, value in given.items() if name.startswith("param_")},
        externals=externals,
        default_format=given.get("default_format") or "TabSeparated",
        buffered=given.get("wait_end_of_query") == "1",
        readonly=method in ("GET", "HEAD"),
        session=given.get("session_id") or None,
        session_timeout=_seconds(given.get("session_timeout", "60")),
        session_must_exist=given.get("session_check") == "1",
        close_session=given.get("close_session") == "1",
    )


def _structure(types: str) -> str:
    """Columns of an external table of which only the types are given: _1, _2, ..."""
    return ", ".join(f"_{number} {type_}" for number, type_ in enumerate(types.split(","), 1))


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 3600.0)
    except ValueError:
        raise DatabaseError.named(
            36, f"Invalid session timeout: {text!r} (seconds expected)", "INVALID_SESSION_TIMEOUT"
        ) from None
