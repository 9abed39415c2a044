"""Times that evaluations take, and figures, times and whole reports as they are shown."""

import math
from datetime import UTC, datetime
from typing import Any

import click


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
