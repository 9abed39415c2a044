"""The Faust app of a worker."""

import gc
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import faust

from schemas import topics
from streams.runtime.agent import Agent
from streams.runtime.control import Control
from streams.runtime.engine import Engine, follow
from streams.runtime.follower import Follower
from streams.runtime.metrics import Metrics

GC_THRESHOLD = 100_000


def build(
    agents: Iterable[Agent],
    *,
    servers: str,
    prefix: str = "",
    instance: str | None = None,
    session_timeout_ms: int = 10_000,
    data: Path = Path(".watchfloor/faust"),
    metrics: Metrics | None = None,
    prepare: Callable[[Control], Awaitable[None]] | None = None,
) -> faust.App:
    """An app that runs `agents`; see `streams.runtime.engine.Engine` and, for `prepare`, `Follower` for the arguments.

    All agents that read settings share one follower.
    """
    agents = list(agents)
    app = faust.App(
        f"{prefix}watchfloor",
        broker=[f"kafka://{server.strip()}" for server in servers.split(",")],
        store="memory://",
        datadir=data,
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        stream_wait_empty=False,
    )
    metrics = metrics or Metrics()
    follower = None
    if defaults := {place: default for agent in agents for place, default in agent.settings.items()}:
        follower = follow(app, Follower(servers, topics.CONTROL, prefix=prefix, defaults=defaults, prepare=prepare))
    for agent in agents:
        Engine(
            app,
            agent,
            servers=servers,
            prefix=prefix,
            instance=instance,
            session_timeout_ms=session_timeout_ms,
            metrics=metrics,
            follower=follower if agent.settings else None,
        )
    return app


def serve(app: faust.App, loglevel: int = logging.INFO) -> None:
    """Run the app until it is told to stop (SIGINT, SIGTERM). Does not return."""
    app.finalize()
    # A frame makes tens of thousands of objects, none of them in a cycle; at the usual threshold the collector
    # looks at them dozens of times.
    gc.set_threshold(GC_THRESHOLD, 20, 100)
    worker = faust.Worker(app, loglevel=loglevel, override_logging=False, redirect_stdouts=False, console_port=0)
    worker.execute_from_commandline()
