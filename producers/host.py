"""This host's own metrics, from psutil: busy share of the cores, memory in use, what the disks read and write."""

import time
from pathlib import Path
from typing import NamedTuple

import psutil

BLOCK = Path("/sys/block")
VIRTUAL = Path("/sys/devices/virtual/block")


class Counters(NamedTuple):
    """Totals since the machine started, and when they were read (monotonic seconds)."""

    at: float
    busy: float
    total: float
    disks: dict[str, tuple[int, int]]
    """Disk -> bytes read, bytes written."""


class Host:
    """Rates between one reading and the next, so the first sample has none.

    What cannot be told (no such counter here, a counter that fell, a disk that came or went) is None, never 0.
    In a container, CPU and disks are those of the machine, as the kernel shows them.
    """

    def __init__(self) -> None:
        self._last = read_counters()

    def sample(self) -> dict[str, float | None]:
        """The five metrics over the time since the last sample."""
        counters = read_counters()
        last, self._last = self._last, counters
        read, written = disk_rates(last, counters)
        return {
            "cpu_percent": cpu_percent(last, counters),
            "memory_percent": memory_percent(),
            "disk_read_bytes_per_s": read,
            "disk_write_bytes_per_s": written,
        }


def cpu_percent(last: Counters, now: Counters) -> float | None:
    """Share of all cores' time that was neither idle nor waiting for disks; percent, 0 to 100."""
    busy, total = now.busy - last.busy, now.total - last.total
    if total <= 0 or busy < 0:
        return None
    return round(100.0 * min(busy / total, 1.0), 2)


def disk_rates(last: Counters, now: Counters) -> tuple[float | None, float | None]:
    """Bytes per second read from and written to all disks."""
    seconds = now.at - last.at
    if seconds <= 0 or not now.disks or now.disks.keys() != last.disks.keys():
        return None, None
    rates: list[float | None] = []
    for column in (0, 1):
        moved = [now.disks[disk][column] - last.disks[disk][column] for disk in now.disks]
        rates.append(None if min(moved) < 0 else round(sum(moved) / seconds, 1))
    return rates[0], rates[1]


def memory_percent() -> float | None:
    """Share of memory that is in use and could not be freed at once; percent, 0 to 100."""
    memory = psutil.virtual_memory()
    return round(100.0 * (memory.total - memory.available) / memory.total, 2) if memory.total else None


def read_counters() -> Counters:
    times = psutil.cpu_times()
    # Guest time is part of user time already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    busy = total - times.idle - getattr(times, "iowait", 0.0)
    return Counters(time.monotonic(), busy, total, disk_bytes())


def disk_bytes() -> dict[str, tuple[int, int]]:
    """Bytes read and written by each disk; empty where the system does not tell."""
    try:
        disks = psutil.disk_io_counters(perdisk=True)
    except (OSError, NotImplementedError):
        return {}
    return {name: (disk.read_bytes, disk.write_bytes) for name, disk in (disks or {}).items() if is_whole(name)}


def is_whole(disk: str) -> bool:
    """Whether it is a device of its own: bytes of partitions, loops and volumes on top of others count once."""
    if not BLOCK.exists():
        return True
    return (BLOCK / disk).exists() and not (VIRTUAL / disk).exists()
