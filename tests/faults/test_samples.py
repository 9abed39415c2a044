"""Load is what the scenarios say it is."""

import pytest

from schemas import topics
from schemas.codec import DecodeError
from tests.faults.bad_input import KINDS, LUCKY, message, mixture
from tests.faults.recovery import born
from tests.faults.samples import Fleet

UNDECODABLE = ("noise", "unknown_fingerprint", "wrong_schema", "json_text", "not_utf8", "empty_value")


def test_good_records_are_valid_and_say_when_they_were_born() -> None:
    fleet = Fleet(seed=3)
    seen = [fleet.next() for _ in range(3000)]
    assert {one.intent for one in seen} == {"good", "repeat", "conflict", "late"}
    for one in seen:
        event = topics.EVENTS_METRICS.codec.decode(one.value or b"")
        assert one.key == topics.EVENTS_METRICS.key_of(event)
        assert born(one.value or b"") is not None


def test_equal_seeds_give_equal_intents() -> None:
    assert [Fleet(5).next().intent for _ in range(1)] == [Fleet(5).next().intent for _ in range(1)]
    one, two = Fleet(5), Fleet(5)
    assert [one.next().key for _ in range(500)] == [two.next().key for _ in range(500)]


@pytest.mark.parametrize("kind", UNDECODABLE)
def test_bad_records_are_bad(kind: str) -> None:
    one = message(kind, Fleet(seed=4))
    with pytest.raises(DecodeError):
        topics.EVENTS_METRICS.codec.decode(one.value or b"")


def test_a_mixture_holds_every_kind_and_mostly_bad_ones() -> None:
    kinds = mixture(seed=1, count=2000)
    assert set(kinds) == set(KINDS)
    assert set(kinds) > LUCKY
    assert kinds.count("huge") == 40
