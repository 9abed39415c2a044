"""`watchfloor alerts`: follow the alerts as they happen, or list those that are open."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from confluent_kafka import KafkaError, KafkaException, Message
from rich.console import Console
from rich.text import Text

from models.alerts import RANK
from schemas import topics
from schemas.codec import DecodeError
from sinks.store import quoted
from watchfloor.commands.db import ask, open_store
from watchfloor.log import messages
from watchfloor.settings import Settings

COLOURS = {"INFO": "cyan", "WARNING": "yellow", "HIGH": "dark_orange", "CRITICAL": "bold red"}
STATES = ("open", "acknowledged", "resolved")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

QUERY = """
SELECT tenant_id, toString(alert_id) AS alert_id, seq, fingerprint, kind, subject, metric, direction, state, severity,
    toUnixTimestamp64Milli(opened_at) AS opened_at, toUnixTimestamp64Milli(updated_at) AS updated_at, count,
    held_back, toString(previous_alert_id) AS previous_alert_id, score, value, expected, limit_value AS limit,
    summary, reason, runbook
FROM {database}.v_alerts
WHERE state IN ('open', 'acknowledged') AND ({{tenant:String}} = '' OR tenant_id = {{tenant:String}})
ORDER BY opened_at
"""


@click.group()
def command() -> None:
    """Read alerts.

    What an alert is, when one opens and when it resolves: docs/alerts.md.
    """


class Since(click.ParamType):
    """A time: how long ago (90s, 15m, 2h, 7d), an ISO 8601 time (UTC without a zone) or `begin`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "begin":
            return 0
        ago = re.fullmatch(r"(\d+)([smhd])", value)
        if ago:
            moment = datetime.now(UTC) - timedelta(seconds=int(ago[1]) * UNITS[ago[2]])
        else:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                self.fail(f"expected 90s, 15m, 2h, 7d, begin or an ISO 8601 time, got {value!r}", param, ctx)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)


@command.command()
@click.option("--since", type=Since(), help="Begin with what was published since then: 15m, 2h, begin or a time.")
@click.option("--tenant", help="Only this tenant's alerts.")
@click.option("--state", type=click.Choice(STATES), multiple=True, help="Only versions in this state; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
@click.option("--no-follow", is_flag=True, help="Stop at what is the end of the topic now.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many lines.")
def tail(
    since: int | None, tenant: str | None, state: tuple[str, ...], as_json: bool, no_follow: bool, limit: int | None
) -> None:
    """Follow the alerts topic: a line for every version of an alert, as soon as it is committed.

    Without --since it begins with what comes from now on.
    """
    settings = Settings()
    show = _printer(as_json)
    shown = 0
    try:
        for alert in versions(settings.kafka, settings.prefix + topics.ALERTS.name, since, follow=not no_follow):
            if (tenant and alert["tenant_id"] != tenant) or (state and alert["state"] not in state):
                continue
            show(alert)
            shown += 1
            if shown == limit:
                return
    except KafkaException as error:
        raise _kafka_trouble(settings, error) from error
    except KeyboardInterrupt:
        return


@command.command(name="list")
@click.option("--tenant", help="Only this tenant's alerts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
def list_open(tenant: str | None, as_json: bool) -> None:
    """List the alerts that are open or acknowledged, the worst first, as ClickHouse has them."""
    settings = Settings()
    store = open_store(settings)
    rows = ask(settings, lambda: store.query(QUERY.format(database=quoted(store.database)), {"tenant": tenant or ""}))
    rows.sort(key=lambda row: (-RANK[row["severity"]], row["opened_at"]))
    show = _printer(as_json)
    for row in rows:
        show(row)
    if not rows and not as_json:
        click.echo("No alert is open." if tenant is None else f"No alert of {tenant} is open.")


def versions(servers: str, topic: str, since: int | None, *, follow: bool) -> Iterator[dict[str, Any]]:
    """Versions of alerts as they are committed.

    Args:
        since: publish time to begin with, epoch milliseconds; None begins at the end.
        follow: go on for ever; else stop at the end that the topic has now.
    Raises:
        KafkaException: the broker does not answer, or the topic does not exist.
    """
    for message in messages(servers, topic, since, follow=follow, name="alerts-tail"):
        yield from _decoded(message)


def _decoded(message: Message) -> Iterator[dict[str, Any]]:
    value = message.value()
    try:
        if value is None:
            raise DecodeError("the record has no value")
        yield topics.ALERTS.codec.decode(value)
    except DecodeError as error:
        where = f"{message.topic()}[{message.partition()}] at {message.offset()}"
        click.echo(f"{where} is not an alert: {error}", err=True)


def _printer(as_json: bool) -> Any:
    if as_json:
        return lambda alert: click.echo(json.dumps(alert, ensure_ascii=False))
    console = Console(soft_wrap=True, highlight=False)
    return lambda alert: console.print(line(alert))


def line(alert: dict[str, Any]) -> Text:
    """One version of an alert on one line, for people; times are event times in UTC."""
    moment = datetime.fromtimestamp(alert["updated_at"] / 1000, UTC)
    samples = f"{alert['count']} sample" + "s" * (alert["count"] != 1)
    notes = [alert["reason"], samples]
    if alert["held_back"]:
        notes.append(f"{alert['held_back']} held back")
    if alert["previous_alert_id"]:
        notes.append(f"after {alert['previous_alert_id'][:8]}")
    colour = COLOURS[alert["severity"]]
    return Text.assemble(
        (f"{moment:%Y-%m-%d %H:%M:%S}Z ", "dim"),
        (f"{alert['severity']:<8} ", colour),
        (f"{alert['state']:<12} ", "green" if alert["state"] == "resolved" else "bold"),
        (f"{alert['tenant_id']} ", "dim"),
        alert["summary"],
        (f"  ({', '.join(notes)}) {alert['alert_id'][:8]}", "dim"),
    )


def _kafka_trouble(settings: Settings, error: KafkaException) -> click.ClickException:
    reason: KafkaError = error.args[0]
    if reason.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        name = settings.prefix + topics.ALERTS.name
        said = f"there is no topic {name} at {settings.kafka}; make it with `watchfloor topics apply`"
    else:
        said = f"cannot read from Kafka at {settings.kafka}: {reason.str()}. Is it running (`watchfloor up`)?"
    return click.ClickException(said)
