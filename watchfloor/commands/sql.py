"""`watchfloor sql`: run a query."""

import json
import sys
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from sinks import queries
from sinks.errors import Mismatch, Refused, Unavailable
from watchfloor.commands.db import open_store
from watchfloor.settings import Settings


@click.command()
@click.argument("statement", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
@click.option("--format", "form", metavar="NAME", help="The whole result in a format of ClickHouse: CSV, Parquet, ...")
@click.option("--tenant", help="See the rows of this tenant only.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Rows that the table shows.")
@click.option("--seconds", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Time that it may take.")
@click.option("--write", is_flag=True, help="Allow a statement that changes things; shows no result.")
def command(
    statement: str | None,
    as_json: bool,
    form: str | None,
    tenant: str | None,
    limit: int,
    seconds: float,
    write: bool,
) -> None:
    """Run STATEMENT, or what comes on standard input, and show its result. Read-only unless told otherwise.

    The views v_predictions, v_metric_samples, v_alerts, v_alert_events and v_dead_letters have each row once;
    v_freshness says how complete they are. What the columns mean: docs/data-dictionary.md.

    \b
    watchfloor sql "SELECT * FROM v_alerts ORDER BY opened_at DESC LIMIT 5"
    watchfloor sql --format CSV "SELECT * FROM v_predictions" > predictions.csv
    """
    if statement is None or statement == "-":
        if sys.stdin.isatty():
            raise click.UsageError("give a statement, or one on standard input")
        statement = sys.stdin.read()
    if not statement.strip():
        raise click.UsageError("the statement is empty")
    if write and (tenant or form or as_json):
        raise click.UsageError("--write shows no result and knows no tenant")
    settings = Settings()
    store = open_store(settings, enter=True)
    try:
        if write:
            queries.execute(store, statement, seconds)
        elif form or as_json:
            for chunk in queries.formatted(store, statement, form or "JSONEachRow", tenant, seconds):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        else:
            show(queries.rows(store, statement, tenant, seconds, limit))
    except (queries.SqlError, Mismatch, Refused) as error:
        text = str(error)
        if "UNKNOWN_DATABASE" in text:
            text += " Make it: watchfloor db migrate"
        raise click.ClickException(text) from error
    except Unavailable as error:
        raise click.ClickException(
            f"ClickHouse at {settings.clickhouse} does not answer: {error}. Is it running (`watchfloor up`)?"
        ) from error


def show(found: queries.Rows) -> None:
    """A table, as wide as its contents when it goes to a file."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in found.columns:
        table.add_column(name, overflow="fold")
    for row in found.rows:
        table.add_row(*(cell(value) for value in row))
    console.print(table)
    count = f"{len(found.rows):,} row" + "s" * (len(found.rows) != 1)
    click.echo(f"{count}{', and there are more (--limit)' if found.cut else ''}", err=True)


def cell(value: Any) -> str:
    """A value for people; NULL is a dash."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        text = value.isoformat(sep=" ", timespec="milliseconds" if value.microsecond else "seconds")
        return text.removesuffix("+00:00")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
