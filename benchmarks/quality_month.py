"""`python -m benchmarks.quality_month`: a made month of 20 hosts, 40 incidents, through the product's own agents."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import click
import numpy as np
from rich.progress import Progress

from benchmarks.month import AFTER, COUNTS, DAYS, HOSTS, LEARNING_DAYS, SIZES, Incident, Month, make_month
from benchmarks.month_detectors import FOREST_P, Alert, candidates, forest, shipped, trio
from benchmarks.month_hosts import DAY
from benchmarks.report import Table, console, keep, show
from models.control import SETTINGS
from models.metrics import NAMES

DOCUMENT = Path(__file__).parents[1] / "docs" / "detectors.md"
SEED = 1
SHIPPED = "shipped: what stands out, limits, silence"
FOREST = f"isolation forest alone, p of {FOREST_P} (shipped as evidence only)"
JUMPS = ("spike", "level shift", "correlated")

BUDGET = SETTINGS["alert_budget"].default

JOIN, OLDEST, FULL = 10, 120, 50
"""Alerts of a host within 10 samples of one another are one incident to the NOC, up to 2 hours and 50 alerts."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a detector's alerts are worth.

    Attributes:
        alerts: in the order in which they opened.
        owners: by alert, the number of the incident that it belongs to; None for a false one.
        delays: by incident, samples from its start to its first alert; None where there is none. 0 is the first one.
        aimed: by incident, whether one of its alerts is about a metric that went wrong (or about the silent host).
        groups: by alert, the number of the incident that the NOC would see it in.
    """

    alerts: list[Alert]
    owners: list[int | None]
    delays: list[int | None]
    aimed: list[bool]
    groups: list[int]

    def false(self, first_day: int = LEARNING_DAYS, last_day: int = DAYS) -> list[Alert]:
        """False alerts that opened on these days, the last one excluded."""
        return [
            alert
            for alert, owner in zip(self.alerts, self.owners, strict=True)
            if owner is None and first_day * DAY <= alert.opened < last_day * DAY
        ]

    def true(self) -> int:
        return sum(owner is not None for owner in self.owners)

    def false_share(self) -> float:
        """False ones of all alerts since incidents began to come; 0 where there are none."""
        false = len(self.false())
        return false / (false + self.true()) if self.alerts else 0.0


def judge(alerts: Iterable[Alert], incidents: Sequence[Incident]) -> Judgement:
    """An alert is true when it opens on a host of an incident, from its start to an hour after its end."""
    ordered = sorted(alerts, key=lambda each: (each.opened, each.host, each.metric))
    owners = [owner(alert, incidents) for alert in ordered]
    delays: list[int | None] = []
    aimed = []
    for number, incident in enumerate(incidents):
        mine = [alert for alert, of in zip(ordered, owners, strict=True) if of == number]
        delays.append(mine[0].opened - incident.start if mine else None)
        aimed.append(any(alert.metric in incident.metrics or not alert.metric for alert in mine))
    return Judgement(ordered, owners, delays, aimed, groups(ordered))


def owner(alert: Alert, incidents: Sequence[Incident]) -> int | None:
    for number, each in enumerate(incidents):
        if alert.host in each.hosts and each.start <= alert.opened < each.end + AFTER:
            return number
    return None


def groups(alerts: Sequence[Alert]) -> list[int]:
    """By alert, the number of its group; an alert that fits several joins the oldest."""
    begun: dict[int, list[tuple[int, list[Alert]]]] = {}
    out = []
    total = 0
    for alert in alerts:
        mine = [each for each in begun.get(alert.host, []) if alert.opened - each[1][-1].opened <= JOIN]
        number, group = next((each for each in mine if takes(each[1], alert)), (total, []))
        if not group:
            total += 1
            mine.append((number, group))
        group.append(alert)
        begun[alert.host] = mine
        out.append(number)
    return out


def takes(group: Sequence[Alert], alert: Alert) -> bool:
    return alert.opened - group[0].opened < OLDEST and len(group) < FULL


def work(host: int, name: str, month: Month) -> tuple[list[tuple[int, bytes, bytes]], dict[str, list[Alert]]]:
    values, sent = month.values[0], month.sent[0]
    return candidates(name, values, sent), trio(host, values, sent) | {FOREST: forest(host, values, sent)}


def detect(month: Month, tick: Callable[[], None]) -> dict[str, list[Alert]]:
    """Alerts by detector. Hosts are worked on in as many processes as there are cores."""
    names = [host.name for host in month.hosts]
    found: list[tuple[int, bytes, bytes]] = []
    out: dict[str, list[Alert]] = {SHIPPED: []}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ProcessPoolExecutor(min(cores, len(names)), multiprocessing.get_context("spawn")) as pool:
        jobs = [
            pool.submit(work, number, name, Month([], [month.values[number]], [month.sent[number]]))
            for number, name in enumerate(names)
        ]
        for job in as_completed(jobs):
            told, plain = job.result()
            found += told
            for rule, alerts in plain.items():
                out.setdefault(rule, []).extend(alerts)
            tick()
    out[SHIPPED] = shipped(names, found)
    return out


def line(name: str, month: Month, judged: Judgement) -> list[str]:
    found = [delay for delay in judged.delays if delay is not None]
    jumps = [
        delay
        for delay, each in zip(judged.delays, month.incidents, strict=True)
        if delay is not None and each.kind in JUMPS
    ]
    groups = {group for group, of in zip(judged.groups, judged.owners, strict=True) if of is not None}
    host_days = len(month.hosts) * (month.samples / DAY - LEARNING_DAYS)
    return [
        name,
        f"{len(found)}/{len(judged.delays)} ({len(found) / len(judged.delays):.0%})",
        f"{sum(judged.aimed)}",
        f"{median(jumps):g}" if jumps else "",
        f"{len(judged.false()) / host_days:.2f}",
        f"{judged.false_share():.0%}",
        f"{judged.true() / len(found):.1f}" if found else "",
        f"{len(groups) / len(found):.1f}" if found else "",
        str(len({group for group, alert in zip(judged.groups, judged.alerts, strict=True) if late(alert)} - groups)),
    ]


def late(alert: Alert) -> bool:
    return alert.opened >= LEARNING_DAYS * DAY


LINE = (
    "detector", "found", "by a metric of the incident", "median delay of jumps, samples", "false/host and day",
    "false share of alerts", "alerts per incident found", "groups per incident found", "false groups",
)  # fmt: skip


def by_kind(month: Month, judgements: Mapping[str, Judgement]) -> Table:
    rows = []
    for kind in COUNTS:
        numbers = [number for number, each in enumerate(month.incidents) if each.kind == kind]
        row = [kind, str(len(numbers))]
        for judged in judgements.values():
            delays = sorted(delay for number in numbers if (delay := judged.delays[number]) is not None)
            aimed = sum(judged.aimed[number] for number in numbers)
            row.append(f"{len(delays)}, {aimed}, {median(delays):g}" if delays else "0")
        rows.append(row)
    for name, leaves in (("sized, beyond all before", True), ("sized, within it", False)):
        numbers = [n for n, each in enumerate(month.incidents) if each.kind in SIZES and each.outside is leaves]
        row = [name, str(len(numbers))]
        for judged in judgements.values():
            delays = sorted(delay for number in numbers if (delay := judged.delays[number]) is not None)
            aimed = sum(judged.aimed[number] for number in numbers)
            row.append(f"{len(delays)}, {aimed}, {median(delays):g}" if delays else "0")
        rows.append(row)
    title = "Incidents by kind: found, by a metric of theirs, median delay in samples"
    return Table(title, ("kind", "planted", *judgements), rows)


def circumstance(month: Month, alert: Alert) -> str:
    """What was going on at a false alert, the first that fits."""
    at, host = alert.opened, month.hosts[alert.host]
    if any(alert.host in each.hosts and each.end <= at < each.end + DAY for each in month.incidents):
        return "within a day after an incident"
    if any(alert.host in each.hosts and 0 < each.start - at <= DAY for each in month.incidents):
        return "within a day before an incident"
    if host.working[max(0, at - 2) : at + 1].any():
        return "usual burst"
    if (at // DAY) % 7 >= 5:
        return "weekend, no burst"
    return "working day, no burst"


def lasts(month: Month, alert: Alert) -> bool:
    """Whether two of the next three samples are still half as far from the hour before, on the same side."""
    if not alert.metric:
        return True
    row = month.values[alert.host][NAMES.index(alert.metric)]
    before = row[max(0, alert.opened - 60) : alert.opened]
    base = float(np.median(before)) if len(before) else float(row[alert.opened])
    apart = row[alert.opened] - base
    after = (row[alert.opened + 1 : alert.opened + 4] - base) * np.sign(apart)
    return int((after >= abs(apart) / 2).sum()) >= 2


def beyond(month: Month, alert: Alert) -> bool:
    """Whether the value that opened the alert lies outside everything that this host showed before."""
    if not alert.metric:
        return True
    row = month.values[alert.host][NAMES.index(alert.metric)]
    before, value = row[: alert.opened], row[alert.opened]
    return not len(before) or bool(value > before.max() or value < before.min())


def causes(month: Month, judged: Judgement) -> list[Table]:
    """Where the false alerts of the shipped combination come from."""
    false = judged.false()
    days = month.samples / DAY - LEARNING_DAYS
    kinds = list(dict.fromkeys(host.kind for host in month.hosts))
    many = Counter(host.kind for host in month.hosts)
    rows = []
    for metric in [*NAMES, ""]:
        mine = Counter(month.hosts[alert.host].kind for alert in false if not metric or alert.metric == metric)
        rates = [f"{mine[kind] / many[kind] / days:.3f}" for kind in kinds]
        rows.append([metric or "all", *rates, str(mine.total())])
    shown = [Table("False alerts of the shipped combination, per host and day", ("metric", *kinds, "alerts"), rows)]
    for title, of in (
        ("by circumstance", lambda alert: circumstance(month, alert)),
        (
            "by value",
            lambda alert: (
                f"{'beyond' if beyond(month, alert) else 'within'} what was seen before, "
                f"{'lasts' if lasts(month, alert) else 'over at once'}"
            ),
        ),
        ("by severity at the opening", lambda alert: alert.severity),
        ("by kind and direction", lambda alert: f"{alert.kind}, {alert.direction}"),
    ):
        counted = Counter(of(alert) for alert in false)
        true = Counter(of(alert) for alert, by in zip(judged.alerts, judged.owners, strict=True) if by is not None)
        table = [[name, str(counted[name]), str(true[name])] for name, _ in (counted + true).most_common()]
        shown.append(Table(f"The same {title}", ("", "false", "true"), table))
    early = []
    for name, first, last in (("day 1", 0, 1), ("days 2-3", 1, 3), ("days 4-10", 3, 10), ("days 11-30", 10, DAYS)):
        early.append([name, f"{len(judged.false(first, last)) / len(month.hosts) / (last - first):.2f}"])
    return [*shown, Table("The same by age of the series", ("", "false/host and day"), early)]


SHIFT = DAY // 3


def shifts(judgements: Mapping[str, Judgement]) -> Table:
    """How many alerts people get in a shift of eight hours, since the series are known."""
    rows = []
    for name, judged in judgements.items():
        opened = Counter(alert.opened // SHIFT for alert in judged.alerts if late(alert))
        counts = [opened[number] for number in range(LEARNING_DAYS * DAY // SHIFT, DAYS * DAY // SHIFT)]
        rows.append([name, f"{fmean(counts):.1f}", str(max(counts)), str(sum(count > BUDGET for count in counts))])
    return Table(
        f"Alerts in a shift of eight hours, days {LEARNING_DAYS + 1}-{DAYS}",
        ("detector", "mean", "worst", f"shifts with more than {BUDGET}"),
        rows,
    )


def measure(progress: Progress, seed: int = SEED) -> tuple[dict[str, Any], list[Table]]:
    """Figures and tables. Takes some minutes."""
    task = progress.add_task("Month", total=sum(HOSTS.values()) + 1)
    month = make_month(seed)
    progress.advance(task)
    found = detect(month, lambda: progress.advance(task))
    loud = [alert for alert in found[SHIPPED] if alert.severity != "INFO"]
    judged = {name: judge(alerts, month.incidents) for name, alerts in found.items()}
    lasting = [alert for alert in found[SHIPPED] if lasts(month, alert)]
    ours = {
        SHIPPED: judged.pop(SHIPPED),
        "of them WARNING and worse": judge(loud, month.incidents),
        "of them those whose value lasts": judge(lasting, month.incidents),
    }
    every = ours | judged
    tables = [
        Table("A month of 20 hosts, 40 incidents", LINE, [line(name, month, each) for name, each in every.items()]),
        shifts(ours),
        by_kind(month, {SHIPPED: ours[SHIPPED], "any of the three": judged["any of the three"]}),
        *causes(month, ours[SHIPPED]),
    ]
    names = [host.name for host in month.hosts]
    figures = {
        "incidents": [
            asdict(each) | {"hosts": [names[host] for host in each.hosts], "metrics": list(each.metrics)}
            for each in month.incidents
        ],
        "detectors": {
            name: {
                "delays": each.delays,
                "aimed": each.aimed,
                "alerts": len(each.alerts),
                "true": each.true(),
                "false": len(each.false()),
                "false_alert_share": each.false_share(),
                "groups": len(set(each.groups)),
            }
            for name, each in every.items()
        },
        "false": [
            asdict(alert) | {"host": names[alert.host], "at": circumstance(month, alert)}
            for alert in ours[SHIPPED].false(0)
        ],
    }
    return figures, tables


def settings(seed: int) -> dict[str, Any]:
    return {"seed": seed, "days": DAYS, "learning days": LEARNING_DAYS, "hosts": sum(HOSTS.values())}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", type=int, default=SEED, show_default=True, help="Another month; only the default is kept.")
def main(seed: int) -> None:
    """Detectors on a made month of 20 hosts with 40 incidents. Takes some minutes."""
    with Progress(console=console, transient=True) as progress:
        figures, tables = measure(progress, seed)
    show(tables)
    if seed == SEED:
        keep("month", settings(seed), figures, tables, DOCUMENT)


if __name__ == "__main__":
    main()
