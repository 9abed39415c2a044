"""What a benchmark leaves behind: tables on the screen, results/NAME.json, and its part of docs/performance.md."""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table as RichTable

from watchfloor.embedded.jars import KAFKA_VERSION, java

RESULTS = Path(__file__).with_name("results")
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
PACKAGES = ("aiokafka", "clickhouse-connect", "chdb-core", "confluent-kafka", "fastavro", "faust-streaming", "numpy")

console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they are shown; the first column is text, the others are numbers or short words."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        lines = [
            f"**{self.title}**",
            "",
            f"| {' | '.join(self.columns)} |",
            "|" + "|".join(["---", *["---:"] * (len(self.columns) - 1)]) + "|",
            *(f"| {' | '.join(row)} |" for row in self.rows),
        ]
        return "\n".join(lines) + "\n"


def say(text: str) -> None:
    """One line of progress, on stderr."""
    console.print(f"[dim]{datetime.datetime.now(tz=datetime.UTC):%H:%M:%S}[/dim] {text}")


def usual() -> bool:
    """Whether the running command was given no options: only then its results stand for this machine."""
    context = click.get_current_context()
    return all(context.get_parameter_source(name) is not ParameterSource.COMMANDLINE for name in context.params)


def machine() -> dict[str, Any]:
    """What ran it, without names and paths of this machine."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        model = found[1] if found else model
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def versions(peers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Versions of what takes part. `peers` adds those that are not installed beside the product."""
    found = {"python": platform.python_version(), "kafka": KAFKA_VERSION, "java": java_version()}
    found |= {name: importlib.metadata.version(name) for name in PACKAGES}
    return found | dict(peers or {})


def java_version() -> str:
    """The full version of the Java that runs the broker and Kafka Streams."""
    shown = subprocess.run([java(), "-version"], capture_output=True, text=True, check=True, timeout=30).stderr
    found = re.search(r'version "([^"]+)"', shown)
    return found[1] if found else shown.splitlines()[0]


def finish(
    name: str,
    *,
    settings: Mapping[str, Any],
    rounds: Sequence[Mapping[str, Any]],
    medians: Mapping[str, Any],
    tables: Sequence[Table],
    peers: Mapping[str, str] | None = None,
    write: bool = True,
) -> None:
    """Shows the tables of a benchmark and, unless `write` is off, keeps its results and renews the document.

    rounds: every single measurement. medians: the figures by contender, medians over the rounds.
    """
    show(tables)
    if not write:
        return
    RESULTS.mkdir(exist_ok=True)
    result = {
        "benchmark": name,
        "made": f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%dT%H:%MZ}",
        "machine": machine(),
        "versions": versions(peers),
        "settings": dict(settings),
        "medians": dict(medians),
        "rounds": list(rounds),
        "tables": [asdict(table) for table in tables],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1, sort_keys=False) + "\n")
    renew_document([name])


def keep(
    name: str, settings: Mapping[str, Any], figures: Mapping[str, Any], tables: Sequence[Table], document: Path
) -> None:
    """Writes the results of a measurement of quality, and renews its part of the document."""
    result = {
        "benchmark": name,
        "made": f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%dT%H:%MZ}",
        "machine": machine(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "settings": dict(settings),
        "figures": dict(figures),
        "tables": [asdict(table) for table in tables],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    renew_document([name], document)


def show(tables: Iterable[Table]) -> None:
    out = Console(highlight=False, width=None if Console().is_terminal else 160)
    for table in tables:
        shown = RichTable(title=table.title, title_justify="left")
        for number, column in enumerate(table.columns):
            shown.add_column(column, justify="right" if number else "left")
        for row in table.rows:
            shown.add_row(*row)
        out.print(shown)


def renew_document(names: Iterable[str], document: Path = DOCUMENT) -> None:
    """Puts the tables of results/NAME.json between <!-- NAME --> and <!-- /NAME --> in the document."""
    text = document.read_text()
    for name in names:
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if start not in text or end not in text:
            raise click.ClickException(
                f"{document.name} has no place for {name}: add the lines {start.strip()} and {end}"
            )
        before, _, rest = text.partition(start)
        text = before + start + section(name) + end + rest.partition(end)[2]
    document.write_text(text)


def section(name: str) -> str:
    result = json.loads((RESULTS / f"{name}.json").read_text())
    tables = [Table(**table).markdown() for table in result["tables"]]
    about = result["machine"]
    named = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    settings = ", ".join(f"{key} {value}" for key, value in result["settings"].items())
    head = (
        f"{result['made'][:10]}, {about['cores']} cores ({about['cpu']}), {about['memory_gb']} GB, "
        f"{about['system']}. Settings: {settings}. Versions: {named}."
    )
    return "\n".join([head, "", *tables])
