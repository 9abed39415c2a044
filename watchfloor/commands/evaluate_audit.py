"""`watchfloor evaluate audit`: how many frauds hide among what was cleared."""

import json
from typing import Any

import click

from models.evaluation import Stratum, audited_recall
from models.fraud.artifact import NAME
from sinks import audited
from watchfloor.commands.alerts import Since
from watchfloor.commands.db import ask, open_store
from watchfloor.settings import Settings


@click.command()
@click.option("--tenant", required=True, help="Whose check-ins.")
@click.option("--since", type=Since(), default="90d", show_default=True, help="Of events since then: 30d, or a time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit(tenant: str, since: int, as_json: bool) -> None:
    """Say what verdicts on the random audit mean: frauds among the cleared, and recall, with exact 90 % intervals.

    From ClickHouse. Audited events without a clear verdict yet are taken for like those with one: docs/fraud.md.
    """
    settings = Settings()
    store = open_store(settings)
    parts = ask(settings, lambda: audited.audits(store, NAME, tenant, since))
    known = ask(settings, lambda: audited.found(store, NAME, tenant, since))
    drawn_from = [each for each in parts if each.propensity > 0]
    without = sum(each.cleared for each in parts if not each.propensity)
    strata = [Stratum(each.cleared, each.judged, each.frauds) for each in drawn_from]
    result = {
        "tenant": tenant,
        "found": known,
        "cleared": sum(each.cleared for each in drawn_from),
        "cleared_without_audit": without,
        "strata": [each._asdict() for each in drawn_from],
        **(audited_recall(known, strata) if strata else {}),
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    if not strata:
        click.echo(f"Nothing that was cleared for {tenant} since then was under an audit (`fraud_audit`).")
    else:
        _tell(result)
    if without:
        click.echo(f"{without:,} more were cleared without an audit: nothing is known of them.")


def _tell(result: dict[str, Any]) -> None:
    for each in result["strata"]:
        click.echo(
            f"{each['cleared']:,} cleared events, each drawn with probability {each['propensity']:g}: "
            f"{each['drawn']:,} drawn, {each['judged']:,} judged, {each['frauds']:,} of them frauds"
        )
    low, high, middle = (result[name] for name in ("hidden_low", "hidden_high", "hidden"))
    guess = "" if middle is None else f", {middle:,.0f} by the share"
    click.echo(f"frauds among the cleared: {low:,.0f} to {high:,.0f} (90 %){guess}")
    if result["recall_low"] is not None:
        click.echo(
            f"recall: {result['recall_low']:.0%} to {result['recall_high']:.0%} (90 %), with the {result['found']:,} "
            "frauds that were found and confirmed"
        )
