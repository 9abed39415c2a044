"""`watchfloor models`: the stored versions of models, whether they are what was signed, and the keys."""

import getpass
import json
import socket
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

import watchfloor
from models.registry import EVERYONE, ArtifactRefused, Manifest, NoSuchVersion, Place, Registry, Signer, trust
from models.registry.activation import ACTIVE, CHAMPION, NOBODY, Post, value_of, version_of
from models.registry.registry import KEEP
from streams.serving import FLAGS, MODELS, OFF
from watchfloor.commands.control import ask, changing, moment, read_control
from watchfloor.registry import READERS, in_words, open_registry
from watchfloor.settings import Settings

HOST = click.option("--host", "subject", default="", help="For this host alone.")
SLOT = click.option("--slot", default=CHAMPION, show_default=True, help="champion, challenger or shadow:NAME.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

SERVED_MS = 30 * 86_400_000
"""What has served within this time is never deleted."""


@click.group()
def command() -> None:
    """List, show and verify stored models; make the keys that sign them.

    A version is a folder of files with a signed manifest; it never changes. Where they are stored, and whose signature
    counts: WATCHFLOOR_MODELS, WATCHFLOOR_TRUSTED_KEYS, and docs/models.md.
    """


@command.command("list")
@click.option("--model", help="Only versions of this model.")
@click.option("--tenant", help="Only this tenant's; * for those of all tenants.")
@AS_JSON
def list_(model: str | None, tenant: str | None, as_json: bool) -> None:
    """List the versions, the newest of each model first.

    Signatures are checked, files are not: that is what `watchfloor models verify` does.
    """
    settings = Settings()
    with in_words():
        registry = open_registry(settings)
        rows = [_row(registry, place, version) for place, version in _all(registry, model, tenant)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo(f"There are no models at {settings.model_store}.")
        return
    table = Table("model", "tenant", "for", Column("version", no_wrap=True), "features", "kB", "signed by")
    for row in rows:
        size = f"{row['bytes'] / 1000:,.0f}" if row["bytes"] is not None else ""
        signed = row["signed_by"] or f"refused: {row['refused']}"
        where = (row["model"], row["tenant"], row["subject"] or "all")
        table.add_row(*where, row["version"], row["feature_set"] or "", size, signed)
    Console().print(table)


@command.command()
@click.argument("model")
@click.argument("version", required=False)
@click.option("--tenant", default=EVERYONE, show_default=True, help="Whose; * for the one of all tenants.")
@click.option("--host", "subject", default="", help="The one of this host alone.")
@AS_JSON
def show(model: str, version: str | None, tenant: str, subject: str, as_json: bool) -> None:
    """Show the manifest of a version of MODEL: what it learned from and how good it is. The newest without VERSION.

    The signature is checked; a version that is not what was signed is refused.
    """
    settings = Settings()
    place = _place(model, tenant, subject)
    with in_words():
        registry = open_registry(settings)
        version = version or next(reversed(registry.versions(place)), None)
        if version is None:
            raise NoSuchVersion(f"there is no {place} at {settings.model_store}")
        manifest, key = registry.manifest(place, version)
    about = manifest.about() | {"signed_by": key}
    if as_json:
        click.echo(json.dumps(about))
        return
    for name, value in about.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            for inner, each in value.items():
                click.echo(f"  {inner}: {_text(each)}")
        else:
            click.echo(f"{name}: {_text(value)}")


@command.command()
@click.option("--model", help="Only versions of this model.")
@click.option("--tenant", help="Only this tenant's; * for those of all tenants.")
@AS_JSON
def verify(model: str | None, tenant: str | None, as_json: bool) -> None:
    """Check signature, files and contents of every version, as whoever loads it does.

    Exit code 1 when one is refused.
    """
    settings = Settings()
    rows = []
    with in_words():
        registry = open_registry(settings)
        for place, version in _all(registry, model, tenant):
            row: dict[str, Any] = _named(place, version) | {"signed_by": None, "refused": None}
            try:
                artifact = registry.load(place, version)
                if place.model in READERS:
                    READERS[place.model](artifact)
                row["signed_by"] = artifact.key
            except NoSuchVersion:
                continue  # deleted meanwhile
            except ArtifactRefused as error:
                row["refused"] = str(error)
            rows.append(row)
            if not as_json:
                said = f"ok       {place}, {version}, signed by {row['signed_by']}"
                click.echo(f"REFUSED  {row['refused']}" if row["refused"] else said)
    refused = sum(row["refused"] is not None for row in rows)
    if as_json:
        click.echo(json.dumps(rows))
    else:
        click.echo(f"{len(rows)} versions at {settings.model_store}, {refused} refused")
    if refused:
        raise SystemExit(1)


@command.command()
@click.option(
    "--name",
    default=lambda: f"{getpass.getuser()}@{socket.gethostname()}",
    show_default="you@this host",
    help="Whose key it is; stands beside the public key.",
)
@click.option("--no-trust", is_flag=True, help="Do not add the public key to the trusted ones of this machine.")
@AS_JSON
def keygen(name: str, no_trust: bool, as_json: bool) -> None:
    """Make the private key that signs models (WATCHFLOOR_SIGNING_KEY), and trust its public key here.

    The private key belongs only where models are trained, outside of what Watchfloor stores, with mode 0600. Every
    other machine needs the printed line of the public key in its own WATCHFLOOR_TRUSTED_KEYS. A key that is there is
    never overwritten: to change keys, move the old one away.
    """
    settings = Settings()
    path, trusted = settings.signing_key.expanduser(), settings.trusted_keys.expanduser()
    for folder, what in (
        (settings.home, "the data of this instance (WATCHFLOOR_HOME)"),
        (Path(settings.model_store), "the stored models (WATCHFLOOR_MODELS)"),
        (Path(watchfloor.__file__).parents[1], "Watchfloor's own code"),
    ):
        if path.resolve().is_relative_to(folder.resolve()):
            raise click.ClickException(
                f"{path} lies in {what}, which is copied and shared. Set WATCHFLOOR_SIGNING_KEY to a path outside."
            )
    with in_words():
        try:
            signer = Signer.generate(name)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--name") from error
        signer.write(path)
        if not no_trust:
            trust(trusted, signer.public)
    key = signer.public
    if as_json:
        about = {"private_key": str(path), "id": key.id, "public_key": key.line}
        click.echo(json.dumps(about | {"trusted_keys": None if no_trust else str(trusted)}))
        return
    click.echo(f"Private key: {path} (mode 0600; keep it to yourself)")
    click.echo(f"Public key {key.id}" + ("" if no_trust else f", trusted here from now on ({trusted})") + ":")
    click.echo(key.line)


@command.command()
@AS_JSON
def active(as_json: bool) -> None:
    """Show which version serves whom, since when, and who decided it."""
    control = read_control(Settings())
    now = int(time.time() * 1000)
    off = control.get(FLAGS, EVERYONE, OFF, now)
    rows = []
    for tenant, name, _ in sorted(control.family(MODELS, ACTIVE), key=lambda found: found[:2]):
        entry = (control.find(MODELS, tenant, name, now) or (tenant, None))[1]
        if entry is None or entry.value is None:
            continue
        post = Post.read(name.partition("|")[2])
        about = {"model": post.model, "slot": post.slot, "subject": post.subject, "tenant": tenant}
        since = moment(entry.valid_from)
        rows.append(about | {"version": entry.value, "since": since, "by": entry.by, "reason": entry.reason})
    if as_json:
        click.echo(json.dumps({"models_off": off, "active": rows}))
        return
    if off:
        click.echo("All trained models are off (`watchfloor models reactivate` lifts that); it would be:")
    if not rows:
        click.echo("No trained model serves; heuristics do.")
        return
    table = Table("model", "slot", "for", "tenant", Column("version", no_wrap=True), "since", "by", "reason")
    for row in rows:
        where = (row["model"], row["slot"], row["subject"] or "all", row["tenant"])
        table.add_row(*where, row["version"], row["since"], row["by"], row["reason"])
    Console().print(table)


@command.command()
@click.argument("model")
@click.argument("version", required=False)
@click.option("--from", "owner", metavar="TENANT", help="Whose version; the tenant's own without it, * for all's.")
@HOST
@SLOT
@changing
def activate(
    model: str, version: str | None, owner: str | None, subject: str, slot: str, tenant: str, **about: Any
) -> None:
    """Let a stored VERSION of MODEL serve a tenant; the newest without VERSION.

    It is verified first: signature, files, contents. It serves records from the time of this command on, everywhere,
    within about a second. Exit codes as for `watchfloor control set`.
    """
    post, owner = _post(model, subject, slot), owner or tenant
    if owner not in (tenant, EVERYONE):
        raise click.BadParameter(
            f"{tenant} can use its own versions and those of *, not {owner}'s", param_hint="--from"
        )
    place = _place(model, owner, subject)
    with in_words():
        registry = open_registry(Settings())
        if subject and not registry.versions(place):
            place = _place(model, owner)
        known = registry.versions(place)
        if version is None:
            if not known:
                raise click.ClickException(f"there is no version of {place} at {Settings().model_store}")
            version = known[-1]
        artifact = registry.load(place, version)
        if model not in READERS:
            raise click.ClickException(f"no agent uses models named {model}; there are: {', '.join(READERS)}")
        READERS[model](artifact)
    ask(action="set", name=post.setting, value=json.dumps(value_of(place, version)), tenant=tenant, **about)


@command.command()
@click.argument("model", required=False)
@click.option("--all", "everything", is_flag=True, help="All models of all tenants, at once: the emergency brake.")
@HOST
@SLOT
@changing
def deactivate(model: str | None, everything: bool, subject: str, slot: str, tenant: str, **about: Any) -> None:
    """Let no trained version of MODEL serve a tenant: the documented heuristic does, or for a host the tenant's model.

    With --all nothing that was activated is lost: `watchfloor models reactivate` brings back exactly that.
    """
    if everything == (model is not None):
        raise click.UsageError("give a MODEL, or --all")
    if everything:
        if tenant != EVERYONE or about["valid_from"] is not None:
            raise click.UsageError("--all is for all tenants, at once: it takes no --tenant and no --valid-from")
        ask(action="set", name=OFF, value="true", tenant=EVERYONE, **about)
        return
    ask(action="set", name=_post(model or "", subject, slot).setting, value=json.dumps(NOBODY), tenant=tenant, **about)


@command.command()
@changing
def reactivate(tenant: str, **about: Any) -> None:
    """Lift `watchfloor models deactivate --all`: what served before serves again."""
    if tenant != EVERYONE or about["valid_from"] is not None:
        raise click.UsageError("this is for all tenants, at once: it takes no --tenant and no --valid-from")
    ask(action="set", name=OFF, value="false", tenant=EVERYONE, **about)


@command.command()
@click.argument("model")
@HOST
@SLOT
@changing
def rollback(model: str, subject: str, slot: str, tenant: str, **about: Any) -> None:
    """Undo the newest activation of MODEL: what served before it serves again.

    A rollback is itself undone by the next one. What there was: `watchfloor control history 'active|MODEL|champion'`.
    """
    ask(action="undo", name=_post(model, subject, slot).setting, value=None, tenant=tenant, **about)


@command.command()
@click.argument("model")
@click.argument("version", required=False)
@click.option("--old", is_flag=True, help="Every version that may go, instead of one.")
@click.option("--tenant", default=EVERYONE, show_default=True, help="Whose; * for the one of all tenants.")
@HOST
@click.option("--dry-run", is_flag=True, help="Say which, and delete none.")
@AS_JSON
def delete(model: str, version: str | None, old: bool, tenant: str, subject: str, dry_run: bool, as_json: bool) -> None:
    """Delete a VERSION of MODEL for good, or with --old all that nothing needs any more.

    The five newest stay, and whatever serves anywhere, or did within 30 days: a rollback may need it.
    """
    if (version is None) != old:
        raise click.UsageError("give a VERSION, or --old")
    settings, place = Settings(), _place(model, tenant, subject)
    needed = _needed(settings, place)
    with in_words():
        registry = open_registry(settings)
        known = registry.versions(place)
        if version is not None and version not in known:
            raise NoSuchVersion(f"{place} has no version {version}; there are: {', '.join(known) or 'none'}")
        kept = dict.fromkeys(known[-KEEP:], "it is one of the five newest") | needed
        if version is not None and version in kept:
            raise click.ClickException(f"{place}, {version} stays: {kept[version]}")
        gone = [version] if version is not None else [each for each in known if each not in kept]
        if old and not dry_run:
            registry.prune(place, spare=needed)
        elif version is not None and not dry_run:
            registry.delete(place, version)
    if as_json:
        click.echo(json.dumps({"deleted": gone, "dry_run": dry_run}))
    else:
        click.echo(f"{place}: {', '.join(gone) or 'none'} {'would be' if dry_run else 'is'} deleted")


def _needed(settings: Settings, place: Place) -> dict[str, str]:
    """The versions of a place that serve, or did lately, with why each stays."""
    control, now = read_control(settings), int(time.time() * 1000)
    found = {}
    for tenant, name, history in control.family(MODELS, ACTIVE):
        post = Post.read(name.partition("|")[2])
        standing = (control.find(MODELS, tenant, name, now) or (tenant, None))[1]
        for number, entry in enumerate(history):
            if post.model != place.model or entry.value in (None, NOBODY):
                continue
            where, version = version_of(post, entry.value) or (None, "")
            until = min((each.at for each in history[number + 1 :]), default=now)
            if where == place and (entry is standing or until > now - SERVED_MS):
                found[version] = f"it serves {tenant}" if entry is standing else f"it served {tenant} within 30 days"
    return found


def _post(model: str, subject: str, slot: str) -> Post:
    try:
        return Post(model, subject, slot)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _place(model: str, tenant: str, subject: str = "") -> Place:
    try:
        return Place(model, tenant, subject)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _all(registry: Registry, model: str | None, tenant: str | None) -> list[tuple[Place, str]]:
    """Every version, the newest of each place first."""
    return [
        (place, version)
        for place in registry.places()
        if model in (None, place.model) and tenant in (None, place.tenant)
        for version in reversed(registry.versions(place))
    ]


def _row(registry: Registry, place: Place, version: str) -> dict[str, Any]:
    try:
        manifest, key = registry.manifest(place, version)
    except ArtifactRefused as error:
        why = str(error).removeprefix(f"{place}, {version}: ")
        return _named(place, version) | {"feature_set": None, "bytes": None, "signed_by": None, "refused": why}
    about = {"feature_set": manifest.feature_set, "bytes": _size(manifest), "signed_by": key, "refused": None}
    return _named(place, version) | about


def _named(place: Place, version: str) -> dict[str, Any]:
    return {"model": place.model, "tenant": place.tenant, "subject": place.subject, "version": version}


def _size(manifest: Manifest) -> int:
    return sum(mark.size for mark in manifest.files.values())


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)
