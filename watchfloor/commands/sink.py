"""`watchfloor sink`: write the output topics to ClickHouse until told to stop."""

import json
import logging
import os
import signal
import sys

import click
from prometheus_client import start_http_server

from sinks.errors import SinkStopped
from sinks.figures import Figures
from sinks.writer import Options, Sink
from watchfloor.commands.db import open_store
from watchfloor.settings import Settings

log = logging.getLogger("watchfloor.sink")


@click.command()
@click.option(
    "--name",
    default="sink-0",
    show_default=True,
    help="Stable name of this process: after a restart under the same name it goes on at once.",
)
@click.option(
    "--flush-seconds",
    type=click.FloatRange(0.05, 10.0),
    default=1.0,
    show_default=True,
    help="A row waits at most so long for others; more when many partitions have rows, to keep inserts few.",
)
@click.option("--once", is_flag=True, help="Write what the topics hold now, and exit.")
@click.option(
    "--accept",
    multiple=True,
    metavar="TOPIC",
    help="Go on from the beginning of this topic although it is not the one, or lacks what, was read before.",
)
@click.option(
    "--refusals",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    help="More bad records than this in one range stop the sink instead of becoming dead letters.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much to print.",
)
def command(
    name: str, flush_seconds: float, once: bool, accept: tuple[str, ...], refusals: int, log_level: str
) -> None:
    """Write the output topics to ClickHouse, each record once as read through the v_ views.

    Several sinks, each with a name of its own, share the partitions. Exit codes: 3 the tables are not what this
    release writes (watchfloor db migrate), 4 the stored progress does not fit a topic (the message says what to do).
    """
    settings = Settings()
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    figures = Figures()
    server, _ = start_http_server(settings.metrics_port, addr=settings.metrics_address, registry=figures.registry)
    settings.run.mkdir(parents=True, exist_ok=True)
    where = {"pid": os.getpid(), "kind": "sink", "metrics": f"http://127.0.0.1:{server.server_port}/metrics"}
    (settings.run / f"{name}.json").write_text(json.dumps(where))
    sink = Sink(
        open_store(settings),
        Options(
            servers=settings.kafka,
            prefix=settings.prefix,
            instance=name,
            session_timeout_ms=settings.session_timeout_ms,
            flush_s=flush_seconds,
            once=once,
            accept=frozenset(accept),
            refusals=refusals,
        ),
        figures,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sink.stop())
    log.info("%s to %s, figures at %s", settings.kafka, settings.clickhouse, where["metrics"])
    try:
        sink.run()
    except SinkStopped as stopped:
        click.echo(f"Error: {stopped}", err=True)
        sys.exit(stopped.code)
