"""The burst is real, bounded, and leaves nothing."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from watchfloor.demo.burst import WRITERS, burst


def at_work(kind: str) -> list[psutil.Process]:
    """The burst's processes of one kind, as soon as they have become what they are."""
    found = []
    for process in psutil.Process().children():
        words = process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
        if any(word.endswith("load.py") for word in words) and kind in words and "-S" in words[:3]:
            found.append(process)
    return found


def until(condition: Callable[[], bool], limit_s: float = 25.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def test_it_loads_the_machine_and_goes(tmp_path: Path) -> None:
    cores = os.cpu_count() or 1
    with burst(tmp_path, 60) as words:
        assert f"all {cores} cores" in words
        assert "written and synced" in words
        until(lambda: len(at_work("cpu")) == cores)
        until(lambda: all(process.cpu_times().user > 0.1 for process in at_work("cpu")))
        until(lambda: all(process.io_counters().write_chars > 16 << 20 for process in at_work("disk")))
        assert len(at_work("disk")) == WRITERS
    assert at_work("cpu") == at_work("disk") == []
    assert list(tmp_path.iterdir()) == []


def test_it_ends_by_itself(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    with burst(tmp_path, 0.5):
        mine = set(psutil.Process().children()) - before
        assert len(mine) >= 2
        until(lambda: all(process.status() == psutil.STATUS_ZOMBIE for process in mine))
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_terminal_is_not_for_it(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    with burst(tmp_path, 60):
        for process in set(psutil.Process().children()) - before:
            assert os.getpgid(process.pid) != os.getpgid(0)
