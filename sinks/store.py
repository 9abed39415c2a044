"""ClickHouse as the sinks see it: requests, and errors sorted by what must be done about them."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, cast

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httputil import get_pool_manager
from urllib3.exceptions import HTTPError

from sinks.errors import Mismatch, Refused, Unavailable

# Error numbers that speak of the data themselves: sending them again cannot help.
ABOUT_DATA = {
    6, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 131, 190, 321, 349, 376, 407, 469, 675, 676,
}  # fmt: skip
# Error numbers that speak of tables, columns or rights: no data would be taken.
ABOUT_TABLES = {16, 20, 36, 47, 60, 81, 164, 192, 193, 194, 497, 516}
# Servers limit how many; each inserting thread needs one.
CONNECTIONS = 16

INSERT_SETTINGS = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "wait_end_of_query": 1,
    # Collapsing rows of one key inside a block is two thirds of an insert's CPU, and merges and FINAL do it anyway.
    "optimize_on_insert": 0,
}


class Store:
    """One database at one ClickHouse. May be used from several threads at a time."""

    def __init__(
        self, url: str, user: str, password: str, database: str, timeout_s: float = 60.0, enter: bool = False
    ) -> None:
        """`enter`: statements may name the database's tables alone. Then the database must exist."""
        self.url = url
        self.database = database
        self._user = user
        self._password = password
        self._timeout_s = timeout_s
        self._enter = enter
        self._client: Client | None = None

    def client(self) -> Client:
        """The connected client. Raises Unavailable or Mismatch (rights)."""
        if self._client is None:
            # Every error reaches our caller; its own lines about them would only repeat that.
            for name in ("clickhouse_connect", "urllib3"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            try:
                self._client = clickhouse_connect.get_client(
                    dsn=self.url,
                    username=self._user,
                    password=self._password,
                    database=self.database if self._enter else "__default__",
                    compress=False,
                    autogenerate_session_id=False,
                    connect_timeout=5,
                    send_receive_timeout=self._timeout_s,
                    pool_mgr=get_pool_manager(maxsize=CONNECTIONS),
                )
            except (ClickHouseError, HTTPError, OSError) as error:
                raise sorted_error(error) from error
        return self._client

    def command(self, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement without a result. Raises Unavailable, Refused or Mismatch."""
        client = self.client()
        try:
            client.command(statement, parameters=dict(parameters or {}))
        except (ClickHouseError, HTTPError, OSError) as error:
            raise sorted_error(error) from error

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows by column name. Raises Unavailable, Refused or Mismatch."""
        client = self.client()
        try:
            return list(client.query(statement, parameters=dict(parameters or {})).named_results())
        except (ClickHouseError, HTTPError, OSError) as error:
            raise sorted_error(error) from error

    def columns(self, statement: str, parameters: Mapping[str, Any]) -> list[Sequence[Any]]:
        """The result by column; none without rows. Raises Unavailable, Refused or Mismatch."""
        client = self.client()
        try:
            found = client.query(statement, parameters=dict(parameters), column_oriented=True)
            return list(found.result_columns)
        except (ClickHouseError, HTTPError, OSError) as error:
            raise sorted_error(error) from error

    def insert(self, table: str, columns: Sequence[str], native: bytes, token: str) -> None:
        """Store one block, whole or not at all; a block under a token that was stored before is dropped.

        Raises Unavailable (unknown whether it is stored: send it again under the same token), Refused or Mismatch.
        """
        client = self.client()
        settings = {**INSERT_SETTINGS, "insert_deduplication_token": token}
        try:
            # As a view, the client sends the block as it is; of bytes it would make a copy behind the statement.
            block = cast(BinaryIO, memoryview(native))
            client.raw_insert(f"{quoted(self.database)}.{quoted(table)}", columns, block, settings, "Native")
        except (ClickHouseError, HTTPError, OSError) as error:
            raise sorted_error(error) from error


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def sorted_error(error: Exception) -> Unavailable | Refused | Mismatch:
    """The error by what must be done about it; what is not known is treated as passing."""
    text = words(error)
    found = re.match(r"Code: (\d+)", text)
    code = int(found[1]) if found else 0
    if code in ABOUT_DATA:
        return Refused(code, text)
    if code in ABOUT_TABLES:
        return Mismatch(f"ClickHouse refuses for a reason that data cannot mend: {text}")
    return Unavailable(text)


def words(error: BaseException) -> str:
    """What ClickHouse said, beginning with "Code: "; else what the innermost cause says."""
    said = re.search(r"Code: \d+\. DB::Exception: .*?(?= \(version |\Z)", str(error), re.DOTALL)
    if said:
        return " ".join(said[0].split())
    while inner := error.__cause__ or error.__context__:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
