"""What the demonstration showed, for people and for scripts, and whether it showed what it must."""

from dataclasses import asdict
from statistics import quantiles
from typing import Any

from models.fraud.heuristic import VERSION as RULE
from watchfloor.demo.live import Outcome
from watchfloor.demo.tally import Tally
from watchfloor.demo.terminal import Terminal

ALERT_LIMIT_S = 10.0
"""From the begin of the burst to the alert's record in Kafka."""

ACTS = {
    "attendance": ("check-ins", "verdicts", "events.attendance"),
    "syncs": ("syncs", "outcomes", "events.sync"),
    "readings": ("readings", "corrections", "events.ocr"),
}
"""By the name of an act: its events, what comes of them, and their topic."""


def report(outcome: Outcome, found: Tally) -> dict[str, Any]:
    """The figures for scripts. Seconds and milliseconds are in the names; null: not measured."""
    latencies = sorted(outcome.latencies)
    percentiles = quantiles(latencies, n=100, method="inclusive") if len(latencies) > 1 else []
    seconds = outcome.burst_to_alert_s
    return asdict(found) | {
        "live_samples": outcome.samples,
        "calm_alerts": len(outcome.calm_alerts),
        "burst": outcome.burst_at is not None,
        "burst_alerts": sorted({alert["metric"] for alert, _ in outcome.burst_alerts}),
        "burst_to_alert_seconds": None if seconds is None else round(seconds, 2),
        "sample_to_prediction_ms_p50": round(percentiles[49]) if percentiles else None,
        "sample_to_prediction_ms_p99": round(percentiles[98]) if percentiles else None,
    }


def faults(figures: dict[str, Any]) -> list[str]:
    """What must not be, in words; the exit code is 1 for any of it."""
    found = []
    if figures["lost"]:
        found.append(f"{figures['lost']} events have no prediction in ClickHouse")
    if figures["doubled"]:
        found.append(f"{figures['doubled']} predictions are there once too often")
    if not figures["live_samples"]:
        found.append("no live sample was scored")
    for name, (noun, said, _) in ACTS.items():
        act = figures.get(name, {})
        for what, fault in (
            ("lost", f"{noun} have no prediction in ClickHouse"),
            ("doubled", f"predictions of {noun} are there once too often"),
            ("verdicts_lost", f"{said} are not in ClickHouse"),
        ):
            if act.get(what):
                found.append(f"{act[what]} {fault}")
        if act.get("finished") and all(version == RULE for version in act["served_by"].values()):
            found.append(f"no tenant got a model of its own for its {noun}")
    if figures["burst"] and figures["burst_to_alert_seconds"] is None:
        found.append("the burst raised no alert")
    return found


def remarks(figures: dict[str, Any], busy: bool) -> list[str]:
    """What is right but not as it should be, in words. `busy`: the machine was so before."""
    found = []
    why = "; this machine was busy already, so that the burst stood out less" if busy else ""
    seconds = figures["burst_to_alert_seconds"]
    if seconds is not None and seconds >= ALERT_LIMIT_S:
        found.append(f"the alert came {seconds:.1f} s after the burst began, {ALERT_LIMIT_S:.0f} s are the aim{why}")
    if figures["calm_alerts"]:
        count = figures["calm_alerts"]
        found.append(f"{count} {'alert was' if count == 1 else 'alerts were'} opened by live samples before the burst")
    return found


def show(terminal: Terminal, figures: dict[str, Any]) -> None:
    """The figures for people, each with where it comes from."""
    terminal.title("The books")
    seconds = figures["burst_to_alert_seconds"]
    after = "-" if seconds is None else f"{seconds:.1f} s"
    p50, p99 = figures["sample_to_prediction_ms_p50"], figures["sample_to_prediction_ms_p99"]
    terminal.table(
        [
            ("events", f"{figures['events']:,}", "records in the topic events.metrics"),
            ("predictions", f"{figures['predictions']:,}", "rows of the view v_predictions"),
            ("lost", str(figures["lost"]), "event ids of the topic without a prediction in the view"),
            ("doubled", str(figures["doubled"]), "predictions beyond one per event id"),
            ("dead letters", str(figures["dead_letters"]), "rows of v_dead_letters"),
            ("alerts", str(figures["alerts"]), f"rows of v_alerts, {figures['historic_alerts']} of them history"),
            ("live samples", str(figures["live_samples"]), f"sample to score: p50 {p50} ms, p99 {p99} ms"),
            ("alerts before", str(figures["calm_alerts"]), "opened by live samples before the burst"),
            (
                "burst to alert",
                after,
                f"begin of the burst to the alert's Kafka timestamp; aim: under {ALERT_LIMIT_S:.0f} s",
            ),
        ]
    )
    for name, (noun, said, topic) in ACTS.items():
        if act := figures.get(name):
            terminal.table(
                [
                    (noun, f"{act['events']:,}", f"records in the topic {topic}"),
                    ("predictions", f"{act['predictions']:,}", "rows of the view v_predictions"),
                    ("lost", str(act["lost"]), "event ids of the topic without a prediction in the view"),
                    ("doubled", str(act["doubled"]), "predictions beyond one per event id"),
                    (said, f"{act['verdicts']:,}", f"different ones in ClickHouse; lost: {act['verdicts_lost']}"),
                ]
            )
    if fraud := figures.get("attendance"):
        terminal.table(
            [
                ("tickets", str(fraud["tickets"]), "rows of v_tickets but for the random audit"),
                ("alerts", str(fraud["alerts"]), "rows of v_alerts about people, most of them the rule's of the past"),
            ]
        )
    for fault in figures["faults"]:
        terminal.warn(f"[bold red]{fault}[/bold red]")
    for remark in figures["remarks"]:
        terminal.warn(remark)
    if not figures["faults"]:
        shown = "the burst raised a real alert" if figures["burst"] else "it was stopped before the burst"
        terminal.say(f"[green]✓[/green] Nothing lost, nothing doubled; {shown}.")
