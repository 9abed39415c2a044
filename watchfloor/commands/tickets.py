"""`watchfloor tickets`: list and show tickets, start and close them, and say something about them."""

import json
from collections.abc import Callable
from typing import Any

import click

from models.decisions import RISKS
from models.tickets import RESOLUTIONS
from sinks.tables import TICKET_EVENTS, TICKETS
from watchfloor.commands.alert_requests import REASON, TENANT, TICKET_DESK, ask_agent, asking, find, records
from watchfloor.commands.alert_text import ticket_line, ticket_story
from watchfloor.commands.alerts import printer, terminal
from watchfloor.settings import Settings


@click.group()
def command() -> None:
    """Read tickets and work on them: frauds that are high, certain, and certified.

    When one opens, and what closing it says of its events: docs/tickets.md.
    """


@command.command(name="list")
@click.option("--tenant", help="Only this tenant's tickets.")
@click.option("--all", "everything", is_flag=True, help="Also those that are closed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")
def list_open(tenant: str | None, everything: bool, as_json: bool) -> None:
    """List the tickets that are not closed, the worst first, as ClickHouse has them."""
    rows = records(
        Settings(),
        TICKETS,
        "({all:UInt8} OR t.state != 'closed') AND ({tenant:String} = '' OR t.tenant_id = {tenant:String})",
        order="t.opened_at",
        tenant=tenant or "",
        all=int(everything),
    )
    rows.sort(key=lambda row: (row["state"] == "closed", -RISKS.index(row["severity"]), row["opened_at"]))
    show = printer(as_json, ticket_line)
    for row in rows:
        show(row)
    if not rows and not as_json:
        click.echo("There is no ticket." if tenant is None else f"There is no ticket of {tenant}.")


@command.command()
@click.argument("ticket", metavar="ID")
@TENANT
@click.option("--json", "as_json", is_flag=True, help="One JSON object: ticket and history.")
def show(ticket: str, tenant: str | None, as_json: bool) -> None:
    """Show the ticket whose id begins with ID: its events, and who did what when."""
    settings = Settings()
    tenant, ticket_id = find(settings, ticket, tenant, TICKETS)
    which = "t.tenant_id = {tenant:String} AND t.ticket_id = {id:UUID}"
    history = records(settings, TICKET_EVENTS, which, "t.seq", tenant=tenant, id=ticket_id)
    if not history:
        raise click.ClickException(f"ClickHouse has no ticket {ticket_id} of {tenant}")
    if as_json:
        click.echo(json.dumps({"ticket": history[-1], "history": history}, ensure_ascii=False))
        return
    console = terminal()
    for text in ticket_story(history[-1], history):
        console.print(text)


def _on_ticket(action: Callable[..., None]) -> Callable[..., None]:
    return click.argument("ticket", metavar="ID")(TENANT(asking(action)))


def _ask_about(ticket: str, tenant: str | None, **options: Any) -> None:
    tenant, ticket_id = find(Settings(), ticket, tenant, TICKETS)
    ask_agent(desk=TICKET_DESK, tenant_id=tenant, ticket_id=ticket_id, **options)


@command.command()
@_on_ticket
@REASON
def start(ticket: str, **options: Any) -> None:
    """Begin to work on the ticket whose id begins with ID."""
    _ask_about(ticket, action="start", **options)


@command.command()
@_on_ticket
@click.argument("resolution", type=click.Choice(list(RESOLUTIONS)))
@REASON
def close(ticket: str, **options: Any) -> None:
    """Close the ticket whose id begins with ID. Confirmed or rejected, it is a verdict on each of its events."""
    _ask_about(ticket, action="close", **options)


@command.command()
@_on_ticket
@click.argument("text")
def comment(ticket: str, **options: Any) -> None:
    """Say TEXT about the ticket whose id begins with ID."""
    _ask_about(ticket, action="comment", **options)


@command.command()
@_on_ticket
@click.argument("assignee")
def assign(ticket: str, **options: Any) -> None:
    """Let ASSIGNEE work on the ticket whose id begins with ID."""
    _ask_about(ticket, action="assign", **options)
