"""`watchfloor collect`: sample this host's metrics and publish them."""

import json
import logging
import os
import signal
import threading
import time

import click
from prometheus_client import start_http_server

from producers.collector import Backlog, Collector, Figures
from producers.publish import Publisher
from producers.sources import Database, Lag, Sources, Workers
from streams.topology import AGENTS
from watchfloor.settings import Settings

log = logging.getLogger("watchfloor.collect")

PUBLISH_LIMIT_S = 5.0
ONCE_SECONDS = 1.0


def open_sources(settings: Settings) -> Sources:
    """What the running system says about itself: database, lag of the agents' groups, workers."""
    password = settings.clickhouse_password.get_secret_value()
    return Sources(
        [
            Database(settings.clickhouse, settings.clickhouse_user, password),
            Lag(settings.kafka, [settings.prefix + agent.name for agent in AGENTS]),
            Workers(settings.run),
        ]
    )


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(1.0, 3600.0),
    metavar="SECONDS",
    help="Time between samples; default: the setting sample_seconds (60).",
)
@click.option("--name", default="collect", show_default=True, help="Name of this process in the run folder.")
@click.option("--once", is_flag=True, help="Print one sample as JSON, over one second, and publish nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --once: on one line.")
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much to print.",
)
def command(interval: float | None, name: str, once: bool, as_json: bool, log_level: str) -> None:
    """Sample this host's metrics and publish them to events.metrics.

    CPU, memory and disks come from the machine; connections, query time, lag, latency and error rate from the
    running system. What cannot be measured is null. While Kafka is away samples wait and are sent afterwards.
    """
    settings = Settings()
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    figures = Figures()
    interval = interval or settings.sample_seconds
    sources = open_sources(settings)
    if once:
        collector = Collector(settings.tenant, settings.host, interval, sources, lambda _: None, figures)
        # The first reading is what the second one's rates count from.
        sources.start()
        time.sleep(ONCE_SECONDS / 2)
        sources.take()
        sources.start()
        time.sleep(ONCE_SECONDS)
        click.echo(json.dumps(collector.sample(), indent=None if as_json else 2))
        sources.close()
        return
    server, _ = start_http_server(settings.metrics_port, addr=settings.metrics_address, registry=figures.registry)
    settings.run.mkdir(parents=True, exist_ok=True)
    where = {"pid": os.getpid(), "kind": "collect", "metrics": f"http://127.0.0.1:{server.server_port}/metrics"}
    (settings.run / f"{name}.json").write_text(json.dumps(where))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Publisher(settings.kafka, prefix=settings.prefix, client=name, limit_s=PUBLISH_LIMIT_S) as publisher:
        backlog = Backlog(publisher, figures, settings.home / "collect" / f"{name}.jsonl")
        collector = Collector(settings.tenant, settings.host, interval, sources, backlog.add, figures)
        log.info("host %s of tenant %s every %g s to %s", settings.host, settings.tenant, interval, settings.kafka)
        collector.run(stop)
        log.info("stopping")
        sources.close()
        backlog.close()
