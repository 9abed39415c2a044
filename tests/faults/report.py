"""What the runs showed, as a table for people, JSON for scripts, and the measured part of docs/reliability.md."""

import json
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.faults.recovery import Recovery
from tests.faults.run import Result
from watchfloor.embedded.jars import KAFKA_VERSION

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
COLUMNS = ("scenario", "faults", "events", "lost", "doubled", "different", "recovery s: best / median / worst")


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


def row(result: Result) -> tuple[str, ...]:
    faults = ", ".join(f"{count} x {kind}" for kind, count in result.faults.items()) or "none"
    return (
        result.title,
        faults,
        f"{result.events:,}",
        *(f"{result.total(what):,}" for what in ("lost", "doubled", "different")),
        "; ".join(recovery_text(one) for one in result.recovery) or "-",
    )


def recovery_text(one: Recovery) -> str:
    times = [seconds for seconds in (one.best, one.median, one.worst) if seconds is not None]
    text = " ".join([one.kind, " / ".join(f"{seconds:.1f}" for seconds in times)])
    return f"{text}, {one.never} never" if one.never else text


def show(results: Iterable[Result], console: Console) -> None:
    table = Table(*COLUMNS, "verdict", title="Fault runs")
    for result in results:
        table.add_row(*row(result), verdict(result))
    console.print(table)


def verdict(result: Result) -> str:
    if result.reference:
        return "for comparison"
    return "exact" if result.exact else "WRONG"


def complaints(result: Result) -> list[str]:
    """Everything that keeps a result from being exact, in words."""
    return [*result.remarks, *(str(one) for one in result.verdicts if not one.exact)]


def figures(results: Sequence[Result]) -> dict[str, Any]:
    return {"machine": machine(), "results": [result.figures() for result in results]}


def write_json(path: Path, results: Sequence[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures(results), indent=1, default=str) + "\n")


def more(result: Result) -> str:
    """What else happened: whether what was to be tried was tried at all."""
    counts = {
        "committed frames": result.frames,
        "producers fenced": result.fenced,
        "frames in which time alone passed": result.ticks,
        "changes of settings obeyed, over all partitions": result.settings,
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def markdown(results: Sequence[Result]) -> str:
    lines = [
        "| " + " | ".join((*COLUMNS, "verdict")) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
        *("| " + " | ".join((*row(result), verdict(result))) + " |" for result in results),
        "",
        "Machine: " + ", ".join(f"{name} {value}" for name, value in machine().items()) + ".",
    ]
    for result in results:
        if result.fenced or result.settings:
            lines += ["", f"In `{result.name}`: {more(result)}."]
        if result.dead_letters:
            letters = ", ".join(f"{count:,} {reason}" for reason, count in result.dead_letters.items())
            lines += ["", f"Dead letters of `{result.name}`: {letters}."]
    return "\n".join(lines)


def write_doc(path: Path, results: Sequence[Result]) -> None:
    """Replace the measured part of the page. Raises ValueError when the page has no place for it."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path} has no lines {BEGIN} and {END}")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n{markdown(results)}\n{END}{tail}")
