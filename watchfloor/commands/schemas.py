"""`watchfloor schemas`: show and check the schemas, keep a version, write their documentation."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from schemas import versions
from schemas.codec import IMPLEMENTATION
from schemas.dictionary import topics
from schemas.parse import rabin
from watchfloor import pages


@click.group()
def command() -> None:
    """Show and check the schemas of the topics' records."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_schemas(as_json: bool) -> None:
    """Show every schema with its fingerprint and its released versions."""
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "fingerprint": rabin(versions.current(name)).hex(),
            "fields": len(versions.current(name)["fields"]),
            "versions": [
                {"number": version.number, "fingerprint": rabin(version.schema).hex()}
                for version in versions.released(name)
            ],
        }
        for name in versions.names()
    ]
    if as_json:
        click.echo(json.dumps({"codecs": IMPLEMENTATION, "schemas": rows}, indent=1))
        return
    table = Table(Column("schema", no_wrap=True), "fingerprint", "fields", "versions")
    for row in rows:
        table.add_row(row["name"], row["fingerprint"], str(row["fields"]), str(len(row["versions"])))
    Console().print(table)
    click.echo(f"The codecs are {IMPLEMENTATION}.", err=True)


@command.command()
def check() -> None:
    """Check that every schema is kept in its history and reads all of its versions: exit code 1 if not."""
    problems = [
        problem
        for name in versions.names()
        for problem in versions.problems(name, versions.current(name), versions.released(name))
    ]
    if problems:
        raise click.ClickException("\n".join(problems))
    click.echo(f"{len(versions.names())} schemas are released and read every version in their history.")


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def release(names: tuple[str, ...]) -> None:
    """Keep the schemas NAME (all, without a name) as their next version, where they have changed.

    From then on records of that version may exist, so its file in schemas/history must stay as it is.
    """
    known = versions.names()
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no schema {name!r}; there are: {', '.join(known)}", param_hint="NAME")
    for name in names or known:
        try:
            path = versions.release(name, versions.current(name))
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{name}: {f'kept as {path.name}' if path else 'unchanged'}")


@command.command()
@click.option(
    "--output",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Page to put it into, docs/data-dictionary.md; else it is printed.",
)
def doc(output: Path | None) -> None:
    """Write the topics' part of the data dictionary in Markdown."""
    pages.write(output, "topics", topics())
