"""Numbers as the detectors store them."""

from array import array
from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anomaly.parts import packed, packed_trimmed, single, trimmed, unpacked, unpacked_trimmed
from models.anomaly.samples import LARGEST

ordinary = st.floats(-LARGEST, LARGEST)


@given(ordinary)
def test_three_bytes_are_right_to_16_binary_digits(value: float) -> None:
    assert abs(trimmed(value) - value) <= max(abs(value) * 2**-16, 1e-40)
    assert abs(single(value) - value) <= max(abs(value) * 2**-24, 1e-44)


@given(ordinary)
def test_rounding_twice_is_rounding_once(value: float) -> None:
    assert trimmed(trimmed(value)) == trimmed(value)
    assert single(trimmed(value)) == trimmed(value)


@given(st.lists(st.one_of(ordinary.map(trimmed), st.sampled_from((inf, -inf, 0.0))), max_size=20))
def test_trimmed_numbers_are_stored_whole_in_three_bytes(values: list[float]) -> None:
    stored = packed_trimmed(array("f", values))
    assert len(stored) == 3 * len(values)
    assert unpacked_trimmed(stored).tolist() == values


def test_what_is_not_a_number_is_none_afterwards() -> None:
    one, two = unpacked_trimmed(packed_trimmed(array("f", [nan, 2.0])))
    assert isnan(one)
    assert two == 2.0


@pytest.mark.parametrize(("kind", "values", "stored"), [("H", [1, 515], "00010203"), ("f", [1.0], "3f800000")])
def test_arrays_are_stored_big_endian(kind: str, values: list[int], stored: str) -> None:
    given_ = array(kind, values)
    assert packed(given_).hex() == stored
    assert unpacked(given_, packed(given_)) == given_
