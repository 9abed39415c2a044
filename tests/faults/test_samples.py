"""Load is what the scenarios say it is."""

import time
from collections import Counter

import pytest

from schemas import topics
from schemas.codec import DecodeError
from tests.faults.bad_input import KINDS, LUCKY, message, mixture
from tests.faults.domains import DOMAINS
from tests.faults.recovery import born, source
from tests.faults.samples import Fleet
from tests.faults.simulated import HOUR_MS, Simulated

UNDECODABLE = ("noise", "unknown_fingerprint", "wrong_schema", "json_text", "not_utf8", "empty_value")


def test_good_records_are_valid_and_say_when_they_were_born() -> None:
    fleet = Fleet(seed=3)
    seen = [fleet.next() for _ in range(3000)]
    assert {one.intent for one in seen} == {"good", "repeat", "conflict", "late"}
    for one in seen:
        event = topics.EVENTS_METRICS.codec.decode(one.value or b"")
        assert one.key == topics.EVENTS_METRICS.key_of(event)
        assert born(one.value or b"") is not None


@pytest.mark.parametrize("name", sorted(DOMAINS.keys() - {"metrics"}))
def test_simulated_domains_go_every_way_and_outcomes_come_in_every_order(name: str) -> None:
    domain, partitions, now = DOMAINS[name], 3, time.time() * 1000
    stream = domain.source(5, partitions, True)
    assert isinstance(stream, Simulated)
    link, events = stream.kind.link, stream.kind.events
    seen = [stream.next() for _ in range(6000)]
    told: set[str] = set()
    early: set[str] = set()
    ways: set[tuple[int, int]] = set()
    days = 24 * HOUR_MS
    intents: Counter[str] = Counter()
    for one in seen:
        record = one.topic.codec.decode(one.value or b"")
        assert one.key == one.topic.key_of(record)
        assert now - 30 * days < record[one.topic.time] < now
        intents[one.intent] += 1
        if one.topic is events:
            assert born(one.value or b"") is not None
            ways.add((events.partition_of(one.key or b"", partitions), source(one.value or b"")))
            told.add(record[link])
        else:
            ahead = record[link] not in told
            assert one.intent == "reversed" or ahead == (one.intent == "early")
            early.update([record[link]] * ahead)
    assert len(ways) == partitions * (partitions if domain.repartitioned else 1)
    assert min(intents[each] for each in ("repeat", "conflict", "outcome", "reversed")) > 5, intents
    if name != "attendance":  # whose verdicts come days later
        assert len(early & told) > 30


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
