"""`watchfloor dlq`: show the records that could not be processed, and put them back."""

import getpass
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from confluent_kafka import KafkaError, KafkaException
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from schemas.codec import DecodeError
from schemas.topics import CATALOGUE, DEAD_LETTERS
from streams.sealing import SealedError
from watchfloor.commands.alerts import Since
from watchfloor.dead_letters import (
    Choice,
    Letter,
    NotReplayable,
    Position,
    Replayer,
    Survey,
    decoded,
    letter_at,
    mended,
    source_of,
    survey,
)
from watchfloor.settings import Settings

REFUSED = 2
SHOWN_BYTES = 1024
Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def command() -> None:
    """Show dead letters, and replay them.

    A dead letter is a record that could not be processed, whole, with the reason. Everything here reads from Kafka and
    works without ClickHouse. Where records may hold personal data the letter is sealed, and `show` and `replay` open it
    with WATCHFLOOR_LETTER_SECRET.
    """


class LetterId(click.ParamType):
    """A letter's place in the dead-letter topic, PARTITION:OFFSET."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Position:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,9}):(\d{1,18})", value)
        if match is None:
            self.fail(f"expected PARTITION:OFFSET as `dlq list` shows it, got {value!r}", param, ctx)
        return int(match[1]), int(match[2])


def choosing(command: Command) -> Command:
    """The options that choose letters."""
    for option in (
        click.option("--since", type=Since(), default=0, help="Written since then: 15m, 2h, begin or a time."),
        click.option("--tenant", help="Only this tenant's."),
        click.option("--topic", type=click.Choice(list(CATALOGUE)), help="Only records of this topic."),
        click.option("--class", "error_class", help="Only with this reason, for example UnknownFingerprint."),
        click.option("--agent", help="Only what this agent refused; `sink` is the sink."),
    ):
        command = option(command)
    return command


@command.command("list")
@choosing
@click.option(
    "--limit", type=click.IntRange(0, 10_000), default=20, show_default=True, help="Show so many of the newest."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_letters(
    agent: str | None,
    error_class: str | None,
    topic: str | None,
    tenant: str | None,
    since: int,
    limit: int,
    as_json: bool,
) -> None:
    """Count the dead letters by agent, reason, topic and tenant, then show the newest."""
    settings = Settings()
    with kafka_trouble(settings):
        found = surveyed(settings, Choice(agent, error_class, topic, tenant, since), limit)
    if as_json:
        click.echo(json.dumps({"groups": groups(found), "letters": [summary(one, found) for one in found.newest]}))
        return
    show_groups(found)
    if not found.newest:
        return
    click.echo("\nThe newest:")
    for letter in found.newest:
        done = ", replayed" if letter.position in found.replayed else ""
        click.echo(f"{letter.id:<10} {moment(letter.timestamp)}Z {letter.record['error_class']}{done}: {place(letter)}")
        click.echo(f"{'':<10} {letter.record['message'][:200]}")


@command.command()
@click.argument("letter_id", metavar="ID", type=LetterId())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; bytes as hex.")
def show(letter_id: Position, as_json: bool) -> None:
    """Show one dead letter whole: reason, headers, and the record, decoded where its schema is known, else as hex.

    ID is PARTITION:OFFSET in the dead-letter topic, as `dlq list` shows it.
    """
    settings = Settings()
    letter = the_letter(settings, letter_id)
    trouble, record, locked = None, None, None
    try:
        letter = letter.opened(settings.sealer)
        record = decoded(letter, settings.prefix)
    except SealedError as error:
        locked = str(error)
    except DecodeError as error:
        trouble = str(error)
    value: bytes = letter.record["value"] or b""
    if as_json:
        whole = {name: shown(each) for name, each in letter.record.items() if name != "headers"}
        headers = [[one["name"], shown(one["value"])] for one in letter.record["headers"]]
        about = {
            "id": letter.id, "written": letter.timestamp, "decoded": record, "unreadable": trouble, "locked": locked,
        }  # fmt: skip
        click.echo(json.dumps(about | whole | {"headers": headers}, default=shown))
        return
    lines = {
        "letter": f"{letter.id}, written {moment(letter.timestamp)}",
        "record": f"{place(letter)}, {'published' if letter.timer is None else 'due'} "
        f"{moment(letter.record['source_timestamp'])}",
        "agent": letter.record["agent"],
        "class": letter.record["error_class"],
        "reason": letter.record["message"],
        "tenant": letter.record["tenant_id"] or "",
        "key": repr(letter.record["key"]),
    }
    for name, text in lines.items():
        click.echo(f"{name:<8} {text}")
    for header in letter.record["headers"]:
        click.echo(f"{'header':<8} {header['name']}: {header['value']!r}")
    if record is not None:
        click.echo(json.dumps(record, indent=1, default=shown))
        return
    if locked:
        click.echo(f"{'value':<8} cannot be opened: {locked}")
        return
    if trouble:
        click.echo(f"{'value':<8} cannot be read now either: {trouble}")
    click.echo(f"{'value':<8} {len(value)} bytes{', the first of them' if len(value) > SHOWN_BYTES else ''}")
    for start in range(0, min(len(value), SHOWN_BYTES), 32):
        click.echo(f"{start:08x} {value[start : start + 32].hex(' ')}")


@command.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=LetterId())
@choosing
@click.option("--all", "everything", is_flag=True, help="All of them; needed where nothing else chooses.")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What to do at a letter that could only become one again.",
)
@click.option("--edit", is_flag=True, help="Change the record in $EDITOR first, as JSON: for a single ID.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field first; may be repeated.")
@click.option("--again", is_flag=True, help="Also what was replayed before.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who does it; kept with it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; needs --yes or --dry-run.")
def replay(
    ids: tuple[Position, ...],
    agent: str | None,
    error_class: str | None,
    topic: str | None,
    tenant: str | None,
    since: int,
    everything: bool,
    on_error: str,
    edit: bool,
    changes: tuple[str, ...],
    again: bool,
    dry_run: bool,
    yes: bool,
    by: str,
    as_json: bool,
) -> None:
    """Put records back into the topic they came from: those with the IDs, or those that the options choose.

    Key, headers and (by the key) partition stay; the header watchfloor-replayed names the letter. The record gets a new
    Kafka timestamp, and comes after what its key sent meanwhile: a late sample is logged but not scored.

    What was replayed is noted in the dead-letter topic, in the same transaction, and is not replayed a second time.
    Exit code 2: at a letter that cannot be replayed, or when all of them were replayed already.
    """
    settings = Settings()
    if not (ids or everything or any((agent, error_class, topic, tenant, since))):
        raise click.UsageError("say which: IDs, a filter, or --all")
    if edit and (len(ids) != 1 or changes):
        raise click.UsageError("--edit takes one ID, and excludes --set")
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json needs --yes or --dry-run")
    choice = Choice(agent, error_class, topic, tenant, since, frozenset(ids))
    # What was changed in the editor is changed once, before anything is asked.
    change = editing(settings, ids[0]) if edit else setting(changes)
    with kafka_trouble(settings):
        found = surveyed(settings, choice, len(ids) or 20)
        missing = set(ids) - set(found.chosen)
        if missing:
            raise click.ClickException(f"no such dead letter: {', '.join(f'{p}:{o}' for p, o in sorted(missing))}")
        todo = len(found.chosen) if again else found.open
        if not as_json:
            show_groups(found)
        if not todo:
            if found.chosen:
                click.echo("All of them were replayed already; --again replays them once more.", err=True)
                raise click.exceptions.Exit(REFUSED)
            return
        if dry_run:
            rehearse(settings, found, again, change, as_json, todo)
            return
        if not yes:
            click.confirm(f"Replay {todo:,} of {len(found.chosen):,} letters at {settings.kafka}?", abort=True)
        try:
            with (
                Replayer(settings.kafka, settings.prefix, by, settings.sealer) as replayer,
                progress("replayed") as told,
            ):
                done = replayer.run(
                    choice, found.ends, again=again, skip=on_error == "skip", edit=change, told=told
                )  # fmt: skip
        except NotReplayable as error:
            click.echo(f"Error: {error}. --on-error skip leaves such letters out.", err=True)
            raise click.exceptions.Exit(REFUSED) from error
    if as_json:
        click.echo(json.dumps({"replayed": done.replayed, "already": done.already, "skipped": done.skipped}))
        return
    for letter_id, reason in done.skipped:
        click.echo(f"skipped {letter_id}: {reason}", err=True)
    notes = (f"{done.already:,} were replayed before" if done.already else "",
             f"{len(done.skipped):,} skipped" if done.skipped else "")  # fmt: skip
    click.echo("; ".join((f"{done.replayed:,} records replayed", *filter(None, notes))))


def rehearse(settings: Settings, found: Survey, again: bool, change: Any, as_json: bool, todo: int) -> None:
    """What a replay would do, with its judgement of the newest letters."""
    judged: list[tuple[Letter, str | None]] = []
    for letter in found.newest:
        if letter.position in found.replayed and not again:
            continue
        try:
            mended(letter.opened(settings.sealer), settings.prefix, change)
            judged.append((letter, None))
        except (SealedError, NotReplayable) as error:
            judged.append((letter, str(error)))
    if as_json:
        click.echo(json.dumps({"would_replay": todo, "judged": [[one.id, reason] for one, reason in judged]}))
        return
    click.echo(f"would replay {todo:,}; the newest of them:")
    for letter, reason in judged:
        click.echo(f"{letter.id:<12} to {letter.record['source_topic']}: {reason or 'can be replayed'}")


def setting(changes: tuple[str, ...]) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """The edit that --set asks for. Raises UsageError."""
    wanted: dict[str, Any] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set takes FIELD=VALUE, got {change!r}")
        try:
            wanted[name] = json.loads(text)
        except ValueError:
            wanted[name] = text
    return (lambda record: record | wanted) if wanted else None


def editing(settings: Settings, letter_id: Position) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The edit that the person makes in the editor. Raises ClickException when there is none to make."""
    letter = the_letter(settings, letter_id)
    try:
        letter = letter.opened(settings.sealer)
        record = decoded(letter, settings.prefix)
    except (SealedError, DecodeError) as error:
        raise click.ClickException(f"{letter.id} cannot be read, so there is nothing to edit: {error}") from error
    if record is None or source_of(letter, settings.prefix) is None:
        raise click.ClickException(f"{letter.id} holds no record of a known topic, so there is nothing to edit")
    text = click.edit(json.dumps(record, indent=1), extension=".json")
    if text is None:
        raise click.ClickException("nothing was saved in the editor; nothing is replayed")
    try:
        edited = json.loads(text)
    except ValueError as error:
        raise click.ClickException(f"what was saved is not JSON: {error}") from error
    if not isinstance(edited, dict):
        raise click.ClickException("what was saved is not a JSON object")
    return lambda _: edited


def the_letter(settings: Settings, position: Position) -> Letter:
    with kafka_trouble(settings):
        letter = letter_at(settings.kafka, settings.prefix, position)
    if letter is None:
        raise click.ClickException(f"no such dead letter: {position[0]}:{position[1]}")
    return letter


def surveyed(settings: Settings, choice: Choice, newest: int) -> Survey:
    with progress("read") as told:
        return survey(settings.kafka, settings.prefix, choice, newest, told)


def groups(found: Survey) -> list[dict[str, Any]]:
    """The counts, the largest first."""
    names = ("agent", "class", "topic", "tenant")
    return [
        dict(zip(names, key, strict=True))
        | {"count": group.count, "replayed": group.replayed, "oldest": group.oldest, "newest": group.newest}
        for key, group in sorted(found.groups.items(), key=lambda item: (-item[1].count, item[0]))
    ]


def show_groups(found: Survey) -> None:
    if not found.groups:
        click.echo("No dead letter.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("letters", "replayed", "agent", "class", "topic", "tenant", "newest (UTC)"):
        table.add_column(name, justify="right" if name in ("letters", "replayed") else "left")
    for each in groups(found):
        table.add_row(f"{each['count']:,}", f"{each['replayed']:,}", each["agent"], each["class"], each["topic"],
                      each["tenant"], moment(each["newest"]))  # fmt: skip
    Console(highlight=False, markup=False).print(table)


def summary(letter: Letter, found: Survey) -> dict[str, Any]:
    names = ("agent", "error_class", "message", "source_topic", "source_partition", "source_offset", "tenant_id")
    about = {"id": letter.id, "written": letter.timestamp, "replayed": letter.position in found.replayed}
    return about | {name: letter.record[name] for name in names}


def place(letter: Letter) -> str:
    source = f"{letter.record['source_topic']}[{letter.record['source_partition']}]"
    if letter.timer is not None:
        return f"timer {letter.timer!r} of {source}"
    return f"{source} at {letter.record['source_offset']}"


def shown(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}"


@contextmanager
def progress(what: str) -> Iterator[Callable[[int], None]]:
    """Counts on the terminal while it takes long."""
    terminal = Console(stderr=True)
    with Progress(
        TextColumn("{task.completed:,} letters {task.description}"), TimeElapsedColumn(),
        console=terminal, transient=True, disable=not terminal.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task(what, total=None)
        yield lambda count: bar.update(task, completed=count)


@contextmanager
def kafka_trouble(settings: Settings) -> Iterator[None]:
    """Kafka's errors in plain words. Raises ClickException."""
    try:
        yield
    except KafkaException as error:
        reason: KafkaError = error.args[0]
        if reason.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            name = settings.prefix + DEAD_LETTERS.name
            said = f"a topic is missing at {settings.kafka} ({name}?); `watchfloor topics apply` makes it"
        elif reason.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
            said = "another `dlq replay` took over; what this one had not committed was not replayed"
        else:
            said = f"Kafka at {settings.kafka}: {reason.str()}"
        raise click.ClickException(said) from error
