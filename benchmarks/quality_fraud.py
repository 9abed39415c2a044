"""`python -m benchmarks.quality_fraud`: models of attendance fraud on made portfolios, later than all they learned.

The product's own commands make the portfolios and measure; this only runs them for several seeds and puts the figures
side by side. The judge is the simulator's truth, which nothing learns from.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import click
from rich.progress import Progress

from benchmarks.report import Table, console, keep, show, usual

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "models.md"
SEEDS = (1, 2, 3)
PEOPLE, DAYS, RATE = 1000, 365, 0.01
LIMIT_S = 3600
LEVELS = ("0.90", "0.95", "0.99")
GLOBAL = "global fraud_v2"

Report = Mapping[str, Any]


def measure(seeds: Sequence[int], people: int, days: int, progress: Progress) -> list[Report]:
    """The report of `watchfloor evaluate fraud` for each seed."""
    task = progress.add_task("portfolios", total=2 * len(seeds))
    found = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            options = {"tenants": 3, "people": people, "days": days, "fraud-rate": RATE, "seed": seed, "out": folder}
            _run("simulate", "attendance", *(text for name, value in options.items() for text in (f"--{name}", value)))
            progress.advance(task)
            names = {"events": "events.attendance", "outcomes": "outcomes.attendance", "truth": "truth"}
            names |= {name: f"control.{name}" for name in ("sites", "calendars", "rosters")}
            files = [text for name, stem in names.items() for text in (f"--{name}", f"{folder}/{stem}.jsonl")]
            found.append(json.loads(_run("evaluate", "fraud", *files, "--pool", "*", "--json")))
            progress.advance(task)
    return found


def _run(*arguments: object) -> str:
    command = [sys.executable, "-m", "watchfloor", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=LIMIT_S, cwd=ROOT)
    return done.stdout


def tables(reports: Sequence[Report]) -> list[Table]:
    large, small, new = _tenants(reports[0])
    served = reports[0]["served"]
    return [
        _models(f"Models, {large}: the tenant with enough data", [report["tenants"][large] for report in reports]),
        _models("Models, all tenants together", [{"models": report["all"]} for report in reports]),
        _ladder(served, {name: [report["tenants"][name] for report in reports] for name in (large, small, new)}),
        _coverage(served, [report["tenants"][large]["models"][served] for report in reports]),
        _decisions([report["tenants"][large]["models"] for report in reports]),
        _reliability(served, reports[0]["tenants"][large]["models"][served]),
    ]


def _tenants(report: Report) -> list[str]:
    """The large, the small and the new one: by events."""
    return sorted(report["tenants"], key=lambda name: -report["tenants"][name]["events"])


def _models(title: str, parts: Sequence[Report]) -> Table:
    rows = []
    for name in parts[0]["models"]:
        models = [part["models"][name] for part in parts]
        rows.append(
            [
                name,
                _mean(models, lambda one: one["pr_auc"], "{:.3f}"),
                _mean(models, lambda one: one["precision_at_80_recall"], "{:.0%}"),
                _mean(models, lambda one: one["cuts"]["HIGH"]["false_positive_rate"], "{:.1%}"),
                _mean(models, lambda one: one["cuts"]["HIGH"]["share"], "{:.1%}"),
                _mean(models, lambda one: one["brier_before"], "{:.5f}"),
                _mean(models, lambda one: one["brier"], "{:.5f}"),
            ]
        )
    chance = _mean([part["models"][name] for part in parts], lambda one: one["pr_auc_of_chance"], "{:.3f}")
    rows.append(["chance: the share of frauds", chance, "", "", "", "", ""])
    columns = ["model and features", "PR-AUC", "precision at 80 % recall", "FPR at HIGH", "share HIGH"]
    return Table(f"{title}; mean (least to most) of the seeds", [*columns, "Brier before", "after"], rows)


def _ladder(served: str, parts: Mapping[str, Sequence[Report]]) -> Table:
    rows = []
    for name, found in parts.items():
        models = [one["models"] for one in found]
        learned = [one[served]["training"].get("train") for one in models]
        fallback = next((one[served]["fallback"] for one in models if one[served]["fallback"]), None)
        gains = [one["ladder"]["gain"] for one in found]
        rows.append(
            [
                name,
                ", ".join(f"{one['positives']:,}" if one else "none" for one in learned),
                _mean(models, lambda one: one["heuristic fraud_v2"]["pr_auc"], "{:.3f}"),
                _mean(models, lambda one: one[GLOBAL]["pr_auc"], "{:.3f}"),
                fallback or _mean(models, lambda one: one[served]["pr_auc"], "{:.3f}"),
                "; ".join(f"{one['low']:+.3f} to {one['high']:+.3f}" for one in gains if one),
                ", ".join(one["ladder"]["serves"] for one in found),
            ]
        )
    columns = ["tenant", "frauds learned from", "heuristic", "global model", "its own model", "gain of its own (90 %)"]
    return Table("What each tenant gets: PR-AUC of each rung of the ladder", [*columns, "what serves it"], rows)


def _coverage(served: str, models: Sequence[Report]) -> Table:
    rows = []
    for method in ("venn_abers", "mondrian", "absolute_residual"):
        for band in ("all", "LOW", "MEDIUM", "HIGH", "CRITICAL"):
            bands = [one["coverage"].get(method, {}) for one in models]
            found = [each[band] for each in bands if band in each]
            if not found:
                continue
            row = [f"{method}, {band}", f"{fmean(one['rows'] for one in found):,.0f}"]
            row += [_mean(found, lambda one, level=level: one["coverage"][level], "{:.1%}") for level in LEVELS]  # type: ignore[misc]
            of_positives = [one for one in found if one.get("coverage_of_positives")]
            row.append(_mean(of_positives, lambda one: one["coverage_of_positives"]["0.90"], "{:.1%}"))
            rows.append(row)
    columns = ["method and risk band", "events", "at 90 %", "at 95 %", "at 99 %", "of frauds at 90 %"]
    return Table(f"Coverage of {served}", columns, rows)


def _decisions(parts: Sequence[Report]) -> Table:
    rows = []
    for name in parts[0]:
        models = [part[name] for part in parts]
        decided = [one["decisions"] for one in models]
        audits = [one["audit"] for one in models]
        tickets, right = sum(one["tickets"] for one in decided), sum(one["positives_in_tickets"] for one in decided)
        low = _mean(decided, lambda one: one["ticket_precision_low"], "{:.0%}") if tickets else ""
        rows.append(
            [
                name,
                _mean(decided, lambda one: one["automated"], "{:.1%}"),
                f"{tickets:,}",
                f"{right / tickets:.0%}" if tickets else "",
                low,
                _mean(decided, lambda one: one["alert_precision"], "{:.0%}"),
                "; ".join(f"{one['hidden_low']:,.0f} to {one['hidden_high']:,.0f}" for one in audits),
                "; ".join(f"{one['hidden_true']:,}" for one in audits),
            ]
        )
    columns = ["model and features", "without a person", "tickets", "right", "at least (90 %)", "alerts right"]
    return Table("Decisions, if auto mode were on", [*columns, "hidden frauds by audit", "in truth"], rows)


def _reliability(served: str, model: Report) -> Table:
    after = {one["since"]: one for one in model["reliability"]}
    before = {one["since"]: one for one in model["reliability_before"]}
    rows = []
    for since in sorted(after.keys() | before.keys()):
        row = [f"from {since:g}"]
        for one in (before.get(since), after.get(since)):
            row += ["", "", ""] if one is None else [
                f"{one['rows']:,}", f"{one['mean_probability']:.4f}", f"{one['positive']:.4f}"
            ]  # fmt: skip
        rows.append(row)
    columns = ["probability", "events before", "said", "true", "events after", "said", "true"]
    return Table(f"Reliability of {served} before and after calibration, first seed", columns, rows)


def _mean(found: Sequence[Any], of: Callable[[Any], float | None], form: str) -> str:
    values = [value for one in found if (value := of(one)) is not None]
    if not values:
        return ""
    mean = form.format(fmean(values))
    return mean if len(values) < 2 else f"{mean} ({form.format(min(values))} to {form.format(max(values))})"


def settings(people: int, days: int) -> dict[str, Any]:
    return {
        "seeds": "1 to 3",
        "people": people,
        "days": days,
        "fraud rate": RATE,
        "difficulty": "medium",
        "held out": "last 30 %",
    }


@click.command()
@click.option("--people", default=PEOPLE, show_default=True)
@click.option("--days", default=DAYS, show_default=True)
def main(people: int, days: int) -> None:
    """Models of attendance fraud on three simulated portfolios. Takes about a quarter of an hour."""
    run(people, days)


def run(people: int = PEOPLE, days: int = DAYS) -> None:
    """Measure, show, and keep what the usual settings give."""
    with Progress(console=console, transient=True) as progress:
        reports = measure(SEEDS, people, days, progress)
    found = tables(reports)
    show(found)
    if usual():
        keep("fraud", settings(people, days), {}, found, DOCUMENT)


if __name__ == "__main__":
    main()
