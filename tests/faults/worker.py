"""A worker of the fault tests' own agents: the product's app around another topology."""

import logging
import os
from pathlib import Path

import click

from tests.faults.clock import VARIABLE, Bent


@click.command()
@click.option("--name", required=True)
@click.option("--dynamic", is_flag=True)
@click.option("--agents", type=click.Choice(["counter", "relay"]), default="counter")
def main(name: str, dynamic: bool, agents: str) -> None:
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if VARIABLE in os.environ:
        Bent().install(Path(os.environ[VARIABLE]))
    # Only now: some of these take functions out of `time` when they are imported.
    from streams.app import build, serve
    from tests.faults import relay, topology
    from watchfloor.settings import Settings

    settings = Settings()
    serve(
        build(
            relay.AGENTS if agents == "relay" else topology.AGENTS,
            servers=settings.kafka,
            prefix=settings.prefix,
            instance=None if dynamic else name,
            session_timeout_ms=settings.session_timeout_ms,
            data=settings.home / "faust",
        )
    )


if __name__ == "__main__":
    main()
