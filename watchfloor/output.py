"""What supervised processes print: on the console with the process's name in front, and in a log file each."""

import logging
import logging.handlers
import sys
from pathlib import Path

import click

COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")
LOG_BYTES = 10_000_000
LOG_FILES = 3


class Console:
    """Lines of several processes on one terminal; with `quiet` only those of the supervisor itself."""

    def __init__(self, names: list[str], quiet: bool = False) -> None:
        self.quiet = quiet
        self.width = max(map(len, names), default=0)
        self.colour = dict(zip(names, COLOURS * len(names), strict=False))

    def line(self, name: str, text: str) -> None:
        if not self.quiet:
            click.echo(f"{click.style(name.ljust(self.width), fg=self.colour.get(name))} | {text}")

    def say(self, text: str, bad: bool = False) -> None:
        """A line of the supervisor itself, to stderr."""
        mark = click.style("!!" if bad else "--", fg="red" if bad else "white", bold=bad)
        click.echo(f"{mark} {text}", err=True)
        sys.stderr.flush()


class Log:
    """HOME/logs/NAME.log, cut at 10 MB, with two older ones beside it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.log"
        self.handler = logging.handlers.RotatingFileHandler(
            self.path, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8"
        )

    def write(self, line: str) -> None:
        self.handler.emit(logging.makeLogRecord({"msg": line}))

    def tail(self, lines: int = 20) -> str:
        """Its end, for error texts."""
        return "\n".join(self.path.read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        self.handler.close()
