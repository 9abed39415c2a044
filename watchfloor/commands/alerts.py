"""`watchfloor alerts`: follow the alerts as they happen, list and show them, and act on them."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from confluent_kafka import KafkaException, Message
from rich.console import Console
from rich.text import Text

from models.alerts import KINDS, RANK, SEVERITIES, VERDICTS
from schemas import topics
from schemas.codec import DecodeError
from sinks.tables import ALERT_EVENTS, ALERTS, INCIDENTS
from watchfloor.commands.alert_requests import REASON, TENANT, ask_agent, asking, find, kafka_trouble, records
from watchfloor.commands.alert_text import alert_story, held_back_line, line, silence_line, standing
from watchfloor.held_back import held_back
from watchfloor.log import messages
from watchfloor.settings import Settings
from watchfloor.silences import silences

STATES = ("open", "acknowledged", "resolved")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FAR_MS = 7_258_118_400_000  # 2200: nothing was resolved since then


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
    show = printer(as_json)
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
        raise kafka_trouble(settings, error, topics.ALERTS.name) from error
    except KeyboardInterrupt:
        return


@command.command(name="list")
@click.option("--tenant", help="Only this tenant's alerts.")
@click.option("--since", type=Since(), help="Also those that were resolved since then: 15m, 2h or a time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
def list_open(tenant: str | None, since: int | None, as_json: bool) -> None:
    """List the alerts that are open or acknowledged, the worst first, as ClickHouse has them."""
    rows = records(
        Settings(),
        ALERTS,
        "(t.state != 'resolved' OR t.resolved_at >= fromUnixTimestamp64Milli({since:Int64})) "
        "AND ({tenant:String} = '' OR t.tenant_id = {tenant:String})",
        order="t.opened_at",
        tenant=tenant or "",
        since=FAR_MS if since is None else since,
    )
    rows.sort(key=lambda row: (row["state"] == "resolved", -RANK[row["severity"]], row["opened_at"]))
    show = printer(as_json, standing)
    for row in rows:
        show(row)
    if not rows and not as_json:
        click.echo("No alert is open." if tenant is None else f"No alert of {tenant} is open.")


@command.command(name="held-back")
@click.option("--tenant", help="Only this tenant's anomalies.")
@click.option("--since", type=Since(), default="8h", show_default=True, help="What was held back since then.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
def list_held_back(tenant: str | None, since: int, as_json: bool) -> None:
    """List the anomalies that opened no alert because the alert budget had no room, and count them.

    What the budget goes by, and how to change it: docs/alerts.md, "The alert budget".
    """
    settings = Settings()
    try:
        found = held_back(_candidates(settings, tenant, since))
    except KafkaException as error:
        raise kafka_trouble(settings, error, topics.ALERTS_CANDIDATES.name) from error
    show = printer(as_json, held_back_line)
    for each in found:
        show(each)
    if not as_json:
        count = len(found)
        click.echo(f"{count or 'No'} {'anomaly was' if count < 2 else 'anomalies were'} held back.")


def _candidates(settings: Settings, tenant: str | None, since: int) -> Iterator[dict[str, Any]]:
    for message in messages(settings.kafka, settings.prefix + topics.ALERTS_CANDIDATES.name, since, follow=False):
        for candidate in _decoded(message, topics.ALERTS_CANDIDATES, "a candidate"):
            if tenant in (None, candidate["tenant_id"]):
                yield candidate


@command.command()
@click.argument("alert", metavar="ID")
@TENANT
@click.option("--json", "as_json", is_flag=True, help="One JSON object: alert, history and incident.")
def show(alert: str, tenant: str | None, as_json: bool) -> None:
    """Show everything about the alert whose id begins with ID, as ClickHouse has it.

    Evidence, who did what and when, comments, incident, verdict.
    """
    settings = Settings()
    tenant, alert_id = find(settings, alert, tenant)
    of_tenant = "t.tenant_id = {tenant:String}"
    history = records(
        settings, ALERT_EVENTS, f"{of_tenant} AND t.alert_id = {{id:UUID}}", "t.seq", tenant=tenant, id=alert_id
    )
    if not history:
        raise click.ClickException(f"ClickHouse has no alert {alert_id} of {tenant}")
    newest = history[-1]
    incident = None
    if newest["incident_id"]:
        rows = records(
            settings,
            INCIDENTS,
            f"{of_tenant} AND t.incident_id = {{id:UUID}}",
            "t.seq",
            tenant=tenant,
            id=newest["incident_id"],
        )
        incident = rows[-1] if rows else None
    if as_json:
        click.echo(json.dumps({"alert": newest, "history": history, "incident": incident}, ensure_ascii=False))
        return
    console = terminal()
    for text in alert_story(newest, history, incident):
        console.print(text)


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


def _on_alert(action: Callable[..., None]) -> Callable[..., None]:
    return click.argument("alert", metavar="ID")(TENANT(asking(action)))


def _ask_about(alert: str, tenant: str | None, by: str, wait: float, as_json: bool, **fields: Any) -> None:
    tenant, alert_id = find(Settings(), alert, tenant)
    ask_agent(by, wait, as_json, tenant_id=tenant, alert_id=alert_id, **fields)


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
@asking
def silence(**options: Any) -> None:
    """Mute alerts of TENANT for DURATION (15m, 2h, 30d at most) because of REASON. States go on."""
    ask_agent(action="silence", **options)


@command.command()
@click.argument("tenant_id", metavar="TENANT")
@click.argument("silence_id", metavar="ID")
@asking
def unsilence(tenant_id: str, silence_id: str, **options: Any) -> None:
    """End the silence of TENANT whose id begins with ID now."""
    if len(silence_id) != 36:
        found = [each["command_id"] for each in _silences(tenant_id) if each["command_id"].startswith(silence_id)]
        if len(found) != 1:
            how_many = "more than one silence" if found else "no silence"
            raise click.ClickException(f"{how_many} of {tenant_id} has an id that begins with {silence_id!r}")
        silence_id = found[0]
    ask_agent(action="unsilence", tenant_id=tenant_id, silence_id=silence_id, **options)


@command.command(name="silences")
@click.option("--tenant", help="Only this tenant's silences.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
def list_silences(tenant: str | None, as_json: bool) -> None:
    """List the silences that hold or are planned, the next to end first."""
    found = _silences(tenant)
    show = printer(as_json, silence_line)
    for each in found:
        show(each)
    if not found and not as_json:
        click.echo("There is no silence." if tenant is None else f"There is no silence of {tenant}.")


def _silences(tenant: str | None) -> list[dict[str, Any]]:
    settings = Settings()
    try:
        found = silences(settings.kafka, settings.prefix, time.time_ns() // 1_000_000)
    except KafkaException as error:
        raise kafka_trouble(settings, error, topics.COMMANDS_ALERTS.name) from error
    return [each for each in found if tenant in (None, each["tenant_id"])]


def versions(servers: str, topic: str, since: int | None, *, follow: bool) -> Iterator[dict[str, Any]]:
    """Versions of alerts as they are committed.

    Args:
        since: publish time to begin with, epoch milliseconds; None begins at the end.
        follow: go on for ever; else stop at the end that the topic has now.
    Raises:
        KafkaException: the broker does not answer, or the topic does not exist.
    """
    for message in messages(servers, topic, since, follow=follow, name="alerts-tail"):
        yield from _decoded(message, topics.ALERTS, "an alert")


def _decoded(message: Message, of: topics.Topic, what: str) -> Iterator[dict[str, Any]]:
    value = message.value()
    try:
        if value is None:
            raise DecodeError("the record has no value")
        yield of.codec.decode(value)
    except DecodeError as error:
        where = f"{message.topic()}[{message.partition()}] at {message.offset()}"
        click.echo(f"{where} is not {what}: {error}", err=True)


def printer(as_json: bool, shown: Callable[[dict[str, Any]], Text] = line) -> Callable[[dict[str, Any]], None]:
    """Prints a record as a line: JSON, or as `shown` puts it for people."""
    if as_json:
        return lambda record: click.echo(json.dumps(record, ensure_ascii=False))
    console = terminal()
    return lambda record: console.print(shown(record))


def terminal() -> Console:
    """Lines are as long as they are: who reads them by script finds one per record."""
    return Console(soft_wrap=True, highlight=False)
