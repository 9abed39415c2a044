"""`watchfloor notify`: tell people of alerts until told to stop."""

import json
import logging
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from prometheus_client import start_http_server

from schemas.codec import DecodeError
from schemas.topics import ALERTS
from watchfloor.commands.dlq import kafka_trouble
from watchfloor.log import messages
from watchfloor.notify.channels import channel, headline, idempotency_key
from watchfloor.notify.config import Config, ConfigError, load
from watchfloor.notify.figures import Figures
from watchfloor.notify.routing import decide
from watchfloor.notify.teller import Teller
from watchfloor.settings import Settings, variable

log = logging.getLogger("watchfloor.notify")

STOP_LIMIT_S = 12.0
WATCH_S = 0.2


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Channels and routes, as TOML; as WATCHFLOOR_NOTIFY.",
)
@click.option(
    "--max-age",
    type=click.FloatRange(0),
    default=3600.0,
    show_default=True,
    help="Seconds; what was published longer ago is history and not told. 0: no limit.",
)
@click.option("--check", is_flag=True, help="Only say whether the file can be used.")
@click.option("--dry-run", is_flag=True, help="Print what would be told, from --max-age ago to now; send nothing.")
@click.option(
    "--name",
    default="notify",
    show_default=True,
    help="Stable name of this process: after a restart under the same name it goes on at once.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much to print.",
)
def command(path: Path | None, max_age: float, check: bool, dry_run: bool, name: str, log_level: str) -> None:
    """Tell people of alerts by webhook and e-mail: each at least once, and again with the same key.

    The file names channels and which alerts go to which: docs/alerts.md has an example. A channel that does not work
    holds up no other.
    """
    settings = Settings()
    path = path or settings.notify
    if path is None:
        raise click.UsageError(f"where are the channels? Give --config, or set {variable('notify')}")
    try:
        config = load(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    if check:
        click.echo(f"{path}: {len(config.channels)} channels, {len(config.routes)} routes.")
        return
    if dry_run:
        with kafka_trouble(settings):
            rehearse(settings, config, max_age)
        return
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if not serve(settings, config, max_age, name):
        sys.exit(1)


def serve(settings: Settings, config: Config, max_age: float, name: str) -> bool:
    """Run all channels until SIGTERM or SIGINT. False when one ended by itself: a bug, which its traceback names."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    figures = Figures()
    server, _ = start_http_server(settings.metrics_port, addr=settings.metrics_address, registry=figures.registry)
    settings.run.mkdir(parents=True, exist_ok=True)
    where = {"pid": os.getpid(), "kind": "notify", "metrics": f"http://127.0.0.1:{server.server_port}/metrics"}
    (settings.run / f"{name}.json").write_text(json.dumps(where))
    threads = []
    for each, section in config.channels.items():
        teller = Teller(
            each,
            channel(section),
            config.routes_to(each),
            servers=settings.kafka,
            prefix=settings.prefix,
            max_age_s=max_age,
            figures=figures,
            stop=stop,
            instance=name,
            session_timeout_ms=settings.session_timeout_ms,
        )
        threads.append(threading.Thread(target=teller.run, name=each, daemon=True))
    for thread in threads:
        thread.start()
    log.info("channels %s on %s, figures at %s", ", ".join(config.channels), settings.kafka, where["metrics"])
    while not stop.wait(WATCH_S) and all(thread.is_alive() for thread in threads):
        pass
    well = stop.is_set()
    stop.set()
    deadline = time.monotonic() + STOP_LIMIT_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            log.warning("%s: still sending; it will be told again after the next start", thread.name)
    return well


def rehearse(settings: Settings, config: Config, max_age: float) -> None:
    """Print what the channels would be told of the topic as it is now. Raises KafkaException."""
    since = int((time.time() - max_age) * 1000) if max_age else 0
    now = datetime.now(UTC)
    for message in messages(settings.kafka, settings.prefix + ALERTS.name, since, follow=False, name="notify"):
        try:
            alert = ALERTS.codec.decode(message.value() or b"")
        except DecodeError as error:
            click.echo(f"{message.partition()}:{message.offset()} is not an alert: {error}", err=True)
            continue
        for each in config.channels:
            decision = decide(alert, config.routes_to(each), now)
            if decision.what != "skip":
                when = f" (held until {decision.until:%Y-%m-%d %H:%M} UTC)" if decision.until else ""
                click.echo(f"{each}: {idempotency_key(alert)} {headline(alert)}{when}")
