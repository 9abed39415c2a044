"""`watchfloor worker`: run stream agents until told to stop."""

import json
import logging
import os
import time
from functools import partial

import click
from prometheus_client import start_http_server

from models.identity import PLATFORM
from models.ocr.redaction import NO_KEYS, Keys
from models.registry import EVERYONE, Place
from producers.alarms import alarm
from producers.publish import Accepted, Publisher
from schemas import topics
from streams import app
from streams.ocr import OCR
from streams.runtime import Agent
from streams.runtime.metrics import Metrics
from streams.sealing import NO_SEALER, Sealer
from streams.serving import NO_MODELS, Models, Shelf
from streams.topology import agents
from watchfloor.registry import READERS, in_words, open_registry
from watchfloor.settings import Settings

log = logging.getLogger("watchfloor.worker")


def chosen(
    names: str | None, models: Models = NO_MODELS, keys: Keys = NO_KEYS, sealer: Sealer = NO_SEALER
) -> list[Agent]:
    """The agents named, separated by commas; all of them without a name. Raises BadParameter for an unknown one."""
    known = {agent.name: agent for agent in agents(models, keys, sealer)}
    wanted = [name.strip() for name in names.split(",")] if names else list(known)
    for name in wanted:
        if name not in known:
            raise click.BadParameter(
                f"no agent is called {name!r}; there are: {', '.join(known)}", param_hint="--agents"
            )
    return [known[name] for name in wanted]


def tell_refused(settings: Settings, place: Place, version: str, why: str | None) -> None:
    """Alert the NOC about a version that this worker refuses; `why` is None when it does no more."""
    tenant = PLATFORM if place.tenant == EVERYONE else place.tenant
    summary = why or f"{place}, {version} is what was signed again"
    subject = f"{place.model}/{place.subject or 'all'}/{version}"
    candidate = alarm("artifact_refused", tenant, subject, int(time.time() * 1000), summary, clear=why is None)
    with Publisher(settings.kafka, prefix=settings.prefix, client="watchfloor-worker") as publisher:
        [outcome] = publisher.publish(topics.ALERTS_CANDIDATES, [candidate])
    if not isinstance(outcome, Accepted):
        log.error("nobody was alerted that %s: %s", summary, outcome.reason)


@click.command()
@click.option("--agents", "names", help="Names separated by commas; all agents without it.")
@click.option(
    "--name",
    default="worker-0",
    show_default=True,
    help="Stable name of this worker: after a restart under the same name it goes on at once.",
)
@click.option("--dynamic", is_flag=True, help="Join as a dynamic member: for workers that come and go.")
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much to print.",
)
def command(names: str | None, name: str, dynamic: bool, log_level: str) -> None:
    """Run stream agents: read events, score them, write predictions and alerts, exactly once.

    Start as many workers as there are partitions, each with a name of its own; they share the work.
    """
    settings = Settings()
    with in_words():
        shelf = Shelf(
            open_registry(settings),
            READERS,
            most_bytes=settings.model_memory_mb * 1_000_000,
            tell=partial(tell_refused, settings),
        )
    run = chosen(names, shelf, settings.ocr_keys, settings.sealer)
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Below that it logs whole requests and answers, with the records in them.
    logging.getLogger("aiokafka").setLevel(max(logging.INFO, logging.getLogger().level))
    if settings.ocr_secret is None and any(agent.name == OCR.name for agent in run):
        log.warning("WATCHFLOOR_OCR_SECRET is not set: plates get no fingerprints and are not compared")
    if settings.letter_secret is None and any(agent.personal for agent in run):
        log.warning(
            "WATCHFLOOR_LETTER_SECRET is not set: what is refused of personal data is not kept, only that it was"
        )
    metrics = Metrics()
    server, _ = start_http_server(settings.metrics_port, addr=settings.metrics_address, registry=metrics.registry)
    settings.run.mkdir(parents=True, exist_ok=True)
    where = {"pid": os.getpid(), "kind": "worker", "metrics": f"http://127.0.0.1:{server.server_port}/metrics"}
    (settings.run / f"{name}.json").write_text(json.dumps(where))
    log.info("agents %s on %s, figures at %s", ", ".join(a.name for a in run), settings.kafka, where["metrics"])
    app.serve(
        app.build(
            run,
            servers=settings.kafka,
            prefix=settings.prefix,
            instance=None if dynamic else name,
            session_timeout_ms=settings.session_timeout_ms,
            data=settings.home / "faust",
            metrics=metrics,
            prepare=shelf.prepare,
        ),
        loglevel=getattr(logging, log_level.upper()),
    )
