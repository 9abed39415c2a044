"""The picture of a series: values, what is usual, alerts, and the score below with its threshold."""

import io
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter

from watchfloor.episodes import Episode, Run
from watchfloor.series import Series

INK, SOFT, LINE, USUAL, ALERT, WARM = "#1b2733", "#5d6b78", "#1f6fb2", "#bcd7ee", "#d0342c", "#e9ecef"
COLUMNS = 1600
"""A longer series is drawn by the smallest and largest value of each column of the picture."""

APART = 1 / 70
"""Share of the width that numbers of alerts need between them; those that have less are left out."""

Dates = Any


def thinned(times: Dates, values: Any, columns: int = COLUMNS) -> tuple[Any, Any]:
    """At most two points for each column, which draw the same line."""
    count = len(values)
    if count <= 2 * columns:
        return times, values
    edges = np.linspace(0, count, columns + 1).astype(int)
    keep: list[int] = []
    for begin, end in pairwise(edges):
        part = values[begin:end]
        if np.all(np.isnan(part)):
            keep.append(int(begin))
            continue
        keep += sorted({int(begin + np.nanargmin(part)), int(begin + np.nanargmax(part))})
    return times[keep], values[keep]


def figure(series: Series, run: Run, title: str, unit: str, threshold: float) -> Figure:
    """The picture, 14 by 6.5 inches."""
    times: Dates = dates.date2num([datetime.fromtimestamp(at / 1000, UTC) for at in series.times])  # type: ignore[no-untyped-call]
    values = np.array([np.nan if value is None else value for value in series.values], dtype=float)
    values[~np.isfinite(values)] = np.nan
    drawn = Figure(figsize=(14, 6.5), facecolor="white")
    top, bottom = drawn.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    drawn.subplots_adjust(left=0.075, right=0.985, top=0.845, bottom=0.085, hspace=0.07)
    _series(top, times, values, series, run, unit)
    _scores(bottom, times, np.array(run.scores), threshold)
    warm = _warm(run)
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(SOFT)
        axes.tick_params(colors=SOFT, labelsize=9.5)
        axes.grid(axis="x", color="#eef1f4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_xlim(times[0], times[-1] if times[-1] > times[0] else times[0] + 1)
        if warm:
            axes.axvspan(times[0], times[warm - 1], color=WARM, zorder=0, linewidth=0)
    locator = dates.AutoDateLocator(minticks=5, maxticks=12, tz=UTC)  # type: ignore[no-untyped-call]
    bottom.xaxis.set_major_locator(locator)
    bottom.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    bottom.xaxis.get_offset_text().set_color(SOFT)
    bottom.set_xlabel("time, UTC", color=SOFT, fontsize=10, labelpad=2)
    drawn.text(0.075, 0.955, title, fontsize=15, fontweight="bold", color=INK, va="center")
    drawn.text(0.075, 0.915, subtitle(series, run), fontsize=10.5, color=SOFT, va="center")
    handles = [
        Line2D([], [], color=LINE, linewidth=1.5, label=series.name),
        *([Patch(color=USUAL, label="usual at this hour")] if run.usual else []),
        Patch(color=ALERT, alpha=0.25, label="alert"),
        *([Patch(color=WARM, label="warm-up: no alerts")] if warm else []),
    ]
    drawn.legend(handles=handles, loc="upper right", bbox_to_anchor=(0.985, 0.945), ncols=4, frameon=False, fontsize=10)
    return drawn


def subtitle(series: Series, run: Run) -> str:
    """How much was looked at, and what was found."""
    days = (series.times[-1] - series.times[0]) / 86_400_000
    span = f"{days:.3g} days" if days >= 2 else f"{days * 24:.3g} hours"
    missing = sum(value is None for value in series.values)
    found = len(run.episodes)
    alerts = "no alert" if not found else f"{found} alert{'s' * (found > 1)}"
    rate = f" ({found / days:.2g} a day)" if found and days >= 2 else ""
    holes = f", {missing} missing" if missing else ""
    return f"{alerts}{rate} in {span}: {len(series.values):,} samples, one each {pace(series.step_s)}{holes}"


def pace(step_s: float) -> str:
    """A duration for people.

    >>> pace(1), pace(300), pace(5400), pace(0.5)
    ('1 s', '5 min', '1.5 h', '0.5 s')
    """
    if step_s < 120:
        return f"{step_s:g} s"
    return f"{step_s / 60:.3g} min" if step_s < 3600 else f"{step_s / 3600:.3g} h"


def _warm(run: Run) -> int:
    """Rows of the warm-up, where every score is 0; a detector that learns nothing usual has none."""
    return 0 if not run.usual else next((row for row, score in enumerate(run.scores) if score > 0), 0)


def _series(axes: Axes, times: Dates, values: Any, series: Series, run: Run, unit: str) -> None:
    if run.usual:
        rows, low, high = (np.array(each) for each in zip(*run.usual, strict=True))
        axes.fill_between(times[rows.astype(int)], low, high, color=USUAL, alpha=0.8, linewidth=0, step="mid", zorder=1)
    axes.plot(*thinned(times, values), color=LINE, linewidth=0.9, solid_joinstyle="round", zorder=3)
    least = (times[-1] - times[0]) / 350
    free = -np.inf
    for number, episode in enumerate(run.episodes, 1):
        begin, end = times[episode.begin], times[episode.end]
        pad = max(0.0, least - (end - begin)) / 2
        axes.axvspan(begin - pad, end + pad, color=ALERT, alpha=0.18, linewidth=0, zorder=2)
        axes.plot(times[episode.peak], values[episode.peak], "o", color=ALERT, markersize=5, zorder=4, clip_on=False)
        if begin >= free:
            free = begin + (times[-1] - times[0]) * APART * max(1, len(str(number)) - 0.5)
            axes.annotate(
                str(number),
                (begin, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=ALERT,
                fontweight="bold",
            )
    axes.margins(y=0.06)
    axes.set_ylabel(f"{series.name}, {unit}" if unit else series.name, color=INK, fontsize=10.5)
    known = values[~np.isnan(values)]
    if len(known) and np.max(np.abs(known)) >= 1e4:
        axes.yaxis.set_major_formatter(EngFormatter(unit=unit, sep=" " if unit else ""))


def _scores(axes: Axes, times: Dates, scores: Any, threshold: float) -> None:
    at, drawn = thinned(times, scores)
    axes.fill_between(at, drawn, 0, color="#c9d1d9", linewidth=0)
    axes.fill_between(at, drawn, threshold, where=drawn >= threshold, color=ALERT, linewidth=0)
    axes.plot(at, drawn, color=SOFT, linewidth=0.7)
    firing = scores >= threshold
    axes.plot(times[firing], scores[firing], ".", color=ALERT, markersize=4)
    axes.axhline(threshold, color=ALERT, linewidth=1, linestyle=(0, (5, 3)))
    axes.set_ylim(0, 1.04)
    axes.set_yticks(sorted({0.0, threshold, 1.0}))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("score", color=INK, fontsize=10.5)
    axes.text(
        0.004, threshold + 0.03, f"threshold {threshold:g}", color=ALERT, fontsize=9, va="bottom",
        transform=axes.get_yaxis_transform(),
    )  # fmt: skip


def save(series: Series, run: Run, path: Path, title: str, unit: str, threshold: float) -> None:
    """Write a PNG, or a page with the picture and the table where the name ends in .html."""
    drawn = figure(series, run, title, unit, threshold)
    if path.suffix.lower() in (".html", ".htm"):
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "watchfloor"}):
            image = io.StringIO()
            drawn.savefig(image, format="svg", metadata={"Date": None})
        svg = image.getvalue()
        path.write_text(page(series, run, title, svg[svg.index("<svg") :]))
    else:
        drawn.savefig(path, format="png", dpi=120)


def moment(at_ms: int) -> str:
    """A time for people, to the second, UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def page(series: Series, run: Run, title: str, svg: str) -> str:
    """One HTML file that needs nothing else."""
    rows = "".join(
        f"<tr><td>{number}</td><td>{moment(series.times[episode.begin])}</td>"
        f"<td>{moment(series.times[episode.end])}</td><td>{run.scores[episode.peak]:.2f}</td>"
        f"<td>{escape(summary(episode))}</td></tr>"
        for number, episode in enumerate(run.episodes, 1)
    )
    table = (
        f"<table><thead><tr><th>#</th><th>begin, UTC</th><th>end, UTC</th><th>score</th><th>why</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        if rows
        else "<p>No alert.</p>"
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>
body {{ margin: 1.5rem auto; max-width: 1300px; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: {INK} }}
svg {{ width: 100%; height: auto }} svg text {{ font-family: system-ui, sans-serif !important }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }}
th, td {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e5e9ed; vertical-align: top }}
td:nth-child(-n+4) {{ white-space: nowrap }} th {{ color: {SOFT}; font-weight: 600 }}
</style></head><body>{svg}{table}</body></html>
"""


def summary(episode: Episode) -> str:
    return str(episode.why.get("summary", ""))
