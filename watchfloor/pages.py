"""Parts of pages of docs/ that are written by commands: what is between <!-- NAME --> and <!-- /NAME -->."""

from pathlib import Path

import click


def part(text: str, name: str) -> str:
    """What a page has between the marks. Raises ValueError without both."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if start not in text or end not in text.partition(start)[2]:
        raise ValueError(f"it has no lines {start.strip()} and {end}")
    return text.partition(start)[2].partition(end)[0]


def write(path: Path | None, name: str, text: str) -> None:
    """Put a part into its page, or print it without one. Raises ClickException where the page has no place for it."""
    if path is None:
        click.echo(text, nl=False)
        return
    page = path.read_text()
    try:
        before = part(page, name)
    except ValueError as error:
        raise click.ClickException(f"{path}: {error}") from error
    start = f"<!-- {name} -->\n"
    path.write_text(page.replace(start + before, start + text, 1))
