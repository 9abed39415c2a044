"""`watchfloor explain`: the receipt of a decision."""

import json
import re
from typing import Any

import click

from sinks import receipts
from watchfloor.commands.alerts import terminal
from watchfloor.commands.db import ask, open_store
from watchfloor.commands.receipt_text import receipt_story, stored_story
from watchfloor.explained import EXPLAINED
from watchfloor.receipt import receipt
from watchfloor.settings import Settings

DIFFERS = 1
ID = re.compile(r"[0-9a-fA-F-]{1,36}")
WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@click.command()
@click.argument("prediction", metavar="ID")
@click.option("--tenant", help="Its tenant.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def command(prediction: str, tenant: str | None, as_json: bool) -> None:
    """Explain the prediction whose id begins with ID, as ClickHouse has it.

    Of a prediction of fraud, conflict or ocr_trust: the event, the features, what each counted for, interval, cuts and
    decision, versions and who activated them, what people said later, the smallest change that would have cleared it,
    and whether the stored version gives the logged score again, to the last bit. Of others: what was stored.

    Exit code 1 when the score is not reproduced, or there is no such prediction.
    """
    settings = Settings()
    store = open_store(settings)
    start = prediction.lower()
    if not ID.fullmatch(start) or (len(start) == 36 and not WHOLE.fullmatch(start)):
        raise click.BadParameter(f"expected an id, or how it begins: 0-9, a-f and -, got {prediction[:50]!r}")
    found = ask(settings, lambda: receipts.predictions(store, start, tenant))
    if len(found) != 1:
        raise click.ClickException(
            f"no prediction has an id that begins with {start!r}"
            if not found
            else f"more than one prediction has an id that begins with {start!r}; give more of it, or --tenant"
        )
    made: dict[str, Any] = ask(settings, lambda: receipt(settings, store, found[0]))
    if as_json:
        click.echo(json.dumps(made, ensure_ascii=False))
    else:
        console = terminal()
        for text in receipt_story(made) if found[0]["model"] in EXPLAINED else stored_story(made):
            console.print(text)
    if made.get("replay", {}).get("state") == "differs":
        raise SystemExit(DIFFERS)
