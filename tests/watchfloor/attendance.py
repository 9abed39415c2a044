"""A small simulated world, as files."""

from pathlib import Path

from click.testing import CliRunner

from watchfloor.cli import main

WORLD = ("--tenants", "2", "--people", "90", "--days", "60", "--fraud-rate", "0.08", "--seed", "3")
TENANT, OTHER = "northgate", "harbour"


def simulated(folder: Path) -> Path:
    """The folder, with the files of a simulation of two months in it."""
    result = CliRunner().invoke(main, ["simulate", "attendance", *WORLD, "--out", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


def options(world: Path, **files: Path) -> list[str]:
    """What commands need to read it; some files may be others."""
    names = {
        "events": world / "events.attendance.jsonl",
        "outcomes": world / "outcomes.attendance.jsonl",
        "sites": world / "control.sites.jsonl",
        "calendars": world / "control.calendars.jsonl",
        "rosters": world / "control.rosters.jsonl",
    } | files
    return [text for name, path in names.items() for text in (f"--{name}", str(path))]
