"""One process of the burst, run as a script: `load.py cpu SECONDS` or `load.py disk SECONDS FOLDER MB_PER_S`."""

import os
import sys
import tempfile
import time

NICENESS = 5
"""Busy processes yield to the pipeline, so that it is seen in time; for the kernel its time is busy all the same."""

SYNCS_PER_S = 4


def spin(deadline: float) -> None:
    while time.monotonic() < deadline:
        sum(range(10_000))


def write(deadline: float, folder: str, megabytes_per_s: int) -> None:
    """Into a file without a name, which the kernel frees with this process, however that ends."""
    block = os.urandom(1 << 20)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        due = time.monotonic()
        while time.monotonic() < deadline:
            for _ in range(megabytes_per_s // SYNCS_PER_S):
                file.write(block)
            os.fsync(file.fileno())
            due += 1 / SYNCS_PER_S
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    end = time.monotonic() + float(sys.argv[2])
    if sys.argv[1] == "cpu":
        os.nice(NICENESS)
        spin(end)
    else:
        write(end, sys.argv[3], int(sys.argv[4]))
