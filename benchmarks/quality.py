"""`python -m benchmarks.quality`: how good the detectors are, on public series and on made ones."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
from rich.progress import Progress

from benchmarks import nab, quality_fraud, quality_month, quality_ocr
from benchmarks.nab import PROFILES, Scores, Stream
from benchmarks.quality_synthetic import CASES, INCIDENTS, RATES, Outcome, Switch, judge, switch
from benchmarks.report import Table, console, keep, show
from models.anomaly import DETECTORS, novelty, record, rows
from models.anomaly.novelty import Novelty

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "detectors.md"
THRESHOLD = 0.5
QUIET_ROWS = 120
ALONE = ("zscore", "iqr", "spike", "seasonal", "drift")
"""Detectors that are evidence; here each alone, as if it opened alerts."""
WAITS_S = (15, 30, 60, 300)
"""Seconds at one sample a second before the burst of the switch from 60 s."""


class Scorer(Protocol):
    def update_ms(self, epoch_ms: int, value: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Variant:
    """A setting that is moved, to see what hangs on it."""

    name: str
    place: Any
    attribute: str
    value: float


VARIANTS = (
    Variant("value lag 12 rows (6)", novelty, "VALUE_LAG", 12),
    Variant("context lag 12 rows (24)", novelty, "CONTEXT_LAG", 12),
    Variant("mean over 6 rows (12.5)", Novelty, "MEAN_ROWS", 6.25),
    Variant("mean over 25 rows", Novelty, "MEAN_ROWS", 25.0),
    Variant("grain 0.05 (0.1)", Novelty, "GRAIN", 0.05),
    Variant("grain 0.2", Novelty, "GRAIN", 0.2),
    Variant("256 points a book (512)", Novelty, "CAPACITY", 256),
    Variant("growth 1.1 a row (1.2)", record, "GROWTH", 1.1),
    Variant("growth 1.4 a row", record, "GROWTH", 1.4),
    Variant("record fades twice as fast", novelty, "FADE", 0.0006),
    Variant("record fades half as fast", novelty, "FADE", 0.00015),
    Variant("floor 0.01 of the level (0.001)", Novelty, "FLOOR", 0.01),
    Variant("bias 1.8 (2.1)", Novelty, "BIAS", 1.8),
    Variant("bias 2.4", Novelty, "BIAS", 2.4),
)


@contextmanager
def moved(variant: Variant) -> Iterator[None]:
    before = getattr(variant.place, variant.attribute)
    setattr(variant.place, variant.attribute, variant.value)
    try:
        yield
    finally:
        setattr(variant.place, variant.attribute, before)


@dataclass(frozen=True, slots=True)
class Scored:
    """All scores of one detector, and microseconds of processor time per update."""

    scores: dict[str, Scores]
    us: float


def score(streams: Sequence[Stream], make: Callable[[], Scorer], tick: Callable[[], None]) -> Scored:
    scores: dict[str, Scores] = {}
    begin = time.process_time()
    for stream in streams:
        update = make().update_ms
        found = [update(at, value) for at, value in zip(stream.times, stream.values, strict=True)]
        scores[stream.name] = np.array(found)
        tick()
    spent = time.process_time() - begin
    return Scored(scores, 1e6 * spent / sum(len(stream.times) for stream in streams))


def find_nab(given: str | None) -> Path | None:
    """The checkout that NAB=DIR names; None where it names none."""
    if not given:
        return None
    folder = Path(given)
    if not (folder / "labels" / "combined_windows.json").exists():
        raise click.ClickException(f"NAB={given} holds no labels/combined_windows.json; expected a checkout of NAB")
    return folder


def line(name: str, streams: Sequence[Stream], scored: Scored) -> tuple[dict[str, Any], list[str]]:
    """Figures of one detector, and its row of the table."""
    shipped = nab.total(streams, scored.scores, THRESHOLD, QUIET_ROWS)
    best = nab.optimise(streams, scored.scores, QUIET_ROWS)
    profiles = {
        each: nab.total(streams, scored.scores, THRESHOLD, QUIET_ROWS, profile).score
        for each, profile in PROFILES.items()
    }
    figures = {
        "shipped": profiles,
        "found": shipped.found,
        "windows": shipped.windows,
        "false_per_day": shipped.false_per_day,
        "precision": shipped.precision,
        "optimised": best.points.score,
        "optimised_threshold": best.threshold,
        "optimised_false_per_day": best.points.false_per_day,
        "held_out_folder": best.held_out.score,
        "us": scored.us,
    }
    row = [
        name,
        *(f"{each:.1f}" for each in profiles.values()),
        f"{shipped.found}/{shipped.windows}",
        f"{shipped.false_per_day:.3f}",
        f"{shipped.precision:.2f}",
        f"{best.points.score:.1f}",
        f"{best.points.false_per_day:.3f}",
        f"{best.held_out.score:.1f}",
        f"{scored.us:.1f}",
    ]
    return figures, row


LINE = (
    "detector", "standard at 0.5", "low FP", "low FN", "found", "false/day", "precision", "optimised", "false/day ",
    "other folders' threshold", "us/update",
)  # fmt: skip


def public(streams: Sequence[Stream], short: bool, progress: Progress) -> tuple[dict[str, Any], list[Table]]:
    variants = () if short else VARIANTS
    task = progress.add_task("NAB", total=len(streams) * (1 + len(ALONE) + len(variants)))

    def tick() -> None:
        progress.advance(task)

    ours = score(streams, Novelty, tick)
    figures: dict[str, Any] = {}
    table = []
    figures["novelty"], row = line("novelty", streams, ours)
    table.append(row)
    for name in ALONE:
        figures[name], row = line(name, streams, score(streams, DETECTORS[name], tick))
        table.append(row)
    tables = [Table(f"NAB, quiet {QUIET_ROWS} rows", LINE, table), folders(streams, ours, figures)]
    if variants:
        tables.append(sensitivity(streams, ours, variants, figures, tick))
    return figures, tables


def folders(streams: Sequence[Stream], ours: Scored, figures: dict[str, Any]) -> Table:
    table = []
    for folder in sorted({each.folder for each in streams}):
        points = nab.total([each for each in streams if each.folder == folder], ours.scores, THRESHOLD, QUIET_ROWS)
        worth = f"{points.score:.1f}" if points.windows else ""
        table.append(
            [folder, worth, f"{points.found}/{points.windows}", f"{points.false_per_day:.3f}", f"{points.days:.0f}"]
        )
        figures.setdefault("folders", {})[folder] = asdict(points)
    columns = ("folder", "standard at 0.5", "found", "false/day", "series-days")
    return Table("NAB by folder: novelty, shipped threshold", columns, table)


def sensitivity(
    streams: Sequence[Stream],
    ours: Scored,
    variants: Sequence[Variant],
    figures: dict[str, Any],
    tick: Callable[[], None],
) -> Table:
    table = []

    def add(name: str, scores: Mapping[str, Scores]) -> None:
        points = nab.total(streams, scores, THRESHOLD, QUIET_ROWS)
        best = nab.optimise(streams, scores, QUIET_ROWS).points
        figures.setdefault("sensitivity", {})[name] = {
            "shipped": points.score,
            "false_per_day": points.false_per_day,
            "optimised": best.score,
        }
        table.append([name, f"{points.score:.1f}", f"{points.false_per_day:.3f}", f"{best.score:.1f}"])

    add("as shipped", ours.scores)
    for variant in variants:
        with moved(variant):
            add(variant.name, score(streams, Novelty, tick).scores)
    return Table(
        "NAB with one setting moved (shipped value in brackets)",
        ("setting", "standard at 0.5", "false/day", "optimised"),
        table,
    )


def made(seeds: int, progress: Progress) -> tuple[dict[str, Any], list[Table]]:
    task = progress.add_task("Made series", total=len(RATES) * len(CASES) * seeds + len(CASES) * seeds * len(WAITS_S))
    outcomes: list[Outcome] = []
    for step in RATES:
        for case in CASES:
            for seed in range(seeds):
                outcomes.append(judge(case, step, seed))
                progress.advance(task)
    switches: list[tuple[int, Switch]] = []
    for wait in WAITS_S:
        for case in CASES:
            for seed in range(seeds):
                switches.append((wait, switch(case, seed, wait_s=wait)))
                progress.advance(task)
    figures = {
        "outcomes": [asdict(each) for each in outcomes],
        "switch": [asdict(each) | {"wait_s": wait} for wait, each in switches],
    }
    columns = ("", *(each.__name__ for each in INCIDENTS), "false, day 1", "false/day after it", "series-days")
    by_rate = [outcome_row(f"each {step} s", [each for each in outcomes if each.step == step]) for step in RATES]
    by_case = [outcome_row(case.name, [each for each in outcomes if each.case == case.name]) for case in CASES]
    return figures, [
        Table("Made series by sampling: found of planted, median seconds to the alert", columns, by_rate),
        Table("The same by kind of series", columns, by_case),
        Table(
            "A week at 60 s, then 1 s, then a burst",
            ("seconds at 1 s before the burst", "false alerts", "bursts found", "median delay, s", "longest, s"),
            [switch_row(wait, [each for waited, each in switches if waited == wait]) for wait in WAITS_S],
        ),
    ]


def outcome_row(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    row = [name]
    for incident in INCIDENTS:
        delays = [each.delays[incident.__name__] for each in outcomes]
        found = sorted(delay for delay in delays if delay is not None)
        row.append(f"{len(found)}/{len(delays)}" + (f", {found[len(found) // 2]:.0f}" if found else ""))
    first = sum(each.first_day for each in outcomes)
    later = sum(max(0.0, each.days - 1) for each in outcomes)
    rest = sum(each.false - each.first_day for each in outcomes)
    return [*row, f"{first / len(outcomes):.2f}", f"{rest / later:.3f}" if later else "", f"{later:.0f}"]


def switch_row(wait: int, found: Sequence[Switch]) -> list[str]:
    delays = sorted(each.delay for each in found if each.delay is not None)
    false = sum(each.false for each in found)
    middle, longest = (f"{delays[len(delays) // 2]:.0f}", f"{delays[-1]:.0f}") if delays else ("", "")
    return [str(wait), str(false), f"{len(delays)}/{len(found)}", middle, longest]


def costs(streams: Sequence[Stream]) -> tuple[dict[str, Any], Table]:
    """Bytes of the state, and bytes written per update when every update is stored."""
    written: list[int] = []
    stored: list[int] = []
    for stream in streams:
        detector, parts = Novelty(), dict[bytes, int]()
        for at, value in zip(stream.times[:4000], stream.values, strict=False):
            detector.update_ms(at, value)
            changes = detector.changes()
            parts |= {name: len(raw or b"") for name, raw in changes}
            written.append(sum(len(name) + len(raw or b"") for name, raw in changes))
        stored.append(sum(parts.values()))
    figures = {
        "written_mean": float(np.mean(written)),
        "written_most": max(written),
        "stored_mean": float(np.mean(stored)),
        "stored_most": max(stored),
    }
    row = [f"{figures['written_mean']:.0f}", f"{figures['written_most']}"]
    row += [f"{figures['stored_mean'] / 1000:.1f} kB", f"{figures['stored_most'] / 1000:.1f} kB"]
    columns = ("written per update, bytes", "at most", "state, mean", "at most ")
    return figures, Table("State of one metric", columns, [row])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--seeds", type=click.IntRange(1), default=3, show_default=True, help="Made series of each kind and rate."
)
@click.option(
    "--short", is_flag=True, help="Without the sensitivity table, the month, fraud and OCR; keeps no results."
)
def main(seeds: int, short: bool) -> None:
    """Quality of the detectors: NAB, made series with planted incidents, a made month of 20 hosts; and of the models of
    attendance fraud on three made portfolios, and what weekly batches of labeling tasks are worth to those of OCR
    readings. Takes some minutes for the detectors, a quarter of an hour for fraud and some minutes for OCR;
    `python -m benchmarks.quality_fraud` and `python -m benchmarks.quality_ocr` measure these alone.

    NAB=DIR names a checkout of the public repository numenta/NAB (58 series, 20 MB).
    """
    folder = find_nab(os.environ.get("NAB"))
    figures: dict[str, Any] = {}
    tables: list[Table] = []
    with Progress(console=console, transient=True) as progress:
        if folder is None:
            console.print(
                "NAB=DIR is not set. Left out: the scores on NAB, by folder and with one setting moved, the size of "
                "the state, and renewing their part of docs/detectors.md. To have them, clone the public repository "
                "numenta/NAB and run: make quality NAB=DIR",
                soft_wrap=True,
            )
        else:
            streams = nab.load(folder)
            figures["nab"], more = public(streams, short, progress)
            tables += more
            figures["state"], table = costs(streams[::6])
            tables.append(table)
        figures["made"], more = made(seeds, progress)
        tables += more
        if not short:
            month, month_tables = quality_month.measure(progress)
    show(tables)
    if short:
        return
    show(month_tables)
    keep("month", quality_month.settings(quality_month.SEED), month, month_tables, DOCUMENT)
    if folder is not None:
        keep("detectors", settings(seeds), figures, tables, DOCUMENT)
    quality_fraud.run()
    quality_ocr.run()


def settings(seeds: int) -> dict[str, Any]:
    return {
        "threshold": THRESHOLD,
        "quiet rows": QUIET_ROWS,
        "value lag": rows.VALUE_LAG,
        "context lag": rows.CONTEXT_LAG,
        "seeds": seeds,
    }


if __name__ == "__main__":
    main()
