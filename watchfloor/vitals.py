"""What the running processes of a home say about themselves: HOME/run/NAME.json and the figures that they name."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Vitals:
    """One process. `trouble` says why there are no figures."""

    name: str
    kind: str
    pid: int
    trouble: str | None = None
    figures: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float:
        """The sum of a figure over all labels that are not named."""
        wanted = set(labels.items())
        return sum(value for (found, having), value in self.figures.items() if found == name and wanted <= having)

    def by(self, name: str, label: str) -> dict[str, float]:
        """The figure for each value of a label."""
        values: dict[str, float] = {}
        for (found, having), value in self.figures.items():
            if found == name:
                which = dict(having).get(label, "")
                values[which] = values.get(which, 0.0) + value
        return values


def vitals(run: Path) -> list[Vitals]:
    """Every process that has written its place into `run`, by name."""
    return [look(path.stem, place) for path, place in places(run)]


def places(run: Path) -> Iterator[tuple[Path, dict[str, object]]]:
    for path in sorted(run.glob("*.json")):
        try:
            place = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # gone, or being written
        if isinstance(place, dict) and {"pid", "kind", "metrics"} <= place.keys():
            yield path, place


def look(name: str, place: dict[str, object]) -> Vitals:
    """Ask one process for its figures."""
    kind, pid = str(place["kind"]), int(str(place["pid"]))
    if not psutil.pid_exists(pid):
        return Vitals(name, kind, pid, "has ended")
    try:
        with urllib.request.urlopen(str(place["metrics"]), timeout=TIMEOUT_S) as answer:
            text = answer.read().decode()
        figures = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    except (OSError, ValueError, urllib.error.URLError, http.client.HTTPException) as error:
        return Vitals(name, kind, pid, f"does not answer: {getattr(error, 'reason', error)}")
    return Vitals(name, kind, pid, None, figures)
