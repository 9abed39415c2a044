"""`watchfloor alerts`: follow the alerts as they happen, list those that are open, and act on them."""

import getpass
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from confluent_kafka import KafkaError, KafkaException, Message
from rich.console import Console
from rich.text import Text

from models.alerts import KINDS, RANK, SEVERITIES, VERDICTS
from schemas import topics
from schemas.codec import DecodeError
from sinks.store import quoted
from watchfloor.commands.alert_requests import find, request
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
    """Read alerts and act on them.

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


class Lasting(click.ParamType):
    """How long from now: 90s, 15m, 2h, 7d; as epoch milliseconds of the end."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        lasting = re.fullmatch(r"(\d+)([smhd])", value)
        if not lasting:
            self.fail(f"expected 90s, 15m, 2h or 7d, got {value!r}", param, ctx)
        moment = datetime.now(UTC) + timedelta(seconds=int(lasting[1]) * UNITS[lasting[2]])
        return int(moment.timestamp() * 1000)


def _asking(action: Callable[..., None]) -> Callable[..., None]:
    """Options of every command that asks the alert agent for something."""
    for option in (
        click.option("--by", default=getpass.getuser, show_default="your user name", help="Who asks."),
        click.option(
            "--wait", type=click.FloatRange(min=0.1), default=15.0, show_default=True, help="Seconds to wait for it."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON, for scripts."),
    ):
        action = option(action)
    return action


def _on_alert(action: Callable[..., None]) -> Callable[..., None]:
    action = click.option("--tenant", help="The alert's tenant; with a whole ID, ClickHouse is not asked.")(action)
    return click.argument("alert", metavar="ID")(_asking(action))


def _ask_agent(by: str, wait: float, as_json: bool, **fields: Any) -> None:
    """Send a command and print its answer; exit code 1 when it was refused."""
    settings = Settings()
    try:
        answer = request(settings, {"by": by} | {name: value for name, value in fields.items() if value}, wait)
    except KafkaException as error:
        raise _kafka_trouble(settings, error, topics.ALERTS_ANSWERS.name) from error
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
    elif answer["accepted"]:
        click.echo(answer["message"])
    else:
        raise click.ClickException(answer["message"])
    if not answer["accepted"]:
        raise click.exceptions.Exit(1)


def _ask_about(alert: str, tenant: str | None, by: str, wait: float, as_json: bool, **fields: Any) -> None:
    tenant, alert_id = find(Settings(), alert, tenant)
    _ask_agent(by, wait, as_json, tenant_id=tenant, alert_id=alert_id, **fields)


REASON = click.option("--text", help="Why.")


@command.command()
@_on_alert
@REASON
def ack(alert: str, **options: Any) -> None:
    """Take the alert whose id begins with ID: it is no longer escalated."""
    _ask_about(alert, action="acknowledge", **options)


@command.command()
@_on_alert
@REASON
def resolve(alert: str, **options: Any) -> None:
    """End the alert whose id begins with ID. What fires on opens a new one after the quiet time."""
    _ask_about(alert, action="resolve", **options)


@command.command()
@_on_alert
@click.argument("text")
def comment(alert: str, **options: Any) -> None:
    """Say TEXT about the alert whose id begins with ID."""
    _ask_about(alert, action="comment", **options)


@command.command()
@_on_alert
@click.argument("assignee")
def assign(alert: str, **options: Any) -> None:
    """Let ASSIGNEE look after the alert whose id begins with ID."""
    _ask_about(alert, action="assign", **options)


@command.command()
@_on_alert
@click.argument("until", metavar="DURATION", type=Lasting())
@REASON
def snooze(alert: str, **options: Any) -> None:
    """Mute the alert whose id begins with ID for DURATION (15m, 2h, 7d at most). Its state goes on."""
    _ask_about(alert, action="snooze", **options)


@command.command()
@_on_alert
@click.argument("verdict", type=click.Choice(VERDICTS))
@REASON
def verdict(alert: str, **options: Any) -> None:
    """Judge the alert whose id begins with ID. The newest verdict holds."""
    _ask_about(alert, action="verdict", **options)


@command.command()
@click.argument("tenant_id", metavar="TENANT")
@click.argument("until", metavar="DURATION", type=Lasting())
@click.argument("text", metavar="REASON")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only this kind of alert.")
@click.option("--subject", help="Only this subject, such as a host.")
@click.option("--metric", help="Only this metric.")
@click.option("--severity", type=click.Choice(SEVERITIES), help="Only alerts that are at most this severe.")
@_asking
def silence(**options: Any) -> None:
    """Mute alerts of TENANT for DURATION (15m, 2h, 30d at most) because of REASON. States go on."""
    _ask_agent(action="silence", **options)


@command.command()
@click.argument("tenant_id", metavar="TENANT")
@click.argument("silence_id", metavar="ID")
@_asking
def unsilence(**options: Any) -> None:
    """End the silence ID of TENANT now."""
    _ask_agent(action="unsilence", **options)


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


def _kafka_trouble(settings: Settings, error: KafkaException, topic: str = topics.ALERTS.name) -> click.ClickException:
    reason: KafkaError = error.args[0]
    if reason.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        name = settings.prefix + topic
        said = f"there is no topic {name} at {settings.kafka}; make it with `watchfloor topics apply`"
    else:
        said = f"cannot read from Kafka at {settings.kafka}: {reason.str()}. Is it running (`watchfloor up`)?"
    return click.ClickException(said)
