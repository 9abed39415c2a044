"""`watchfloor up`: start and supervise everything on this machine."""

import asyncio
from typing import get_args

import click

from watchfloor.settings import Profile, Settings
from watchfloor.supervisor import Supervisor, layout


@click.command()
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True, help="Number of workers.")
@click.option("--no-collect", is_flag=True, help="Do not sample this host.")
@click.option("--profile", type=click.Choice(get_args(Profile)), help="As WATCHFLOOR_PROFILE.")
@click.option("--quiet", is_flag=True, help="Print only what concerns the whole; logs go to HOME/logs all the same.")
def command(workers: int, no_collect: bool, profile: Profile | None, quiet: bool) -> None:
    """Start and supervise broker, database, workers, sink and collector until Ctrl-C.

    Where WATCHFLOOR_NOTIFY is set, also what tells people of alerts (watchfloor notify).
    What dies is started again. Everything is stored under WATCHFLOOR_HOME (default .watchfloor); instances with
    different homes run side by side. Where WATCHFLOOR_KAFKA or WATCHFLOOR_CLICKHOUSE is set, or in profile prod, that
    server is used and none is started.
    """
    settings = Settings() if profile is None else Settings(profile=profile)
    asyncio.run(Supervisor(settings, layout(settings, workers, not no_collect), quiet).run())
