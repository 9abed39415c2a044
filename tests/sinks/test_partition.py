"""What is buffered, planned and stored of one partition: table-driven, without I/O."""

import pytest

from sinks.cluster import check
from sinks.errors import LostTrack
from sinks.partition import IDLE_MS, Partition, Size
from sinks.progress import Position
from sinks.tables import ROUTES
from tests.sinks.records import Record

ROUTE = ROUTES[1]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def partition(next_offset: int = 0, planned_last: int = -1) -> tuple[Partition, Clock]:
    clock = Clock()
    return Partition(ROUTE, Position("t", "id", 0, next_offset, planned_last), clock), clock


def message(offset: int) -> Record:
    return Record(b"x" * 10, offset, time=offset * 1000)


def test_rows_wait_for_others_but_not_for_long() -> None:
    part, clock = partition()
    assert not part.due(Size(3, 1000), 1.0)
    part.add([message(0)])
    assert not part.due(Size(3, 1000), 1.0)
    clock.now += 1.0
    assert part.due(Size(3, 1000), 1.0)
    part.cut(Size(10, 1000))
    assert not part.due(Size(3, 1000), 1.0)  # one range at a time


def test_enough_rows_do_not_wait() -> None:
    part, _ = partition()
    for offset in range(3):
        part.add([message(offset)])
    assert part.due(Size(3, 1000), 1.0)
    assert [each.offset() for each in part.cut(Size(2, 1000)).messages] == [0, 1]
    assert part.bytes == 10
    assert (part.position.next_offset, part.position.planned_last) == (0, 1)


def test_large_values_make_short_ranges() -> None:
    part, _ = partition()
    part.add([message(offset) for offset in range(10)])
    assert part.due(Size(100, 100), 1.0)
    assert len(part.cut(Size(100, 35)).messages) == 3
    part.stored()
    assert len(part.cut(Size(100, 5)).messages) == 1  # larger than allowed, but it must go somewhere


def test_a_range_counts_when_it_is_stored() -> None:
    part, _ = partition(next_offset=5, planned_last=4)
    for offset in (5, 7, 9):  # offsets have gaps: markers of transactions, aborted records
        part.add([message(offset)])
    found = part.cut(Size(2, 1000))
    assert (found.first, found.last, found.position.seq) == (5, 7, 1)
    assert part.position.planned
    part.stored()
    assert (part.position.next_offset, part.position.planned, part.position.seq) == (8, False, 2)
    assert part.position.complete_until == 7_000
    assert part.unsaved
    with pytest.raises(RuntimeError):
        part.stored()


def test_after_a_crash_exactly_the_plan_is_cut() -> None:
    part, clock = partition(next_offset=5, planned_last=8)
    part.add([message(5)])
    clock.now += 100
    assert not part.due(Size(1, 1), 0.0)  # the rest of the plan was not read yet
    for offset in (6, 8, 9):
        part.add([message(offset)])
    assert part.due(Size(1_000, 1_000_000), 1_000.0)
    found = part.cut(Size(1, 1))  # neither rows nor time cut it otherwise
    assert [each.offset() for each in found.messages] == [5, 6, 8]
    assert (found.first, found.last, found.position.seq) == (5, 8, 0)
    part.stored()
    assert [each.offset() for each in part.messages] == [9]


def test_a_plan_whose_last_records_are_gone_ends_at_the_end_of_the_log() -> None:
    part, _ = partition(next_offset=5, planned_last=8)
    part.reached_end(10)
    assert part.due(Size(1, 1), 0.0)
    assert part.cut(Size(1, 1)).messages == []
    part.stored()
    assert part.position.next_offset == 10


def test_markers_at_the_end_are_not_lag() -> None:
    part, clock = partition()
    part.add([message(0)])
    part.reached_end(2)
    assert not part.drained
    part.cut(Size(1, 1))
    part.stored()
    assert (part.position.next_offset, part.unsaved, part.drained) == (2, True, False)
    part.unsaved = False
    assert part.drained
    assert part.position.complete_until == int(clock.now * 1000) - IDLE_MS


def test_an_idle_partition_stays_fresh_until_the_broker_is_away() -> None:
    part, clock = partition()
    part.beat()
    assert not part.unsaved  # nothing is known of its end yet
    part.reached_end(0)
    clock.now += 60
    part.beat()
    assert (part.unsaved, part.position.complete_until) == (True, int(clock.now * 1000) - IDLE_MS)
    part.unsaved = False
    part.lost_sight()
    part.beat()
    assert not part.unsaved


@pytest.mark.parametrize(
    ("low", "high", "wrong"), [(0, 5, None), (5, 9, None), (6, 9, "has lost"), (0, 4, "is shorter")]
)
def test_the_log_must_hold_what_comes_next(low: int, high: int, wrong: str | None) -> None:
    position = Position("t", "id", 0, next_offset=5, planned_last=4)
    if wrong is None:
        check(position, low, high)
    else:
        with pytest.raises(LostTrack, match=wrong):
            check(position, low, high)
