"""python -m tests.faults: the long fault run, a table of what it showed, and what of it belongs into the docs."""

import gc
import json
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from tests.faults.cluster import Cluster
from tests.faults.report import SEED, Figures, complaints, merge, report, show, write_doc
from tests.faults.run import Result, run_scenario
from tests.faults.scenarios import LONG, RELAY_SHORT, SHORT, Scenario

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "reliability.md"
KEPT = ROOT / "benchmarks" / "results" / "faults.json"
KNOWN = {scenario.name: scenario for scenario in (SHORT, RELAY_SHORT, *LONG)}


def chosen(only: str | None) -> list[Scenario]:
    """The scenarios named, separated by commas; the long list without a name."""
    if only is None:
        return list(LONG)
    names = [name.strip() for name in only.split(",")]
    for name in names:
        if name not in KNOWN:
            raise click.BadParameter(f"no scenario is called {name!r}; there are: {', '.join(KNOWN)}")
    return [KNOWN[name] for name in names]


def attempt(cluster: Cluster, scenario: Scenario, seed: int) -> Result:
    """Run a scenario; one that could not be run to its end is not exact, and the next one is tried."""
    started = time.monotonic()
    try:
        cluster.revive()
        return run_scenario(cluster, scenario, seed)
    except Exception as error:  # noqa: BLE001 - it is in the result, and must not cost the other scenarios theirs
        reason = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - started
        return Result(scenario.name, scenario.title, seed, scenario.reference, seconds, remarks=[reason])
    finally:
        cluster.stop_processes()


@click.command()
@click.option("--only", help="Names of scenarios, separated by commas; all of the long list without it.")
@click.option("--seed", default=SEED, show_default=True, help="Of the load, the victims and the moments.")
@click.option("--home", type=click.Path(path_type=Path), help="Folder for data and logs; kept. Default: temporary.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON at the end.")
@click.option(
    "--write-json",
    "kept",
    type=click.Path(path_type=Path),
    help="Put the figures into this file, in the place of those of the same scenario and seed.",
)
@click.option(
    "--write-doc",
    "write_doc_",
    is_flag=True,
    help=f"Write the table of that file, or of {KEPT.relative_to(ROOT)}, into docs/reliability.md.",
)
@click.option("--list", "listing", is_flag=True, help="Name the scenarios and stop.")
def main(
    only: str | None,
    seed: int,
    home: Path | None,
    as_json: bool,
    kept: Path | None,
    write_doc_: bool,
    listing: bool,
) -> None:
    """Kill real processes under load and compare every value that came out with an undisturbed computation.

    Exit code 1 when a scenario was not exact (the rows of other systems are for comparison only).
    """
    console = Console(stderr=as_json)
    gc.set_threshold(100_000, 50, 1_000)  # whole logs are held in memory, and nothing in them is a cycle
    if listing:
        for scenario in KNOWN.values():
            console.print(f"{scenario.name:24} {scenario.title}")
        return
    results: list[Figures] = []
    with (
        tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder,
        Cluster((home or Path(folder)).absolute()) as cluster,
    ):
        for scenario in chosen(only):
            console.print(f"[bold]{scenario.name}[/bold]: {scenario.title} ...")
            result = attempt(cluster, scenario, seed)
            results.append(result.figures())
            console.print(f"  {'exact' if result.exact else 'not exact'}, {result.seconds:.0f} s")
            for complaint in complaints(result):
                console.print(f"  {complaint}", markup=False, highlight=False)
            # Now, and not only at the end: a run that is broken off keeps what it has shown.
            if kept is not None or write_doc_:
                every = merge(kept or KEPT, results)
                if write_doc_:
                    write_doc(DOC, every)
    show(results, console)
    if as_json:
        click.echo(json.dumps(report(results), default=str))
    if not all(one["exact"] for one in results if not one["reference"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
