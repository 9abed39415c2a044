"""A simulation of readings written to files that `watchfloor replay` and evaluation read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from producers.simulator.files import write_about, write_days
from producers.simulator.ocr.world import Day, Simulation
from schemas.topics import EVENTS_OCR, OUTCOMES_OCR


def write(
    simulation: Simulation,
    out: Path,
    format: str = "jsonl",
    told: Callable[[Day, int], None] = lambda day, events: None,
) -> dict[str, Any]:
    """Run a simulation into the folder `out`; returns what simulation.json holds.

    Files: events.ocr and outcomes.ocr, named after their topics; truth.jsonl with the wrong readings. Files of these
    names are replaced. `told` is called after each day with the number of events so far. Raises OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    counts = {tenant: {"events": 0, "outcomes": 0, "wrong": 0} for tenant in simulation.tenants}
    write_days(simulation.days(), counts, out, EVENTS_OCR, OUTCOMES_OCR, format, told)
    return write_about(out, simulation.scenario, counts)
