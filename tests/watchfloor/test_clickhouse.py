"""The gateway answers unmodified clients as a ClickHouse server does."""

import asyncio
import base64
import gzip
import http.client
import json
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import lz4.frame
import pytest
from clickhouse_connect import dbapi
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from clickhouse_connect.driver.external import ExternalData

from tests.conftest import Access
from tests.faults.waiting import until

pytestmark = pytest.mark.clickhouse

START = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # as the client hands out UTC
NAMES = ["id", "tenant", "at", "score", "risk", "features", "vector", "label", "tags", "price"]
TABLE = """
CREATE OR REPLACE TABLE samples (
    id UUID, tenant LowCardinality(String), at DateTime64(3, 'UTC'), score Float64,
    risk Enum8('low' = 1, 'medium' = 2, 'high' = 3), features Map(String, Float64), vector Array(Float64),
    label Nullable(Int8), tags Array(LowCardinality(String)), price Decimal(18, 4)
) ENGINE = MergeTree ORDER BY (tenant, at)
"""


def rows(count: int, tenant: str = "a") -> list[list[Any]]:
    return [
        [
            uuid.UUID(int=number),
            tenant,
            START + timedelta(milliseconds=number),
            number / 7,
            ("low", "medium", "high")[number % 3],
            {"x": number * 0.5, "y": 1.0},
            [1.0, float(number)],
            None if number % 2 else 1,
            ["plain", "with\n\nblank line", "it's; quoted"],
            Decimal(number) / 4,
        ]
        for number in range(count)
    ]


def counts(client: Client) -> dict[str, int]:
    return {row[0]: row[1] for row in client.query("SELECT tenant, count() FROM samples GROUP BY tenant").result_rows}


@pytest.fixture
def client(clickhouse: Access, database: str) -> Iterator[Client]:
    client = clickhouse.client(database)
    client.command(TABLE)
    yield client
    client.close()


class Plain:
    """The interface without a client library."""

    def __init__(self, access: Access, database: str) -> None:
        self.access = access
        self.parts = urlsplit(access.url)
        self.database = database

    def __call__(
        self, body: bytes = b"", method: str = "POST", headers: dict[str, str] | None = None, **parameters: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.parts.hostname or "", self.parts.port, timeout=30)
        login = {"X-ClickHouse-User": self.access.user, "X-ClickHouse-Key": self.access.password}
        target = "/?" + urllib.parse.urlencode({"database": self.database, **parameters})
        connection.request(method, target, body or None, login if headers is None else headers)
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found


@pytest.fixture
def plain(clickhouse: Access, database: str, client: Client) -> Plain:
    return Plain(clickhouse, database)


def test_rows_come_back_as_they_were_inserted(client: Client) -> None:
    written = client.insert("samples", rows(1000), column_names=NAMES)
    assert written.written_rows == 1000
    found = client.query("SELECT * FROM samples ORDER BY at")
    assert [list(row) for row in found.result_rows] == rows(1000)
    assert [kind.name for kind in found.column_types][:3] == ["UUID", "LowCardinality(String)", "DateTime64(3, 'UTC')"]


def test_columns_and_compression_of_requests(clickhouse: Access, client: Client, database: str) -> None:
    for method in ("lz4", "zstd", False):
        other = clickhouse_connect.get_client(
            dsn=clickhouse.url,
            username=clickhouse.user,
            password=clickhouse.password,
            database=database,
            compress=method,
        )
        data = [list(column) for column in zip(*rows(10_000, tenant=str(method)), strict=True)]
        other.insert("samples", data, column_names=NAMES, column_oriented=True)
        assert client.command(f"SELECT uniqExact(id) FROM samples WHERE tenant = '{method}'") == 10_000
        assert len(other.query(f"SELECT * FROM samples WHERE tenant = '{method}'").result_rows) == 10_000
        other.close()


def test_parameters(client: Client) -> None:
    client.insert("samples", rows(100), column_names=NAMES)
    found = client.query(
        "SELECT count() FROM samples WHERE tenant = {t:String} AND score >= {s:Float64} AND risk IN {r:Array(String)} "
        "AND at < {d:DateTime64(3)}",
        parameters={"t": "a", "s": 5.0, "r": ["low", "high"], "d": START + timedelta(milliseconds=60)},
    )
    expected = [r for r in rows(60) if r[3] >= 5.0 and r[4] in ("low", "high")]
    assert found.result_rows == [(len(expected),)]
    assert client.query("SELECT %(a)s, %(b)s", parameters={"a": "it's", "b": [1, 2]}).result_rows == [("it's", [1, 2])]
    many = [str(uuid.uuid4()) for _ in range(500)]  # too many for a URL: a multipart form
    assert client.query("SELECT length({ids:Array(String)})", parameters={"ids": many}).result_rows == [(500,)]


def test_frames_and_arrow(client: Client) -> None:
    client.insert("samples", rows(1000), column_names=NAMES)
    assert client.query_df("SELECT tenant, score FROM samples").shape == (1000, 2)
    assert client.query_np("SELECT number, number * 2 FROM numbers(5)").shape == (5, 2)
    table = client.query_arrow("SELECT tenant, at, score FROM samples ORDER BY at")
    assert table.column("score").to_pylist() == [row[3] for row in rows(1000)]
    client.insert_arrow("samples", table)
    client.insert_df("samples", client.query_df("SELECT tenant, at, score FROM samples LIMIT 10"))
    assert client.command("SELECT count() FROM samples") == 2010
    with client.query_arrow_stream("SELECT number FROM numbers(300000)") as stream:
        assert sum(part.num_rows for part in stream) == 300_000


def test_streams(client: Client) -> None:
    with client.query_rows_stream("SELECT number, toString(number) FROM numbers(500000)") as stream:
        assert sum(row[0] for row in stream) == 500_000 * 499_999 // 2
    assert client.raw_query("SELECT number FROM numbers(2)", fmt="JSONEachRow") == b'{"number":0}\n{"number":1}\n'
    csv: Any = client.raw_stream("SELECT number FROM numbers(100000)", fmt="CSV")
    assert csv.read().count(b"\n") == 100_000


def test_raw_insert_of_compressed_text(client: Client) -> None:
    body = gzip.compress(b'raw,1.5\n"two\n\nlines",2\n')
    client.raw_insert("samples", ["tenant", "score"], body, fmt="CSV", compression="gzip")
    found = client.query("SELECT tenant, score FROM samples ORDER BY score").result_rows
    assert found == [("raw", 1.5), ("two\n\nlines", 2.0)]


def test_insert_with_values_or_data_in_the_statement(client: Client) -> None:
    client.command("INSERT INTO samples (tenant, score) VALUES ('a;b', 1), ('FORMAT x', 2), ('blank\n\nline', 3)")
    client.command("INSERT INTO samples (tenant) FORMAT CSV", data="csv\n")
    client.command("INSERT INTO samples (tenant, score) SELECT 'selected', number FROM numbers(10)")
    assert counts(client) == {"a;b": 1, "FORMAT x": 1, "blank\n\nline": 1, "csv": 1, "selected": 10}


def test_bad_data_leave_nothing(client: Client) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert("samples", ["tenant", "score"], b"ok,1\n" * 100_000 + b"bad,notanumber\n", fmt="CSV")
    assert caught.value.code == 27
    assert client.command("SELECT count() FROM samples") == 0


@pytest.mark.parametrize(
    ("extra", "settings", "code"),
    [
        (", CONSTRAINT positive CHECK a > 0", {}, 469),
        (", b UInt8 MATERIALIZED throwIf(a < 0, 'refused')", {}, 395),
        (", b String MATERIALIZED repeat('x', 1000000)", {"max_memory_usage": "50000000"}, 241),
        (") ENGINE = MergeTree PARTITION BY a ORDER BY tuple() SETTINGS index_granularity = 8192 --", {}, 252),
    ],
)
def test_what_the_table_refuses_is_never_acknowledged(
    client: Client, extra: str, settings: dict[str, str], code: int
) -> None:
    client.command(f"CREATE OR REPLACE TABLE strict (a Int64{extra}\n) ENGINE = MergeTree ORDER BY a".split(" --")[0])
    for end in range(1, 4):
        text = "".join(f"{n}\n" for n in [*range(1, 200 * end), -1])
        with pytest.raises(DatabaseError) as caught:
            client.raw_insert("strict", ["a"], text, settings=settings, fmt="CSV")
        assert caught.value.code == code
        assert client.command("SELECT count() FROM strict") == 0


def test_an_insert_may_have_settings_and_parameters(client: Client, plain: Plain) -> None:
    assert plain(b"a,1\n", query="INSERT INTO samples (tenant, score) SETTINGS max_threads = 1 FORMAT CSV")[0] == 200
    statement = b"INSERT INTO {table:Identifier} (tenant, score) FORMAT CSV b,2"
    assert plain(statement, param_table="samples")[0] == 200
    assert counts(client) == {"a": 1, "b": 1}


def test_settings_of_a_request_stay_with_it(client: Client) -> None:
    ask = "SELECT getSetting('max_threads'), getSetting('max_block_size')"
    usual = client.query(ask).result_rows
    assert client.query(ask, settings={"max_threads": 3, "max_block_size": 1234}).result_rows == [(3, 1234)]
    assert client.query(ask).result_rows == usual


def test_sessions_keep_tables_and_settings(clickhouse: Access, client: Client, database: str) -> None:
    client.command("CREATE TEMPORARY TABLE mine (a Int32)")
    client.insert("mine", [[1], [2]], column_names=["a"], column_type_names=["Int32"])
    client.command("SET max_result_rows = 777")
    assert client.command("SELECT sum(a) FROM mine") == 3
    assert client.command("SELECT getSetting('max_result_rows')") == 777
    other = clickhouse.client(database)
    with pytest.raises(DatabaseError) as caught:
        other.command("SELECT sum(a) FROM mine")
    assert caught.value.code == 60
    assert other.command("SELECT getSetting('max_result_rows')") != 777
    with pytest.raises(DatabaseError):
        client.query("SELECT 1", settings={"database": "nosuch"})
    assert other.command("SELECT 1") == 1
    other.close()


def test_external_data(client: Client) -> None:
    client.insert("samples", rows(10, "a") + rows(5, "b"), column_names=NAMES)
    wanted = ExternalData(file_name="wanted.csv", data=b"b\n", fmt="CSV", structure="name String")
    found = client.query("SELECT count() FROM samples WHERE tenant IN (SELECT name FROM wanted)", external_data=wanted)
    assert found.result_rows == [(5,)]


def test_dbapi_and_async(clickhouse: Access, client: Client, database: str) -> None:
    client.insert("samples", rows(10, "a") + rows(5, "b"), column_names=NAMES)
    login: dict[str, Any] = {"dsn": clickhouse.url, "username": clickhouse.user, "password": clickhouse.password}
    connection = dbapi.connect(**login, database=database)
    cursor = connection.cursor()
    cursor.execute("SELECT tenant, count() FROM samples GROUP BY tenant ORDER BY tenant")
    assert cursor.fetchall() == [("a", 10), ("b", 5)]
    connection.close()

    async def ask() -> list[Any]:
        other = await clickhouse_connect.get_async_client(**login, database=database)
        answers = await asyncio.gather(
            *(other.query("SELECT count() FROM samples WHERE tenant = {t:String}", parameters={"t": t}) for t in "abc")
        )
        await other.close()
        return [answer.result_rows[0][0] for answer in answers]

    assert asyncio.run(ask()) == [10, 5, 0]


def test_many_clients_at_once(clickhouse: Access, client: Client, database: str) -> None:
    def work(number: int) -> None:
        other = clickhouse.client(database)
        for _ in range(3):
            other.insert("samples", rows(100, f"t{number}"), column_names=NAMES)
            other.query("SELECT tenant, count() FROM samples GROUP BY tenant")
        other.close()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))
    assert counts(client) == {f"t{number}": 300 for number in range(20)}


@pytest.mark.parametrize(
    ("statement", "code", "status"),
    [
        ("SELECT * FROM nosuch", 60, 404),
        ("SELEC 1", 62, 400),
        ("SELECT nosuch", 47, 404),
        ("SELECT 1; SELECT 2", 62, 400),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT 1 SETTINGS nosuch = 1", 115, 404),
        ("SELECT sleep(2) SETTINGS max_execution_time = 0.3", 159, 408),
        ("SELECT groupArray(number) FROM numbers(100000000) SETTINGS max_memory_usage = 10000000", 241, 500),
    ],
)
def test_errors_have_codes(plain: Plain, statement: str, code: int, status: int) -> None:
    found, headers, body = plain(statement.encode())
    assert (found, headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert body.decode().startswith(f"Code: {code}. DB::Exception: ")
    assert "(version 2" in body.decode()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 INTO OUTFILE '{path}'",
        "SELECT $$'$$ INTO OUTFILE '{path}'",
        "SELECT ‘'‘ INTO OUTFILE '{path}'",
        "(SELECT 1) INTO/**/OUTFILE '{path}' FORMAT CSV",
        "INSERT INTO samples (tenant) FROM INFILE '{path}' FORMAT CSV",
        "SELECT file('{path}')",
        "SELECT `file` /* */ ('{path}')",
        "SELECT \"\\x66ile\"('{path}')",
        "SELECT * FROM file('{path}', 'TSV', 'a String')",
        "SELECT * FROM filesystem('{path}')",
        "SELECT * FROM url('http://127.0.0.1:1', 'TSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "CREATE TABLE f (a String) ENGINE = File(TSV, '{path}')",
        "CREATE DATABASE f ENGINE = Filesystem('/')",
        "CREATE DICTIONARY d (a String) PRIMARY KEY a SOURCE(HTTP(url 'http://127.0.0.1:1' format 'TSV')) "
        "LIFETIME(0) LAYOUT(COMPLEX_KEY_HASHED())",
        "ATTACH TABLE f FROM '{path}' (a String) ENGINE = MergeTree ORDER BY a",
        "SYSTEM SHUTDOWN",
        "CREATE USER somebody",
    ],
)
def test_sql_stays_inside(plain: Plain, tmp_path: Path, statement: str) -> None:
    """Neither the machine's files, nor its network, nor the process itself."""
    path = tmp_path / "secret"
    path.write_text("secret\n")
    status, headers, body = plain(statement.replace("{path}", str(path)).encode())
    assert status >= 400, body
    assert headers["X-ClickHouse-Exception-Code"] in ("344", "497", "481"), body
    assert path.read_text() == "secret\n"
    assert plain(b"SELECT 1")[2] == b"1\n"


def test_an_error_in_mid_stream_reaches_the_client(client: Client) -> None:
    late = "SELECT throwIf(number = 900000, 'late') FROM numbers(1000000) SETTINGS max_block_size = 10000"
    with pytest.raises(ClickHouseError, match="late"), client.query_rows_stream(late) as stream:
        for _ in stream:
            pass


def test_authentication(plain: Plain, clickhouse: Access) -> None:
    def basic(text: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    good = f"{clickhouse.user}:{clickhouse.password}"
    assert plain(b"SELECT 1", headers=basic(good))[0] == 200
    assert plain(b"SELECT 1", headers={}, user=clickhouse.user, password=clickhouse.password)[0] == 200
    refused = [
        plain(b"SELECT 1", headers={}),
        plain(b"SELECT 1", headers=basic(f"{clickhouse.user}:wrong")),
        plain(b"SELECT 1", headers={"Authorization": "Basic !!"}),
        plain(b"SELECT 1", headers={}, user="nobody", password=clickhouse.password),
        plain(b"SELECT 1", headers={"X-ClickHouse-User": clickhouse.user}),
    ]
    assert [(status, headers["X-ClickHouse-Exception-Code"]) for status, headers, _ in refused] == [(403, "516")] * 5


def test_get_only_reads(plain: Plain, client: Client) -> None:
    assert plain(method="GET", query="SELECT 1")[2] == b"1\n"
    for statement in ("INSERT INTO samples (tenant) VALUES ('x')", "DROP TABLE samples", "SET max_threads = 1"):
        status, headers, _ = plain(method="GET", query=statement)
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert client.command("SELECT count() FROM samples") == 0


def test_readonly_cannot_be_lifted(plain: Plain) -> None:
    assert plain(b"SELECT 1", readonly="1")[2] == b"1\n"
    for statement in (b"INSERT INTO samples (tenant) VALUES ('x')", b"SELECT 1 SETTINGS readonly = 0"):
        status, headers, _ = plain(statement, readonly="1")
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    # A session is not left read-only by it.
    assert plain(b"SELECT 1", readonly="1", session_id="s1")[0] == 200
    assert plain(b"INSERT INTO samples (tenant) VALUES ('x')", session_id="s1")[0] == 200


def test_what_curl_does(plain: Plain, clickhouse: Access) -> None:
    assert plain(b"SELECT 1 AS a FORMAT JSONEachRow")[2] == b'{"a":1}\n'
    assert plain(b"SELECT 1 AS a", default_format="CSV")[2] == b"1\n"
    assert plain(b"1,2\n", query="INSERT INTO samples (tenant, score) FORMAT CSV")[0] == 200
    assert plain(b"SELECT tenant, score FROM samples")[2] == b"1\t2\n"
    login = {"X-ClickHouse-User": clickhouse.user, "X-ClickHouse-Key": clickhouse.password}
    for encoding, pack in (("gzip", gzip.compress), ("lz4", lz4.frame.compress)):
        packed = pack(b"SELECT 2")
        assert plain(packed, headers=login | {"Content-Encoding": encoding})[2] == b"2\n"
        assert plain(packed[:-3], headers=login | {"Content-Encoding": encoding})[0] == 500
    assert plain(b"SELECT 1", headers=login | {"Content-Encoding": "br"})[0] == 501
    assert plain(b"")[2] == b"Ok.\n"
    with urllib.request.urlopen(f"{clickhouse.url}/ping", timeout=5) as answer:
        assert answer.read() == b"Ok.\n"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{clickhouse.url}/nosuch", timeout=5)


def test_a_bomb_is_refused(plain: Plain, clickhouse: Access) -> None:
    login = {"X-ClickHouse-User": clickhouse.user, "X-ClickHouse-Key": clickhouse.password}
    bomb = gzip.compress(b" " * (257 << 20), compresslevel=1)
    status, headers, _ = plain(bomb, headers=login | {"Content-Encoding": "gzip"})
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (413, "223")


def test_summary_tells_what_was_done(plain: Plain) -> None:
    _, headers, _ = plain(b"1,2\n3,4\n", query="INSERT INTO samples (tenant, score) FORMAT CSV")
    assert json.loads(headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    _, headers, _ = plain(b"SELECT * FROM samples", wait_end_of_query="1")
    assert json.loads(headers["X-ClickHouse-Summary"])["read_rows"] == "2"
    assert "X-ClickHouse-Format" in headers
    assert "X-ClickHouse-Format" not in plain(b"TRUNCATE TABLE samples")[1]


def test_a_client_that_goes_stops_its_query(plain: Plain, client: Client, clickhouse: Access) -> None:
    mark = f"gone-{uuid.uuid4()}"
    running = f"SELECT count() FROM system.processes WHERE Settings['log_comment'] = '{mark}'"
    parts = urlsplit(clickhouse.url)
    statement = b"SELECT sum(sleepEachRow(0.1)) FROM numbers(3000) SETTINGS max_block_size = 1"
    login = f"X-ClickHouse-User: {clickhouse.user}\r\nX-ClickHouse-Key: {clickhouse.password}\r\n"
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = f"POST /?query_id={mark} HTTP/1.1\r\nHost: x\r\n{login}Content-Length: {len(statement)}\r\n\r\n"
        connection.sendall(head.encode() + statement)
        until(lambda: client.command(running) == 1, 10, "the query to run")
    until(lambda: client.command(running) == 0, 10, "the query to be stopped")


def test_a_body_that_never_ends_inserts_nothing(client: Client, clickhouse: Access, database: str) -> None:
    parts = urlsplit(clickhouse.url)
    query = urllib.parse.urlencode({"database": database, "query": "INSERT INTO samples (tenant) FORMAT CSV"})
    login = f"X-ClickHouse-User: {clickhouse.user}\r\nX-ClickHouse-Key: {clickhouse.password}\r\n"
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(f"POST /?{query} HTTP/1.1\r\nHost: x\r\n{login}Content-Length: 1000\r\n\r\na\nb\n".encode())
    assert client.command("SELECT count() FROM samples") == 0


def test_a_slow_reader_does_not_hold_up_others(plain: Plain, client: Client, clickhouse: Access) -> None:
    parts = urlsplit(clickhouse.url)
    statement = b"SELECT repeat('x', 1000) FROM numbers(1000000) FORMAT TSV"
    login = f"X-ClickHouse-User: {clickhouse.user}\r\nX-ClickHouse-Key: {clickhouse.password}\r\n"
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(
            f"POST / HTTP/1.1\r\nHost: x\r\n{login}Content-Length: {len(statement)}\r\n\r\n".encode() + statement
        )
        assert connection.recv(100)
        answers = [client.command("SELECT 1") for _ in range(20)]
    assert answers == [1] * 20


def test_one_session_serves_one_request_at_a_time(plain: Plain) -> None:
    codes: list[str] = []

    def slow() -> None:
        until(lambda: plain(b"SELECT sleep(1)", session_id="busy")[0] == 200, 20, "a free session", every=0.01)

    thread = threading.Thread(target=slow)
    thread.start()
    while thread.is_alive():
        code = plain(b"SELECT 1", session_id="busy")[1].get("X-ClickHouse-Exception-Code")
        codes += [code] if code else []
    assert set(codes) == {"373"}
    assert plain(b"SELECT 1", session_id="never", session_check="1")[1]["X-ClickHouse-Exception-Code"] == "372"
