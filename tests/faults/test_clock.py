"""Bent clocks: time must really pass in them, or what they are to show is not shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.faults import clock

SLEEPER = """
import asyncio, json, os, sys, time
from pathlib import Path
real, began = time.perf_counter, time.monotonic()
from tests.faults import clock
bent = clock.Bent()
bent.install(Path(sys.argv[1]))
async def sleeper():
    clock.order(Path(sys.argv[1]), days=30, passed_s=60)
    naps, before, started = 0, time.time(), real()
    while not bent.fast:
        await asyncio.sleep(0.01)
    while bent.fast:
        await asyncio.sleep(1)
        naps += 1
    return {"naps": naps, "passed": time.monotonic() - began, "took": real() - started, "ahead": time.time() - before}
print(json.dumps(asyncio.run(sleeper())))
"""


def test_a_minute_passes_within_a_second_or_two(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPER, str(tmp_path / "clock.json")]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60, env=os.environ | {"PYTHONPATH": "."})
    told = json.loads(done.stdout)
    assert told["took"] < 30
    assert 60 <= told["passed"] < 60 + told["took"] + 5
    assert told["naps"] > 10  # it was awake all the time
    assert told["ahead"] > 30 * 86_400


def test_an_order_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clock.order(path, days=30)
    clock.order(path)
    assert json.loads(path.read_text()) == {"days": 0.0, "passed_s": 0.0}
