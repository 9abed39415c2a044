"""`watchfloor db`: bring the database to what this release needs, and say whether it is there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from sinks import migrate
from sinks.dictionary import dictionary
from sinks.errors import Mismatch, Refused, Unavailable
from sinks.preflight import preflight
from sinks.store import Store
from watchfloor import pages
from watchfloor.settings import Settings

T = TypeVar("T")

QUERY_LIMIT_S = 600.0
"""For what reads months of rows."""


def open_store(settings: Settings, enter: bool = False, timeout_s: float = 60.0) -> Store:
    """The database that the settings name. `enter`: statements may name its tables alone."""
    return Store(
        settings.clickhouse,
        settings.clickhouse_user,
        settings.clickhouse_password.get_secret_value(),
        settings.database,
        timeout_s,
        enter,
    )


def ask(settings: Settings, action: Callable[[], T]) -> T:
    """Do it, with ClickHouse's trouble in plain words. Raises ClickException."""
    try:
        return action()
    except Unavailable as error:
        raise click.ClickException(
            f"ClickHouse at {settings.clickhouse} does not answer as it should: {error}. "
            "Is it running (`watchfloor up`)?"
        ) from error
    except (Refused, Mismatch) as error:
        raise click.ClickException(str(error)) from error


@click.group()
def command() -> None:
    """Apply and check the ClickHouse migrations.

    What the tables hold: docs/data-dictionary.md.
    """


@command.command("migrate")
def migrate_() -> None:
    """Apply the migrations that are missing. Applying them again does nothing."""
    settings = Settings()
    store = open_store(settings)
    done = ask(settings, lambda: migrate.migrate(store))
    for migration in done:
        click.echo(f"applied {migration.name}")
    click.echo(f"Database {settings.database} is as this release needs it.")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
def status(as_json: bool) -> None:
    """List the migrations and whether they are applied. Exit code 1 when one is missing."""
    settings = Settings()
    store = open_store(settings)
    found = ask(settings, lambda: migrate.status(store))
    for each in found:
        if as_json:
            click.echo(json.dumps({"migration": each.migration.name, "state": each.state}))
        else:
            click.echo(f"{each.state:<8} {each.migration.name}")
    if any(each.state != "applied" for each in found):
        raise click.exceptions.Exit(1)


@command.command()
def check() -> None:
    """Compare tables, columns and settings with what this release writes. Exit code 3 when they differ."""
    settings = Settings()
    store = open_store(settings)
    problems = ask(settings, lambda: preflight(store))
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise click.exceptions.Exit(Mismatch.code)
    click.echo(f"Database {settings.database} is as this release needs it.")


@command.command("dictionary")
@click.option(
    "--output",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Page to put it into, docs/data-dictionary.md; else it is printed.",
)
def dictionary_(output: Path | None) -> None:
    """Write what every table and column means: the tables' part of the data dictionary in Markdown."""
    settings = Settings()
    store = open_store(settings)
    lines = ask(settings, lambda: list(dictionary(store)))
    pages.write(output, "tables", "".join(f"{line}\n" for line in lines))
