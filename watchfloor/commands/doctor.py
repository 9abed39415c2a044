"""`watchfloor doctor`: say in plain words what is missing and how to mend it."""

import json
from collections.abc import Iterable

import click

from watchfloor.doctor import Finding, examine
from watchfloor.settings import Settings

MARKS = {"ok": ("ok", "green"), "mend": ("MEND", "red"), "skipped": ("-", "yellow")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of findings.")
def command(as_json: bool) -> None:
    """Check machine, processes, Kafka, topics, ClickHouse, tables, clocks and lag. Changes nothing.

    Exit code 1 when something must be mended; each such line says how.
    """
    report(examine(Settings()), as_json)


def report(found: Iterable[Finding], as_json: bool) -> None:
    """Print findings as they come. Raises Exit with 1 when something must be mended."""
    findings = []
    for finding in found:
        findings.append(finding)
        if not as_json:
            mark, colour = MARKS[finding.state]
            click.echo(f"{click.style(mark.rjust(4), fg=colour)}  {finding.check:<10} {finding.text}")
            if finding.mend:
                click.echo(f"{'':16} -> {finding.mend}")
    mend = [finding for finding in findings if finding.state == "mend"]
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=1))
    else:
        click.echo(f"{len(mend)} to mend." if mend else "All is well.")
    if mend:
        raise click.exceptions.Exit(1)
