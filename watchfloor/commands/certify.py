"""`watchfloor certify`: may tickets be opened without a person, and how many reviews are missing."""

import json
from typing import Any

import click

from models.certificate import CONFIDENCE, PRECISION, Certificate, certify
from models.decisions import HEURISTIC_CUTS, Policy
from models.fraud.artifact import NAME
from models.fraud.policy import CERTIFICATE, NONE, certificate
from sinks.reviewed import reviewed
from watchfloor.commands.alerts import Since
from watchfloor.commands.control import ask as ask_control
from watchfloor.commands.db import ask, open_store
from watchfloor.registry import in_words, open_registry
from watchfloor.serving_now import serving_now
from watchfloor.settings import Settings


@click.group()
def command() -> None:
    """Prove by reviews that tickets may be opened without a person."""


@command.command()
@click.option("--tenant", required=True, help="Whose tickets.")
@click.option("--since", type=Since(), default="180d", show_default=True, help="Of events since then: 30d, or a time.")
@click.option("--apply", is_flag=True, help="Set the certificate, or take it back where the reviews prove it no more.")
@click.option("--reason", help="Why, with --apply; without it the figures are.")
@click.option("--by", default="certify", show_default=True, help="Who decided, with --apply.")
@click.option("--wait", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds, with --apply.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --apply, two lines.")
def fraud(tenant: str, since: int, apply: bool, reason: str | None, by: str, wait: float, as_json: bool) -> None:
    """Test the reviewed cases that would have been tickets, of the version and calibration that serve the tenant.

    A precision of at least 80 % must be proved with 90 % confidence, by an exact binomial test: docs/models.md. Ask
    seldom: each time is another chance to be right by luck. Exit code 1 when it is not proved.
    """
    settings = Settings()
    with in_words():
        registry = open_registry(settings)
    served = serving_now(settings, registry, tenant)
    assert served.place is not None, "a model that serves has a place"
    policy, store = Policy(HEURISTIC_CUTS), open_store(settings)
    own = served.calibration or served.version
    cases = ask(settings, lambda: reviewed(store, NAME, tenant, served.version, own, policy, since))
    found = certify(cases.low, cases.frauds, policy.act)
    text = NONE if found.since is None else certificate(served.place, served.version, served.calibration, found.since)
    told: dict[str, Any] = {
        "tenant": tenant,
        "version": served.version,
        "calibration": own,
        "since": found.since,
        "reviews": found.reviews,
        "correct": found.correct,
        "missing": found.missing,
        "certificate": text,
    }
    click.echo(json.dumps(told) if as_json else _text(told, found))
    if apply:
        ask_control(
            action="set",
            name=CERTIFICATE,
            value=json.dumps(text),
            tenant=tenant,
            reason=reason or f"{found.correct} of {found.reviews} reviews right",
            by=by,
            valid_from=None,
            expected_version=None,
            wait=wait,
            as_json=as_json,
        )
    if found.since is None:
        raise SystemExit(1)


def _text(told: dict[str, Any], found: Certificate) -> str:
    head = (
        f"{told['version']}, calibration {told['calibration']}, for {told['tenant']}: {found.reviews:,} reviewed cases "
        f"that would have been tickets, {found.correct:,} of them frauds"
    )
    claim = f"a precision of at least {PRECISION:.0%} with {CONFIDENCE:.0%} confidence"
    if found.since is not None:
        return f"{head}\nproved: {claim}, from p0 {found.since:.4g} on\ncertificate: {told['certificate']}"
    more = (
        "too few are right: no number of reviews would do"
        if found.missing is None
        else f"{found.missing:,} more reviews are missing, if the same share of them is right"
    )
    return f"{head}\nnot proved: {claim}; {more}"
