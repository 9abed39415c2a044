"""Ids of predictions: the same from C, which counts the bytes itself, as from the library."""

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.identity import prediction_id, prediction_ids

# Over 128 bytes there is more than one block.
TEXT = st.text(max_size=40) | st.builds(lambda size: "x" * size, st.integers(0, 600))


@given(TEXT, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_many_ids_are_those_of_each(model: str, slot: str, events: list[tuple[str, str]]) -> None:
    tenants, ids = [tenant for tenant, _ in events], [event for _, event in events]
    found = prediction_ids(model, slot, tenants, ids)
    assert found == [prediction_id(tenant, model, slot, event) for tenant, event in events]


def test_an_id_is_a_hash_of_its_parts_each_led_by_its_length() -> None:
    parts = ("acme", "fraud", "champion", "e-1")
    whole = b"".join(len(part).to_bytes(4, "big") + part.encode() for part in parts)
    (found,) = prediction_ids("fraud", "champion", ["acme"], ["e-1"])
    assert found.replace("-", "") == blake2b(whole, digest_size=16).hexdigest()


def test_there_must_be_as_many_tenants_as_events() -> None:
    with pytest.raises(ValueError, match="zip"):
        prediction_ids("fraud", "champion", ["acme"], [])
