"""What the runs showed, as a table for people, JSON for scripts, and the measured part of docs/reliability.md.

All of it is made of `Result.figures`, so that what an earlier run kept is shown like what this one found.
"""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.faults.run import Result
from watchfloor.embedded.jars import KAFKA_VERSION

Figures = Mapping[str, Any]
"""Of one result."""

SEED = 7
"""That of the results whose seed is not named."""

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
COLUMNS = (
    *("scenario", "faults", "events", "lost", "doubled", "different"),
    *("recovery s: best / median / worst", "verdict"),
)


def machine() -> dict[str, str]:
    """Where the figures come from."""
    libraries = ("aiokafka", "faust-streaming", "confluent-kafka", "chdb-core")
    return {
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        **{name: version(name) for name in libraries},
    }


def row(one: Figures) -> tuple[str, ...]:
    title = one["title"] if one["seed"] == SEED else f"{one['title']}, seed {one['seed']}"
    return (
        title,
        ", ".join(f"{count} x {kind}" for kind, count in one["faults"].items()) or "none",
        *(f"{one[what]:,}" for what in ("events", "lost", "doubled", "different")),
        "; ".join(recovery_text(each) for each in one["recovery"]) or "-",
        verdict(one),
    )


def recovery_text(one: Figures) -> str:
    """Of the fields of a `Recovery`."""
    times = [seconds for seconds in (one["best"], one["median"], one["worst"]) if seconds is not None]
    text = " ".join([one["kind"], " / ".join(f"{seconds:.1f}" for seconds in times)])
    return f"{text}, {one['never']} never" if one["never"] else text


def show(results: Iterable[Figures], console: Console) -> None:
    table = Table(*COLUMNS, title="Fault runs")
    for one in results:
        table.add_row(*row(one))
    console.print(table)


def verdict(one: Figures) -> str:
    if one["reference"]:
        return "for comparison"
    return "exact" if one["exact"] else "WRONG"


def complaints(result: Result) -> list[str]:
    """Everything that keeps a result from being exact, in words."""
    return [*result.remarks, *(str(one) for one in result.verdicts if not one.exact)]


def report(results: Sequence[Figures]) -> dict[str, Any]:
    return {"machine": machine(), "results": results}


def merge(path: Path, results: Iterable[Figures]) -> list[Figures]:
    """Put results into a file, each in the place of that of its scenario and seed; all that are there now."""
    kept = json.loads(path.read_text())["results"] if path.exists() else []
    found: dict[Any, Figures] = {(one["name"], one["seed"]): one for one in (*kept, *results)}
    every = list(found.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report(every), indent=1, default=str) + "\n")
    return every


def more(one: Figures) -> str:
    """What else happened: whether what was to be tried was tried at all."""
    counts = {
        "committed frames": one["frames"],
        "producers fenced": one["fenced"],
        "frames in which time alone passed": one["ticks"],
        "changes of settings obeyed, over all partitions": one["settings"],
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def markdown(results: Sequence[Figures]) -> str:
    lines = [
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
        *("| " + " | ".join(row(one)) + " |" for one in results),
        "",
        "Machine: " + ", ".join(f"{name} {value}" for name, value in machine().items()) + ".",
    ]
    for one in results:
        name = f"`{one['name']}`" if one["seed"] == SEED else f"`{one['name']}` (seed {one['seed']})"
        if one["fenced"] or one["settings"]:
            lines += ["", f"In {name}: {more(one)}."]
        if one["dead_letters"]:
            letters = ", ".join(f"{count:,} {reason}" for reason, count in one["dead_letters"].items())
            lines += ["", f"Dead letters of {name}: {letters}."]
    return "\n".join(lines)


def write_doc(path: Path, results: Sequence[Figures]) -> None:
    """Replace the measured part of the page. Raises ValueError when the page has no place for it."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path} has no lines {BEGIN} and {END}")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n{markdown(results)}\n{END}{tail}")
