"""This machine's metrics: sensible on the real one, null where a counter cannot be trusted."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.host import Counters, Host, cpu_percent, disk_rates, is_whole, read_counters


def counters(at: float = 0.0, busy: float = 0.0, total: float = 0.0, **disks: tuple[int, int]) -> Counters:
    return Counters(at, busy, total, disks)


def test_the_real_machine() -> None:
    host = Host()
    deadline = time.monotonic() + 10
    while read_counters().busy <= host._last.busy and time.monotonic() < deadline:
        sum(range(10_000))
    sample = host.sample()
    assert set(sample) == {"cpu_percent", "memory_percent", "disk_read_bytes_per_s", "disk_write_bytes_per_s"}
    cpu, memory = sample["cpu_percent"], sample["memory_percent"]
    assert cpu is not None
    assert 0 < cpu <= 100
    assert memory is not None
    assert 0 < memory <= 100


def test_bytes_written_to_a_disk_are_seen(tmp_path: Path) -> None:
    before = read_counters()
    if not before.disks:
        pytest.skip("this machine shows no disk of its own")
    with (tmp_path / "file").open("wb") as file:
        file.write(os.urandom(8 << 20))
        file.flush()
        os.fsync(file.fileno())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        _, written = disk_rates(before, now := read_counters())
        if written is not None and written * (now.at - before.at) >= 8 << 20:
            return
    pytest.skip("the folder for temporary files is on no disk")


def test_rates_are_per_second() -> None:
    last = counters(10.0, a=(1000, 0), b=(500, 10))
    assert disk_rates(last, counters(14.0, a=(1400, 8), b=(700, 10))) == (150.0, 2.0)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (counters(1.0, a=(1, 5), b=(4, 4)), (None, 1.0)),  # a fell: wrapped, or was reset
        (counters(1.0, a=(9, 9)), (None, None)),  # b went away
        (counters(1.0, a=(9, 9), b=(9, 9), c=(9, 9)), (None, None)),  # c came with a past
        (counters(1.0), (None, None)),
        (counters(0.0, a=(9, 9), b=(9, 9)), (None, None)),  # no time passed
    ],
)
def test_what_cannot_be_told_is_null(now: Counters, expected: tuple[float | None, float | None]) -> None:
    assert disk_rates(counters(0.0, a=(4, 4), b=(4, 4)), now) == expected


def test_without_disks_there_is_no_rate() -> None:
    assert disk_rates(counters(0.0), counters(1.0)) == (None, None)


@pytest.mark.parametrize(
    ("busy", "total", "expected"),
    [(1.0, 4.0, 25.0), (0.0, 4.0, 0.0), (4.1, 4.0, 100.0), (1.0, 0.0, None), (-0.1, 4.0, None), (1.0, -1.0, None)],
)
def test_busy_share(busy: float, total: float, expected: float | None) -> None:
    assert cpu_percent(counters(busy=7.0, total=9.0), counters(busy=7.0 + busy, total=9.0 + total)) == expected


@given(*[st.floats(0, 1e9)] * 4)
def test_busy_share_stays_in_its_range(a: float, b: float, c: float, d: float) -> None:
    share = cpu_percent(counters(busy=a, total=b), counters(busy=c, total=d))
    assert share is None or 0.0 <= share <= 100.0


@pytest.mark.skipif(not Path("/sys/block").exists(), reason="Linux shows disks there")
def test_parts_of_disks_and_layers_over_them_do_not_count_twice() -> None:
    for name in os.listdir("/sys/devices/virtual/block"):
        assert not is_whole(name)
    for disk in Path("/sys/block").iterdir():
        for part in disk.glob(f"{disk.name}*"):
            assert not is_whole(part.name)
