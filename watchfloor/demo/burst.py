"""A real burst on this machine: busy processes on all cores, and a file written and synced. Bounded, then gone."""

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
MEGABYTES_PER_S = 64

SPARE_BYTES = 2 << 30
"""So much must stay free on the disk; else nothing is written."""


@contextlib.contextmanager
def burst(folder: Path, seconds: float = SECONDS) -> Iterator[str]:
    """Runs the burst beside the caller for `seconds` at most; gives what it does, in words. All is gone at the end."""
    cores = os.cpu_count() or 1
    commands = [["cpu", str(seconds)]] * cores
    words = f"{cores} busy processes on {cores} cores"
    if shutil.disk_usage(folder).free > SPARE_BYTES + (int(seconds * MEGABYTES_PER_S) << 20):
        commands = [["disk", str(seconds), str(folder), str(MEGABYTES_PER_S)], *commands]
        words += f", {MEGABYTES_PER_S} MB/s written to {folder} and synced"
    running = [
        subprocess.Popen(leashed([sys.executable, "-I", "-S", str(LOAD), *command]), stdin=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        yield f"{words}, for {seconds:.0f} s"
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
