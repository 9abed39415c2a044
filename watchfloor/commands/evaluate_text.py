"""What evaluations on files share: the options and times that they take, and how figures and reports are shown."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

SHARE = 0.7
"""Of the time, what comes before it is learned from."""


class Moment(click.ParamType):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Epoch milliseconds of an ISO 8601 time; without a zone it is UTC."""
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(
                f"expected an ISO 8601 time such as 2026-03-01 or 2026-03-01T12:00:00Z, got {value!r}", param, ctx
            )
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


TRAIN_UNTIL = click.option(
    "--train-until",
    type=Moment(),
    help="Models learn from what happened and was known before this time; without it, the first 70 % of the time.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")


class Span(NamedTuple):
    """From the first to the last event; models are judged on what comes from `until` on. Epoch milliseconds."""

    first: int
    last: int
    until: int

    @property
    def about(self) -> dict[str, str]:
        """As it stands in the report."""
        return {"first": text(self.first), "last": text(self.last), "train_until": text(self.until)}


def span(given: Sequence[Mapping[str, Any]], until: int | None, noun: str = "event") -> Span:
    """Of events by time. Raises BadParameter where `until` leaves nothing to learn from or nothing to judge on."""
    first, last = given[0]["occurred_at"], given[-1]["occurred_at"]
    until = first + int(SHARE * (last - first)) if until is None else until
    if not first < until <= last:
        raise click.BadParameter(
            f"it must be after the first {noun} ({text(first)}) and not after the last one ({text(last)})",
            param_hint="--train-until",
        )
    return Span(first, last, until)


def write_scores(path: Path | None, lines: Iterable[Mapping[str, Any]]) -> None:
    """A line of JSON for each; nothing where no file is asked for."""
    if path is not None:
        with path.open("w") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in lines)


def show_refused(refused: Mapping[str, Any]) -> None:
    """What was left out, as the report has it."""
    if refused["lines"]:
        click.echo(f"{refused['lines']:,} lines are no records: " + "; ".join(refused["examples"]))


def figure(value: float | None, form: str) -> str:
    """A figure in a format; nothing for one that could not be known."""
    return "" if value is None else form.format(value)


def text(time: int) -> str:
    """A time, epoch milliseconds, to the second in UTC."""
    return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def plain(value: Any) -> Any:
    """Values of JSON: what is not finite is null."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
