"""A past for this host: its level now, and the recorded week at that level, through the whole pipeline."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from producers.collector import Backlog, Collector, Figures
from producers.host import Host
from producers.publish import Publisher
from producers.records import Rejected, reader
from producers.replay import Change, Replay, Summary
from producers.sources import Sources
from producers.tables import Line, lines
from schemas.topics import EVENTS_METRICS, Topic
from watchfloor.demo.level import Level, Scale, rescaled, scales
from watchfloor.settings import Settings

WEEK = Path(str(files("producers") / "data" / "host-week.csv.gz"))

SETTLING, LISTENING = 3, 12
"""Samples that only warm the system up, and those that say where this machine's level is."""

AHEAD_S = 18.0
"""The week ends so long after its replay began: where the live samples begin, or else a gap would lie between."""

START_S = 1.5
"""A collector takes longer than this from its start to its first sample."""

CALM_SAMPLES, CALM_LIMIT_S, CALM_PERCENT = 3, 20.0, 2.0


def listen(settings: Settings, sources: Sources, stop: threading.Event) -> list[dict[str, Any]]:
    """A sample each second through the pipeline, as the live ones will be, so that its own load is in them.

    They are published for a host of another name: the detectors of this host must not learn from them.
    """
    samples: list[dict[str, Any]] = []
    enough = threading.Event()
    with Publisher(settings.kafka, prefix=settings.prefix, client="demo") as publisher:
        figures = Figures()
        backlog = Backlog(publisher, figures, settings.home / "demo" / "listen.jsonl")

        def add(event: dict[str, Any]) -> None:
            backlog.add(event)
            samples.append(event)
            if len(samples) == SETTLING + LISTENING or stop.is_set():
                enough.set()

        Collector(settings.tenant, f"{settings.host}.level", 1.0, sources, add, figures).run(enough)
        backlog.close()
    return samples[SETTLING:]


@dataclass(frozen=True, slots=True)
class Week:
    """The recorded week: its lines, how each metric becomes one of this machine, and the incidents in those metrics."""

    lines: list[Line]
    scales: dict[str, Scale]
    last: int
    incidents: list[dict[str, str]]

    @classmethod
    def load(cls, here: dict[str, Level]) -> "Week":
        read = list(lines(WEEK, reader(EVENTS_METRICS)))
        records = [line.record for line in read if not isinstance(line.record, Rejected)]
        by = scales(records, here)
        labelled = json.loads(WEEK.with_name("host-week.json").read_text())["incidents"]
        last = max(record["occurred_at"] for record in records)
        return cls(read, by, last, [each for each in labelled if each["metric"] in by])


def replay(settings: Settings, week: Week, stop: threading.Event, told: Callable[[Summary, float], None]) -> Summary:
    """Publish the week as this host's, ending in AHEAD_S seconds, with its own times as Kafka timestamps."""
    end = time.time_ns() // 1_000_000 + int(AHEAD_S * 1000)
    move = Change(end - week.last, settings.tenant, settings.host)

    def change(topic: Topic, record: dict[str, Any]) -> dict[str, Any]:
        return rescaled(move(topic, record), week.scales)

    with Publisher(settings.kafka, prefix=settings.prefix, client="demo", limit_s=30) as publisher:
        run = Replay(EVENTS_METRICS, publisher, change, original_timestamps=True, told=told, stop=stop)
        return run.run(week.lines)


def calm(here: dict[str, Level], until_ms: int, stop: threading.Event) -> bool:
    """Wait until the CPU was not beyond its usual high for CALM_SAMPLES seconds, and until START_S before `until_ms`.

    False when the machine does not calm down within CALM_LIMIT_S.
    """
    high = here["cpu_percent"].high if "cpu_percent" in here else 100.0
    host, quiet = Host(), 0
    deadline = time.monotonic() + CALM_LIMIT_S
    while time.monotonic() < deadline and not stop.wait(1.0):
        cpu = host.sample()["cpu_percent"]
        quiet = quiet + 1 if cpu is None or cpu <= high + CALM_PERCENT else 0
        if quiet >= CALM_SAMPLES and time.time() >= until_ms / 1000 - START_S:
            return True
    return quiet >= CALM_SAMPLES
