"""MARK: what is written is read back, and another format is never guessed at."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.errors import Halt
from streams.runtime.mark import NO_CLOCK, Mark

OFFSETS = st.integers(0, 2**63 - 1)


@given(
    st.builds(
        Mark,
        st.dictionaries(st.text(min_size=1), OFFSETS, max_size=3),
        st.integers(-1, 2**63 - 1),
        st.integers(-1, 2**63 - 1),
        st.integers(0, 1000),
    )
)
def test_it_is_read_back(mark: Mark) -> None:
    assert Mark.decode(mark.encode()) == mark


@given(st.permutations([("a", 1), ("b", 2), ("c", 3)]))
def test_equal_marks_are_equal_bytes(offsets: list[tuple[str, int]]) -> None:
    assert Mark(dict(offsets)).encode() == Mark({"a": 1, "b": 2, "c": 3}).encode()


def test_the_start_has_no_clock_and_no_poison() -> None:
    mark = Mark.decode(Mark({"events.metrics": 0}).encode())
    assert (mark.control, mark.clock, mark.poison) == (-1, NO_CLOCK, 0)


def test_its_format_is_what_earlier_releases_wrote() -> None:
    raw = b'{"clock":1790000000000,"control":-1,"offsets":{"events.metrics":17},"v":1}'
    assert Mark.decode(raw) == Mark({"events.metrics": 17}, clock=1_790_000_000_000)
    assert Mark({"events.metrics": 17}, clock=1_790_000_000_000).encode() == raw
    poisoned = b'{"clock":-1,"control":-1,"offsets":{"t":1},"poison":4,"v":1}'
    assert Mark.decode(poisoned).poison == 4
    assert Mark({"t": 1}, poison=4).encode() == poisoned


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_format_stops_the_partition(version: object) -> None:
    raw = json.dumps({"v": version, "offsets": {"t": 1}, "control": -1, "clock": -1}).encode()
    with pytest.raises(Halt, match=rf"MARK is stored in format {version!r}, this release reads 1"):
        Mark.decode(raw)


@pytest.mark.parametrize("raw", [b"", b"\x01", b"[1]", b"7", b'"v"', b"\xff"])
def test_what_is_no_mark_at_all_stops_the_partition(raw: bytes) -> None:
    with pytest.raises(Halt, match="MARK"):
        Mark.decode(raw)
