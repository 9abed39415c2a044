"""A real burst on this machine: busy processes on all cores, and files written and synced. Bounded, then gone."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from watchfloor.embedded.leash import leashed

LOAD = Path(__file__).with_name("load.py")

SECONDS = 12.0
WRITERS, MEGABYTES_PER_S = 3, 32
"""Several, each with its own syncs, get a share of a disk that others use as well. The rate is each writer's."""

SPARE_BYTES = 2 << 30
"""So much must stay free on the disk; else nothing is written."""


@contextlib.contextmanager
def burst(folder: Path, seconds: float = SECONDS) -> Iterator[str]:
    """Runs the burst beside the caller for `seconds` at most; gives what it does, in words. All is gone at the end."""
    cores = os.cpu_count() or 1
    commands = [["cpu", str(seconds)]] * cores
    words = f"all {cores} cores busy"
    rate = WRITERS * MEGABYTES_PER_S
    if shutil.disk_usage(folder).free > SPARE_BYTES + (int(seconds * rate) << 20):
        commands = [["disk", str(seconds), str(folder), str(MEGABYTES_PER_S)]] * WRITERS + commands
        words += f", up to {rate} MB/s written and synced"
    running = [
        subprocess.Popen(
            leashed([sys.executable, "-I", "-S", str(LOAD), *command]),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is for the demonstration, which ends these
        )
        for command in commands
    ]
    try:
        yield f"{words}, for {seconds:.0f} s"
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
