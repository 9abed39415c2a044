"""`watchfloor control`: settings that change while everything runs, who changed them, and back again."""

import asyncio
import getpass
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any, Never

import click
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Column, Table

from models.control import DEFAULTS, EVERYONE, REFERENCES, SETTINGS, InvalidValue, is_scope, setting_of
from producers import control as control_log
from producers.control import NoAnswer
from producers.records import Rejected, reader
from producers.references import NONE, Newest, changes
from producers.tables import FileError, lines
from schemas import topics
from streams.runtime import Halt
from streams.runtime.control import Control, Entry
from streams.runtime.follower import Follower
from watchfloor.commands.alerts import Lasting, Since
from watchfloor.commands.files import FILE
from watchfloor.settings import Settings

REFUSED = 3
UNANSWERED = 4
READ_LIMIT_S = 20.0
WORDS = {"on": "true", "off": "false", "inherit": None}


@click.group()
def command() -> None:
    """Read and change settings that hold at once, everywhere: flags and thresholds.

    A tenant without a value of its own has that of `*`, which stands for all tenants; else the default holds. What
    the settings mean and how a change is made: docs/control.md.
    """


def _scope(_: click.Context, __: click.Parameter, value: str) -> str:
    if not is_scope(value):
        raise click.BadParameter(f"expected * or 1 to 63 of a-z, 0-9, _ and -, got {value!r}")
    return value


class Named(click.ParamType):
    """The name of a setting; that of a family with a scope is `family|scope`. With `whole`, a family alone will do."""

    name = "setting"

    def __init__(self, whole: bool = False) -> None:
        self.whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value)
        if not (self.whole and name in SETTINGS):
            try:
                setting_of(name)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return name


NAME = click.argument("name", type=Named(), metavar="NAME")
TENANT = click.option(
    "--tenant", default=EVERYONE, show_default=True, callback=_scope, help="Tenant; * stands for all of them."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
CHANGE = (
    TENANT,
    click.option("--reason", required=True, help="Why; kept in the history and the audit."),
    click.option(
        "--expected-version",
        type=click.IntRange(min=0),
        show_default="the one just read",
        help="Refuse the change when the setting has another version by now; 0 before the first.",
    ),
    click.option(
        "--valid-from",
        type=Since(),
        help="Let it hold for records from this time on: an ISO 8601 time, or 15m for 15 minutes ago. Without it, now.",
    ),
    click.option("--by", default=getpass.getuser, show_default="your user name", help="Who decided; kept with it."),
    click.option(
        "--wait",
        type=click.FloatRange(min=0.1),
        default=10.0,
        show_default=True,
        help="Seconds to wait for the answer.",
    ),
    AS_JSON,
)


def changing(function: Callable[..., None]) -> Callable[..., None]:
    """The options that `set` and `undo` share."""
    return reduce(lambda decorated, option: option(decorated), reversed(CHANGE), function)


@command.command()
@click.argument("name", type=Named(whole=True), metavar="[NAME]", required=False)
@TENANT
@AS_JSON
def get(name: str | None, tenant: str, as_json: bool) -> None:
    """Show what holds now: value, where it comes from, version, since when, by whom. All settings without NAME, but for
    sites, calendars and rosters.

    Of a family of settings, such as surprise_factor, those are shown that the tenant has; `surprise_factor|...` is one.
    """
    control = read_control(Settings())
    now = int(time.time() * 1000)
    names: list[str] = []
    for each in [name] if name else [each for each, setting in SETTINGS.items() if setting.record is None]:
        family = SETTINGS.get(each)
        names += control.scopes(family.topic, tenant, each) if family and family.scope else [each]
    rows = [standing(control, each, tenant, now) for each in names]
    if as_json:
        click.echo(json.dumps(rows[0] if [name] == names else rows))
        return
    table = Table(Column("setting", overflow="fold"), "value", "from", "version", Column("since", no_wrap=True), "by")
    for row in rows:
        since, by = row["since"] or "", row["by"] or ""
        table.add_row(row["name"], in_words(row["value"]), row["source"], str(row["version"] or ""), since, by)
    Console().print(table)
    for row in rows:
        for change in row["coming"]:
            click.echo(f"{row['name']}: {in_words(change['value'])} from {change['from']} on")
    if name:
        setting = SETTINGS[name.partition("|")[0]]
        because = f" Why: {rows[0]['reason']}." if [name] == names and rows[0]["reason"] else ""
        click.echo(f"{setting.doc} Takes {setting.expected}.{because}")


def standing(control: Control, name: str, tenant: str, now: int) -> dict[str, Any]:
    """How a setting stands for a tenant at a time.

    `source` is "own", "inherited from *" or "default". `version` is that of the tenant's own newest version (0 without
    one), which the next change must expect; since, by and reason are those of the version that holds; `coming` says
    from when on the tenant's own setting will be something else (version 0 and value None: inherited).
    """
    setting = setting_of(name)
    found = control.find(setting.topic, tenant, name, now)
    own = control.history(setting.topic, tenant, name)
    source, holds = "default", None
    if found is not None:
        who, holds = found
        source = "own" if who == tenant else f"inherited from {who}"
    return {
        "name": name,
        "tenant": tenant,
        "value": setting.default if holds is None else holds.value,
        "unit": setting.unit,
        "source": source,
        "version": own[-1].version if own else 0,
        "since": None if holds is None else moment(holds.valid_from or holds.at),
        "by": None if holds is None else holds.by,
        "reason": None if holds is None else holds.reason,
        "coming": [
            {"from": moment(start), "version": entry.version if entry else 0, "value": entry.value if entry else None}
            for start, entry in control.coming(setting.topic, tenant, name, now)
        ],
    }


@command.command("set")
@NAME
@click.argument("value")
@click.option(
    "--for",
    "until",
    type=Lasting(),
    metavar="DURATION",
    help="Let it expire after 90s, 15m, 2h or 7d; then what held before holds again. Without it, it stays.",
)
@changing
def change(name: str, value: str, until: int | None, wait: float, as_json: bool, **about: Any) -> None:
    """Set NAME to VALUE: on, off, a number, a text, or inherit to give up a value of the tenant's own.

    Exit code 3 when it is refused, because somebody else was faster for instance, and 4 when no worker answers in time.
    """
    plain = setting_of(name).pattern is not None and value not in WORDS
    text = json.dumps(value) if plain else WORDS.get(value, value)
    if text is not None:
        try:
            setting_of(name).read(text)
        except InvalidValue as error:
            raise click.BadParameter(str(error), param_hint="VALUE") from error
    if until is not None and about["valid_from"] is not None:
        # It is to hold for so long, whenever it begins.
        until += max(0, about["valid_from"] - int(time.time() * 1000))
    ask(wait, as_json, action="set", name=name, value=text, expires_at=until, **about)


@command.command()
@NAME
@changing
def undo(name: str, wait: float, as_json: bool, **about: Any) -> None:
    """Undo the newest change of NAME: what held without it holds again, as a new version.

    An undo can be undone. Exit codes as for `set`.
    """
    ask(wait, as_json, action="undo", name=name, value=None, **about)


@command.command()
@NAME
@TENANT
@AS_JSON
def history(name: str, tenant: str, as_json: bool) -> None:
    """Show the versions of NAME, the newest first.

    Those that stopped holding more than 35 days ago are in the audit alone.
    """
    entries = read_control(Settings()).history(setting_of(name).topic, tenant, name)[::-1]
    if as_json:
        click.echo(json.dumps([told(entry) for entry in entries]))
        return
    if not entries:
        click.echo(f"Nobody has set {name} of {tenant}.")
        return
    when = [Column(title, no_wrap=True) for title in ("valid from", "until", "set at")]
    table = Table("version", "value", *when, "by", Column("reason", overflow="fold"))
    for entry in entries:
        reason = f"{entry.reason} (undoes {entry.undoes})" if entry.undoes else entry.reason
        since = moment(entry.valid_from) if entry.valid_from else "at once"
        until = moment(entry.expires_at) if entry.expires_at else ""
        table.add_row(str(entry.version), in_words(entry.value), since, until, moment(entry.at), entry.by, reason)
    Console().print(table)


KINDS = {name.removeprefix("control."): setting for name, setting in REFERENCES.items()}


@command.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("file", type=FILE)
@click.option("--reason", required=True, help="Why; kept in the history and the audit.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who decided; kept with it.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds to wait for the next answer.",
)
@AS_JSON
def load(kind: str, file: Path, reason: str, by: str, wait: float, as_json: bool) -> None:
    """Enter the sites, calendars or rosters of FILE (JSONL, CSV, Parquet), in the schema of control.KIND.

    What stands already is left alone. The first version of each holds from the beginning, a later one from its
    updated_at on. What is not in the file stays. Exit codes: 2 a bad file, nothing was sent; 3 some were refused; 4 no
    worker answered all of them in time.
    """
    settings, setting = Settings(), KINDS[kind]
    topic = topics.CATALOGUE[f"control.{kind}"]
    control = read_control(settings)

    def newest(tenant: str, name: str) -> Newest:
        own = control.history(setting.topic, tenant, name)
        return Newest(own[-1].version, own[-1].value, own[-1].valid_from) if own else NONE

    try:
        records = list(lines(file, reader(topic)))
    except FileError as error:
        raise click.UsageError(str(error)) from error
    for line in records:
        if isinstance(line.record, Rejected):
            raise click.UsageError(f"{file}, line {line.number}: {line.record}")
    good = [line.record for line in records if not isinstance(line.record, Rejected)]
    asked = list(changes(good, setting, newest, by=by, reason=reason))
    try:
        answers = list(control_log.ask_all(settings.kafka, asked, prefix=settings.prefix, limit_s=wait))
    except KafkaException as error:
        raise click.ClickException(
            f"Kafka at {settings.kafka} did not confirm all of them; the same command again goes on: {error}"
        ) from error
    refused = [answer for answer in answers if answer["outcome"] != "accepted"]
    counts = {
        "records": len(good),
        "unchanged": len(good) - len(asked),
        "accepted": len(answers) - len(refused),
        "refused": len(refused),
        "unanswered": len(asked) - len(answers),
    }
    if as_json:
        click.echo(json.dumps(counts | {"refusals": [answer["message"] for answer in refused]}))
    else:
        click.echo(", ".join(f"{count:,} {what}" for what, count in counts.items()))
        for answer in refused[:10]:
            click.echo(f"{answer['name']} of {answer['tenant_id']}: {answer['message']}", err=True)
    if refused or counts["unanswered"]:
        raise SystemExit(REFUSED if refused else UNANSWERED)


def read_control(settings: Settings) -> Control:
    async def read() -> Control:
        follower = Follower(settings.kafka, topics.CONTROL, prefix=settings.prefix, defaults=DEFAULTS)
        try:
            await follower.start(READ_LIMIT_S)
        finally:
            await follower.stop()
        return follower.control

    try:
        return asyncio.run(read())
    except (KafkaError, TimeoutError, LookupError, Halt) as error:
        raise click.ClickException(f"Kafka at {settings.kafka}: {error or type(error).__name__}") from error


def ask(wait: float, as_json: bool, **about: Any) -> None:
    """Send a command, made of what `producers.control.command` takes, and show the answer."""
    settings = Settings()
    name, tenant = about["name"], about["tenant"]
    own = read_control(settings).history(setting_of(name).topic, tenant, name)
    if about["expected_version"] is None:
        about["expected_version"] = own[-1].version if own else 0
    asked = control_log.command(**about)
    try:
        answer = control_log.ask(settings.kafka, asked, prefix=settings.prefix, limit_s=wait)
    except NoAnswer as error:
        message = (
            f"{error}. It stays queued and is judged when a worker runs the agent `control` (is `watchfloor up` "
            f"running?); `watchfloor control history {name} --tenant {tenant}` shows what became of it"
        )
        _fail(UNANSWERED, as_json, {"outcome": "unanswered", "message": message, **asked})
    except KafkaException as error:
        raise click.ClickException(
            f"Kafka at {settings.kafka} did not confirm the command, read the setting before you repeat it: {error}"
        ) from error
    if answer["outcome"] != "accepted":
        _fail(REFUSED, as_json, answer)
    click.echo(json.dumps(answer) if as_json else answer["message"])


def _fail(code: int, as_json: bool, answer: Mapping[str, Any]) -> Never:
    """End the command, because it was not obeyed."""
    if as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(f"{answer['outcome']}: {answer['message']}", err=True)
    raise SystemExit(code)


def told(entry: Entry) -> dict[str, Any]:
    """A version for JSON, its times in ISO 8601; valid_from is null for what acts at once."""
    start = moment(entry.valid_from) if entry.valid_from else None
    end = moment(entry.expires_at) if entry.expires_at else None
    return {**asdict(entry), "valid_from": start, "expires_at": end, "at": moment(entry.at)}


def moment(time_ms: int) -> str:
    """A time in epoch milliseconds as ISO 8601 in UTC, to the second."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def in_words(value: Any) -> str:
    """A value for people."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "inherited" if value is None else str(value)
