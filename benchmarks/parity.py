"""`python -m benchmarks.parity`: are the features that were served those that the raw events give, bit for bit?

Simulated check-ins go through a real broker, workers and the sink, as fast as they can; then the product's own job
computes every vector again from the archive. See docs/models.md.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from benchmarks import report
from schemas.topics import DAY_MS
from sinks.store import Store, quoted
from watchfloor.embedded.clickhouse import Engine
from watchfloor.embedded.kafka import Broker
from watchfloor.embedded.leash import leashed

DOCUMENT = Path(__file__).parents[1] / "docs" / "models.md"
LIMIT_S = 1800.0
BURST_DAYS = 30
KINDS = ("sites", "calendars", "rosters")

LATE = """
SELECT count() AS n FROM (
    SELECT occurred_at, max(occurred_at) OVER (
        PARTITION BY tenant_id, device_id ORDER BY device_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS before
    FROM {database}.v_events_attendance WHERE device_id IS NOT NULL
) WHERE occurred_at < before
"""
"""Events that their device learned after a later one."""


@click.command()
@click.option("--people", default=1000, show_default=True)
@click.option("--days", default=100, show_default=True, help="Of simulated check-ins, about one a day and person.")
@click.option("--partitions", default=4, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--home", type=click.Path(path_type=Path), default=Path(".watchfloor"), help="Home folder with the jars.")
@click.option("--write/--no-write", default=True, help="Keep the results and renew docs/models.md.")
def main(people: int, days: int, partitions: int, workers: int, home: Path, write: bool) -> None:
    """Compute the served features of attendance again and count those that differ."""
    folder = (home / "bench" / "parity").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    last = (datetime.now(UTC) - timedelta(1)).date()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        broker, engine = Broker(folder), Engine(folder)
        for server in (broker, engine):
            server.start()
            stack.callback(server.stop)
        environment = os.environ | {
            "WATCHFLOOR_HOME": str(folder),
            "WATCHFLOOR_KAFKA": broker.address,
            "WATCHFLOOR_PARTITIONS": str(partitions),
            "WATCHFLOOR_CLICKHOUSE": engine.url,
            "WATCHFLOOR_CLICKHOUSE_USER": engine.user,
            "WATCHFLOOR_CLICKHOUSE_PASSWORD": engine.password,
        }

        def told(*arguments: str, fails: bool = False) -> str:
            command = [sys.executable, "-m", "watchfloor", *arguments]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=not fails)
            return done.stdout

        told("topics", "apply", "--retention-forever")
        told("db", "migrate")
        world = folder / "world"
        start = last - timedelta(days - 1)
        shape = ("--people", str(people), "--days", str(days), "--start", start.isoformat())
        about = json.loads(told("simulate", "attendance", *shape, "--out", str(world), "--json"))
        events = sum(tenant["events"] for tenant in about["tenants"].values())
        names = [*(f"worker-{number}" for number in range(workers)), "sink-0"]
        for name in names:
            output = stack.enter_context((folder / f"{name}.log").open("wb"))
            command = [sys.executable, "-m", "watchfloor", name.partition("-")[0], "--name", name]
            process = subprocess.Popen(leashed(command), env=environment, stdout=output, stderr=subprocess.STDOUT)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        for kind in KINDS:
            told(
                "control", "load", kind, str(world / f"control.{kind}.jsonl"), "--reason", "simulated", "--wait", "600"
            )
        report.say(f"{events:,} events into {partitions} partitions, {workers} workers")
        store = Store(engine.url, engine.user, engine.password, "watchfloor")
        published, sent = time.monotonic(), 0
        for piece, count in pieces(world / "events.attendance.jsonl"):
            told("replay", str(piece), "--topic", "events.attendance", "--original-timestamps")
            sent += count
            await_rows(store, sent)
            report.say(f"{sent:,} stored after {time.monotonic() - published:.0f} s")
        day = ("--for", last.isoformat(), "--days", str(days + 1))
        checked = time.monotonic()
        found = json.loads(told("jobs", "run", "parity", *day, "--json", fails=True))["tenants"]
        took = time.monotonic() - checked
        late = store.query(LATE.format(database=quoted(store.database)))[0]["n"]
    table = report.Table(
        "Features computed again from the archive",
        ("tenant", "events", "different", "left out"),
        [(each["tenant"], *(f"{each[name]:,}" for name in ("events", "different", "left_out"))) for each in found],
    )
    figures: dict[str, Any] = {"events": events, "late_on_device": late, "check_seconds": round(took, 1)}
    report.say(f"{figures}, all of it {time.monotonic() - began:.0f} s")
    for each in found:
        for difference in each["first"]:
            report.say(str(difference))
    if write:
        settings = {"people": people, "days": days, "partitions": partitions, "workers": workers} | figures
        report.keep("parity", settings, {"tenants": found}, [table], DOCUMENT)
    else:
        report.show([table])
    if sum(each["events"] for each in found) != events or any(each["different"] for each in found):
        sys.exit(1)


def pieces(file: Path) -> Iterator[tuple[Path, int]]:
    """A file for each BURST_DAYS of its events, and how many there are: live, none comes later than that."""
    with file.open() as lines:
        for number, group in groupby(lines, lambda line: json.loads(line)["occurred_at"] // (BURST_DAYS * DAY_MS)):
            found = list(group)
            piece = file.with_name(f"events.{number}.jsonl")
            piece.write_text("".join(found))
            yield piece, len(found)


def await_rows(store: Store, events: int) -> None:
    """Wait until every event is in the archive and has its prediction. Raises TimeoutError."""
    name, deadline = quoted(store.database), time.monotonic() + LIMIT_S
    views = ("v_events_attendance", "v_predictions")
    while True:
        counts = [store.query(f"SELECT count() AS n FROM {name}.{view}")[0]["n"] for view in views]
        if min(counts) >= events:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {counts} of {events} rows after {LIMIT_S:g} s")
        time.sleep(2.0)


if __name__ == "__main__":
    main()
