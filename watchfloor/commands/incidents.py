"""`watchfloor incidents`: list and show incidents, confirm them, put them together and take them apart."""

import json
from typing import Any

import click

from models.alerts import RANK
from sinks.tables import ALERTS, INCIDENT_EVENTS, INCIDENTS
from watchfloor.commands.alert_requests import REASON, TENANT, ask_agent, asking, find, records
from watchfloor.commands.alert_text import incident_line, incident_story
from watchfloor.commands.alerts import printer, terminal
from watchfloor.settings import Settings


@click.group()
def command() -> None:
    """Read incidents and act on them: alerts that are one trouble.

    How alerts join an incident, and when it closes: docs/alerts.md.
    """


@command.command(name="list")
@click.option("--tenant", help="Only this tenant's incidents.")
@click.option("--all", "everything", is_flag=True, help="Also those that are closed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
def list_open(tenant: str | None, everything: bool, as_json: bool) -> None:
    """List the incidents that are not closed, the worst first, as ClickHouse has them."""
    rows = records(
        Settings(),
        INCIDENTS,
        "({all:UInt8} OR t.state != 'closed') AND ({tenant:String} = '' OR t.tenant_id = {tenant:String})",
        order="t.opened_at",
        tenant=tenant or "",
        all=int(everything),
    )
    rows.sort(key=lambda row: (row["state"] == "closed", -RANK[row["severity"]], row["opened_at"]))
    show = printer(as_json, incident_line)
    for row in rows:
        show(row)
    if not rows and not as_json:
        click.echo("There is no incident." if tenant is None else f"There is no incident of {tenant}.")


@command.command()
@click.argument("incident", metavar="ID")
@TENANT
@click.option("--json", "as_json", is_flag=True, help="One JSON object: incident, alerts and history.")
def show(incident: str, tenant: str | None, as_json: bool) -> None:
    """Show the incident whose id begins with ID: its alerts, and who did what when."""
    settings = Settings()
    tenant, incident_id = find(settings, incident, tenant, INCIDENTS)
    which = "t.tenant_id = {tenant:String} AND t.incident_id = {id:UUID}"
    history = records(settings, INCIDENT_EVENTS, which, "t.seq", tenant=tenant, id=incident_id)
    if not history:
        raise click.ClickException(f"ClickHouse has no incident {incident_id} of {tenant}")
    alerts = records(settings, ALERTS, which, "t.opened_at, t.alert_id", tenant=tenant, id=incident_id)
    if as_json:
        found = {"incident": history[-1], "alerts": alerts, "history": history}
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    console = terminal()
    for text in incident_story(history[-1], alerts, history):
        console.print(text)


def _ask_about(action: str, incident: str, tenant: str | None, **options: Any) -> None:
    tenant, incident_id = find(Settings(), incident, tenant, INCIDENTS)
    ask_agent(action=action, tenant_id=tenant, incident_id=incident_id, **options)


@command.command()
@click.argument("incident", metavar="ID")
@TENANT
@asking
@REASON
def confirm(**options: Any) -> None:
    """Say that the incident whose id begins with ID is one."""
    _ask_about("confirm", **options)


@command.command()
@click.argument("incident", metavar="ID")
@click.argument("into", metavar="INTO")
@TENANT
@asking
@REASON
def merge(incident: str, into: str, tenant: str | None, **options: Any) -> None:
    """Close the incident ID; its alerts belong to the incident INTO from now on.

    Of both, the beginning of the id is enough.
    """
    tenant, into_id = find(Settings(), into, tenant, INCIDENTS)
    _ask_about("merge", incident, tenant, into=into_id, **options)


@command.command()
@click.argument("incident", metavar="ID")
@click.argument("alerts", metavar="ALERT...", nargs=-1, required=True)
@TENANT
@asking
@REASON
def split(incident: str, alerts: tuple[str, ...], tenant: str | None, **options: Any) -> None:
    """Let each ALERT leave the incident ID: together they are an incident of their own.

    Of all of them, the beginning of the id is enough. One alert must stay.
    """
    settings = Settings()
    tenant, incident = find(settings, incident, tenant, INCIDENTS)
    alert_ids = [find(settings, alert, tenant)[1] for alert in alerts]
    _ask_about("split", incident, tenant, alert_ids=alert_ids, **options)
