"""`python -m watchfloor.embedded.clickhouse --home DIR --port P`: serve the engine over DIR on loopback."""

import os
import socket
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import click
import uvloop
from aiohttp import web

from watchfloor.embedded.clickhouse.process import HOST, PASSWORD, USER

HERE = Path(__file__).parent


def configure(home: Path) -> Path:
    """Write the engine's configuration with this home's paths (relative ones would start at the cwd)."""
    config = home / "config.xml"
    users, backups = HERE / "users.xml", home / "backups/"
    text = (HERE / "config.xml").read_text()
    config.write_text(text.replace("{users}", escape(str(users))).replace("{backups}", escape(f"{backups}/")))
    return config


def listen(port: int) -> socket.socket:
    """A listening socket on loopback. Raises ClickException when the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        raise click.ClickException(f"Port {port} cannot be taken: {error.strerror}. Give another.") from error
    return listener


@click.command()
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), required=True, help="Its folder.")
@click.option("--port", type=click.IntRange(0, 65535), default=8123, help="Port on 127.0.0.1; 0: a free one.")
def main(home: Path, port: int) -> None:
    """Serve ClickHouse's HTTP interface until SIGTERM; the password is in WATCHFLOOR_CLICKHOUSE_PASSWORD."""
    password = os.environ.pop(PASSWORD, "")
    if not password:
        raise click.ClickException(f"{PASSWORD} is not set: the database is not served without a password.")
    home = home.absolute()
    if "?" in str(home):
        raise click.ClickException(f"The folder's name must not contain '?': {home}")
    data = home / "data"
    data.mkdir(parents=True, exist_ok=True)
    listener = listen(port)

    # Importing chdb starts an engine, so it comes after everything that may be refused cheaply.
    from watchfloor.embedded.clickhouse.gateway import Gateway
    from watchfloor.embedded.clickhouse.requests import Database

    try:
        database = Database(data, configure(home))
    except RuntimeError as error:
        raise click.ClickException(f"The engine cannot open {data} (is another process using it?): {error}") from error
    port = listener.getsockname()[1]
    print(f"ClickHouse {database.version} on http://{HOST}:{port}", file=sys.stderr, flush=True)
    uvloop.install()
    web.run_app(
        Gateway(database, {os.environ.get(USER, "default"): password}).application(),
        sock=listener,
        print=None,
        access_log=None,
        shutdown_timeout=5.0,
        handler_cancellation=True,
        auto_decompress=False,
        read_bufsize=1 << 20,
    )


if __name__ == "__main__":
    main()
