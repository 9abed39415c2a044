"""Files that commands read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from producers.tables import FileError
from watchfloor.event_files import Told, progress

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@contextmanager
def reading() -> Iterator[Told]:
    """Progress, on the terminal, of what reads files; one that cannot be read ends the command with the reason."""
    with progress() as told:
        try:
            yield told
        except FileError as error:
            raise click.ClickException(str(error)) from error
