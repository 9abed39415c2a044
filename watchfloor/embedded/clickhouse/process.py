"""The engine's process: its folder, port and password."""

import re
import secrets
import sys
import urllib.error
import urllib.request
from pathlib import Path

from watchfloor.embedded.ports import free_port
from watchfloor.embedded.server import Server, ServerError

HOST = "127.0.0.1"
USER = "WATCHFLOOR_CLICKHOUSE_USER"
PASSWORD = "WATCHFLOOR_CLICKHOUSE_PASSWORD"


class Engine(Server):
    """The database of one home folder, in HOME/clickhouse.

    `port` 0 takes the last time's port when it is free, else a free one; a given port is used or refused.
    Without `password` one is made: there is no access without one.
    """

    name = "clickhouse"
    what = "ClickHouse engine (chDB)"

    def __init__(self, home: Path, port: int = 0, password: str = "", user: str = "default") -> None:
        super().__init__(home / "clickhouse")
        self.wanted = port
        self.port = port
        self.user = user
        self.password = password or secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def where(self) -> str:
        return self.url

    @property
    def port_file(self) -> Path:
        return self.folder / "port"

    def prepare(self) -> None:
        """Makes the folder and chooses the port.

        Raises ServerError when the given port is taken.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        last = self.port_file.read_text().strip() if self.port_file.exists() else ""
        self.port = free_port(self.port or (int(last) if re.fullmatch(r"\d{1,5}", last) else 0))
        if self.wanted and self.port != self.wanted:
            raise ServerError(f"Port {self.wanted} is taken by another process; give ClickHouse another one.")
        self.port_file.write_text(f"{self.port}\n")

    def command(self) -> list[str]:
        module = "watchfloor.embedded.clickhouse"
        return [sys.executable, "-m", module, "--home", str(self.folder), "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        # Not in argv, which every user of the machine can read.
        return super().environment() | {USER: self.user, PASSWORD: self.password}

    def answers(self) -> bool:
        """Whether the engine runs a statement for this user and password."""
        request = urllib.request.Request(
            f"{self.url}/",
            data=b"SELECT 1",
            headers={"X-ClickHouse-User": self.user, "X-ClickHouse-Key": self.password},
        )
        try:
            with urllib.request.urlopen(request, timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False
