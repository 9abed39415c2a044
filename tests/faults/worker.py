"""A worker of the fault tests' own agents: the product's app around another topology."""

import logging

import click

from streams.app import build, serve
from tests.faults.topology import AGENTS
from watchfloor.settings import Settings


@click.command()
@click.option("--name", required=True)
@click.option("--dynamic", is_flag=True)
def main(name: str, dynamic: bool) -> None:
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings()
    serve(
        build(
            AGENTS,
            servers=settings.kafka,
            prefix=settings.prefix,
            instance=None if dynamic else name,
            session_timeout_ms=settings.session_timeout_ms,
            data=settings.home / "faust",
        )
    )


if __name__ == "__main__":
    main()
